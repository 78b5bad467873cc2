"""Windows: backpropagation inside C steps, and the rule for errors that leave them. Eq. (28), (29).

The sequence is cut at steps 0, C, 2C and so on. Inside a window errors go back exactly. The rule decides what happens
to errors that leave it: under backpropagation they stop (it is truncated); under e-prop they follow the unit's own
state; under KeRNL also one hop by M to the units that moved it. C = 1 is the rule itself, C = T is backpropagation.

    (28) where t is the last step of a window:   ell_P += ell_F;   the hop takes in m_F;   then ell_F = g = 0
         R_F(t), m_F, ell_F = back(L(t) + g(t), ell_F);    g(t-1) from R_F(t) by W_rec       inside: all paths
         R_P(t), ell_P = back(C(t), ell_P);                C(t-1) from C(t) by the hop       before: own state, a hop
         dC/dW += s(t)^T [R_F(t) + R_P(t)]

"Back" is Eq. (38): ell are errors of the own state, m those of the state before a spike, R those of the currents.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from ..cells.linear import Errors, varying, with_varying
from ..sequences.time_loop import blockwise, map_tensors, take, tensors
from .above import NOTHING_ABOVE
from .backward import Backward, NothingBack, cut_at_starts
from .bptt import BPTT
from .memory import Recollection
from .rule import BackwardStep


class Inside(NamedTuple):
    """Results of backpropagation inside the windows, and the errors that leave each at its first step t."""

    R: Any  # R_F = dC/dI [T, B, G H]
    ell: tuple  # ell_F(t-1), errors of the own state before each window, each [W, B, H]
    first: Any  # `Errors` of step t, with m_F, each [W, B, H]


class WindowedBackward(Backward):
    """The backward pass of a rule with windows of C > 1 steps."""

    def __init__(self, rule, past, window, traces=False):
        super().__init__(rule, past, traces)
        static = isinstance(window, int) and isinstance(past.length, int)
        self.window = min(window, past.length) if static else tf.minimum(window, past.length)

    def inside(self, error):
        """`Inside`, and the parts of dC/dW from it; `error` is L [T, B, H]."""
        past, exact = self.past, BPTT()

        def prepared(start, size):
            return BackwardStep(take(error, start, size), past.derivatives(start, size).following_reset())

        first, zero = prepared(0, 1), tf.zeros_like(error[0])
        count, cell = len(past.cell.own_states), past.cell
        no_errors = Errors(tf.concat([zero] * cell.currents, -1), (zero,) * count, synapse=zero)
        carry = (zero,) * (count + 1), no_errors  # ell_F and g; the errors of a step

        def begin(start, size, carry):
            return varying(prepared(start, size)), self.products.block(start, size)

        def step(carry, now):
            now = with_varying(first, now)
            ell_and_g, errors = exact.backward_step(carry[0], now, self.context)
            at_first = Errors(errors.current, errors.y, synapse=errors.synapse)
            return cut_at_starts((ell_and_g, at_first), now.step), errors.current, self.products.needed(errors)

        def border(carry):
            return map_tensors(tf.zeros_like, carry), (carry[0][:-1], carry[1])

        zeros = self.products.start(error.dtype)
        _, R, total, borders = blockwise(
            begin, step, self.products.add, carry, zeros, past.length, self.window, True, past.unroll, border
        )
        return Inside(R, *borders), total

    def __call__(self, error, traces=()):
        """Eq. (28); arguments and result as in `Backward`."""
        inside, total = self.inside(error)
        if not self.rule.crosses:
            return inside.R, tf.concat(total, 0)
        carry, R, total = self.behind(inside, total)
        return R, tf.concat(total, 0) + self.products.with_traces(traces, carry)

    def behind(self, inside, total):
        """The errors that left their windows go back, and add to the results inside.

        Returns the carry before the first step, dC/dI [T, B, G H], and the parts of dC/dW.
        """
        past, rule = self.past, self.rule
        zeros, d = self.carry(inside.R), past.cell.count_own(rule.adaptation)
        entered = self.context.hop.enter(inside.first.y, inside.ell) if rule.hops else ()
        enters = inside.ell[:d], entered  # each [W, B, ...]

        def prepared(start, size, carry):
            """The rule's `now`, with what enters the hop, and ell_F; both at the first step of a window, else 0."""
            t = start + tf.range(size)
            begins = tf.equal(t % self.window, 0)

            def spread(x):
                rows = tf.gather(x, t // self.window)
                return tf.where(tf.reshape(begins, (-1, *[1] * (x.shape.rank - 1))), rows, tf.zeros_like(rows))

            ell_F, entered = tf.nest.map_structure(spread, enters)
            return rule.prepare(0.0, past.derivatives(start, size), carry, self.context, entered), ell_F

        first, _ = prepared(0, 1, zeros)

        def begin(start, size, carry):
            now, ell_F = prepared(start, size, carry)
            return (varying(now), ell_F, take(inside.R, start, size)), self.products.block(start, size)

        def step(carry, elements):
            now, ell_F, R_F = elements
            carry, errors = self.step(carry, with_varying(first, now))
            carry = (*map(tf.add, carry[:d], ell_F), *carry[d:])  # ell_P += ell_F, before the window
            return carry, R_F + errors.current, errors

        add = self.products.add
        return blockwise(begin, step, add, zeros, total, past.length, reverse=True, unroll=past.unroll)[:3]


class LinearBackward(WindowedBackward):
    """The backward pass with windows, and linear memory before each, see `rules.memory`.

    Errors that leave their window reach the weights, and by `below`, its `above.Earlier`, those of the layer below.
    """

    def __init__(self, rule, past, window, memory, below=None):
        super().__init__(rule, past, window)
        m = rule.sensitivity(past.layer)[0] if rule.hops else None
        self.memory, self.recollection = memory, Recollection(memory, past, self.window, window, m, below)

    def __call__(self, error, traces=(), above=NOTHING_ABOVE):
        """Arguments and result as in `Backward`, with `Above`, and the weights of Eq. (42) for the layer below."""
        inside, total = self.inside(error)
        behind, below = self.recollection.gradient(self.memory.unpack(traces), inside, self.products, above)
        return inside.R, tf.concat(list(map(tf.add, total, behind)), 0), below

    def advance(self, traces):
        """The memory after the last valid step, a tuple of tensors."""
        past, memory = self.recollection, self.memory.unpack(traces)
        after, _ = past.scan(lambda memory, number: (past.advance(memory, number), ()), memory, tf.range(past.windows))
        return tuple(tensors(after))


def way_back(rule, past, window=None, traces=False, memory=None, below=None):
    """The `Backward` of a rule for a `Past`, with windows of C steps, or for None without.

    There may be exact `traces` from earlier pieces, or a `LinearMemory`, and `below`, the `Earlier` of the layer below.
    """
    if not rule.learns:
        return NothingBack(rule, past)
    if memory is not None:
        return LinearBackward(rule, past, past.length if window is None else window, memory, below)
    if window is None or (window == 1 and rule.crosses):
        return Backward(rule, past, traces)
    return WindowedBackward(rule, past, window, traces)
