"""The window: backpropagation inside C steps, and across its borders what the rule lets pass. Eq. (28), (29).

The sequence is cut at steps 0, C, 2C and so on. Inside a window the errors go back exactly. Where they leave it, the
rule takes over: under backpropagation nothing crosses, so that it is truncated; under e-prop the unit's own state does;
under KeRNL that, and one hop by M to the units that affected it. C = 1 is the rule itself, C = T is backpropagation.

    (28) where t is the last step of a window:   cP += cF;  aP += aF;  q += cF;  then cF = aF = g = 0
         R_F(t), cF, aF = own_back(L(t) + g(t), cF, aF);   g(t-1) from R_F(t) by W_rec       inside: every path
         R_P(t), cP, aP = own_back(M^T Re q, cP, aP);      q <- conj(lambda) q              before: the own state, a hop
         dC/dW += s(t)^T [R_F(t) + R_P(t)]
"""

from typing import Any, NamedTuple

import tensorflow as tf

from ..cells.linear import Errors, of_steps, with_steps
from ..sequences.time_loop import blockwise, take, tensors
from .backward import Backward, going_on, zeros_like
from .bptt import exact_step
from .memory import Recollection
from .rule import BackwardStep


class Inside(NamedTuple):
    """What the errors of each window make inside it, and at its first step t of what came before."""

    current: Any  # dC/dI [T, B, G H]
    own: tuple  # of the own state after t-1: of U or V, and of b where thresholds adapt, each [W, B, H]
    first: Any  # `Errors` of step t, each [W, B, H]


class WindowedBackward(Backward):
    """A rule on its way back through windows of more than one step.

    Args:
        rule: `rules.Rule`, one of those that have windows.
        past: `Past`.
        window: C > 1.
        traces: whether traces are carried in from the pieces before.
    """

    def __init__(self, rule, past, window, traces=False):
        super().__init__(rule, past, traces)
        static = isinstance(window, int) and isinstance(past.length, int)
        self.window = min(window, past.length) if static else tf.minimum(window, past.length)

    def inside(self, error):
        """`Inside` and dC/dW of it in its parts, of errors of the outputs L [T, B, H]."""
        past = self.past

        def prepared(start, size):
            return BackwardStep(take(error, start, size), past.derivatives(start, size).following_reset())

        first, none = prepared(0, 1), tf.zeros_like(error[0])
        count, cell = len(past.cell.own_states), past.cell
        nothing = Errors(tf.concat([none] * cell.currents, -1), (none,) * count, synapse=none)
        carry = (none,) * (count + 1), nothing

        def begin(start, size, carry):
            return of_steps(prepared(start, size)), self.products.block(start, size)

        def step(carry, now):
            now = with_steps(first, now)
            after, errors = exact_step(carry[0], now, self.context)
            at_first = Errors(errors.current, errors.y, synapse=errors.synapse)
            return going_on((after, at_first), now.step), errors.current, self.products.needed(errors)

        def border(carry):
            return zeros_like(carry), (carry[0][:-1], carry[1])

        zeros = self.products.start(error)
        _, current, total, borders = blockwise(
            begin, step, self.products.add, carry, zeros, past.length, self.window, True, past.unroll, border
        )
        return Inside(current, *borders), total

    def __call__(self, error, traces=()):
        """Eq. (28); arguments and result as of `Backward`."""
        inside, total = self.inside(error)
        if not self.rule.crosses:
            return inside.current, tf.concat(total, 0)
        carry, current, total = self.behind(inside, total)
        return current, tf.concat(total, 0) + self.products.with_traces(traces, carry)

    def behind(self, inside, total):
        """What the rule makes of the errors that left their windows, besides what they made inside.

        Returns:
            the carry before the first step, dC/dI [T, B, G H], and dC/dW in its parts.
        """
        past, rule = self.past, self.rule
        nothing = self.carry(inside.current)
        own_count = rule.count_own(past.cell)
        enters = inside.own[:own_count], rule.enter(inside.first.y, inside.own, self.context)  # each [W, B, ...]

        def prepared(start, size, carry):
            """`BackwardStep` of the rule, with what enters at the steps that begin a window."""
            t = start + tf.range(size)
            begins = tf.equal(t % self.window, 0)

            def spread(x):
                of_step = tf.gather(x, t // self.window)
                return tf.where(tf.reshape(begins, (-1, *[1] * (x.shape.rank - 1))), of_step, tf.zeros_like(of_step))

            own, entered = tf.nest.map_structure(spread, enters)
            return rule.behind(past.derivatives(start, size), entered, carry, self.context), own

        first, _ = prepared(0, 1, nothing)

        def begin(start, size, carry):
            now, own = prepared(start, size, carry)
            return (of_steps(now), own, take(inside.current, start, size)), self.products.block(start, size)

        def step(carry, elements):
            now, own, current = elements
            carry, of_rule = self.step(carry, with_steps(first, now))
            carry = (*map(tf.add, carry[:own_count], own), *carry[own_count:])
            return carry, current + of_rule.current, of_rule

        return blockwise(
            begin,
            step,
            self.products.add,
            nothing,
            total,
            past.length,
            reverse=True,
            unroll=past.unroll,
        )[:3]


class LinearBackward(WindowedBackward):
    """The same where linear memory stands for the steps before the border, see `rules.memory`.

    Errors that leave their window reach the weights, and neither the inputs nor the layer below.

    Args:
        rule, past, window: as of `WindowedBackward`.
        memory: `memory.LinearMemory`.
    """

    def __init__(self, rule, past, window, memory):
        super().__init__(rule, past, window)
        m = self.context.hop.m if rule.hops else None
        self.memory, self.recollection = memory, Recollection(memory, past, self.window, m)

    def __call__(self, error, traces=()):
        """Arguments and result as of `Backward`."""
        inside, total = self.inside(error)
        behind = self.recollection.gradient(self.memory.unpack(traces), inside, self.products)
        return inside.current, tf.concat(list(map(tf.add, total, behind)), 0)

    def advance(self, traces):
        """The memory after the last valid step, a tuple of tensors."""
        return tuple(tensors(self.recollection.after_all(self.memory.unpack(traces))))


def way_back(rule, past, window=None, traces=False, memory=None):
    """How a rule goes back through the past.

    Args:
        rule: `rules.Rule`.
        past: `backward.Past`.
        window: C; None for the rule as it is.
        traces: whether exact traces are carried in from the pieces before.
        memory: `memory.LinearMemory`; None for none.
    """
    if memory is not None:
        return LinearBackward(rule, past, past.length if window is None else window, memory)
    if window is None or (window == 1 and rule.crosses):
        return Backward(rule, past, traces)
    return WindowedBackward(rule, past, window, traces)
