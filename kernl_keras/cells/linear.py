"""One step of a unit, linearised: forward, Eq. (37), and backward, Eq. (38).

Every unit has a state x(t) of its own, of d numbers. One step integrates, fires, and recovers:

    (37) y(t) = P x(t-1) + Q I(t)                    the states before a spike: potential, adaptation
         z(t) = psi(t) r . y(t) + D_0 I(t)           the output: psi is its slope, r . y the distance to the threshold
         x(t) = K y(t) + s z(t)                      the states after it

All of these are small changes, and the derivatives are those at the values of the step. Errors go back by the
transposed step:

    (38) e  = E(t) + s . l(t)                        of the output, through x(t) as well
         m  = K^T l(t) + psi e r                     of y(t)
         dC/dI(t) = Q . m + D_0 e,    l(t-1) = P^T m

What follows from the step is written here once: the perturbed pass that M learns from, the adjoint of backpropagation,
e-prop and its traces, the hop of a whole unit, and the constants that learn.
"""

from typing import Any, NamedTuple

import tensorflow as tf


class LinearStep(NamedTuple):
    """The derivatives of one step of a unit, Eq. (37), for d own states.

    P and K are tuples of d rows of d entries; Q, r, s and reset are tuples of d entries. An entry is a tensor [.., H]
    or a number. Those that are 0 and 1 are numbers: they cost nothing.
    """

    psi: Any  # psi(t): the output by the distance to the threshold; 1 of a rate unit
    P: tuple  # y(t) by x(t-1)
    Q: tuple  # y(t) by the current; where units have G currents by each of them, [.., G H]
    r: tuple  # the distance to the threshold by y(t)
    K: tuple  # x(t) by y(t)
    s: tuple  # x(t) by the output, but for the reset
    reset: tuple  # x(t) by the output: what the reset takes; which a rule follows or not
    K0: tuple  # K of a step without a spike
    direct: Any = 0.0  # D_0, the output by the currents where the state stands still, [.., G H]
    gate: Any = 1.0  # 0 where refractory
    heard: Any = 1.0  # f'(g(t)) of a rate unit: how much of what arrives has an effect
    arrival: Any = 1.0  # psi(t), or (1-a) f'(g(t)) of a rate unit
    presynaptic: Any = None  # S(t), or h(t) of a rate unit
    continues: Any = 1.0  # 0 where the step is the first of a sequence, [.., B, 1]: no error goes further back

    def following_reset(self):
        """The same where the derivative of the resetting spike is followed, as backpropagation does."""
        none = (0.0,) * len(self.s)
        return self._replace(s=tuple(map(plus, self.s, self.reset)), reset=none)

    def first(self, count):
        """The same of the first own states alone: what the others do is left out."""
        rows = {name: tuple(row[:count] for row in getattr(self, name)[:count]) for name in ("P", "K", "K0")}
        return self._replace(**rows, **{name: getattr(self, name)[:count] for name in ("Q", "r", "s", "reset")})

    def free_response(self):
        """P K: how y(t) goes on to y(t+1) by itself, rows of entries."""
        return tuple(tuple(dot(row, column) for column in zip(*self.K)) for row in self.P)

    def combined(self):
        """The `Jacobian` of the step: what it makes of changes, without those in between."""
        d = range(len(self.r))
        s_r = [[times(self.psi, times(s, r)) for r in self.r] for s in self.s]
        after = [[plus(self.K[i][j], s_r[i][j]) for j in d] for i in d]  # x(t) by y(t)
        columns = tuple(zip(*self.P))
        q = self.Q
        direct = self.direct
        return Jacobian(
            A=tuple(tuple(dot(row, column) for column in columns) for row in after),
            B=tuple(
                plus(dot([to_currents(x, each) for x, each in zip(row, q)], q), times(to_currents(s, direct), direct))
                for row, s in zip(after, self.s)
            ),
            D=tuple(times(self.psi, dot(self.r, column)) for column in columns),
            g=plus(dot([to_currents(times(self.psi, r), each) for r, each in zip(self.r, q)], q), direct),
        )

    def forward(self, x, current, arrived=0.0):
        """Eq. (37).

        Args:
            x: changes of the own states at t-1, each [.., H].
            current: change of I(t), [.., G H] or a number.
            arrived: what changes the potential besides.

        Returns:
            `Changes`.
        """
        units = x[0].shape[-1]
        y = [plus(dot(row, x), of_currents(q, current, units)) for row, q in zip(self.P, self.Q)]
        y[0] = plus(y[0], arrived)
        distance = dot(self.r, y)
        output = plus(times(self.psi, distance), of_currents(self.direct, current, units))
        after = [plus(dot(row, y), times(s, output)) for row, s in zip(self.K, self.s)]
        return Changes(y, distance, output, tuple(tensor(each, like=x[0]) for each in after))

    def back(self, later, error, distance=0.0):
        """Eq. (38).

        Args:
            later: l(t), errors of the own states after t, each [.., H].
            error: E(t), of the output [.., H] or a number.
            distance: an error of the distance to the threshold itself.

        Returns:
            l(t-1), each [.., H], and `Errors`.
        """
        error = plus(error, dot(self.s, later))
        distance = plus(times(self.psi, error), distance)
        y = [plus(dot(column, later), times(r, distance)) for column, r in zip(zip(*self.K), self.r)]
        y = [tensor(each, like=later[0]) for each in y]
        current = dot([to_currents(m, q) for m, q in zip(y, self.Q)], self.Q)
        if not nothing(self.direct):
            error = tensor(error, like=later[0])
            current = plus(current, times(to_currents(error, self.direct), self.direct))
        before = tuple(tensor(dot(column, y), like=later[0]) for column in zip(*self.P))
        return before, Errors(current, tuple(y), None if nothing(distance) else distance, tuple(later))


class Jacobian(NamedTuple):
    """The derivatives of one step by what comes before it: dx(t) = A dx(t-1) + B dI(t), dz(t) = D . dx(t-1) + g dI(t).

    A is a tuple of d rows of d entries, B and D are tuples of d entries; entries as of `LinearStep`.
    """

    A: tuple
    B: tuple
    D: tuple
    g: Any

    def back(self, later, error):
        """R = B . l + g e and l(t-1) = A^T l + D e, of l(t), each [.., H], and the error e of the output."""
        current = dot([to_currents(x, b) for x, b in zip(later, self.B)], self.B)
        current = plus(current, times(to_currents(error, self.g), self.g))
        before = [plus(dot(column, later), times(d, error)) for column, d in zip(zip(*self.A), self.D)]
        return tuple(tensor(x, like=later[0]) for x in before), tensor(current, like=later[0])


class Changes(NamedTuple):
    """What a step makes of changes. Each [.., H], or a number where it is 0."""

    y: list  # before a spike; the first is that of the potential
    distance: Any  # to the threshold
    output: Any
    x: tuple  # the own states after the step


class Errors(NamedTuple):
    """What the errors of a step's outputs, and of all later ones, make of what moves in that step. Each [.., B, H].

    None where the rule gives no credit to it. For constants that learn, Eq. (30).
    """

    current: Any  # dC/dI(t), [.., G H] where units have G currents
    y: tuple | None = None  # of what there is before a spike; the first is that of V-(t), Re U(t) or h(t)
    distance: Any = None  # of the distance to the threshold
    x: tuple = ()  # of the own states after the step
    synapse: Any = None  # of S(t)


def nothing(x):
    """Whether it is the number 0."""
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


def tensor(x, like):
    """`x`, where it is a number as a tensor of that shape."""
    return tf.zeros_like(like) + x if isinstance(x, (int, float)) else x


def to_currents(x, q):
    """An error [.., H] once for each of the currents that `q` [.., G H] is of."""
    if not (tf.is_tensor(q) and tf.is_tensor(x)) or not q.shape.rank or q.shape[-1] <= x.shape[-1]:
        return x
    return tf.concat([x] * (q.shape[-1] // x.shape[-1]), -1)


def of_currents(q, current, units):
    """The sum over the currents of q times the change of the current, [.., H]."""
    moved = times(q, current)
    if not tf.is_tensor(moved) or moved.shape[-1] == units:
        return moved
    return tf.add_n(tf.split(moved, moved.shape[-1] // units, -1))


def of_steps(now):
    """The entries of a structure that differ from step to step, a list of tensors [C, B, ...]."""
    return [x for x in tf.nest.flatten(now) if differs(x)]


def with_steps(now, entries):
    """The structure with such entries of one step; what is the same for all steps stays."""
    entries = iter(entries)
    return tf.nest.map_structure(lambda x: next(entries) if differs(x) else x, now)


def differs(x):
    """Whether it has a value for every step: [C, B, ...], where a constant is a number or [H]."""
    return tf.is_tensor(x) and x.shape.rank >= 3
