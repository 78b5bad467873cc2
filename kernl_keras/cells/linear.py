"""One step of a unit, linearised: forward, Eq. (37), and backward, Eq. (38).

Every unit has its own state x(t) of d numbers. One step integrates, fires, and recovers:

    (37) y(t) = P x(t-1) + Q I(t)                    the state before a spike: potential, adaptation
         z(t) = psi(t) r . y(t) + D_0 I(t)           the output: psi is its slope, r . y the distance to the threshold
         x(t) = K y(t) + s z(t)                      the state after it: reset, adaptation

x, y, z and I are small changes, the matrices those at the values of the step. Errors go back by the transposed step:

    (38) e  = E(t) + s . ell(t)                      error of the output; ell(t) is the error of x(t) in later steps
         m  = K^T ell(t) + psi e r                   error of y(t)
         dC/dI(t) = Q . m + D_0 e,    ell(t-1) = P^T m

All rules, the perturbed pass and the constants that learn use these two functions.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class LinearStep(NamedTuple):
    """The derivatives of one step of a unit, Eq. (37), for its d own states.

    P and K are tuples of d rows, Q, r, s and reset of d entries. An entry is a tensor [.., H] or a number; 0 and 1 are
    numbers, which cost nothing.

    Attributes:
        psi: psi(t), slope of the output by the distance to the threshold; 1 for a rate unit.
        P: y(t) by x(t-1).
        Q: y(t) by the current; [.., G H] for units with G currents.
        r: the distance to the threshold by y(t).
        K: x(t) by y(t).
        s: x(t) by the output, without the reset.
        reset: x(t) by the output, the reset alone: a rule follows it or not.
        K0: K of a step without a spike.
        direct: D_0, the output by the currents at a fixed state, [.., G H].
        gate: 0 where refractory, else 1.
        heard: the factor of its input: f'(g(t)) of a rate unit, what a `Unit` hears now beside one at rest.
        heard_beside: the same of y but the potential, where a current of a `Unit` moves several at once.
        presynaptic: S(t), or h(t) of a rate unit, on the way back through a sequence.
        continues: 0 where the step is the first of a sequence, [.., B, 1]: no error goes further back.

    Example: half of the potential is left, and a current adds to it.

    >>> from kernl_keras.rules import LinearStep
    >>> step = LinearStep(psi=0.3, P=((0.5,),), Q=(1.0,), r=(1.0,), K=((1.0,),), s=(0.0,), reset=(0.0,), K0=((1.0,),))
    >>> step.combined()
    Jacobian(A=((0.5,),), B=(1.0,), D=(0.15,), g=0.3)
    """

    psi: Any
    P: tuple
    Q: tuple
    r: tuple
    K: tuple
    s: tuple
    reset: tuple
    K0: tuple
    direct: Any = 0.0
    gate: Any = 1.0
    heard: Any = 1.0
    heard_beside: tuple = ()
    presynaptic: Any = 0.0
    continues: Any = 1.0

    def following_reset(self) -> "LinearStep":
        """The step with the derivative of the resetting spike, as in backpropagation."""
        none = (0.0,) * len(self.s)
        return self._replace(s=tuple(map(plus, self.s, self.reset)), reset=none)

    def first(self, count: int) -> "LinearStep":
        """The step of the first `count` own states, as if the others were constant."""
        rows = {name: tuple(row[:count] for row in getattr(self, name)[:count]) for name in ("P", "K", "K0")}
        return self._replace(**rows, **{name: getattr(self, name)[:count] for name in ("Q", "r", "s", "reset")})

    def free_response(self) -> tuple[tuple[Any, ...], ...]:
        """P K, by which y(t) becomes y(t+1) without input, as rows of entries."""
        return matrix_product(self.P, self.K)

    def oscillations(self, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Time constants and periods, ms, of what oscillates in P K faster than it fades: NumPy arrays [n]."""
        entries = np.stack(np.broadcast_arrays(*(x for row in self.free_response() for x in row)), -1)
        entries = entries[np.isfinite(entries).all(-1)]  # a unit may have no derivative at rest
        values = np.linalg.eigvals(entries.reshape(-1, len(self.r), len(self.r))).ravel()
        values = values[np.imag(values) > 0.0]  # of each pair of conjugates one
        fade, turn = -np.log(np.abs(values)), np.angle(values)
        swings = turn > fade
        return dt / np.maximum(fade[swings], 1e-9), 2.0 * np.pi * dt / turn[swings]

    def combined(self) -> "Jacobian":
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

    def forward(self, x: Sequence[tf.Tensor], current: Any, arrived: Any = 0.0) -> "Changes":
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

    def error_of_arrived(self, m: Sequence[tf.Tensor]) -> Any:
        """The error of `arrived`, from m, those of y(t), of which the potential's is the first."""
        return plus(self.gate * self.heard * m[0], dot(self.heard_beside, m[1:]))

    def back(self, ell: Sequence[tf.Tensor], E: Any, u: Any = 0.0) -> tuple[tuple, "Errors"]:
        """Eq. (38): ell(t-1) and `Errors`, from ell(t) and E(t); `u` is a further error of the distance r . y."""
        e = plus(E, dot(self.s, ell))
        u = plus(times(self.psi, e), u)
        m = [plus(dot(column, ell), times(r, u)) for column, r in zip(zip(*self.K), self.r)]
        m = [tensor(each, like=ell[0]) for each in m]
        current = by_currents((*m, e), (*self.Q, self.direct))
        before = tuple(tensor(dot(column, m), like=ell[0]) for column in zip(*self.P))
        return before, Errors(current, tuple(m), None if nothing(u) else u, tuple(ell))


class Jacobian(NamedTuple):
    """One linearised step without y: dx(t) = A dx(t-1) + B dI(t), dz(t) = D . dx(t-1) + g dI(t)."""

    A: tuple
    B: tuple
    D: tuple
    g: Any

    def back(self, ell, e):
        """ell(t-1) = A^T ell + D e and R = B . ell + g e, from ell(t), each [.., H], and the error e of the output."""
        R = by_currents((*ell, e), (*self.B, self.g))
        before = [plus(dot(column, ell), times(d, e)) for column, d in zip(zip(*self.A), self.D)]
        return tuple(tensor(x, like=ell[0]) for x in before), tensor(R, like=ell[0])

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
    """The errors of all values that move in a step, each [.., B, H]; all but `current` are for constants that learn.

    Attributes:
        current: dC/dI(t), [.., G H] where units have G currents.
        y: of the states before a spike, V-(t), Re U(t) or h(t) first; None to find that one from `current`.
        distance: of the distance to the threshold.
        x: of the own states after the step.
        synapse: of S(t).

    Example: one step back.

    >>> import tensorflow as tf
    >>> from kernl_keras.rules import LinearStep
    >>> step = LinearStep(psi=0.5, P=((0.5,),), Q=(3.0,), r=(1.0,), K=((1.0,),), s=(0.0,), reset=(0.0,), K0=((1.0,),))
    >>> ell, errors = step.back([tf.constant([1.0])], 2.0)
    >>> errors.y[0].numpy().tolist(), errors.current.numpy().tolist(), ell[0].numpy().tolist()
    ([2.0], [6.0], [1.0])
    """

    current: Any
    y: tuple | None = None
    distance: Any = None
    x: tuple = ()
    synapse: Any = None


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
