"""One step of a unit, linearised: forward, Eq. (37), and backward, Eq. (38).

Every unit has its own state x(t) of d numbers. One step integrates, fires, and recovers:

    (37) y(t) = P x(t-1) + Q I(t)                    the state before a spike: potential, adaptation
         z(t) = psi(t) r . y(t) + D_0 I(t)           the output: psi is its slope, r . y the distance to the threshold
         x(t) = K y(t) + s z(t)                      the state after it: reset, adaptation

x, y, z and I are small changes, the matrices those at the values of the step. Errors go back by the transposed step:

    (38) e  = E(t) + s . l(t)                        error of the output; l(t) is the error of x(t) in later steps
         m  = K^T l(t) + psi e r                     error of y(t)
         dC/dI(t) = Q . m + D_0 e,    l(t-1) = P^T m

All rules, the perturbed pass and the constants that learn use these two functions.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class LinearStep(NamedTuple):
    """The derivatives of one step of a unit, Eq. (37), for d own states.

    P and K are tuples of d rows, Q, r, s and reset of d entries. An entry is a tensor [.., H] or a number; 0 and 1 are
    numbers, which cost nothing.
    """

    psi: Any  # psi(t), slope of the output by the distance to the threshold; 1 for a rate unit
    P: tuple  # y(t) by x(t-1)
    Q: tuple  # y(t) by the current; [.., G H] for units with G currents
    r: tuple  # the distance to the threshold by y(t)
    K: tuple  # x(t) by y(t)
    s: tuple  # x(t) by the output, without the reset
    reset: tuple  # x(t) by the output, the reset alone: a rule follows it or not
    K0: tuple  # K of a step without a spike
    direct: Any = 0.0  # D_0, the output by the currents at a fixed state, [.., G H]
    gate: Any = 1.0  # 0 where refractory
    heard: Any = 1.0  # the factor of its input: f'(g(t)) of a rate unit, what a `Unit` hears now beside one at rest
    heard_beside: tuple = ()  # the same of y but the potential, where a current of a `Unit` moves several at once
    presynaptic: Any = 0.0  # S(t), or h(t) of a rate unit, in the steps of a `Past`
    continues: Any = 1.0  # 0 where the step is the first of a sequence, [.., B, 1]: no error goes further back

    def following_reset(self):
        """The step with the derivative of the resetting spike, as in backpropagation."""
        none = (0.0,) * len(self.s)
        return self._replace(s=tuple(map(plus, self.s, self.reset)), reset=none)

    def first(self, count):
        """The step of the first `count` own states, as if the others were constant."""
        rows = {name: tuple(row[:count] for row in getattr(self, name)[:count]) for name in ("P", "K", "K0")}
        return self._replace(**rows, **{name: getattr(self, name)[:count] for name in ("Q", "r", "s", "reset")})

    def free_response(self):
        """P K, by which y(t) becomes y(t+1) without input, as rows of entries."""
        return matrix_product(self.P, self.K)

    def oscillations(self, dt):
        """Time constants and periods, ms, of what oscillates in P K faster than it fades: NumPy arrays [n]."""
        entries = np.stack(np.broadcast_arrays(*(x for row in self.free_response() for x in row)), -1)
        entries = entries[np.isfinite(entries).all(-1)]  # a unit may have no derivative at rest
        values = np.linalg.eigvals(entries.reshape(-1, len(self.r), len(self.r))).ravel()
        values = values[np.imag(values) > 0.0]  # of each pair of conjugates one
        fade, turn = -np.log(np.abs(values)), np.angle(values)
        swings = turn > fade
        return dt / np.maximum(fade[swings], 1e-9), 2.0 * np.pi * dt / turn[swings]

    def combined(self):
        """The `Jacobian` of the step, in which y is eliminated."""
        after = [  # x(t) by y(t)
            [plus(k, times(self.psi, times(s, r))) for k, r in zip(row, self.r)] for row, s in zip(self.K, self.s)
        ]
        return Jacobian(
            A=matrix_product(after, self.P),
            B=tuple(by_currents((*row, s), (*self.Q, self.direct)) for row, s in zip(after, self.s)),
            D=tuple(times(self.psi, dot(self.r, column)) for column in zip(*self.P)),
            g=plus(by_currents([times(self.psi, r) for r in self.r], self.Q), self.direct),
        )

    def forward(self, x, current, arrived=0.0):
        """Eq. (37): `Changes` from those of x(t-1), a tuple, and I(t).

        `arrived` comes on top, from other units: what it would add to the potential of a unit at rest.
        """
        units = x[0].shape[-1]
        y = [plus(dot(row, x), sum_over_currents(q, current, units)) for row, q in zip(self.P, self.Q)]
        if not nothing(arrived):
            y[0] = plus(y[0], self.gate * self.heard * arrived)
            for number, heard in enumerate(self.heard_beside, 1):
                y[number] = plus(y[number], times(heard, arrived))
        distance = dot(self.r, y)
        output = plus(times(self.psi, distance), sum_over_currents(self.direct, current, units))
        after = [plus(dot(row, y), times(s, output)) for row, s in zip(self.K, self.s)]
        return Changes(y, distance, output, tuple(tensor(change, like=x[0]) for change in after))

    def error_of_arrived(self, y):
        """The error of `arrived`, from those of y(t), of which the potential's is the first."""
        return plus(self.gate * self.heard * y[0], dot(self.heard_beside, y[1:]))

    def back(self, later, error, distance=0.0):
        """Eq. (38): l(t-1) and `Errors` from l(t), a tuple, and E(t); `distance` is a further error of the distance."""
        error = plus(error, dot(self.s, later))
        distance = plus(times(self.psi, error), distance)
        y = [plus(dot(column, later), times(r, distance)) for column, r in zip(zip(*self.K), self.r)]
        y = [tensor(m, like=later[0]) for m in y]
        current = by_currents((*y, error), (*self.Q, self.direct))
        before = tuple(tensor(dot(column, y), like=later[0]) for column in zip(*self.P))
        return before, Errors(current, tuple(y), None if nothing(distance) else distance, tuple(later))


class Jacobian(NamedTuple):
    """One linearised step without y: dx(t) = A dx(t-1) + B dI(t), dz(t) = D . dx(t-1) + g dI(t)."""

    A: tuple
    B: tuple
    D: tuple
    g: Any

    def back(self, later, error):
        """l(t-1) = A^T l + D e and R = B . l + g e, from l(t), each [.., H], and the error e of the output."""
        current = by_currents((*later, error), (*self.B, self.g))
        before = [plus(dot(column, later), times(d, error)) for column, d in zip(zip(*self.A), self.D)]
        return tuple(tensor(x, like=later[0]) for x in before), tensor(current, like=later[0])

    def twice(self):
        """Two such steps as one for `back`: e is the same in both, and R is their mean."""
        both = [times(0.5, b) for b in self.B]
        return Jacobian(
            A=matrix_product(self.A, self.A),
            B=tuple(plus(half, by_currents(row, both)) for row, half in zip(self.A, both)),
            D=tuple(plus(d, dot(column, self.D)) for column, d in zip(zip(*self.A), self.D)),
            g=plus(self.g, by_currents(self.D, both)),
        )

    def with_trace(self, decay):
        """The step with one state more, the synaptic trace S(t) = decay S(t-1) + z(t); it is the output then."""
        last = (*self.D, decay)
        return Jacobian(A=(*((*row, 0.0) for row in self.A), last), B=(*self.B, self.g), D=last, g=self.g)


class Changes(NamedTuple):
    """The changes in one step. Each [.., H], or a number where it is 0."""

    y: list  # before a spike, the potential first
    distance: Any  # to the threshold
    output: Any
    x: tuple  # the own states after the step


class Errors(NamedTuple):
    """The errors of all values that move in a step, each [.., B, H]; all but `current` are for constants that learn."""

    current: Any  # dC/dI(t), [.., G H] where units have G currents
    y: tuple | None = None  # of the states before a spike, V-(t), Re U(t) or h(t) first
    distance: Any = None  # of the distance to the threshold
    x: tuple = ()  # of the own states after the step
    synapse: Any = None  # of S(t)


def nothing(x):
    """True for the number 0."""
    return isinstance(x, (int, float)) and x == 0


def times(a, b):
    """The product, without an operation where one of the two is the number 0 or 1."""
    if nothing(a) or nothing(b):
        return 0.0
    if isinstance(a, (int, float)) and a == 1:
        return b
    return a if isinstance(b, (int, float)) and b == 1 else a * b


def plus(a, b):
    """The sum, without an operation where one of the two is the number 0."""
    if nothing(a):
        return b
    return a if nothing(b) else a + b


def dot(a, b):
    """The sum of products."""
    total = 0.0
    for product in map(times, a, b):
        total = plus(total, product)
    return total


def matrix_product(a, b):
    """The product of two matrices, tuples of rows of entries."""
    return tuple(tuple(dot(row, column) for column in zip(*b)) for row in a)


def tensor(x, like):
    """`x` as a tensor, which is shaped like `like` where it was a number."""
    return tf.zeros_like(like) + x if isinstance(x, (int, float)) else x


def to_currents(x, q):
    """An error [.., H], repeated for each of the G currents of `q` [.., G H]."""
    if not (tf.is_tensor(q) and tf.is_tensor(x)) or not q.shape.rank or q.shape[-1] <= x.shape[-1]:
        return x
    return tf.concat([x] * (q.shape[-1] // x.shape[-1]), -1)


def by_currents(x, q):
    """The sum of x [.., H] times q over their entries, for each of the G currents of a unit [.., G H]."""
    return dot([to_currents(one, entry) for one, entry in zip(x, q)], q)


def sum_over_currents(q, current, units):
    """The sum of q times the current over the G currents of each unit, [.., H]."""
    products = times(q, current)
    if not tf.is_tensor(products) or products.shape[-1] == units:
        return products
    return tf.add_n(tf.split(products, products.shape[-1] // units, -1))


def varying(structure):
    """The entries of a structure that vary over time, a list of tensors [C, B, ...]."""
    return [x for x in tf.nest.flatten(structure) if _varies(x)]


def with_varying(structure, entries):
    """The structure with other values for the entries of `varying`, such as those of one step."""
    entries = iter(entries)
    return tf.nest.map_structure(lambda x: next(entries) if _varies(x) else x, structure)


def _varies(x):
    """True for [C, B, ...]; a constant is a number or [H]."""
    return tf.is_tensor(x) and x.shape.rank >= 3
