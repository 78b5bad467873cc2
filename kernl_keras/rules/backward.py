"""The backward pass of a rule: from errors of the outputs to errors of the currents and gradients of the weights."""

import tensorflow as tf

from ..cells.linear import Errors, varying, with_varying
from ..sequences.time_loop import blockwise, map_tensors, take, take_before
from .carried_traces import advance_traces
from .products import Products


class Past:
    """The forward pass over a sequence, as the backward pass needs it.

    `layer` is the `RNN`; x are its inputs [T, B, I], `residuals` those of its cell [T, ...], p its parameters, and
    `steps` the `ValidSteps` of x, or None where all are valid.
    """

    def __init__(self, layer, x, before, residuals, p, steps=None):
        self.layer, self.cell, self.p, self.steps = layer, layer.cell, p, steps
        self.x, self.before, self.residuals = tf.stop_gradient(x), before, residuals
        self.fields = self.cell.fields()  # constants that learn, by the names of `parameters()`
        self.length, self.unroll = x.shape[0] or tf.shape(x)[0], layer.unroll

    def derivatives(self, start, size):
        """The `LinearStep` of the `size` steps from `start` on."""
        now, starts = take(self.residuals, start, size), self.starts(start, size)
        step = self.cell.linear_step(now, self.p)._replace(presynaptic=self.cell.sent(now))
        if starts is None:
            return step
        return step._replace(continues=1.0 - tf.cast(starts, self.residuals.output.dtype)[..., None])

    def starts(self, start, size):
        """True where a step is the first of a sequence [C, B]; None where each example is one."""
        return None if self.steps is None or self.steps.starts is None else take(self.steps.starts, start, size)

    def presynaptic(self, start, size):
        """The two parts of s(t), without the bias: x(t) [C, B, I] and S(t-1) [C, B, H]."""
        presynaptic = take_before(self.cell.sent(self.residuals), self.cell.presynaptic(self.before), start, size)
        return take(self.x, start, size), self.within(presynaptic, start, size)

    def effects(self, start, size):
        """The `cells.constants.Effects` of each of the `fields` in these steps, a list."""
        cell, first = self.cell, self.cell.states_to_keep(self.before)
        previous = cell.kept_states(take(self.residuals, tf.maximum(start - 1, 0), size), self.p)
        before = [
            self.within(tf.where(tf.equal(start, 0), tf.concat([x[None], after[:-1]], 0), after), start, size)
            for x, after in zip(first, previous)
        ]
        seen = self.presynaptic(start, size)[1]
        effects = cell.effects(take(self.residuals, start, size), before, seen, self.p)
        return [effects[field] for field in self.fields]

    def within(self, before, start, size):
        """Values of the steps before, [C, B, ...], set to 0 where a sequence starts."""
        starts = self.starts(start, size)
        return before if starts is None else tf.where(starts[..., None], tf.zeros_like(before), before)


class Backward:
    """The backward pass of a `Rule` over a `Past`, with `traces` from earlier pieces or without."""

    def __init__(self, rule, past, traces=False):
        self.rule, self.past, self.products = rule, past, Products(past)
        self.context = rule.context(past.layer, past.p, traces)
        self.shapes = checked_shapes(rule, past.cell, traces)

    def carry(self, error):
        """A carry of zeros, for errors [.., B, H]."""
        return tuple(tf.zeros((tf.shape(error)[-2], *shape), error.dtype) for shape in self.shapes)

    def step(self, carry, now):
        """One step back: the carry before the step, and its `Errors`."""
        result = self.rule.backward_step(carry, now, self.context)
        if not isinstance(result, tuple) or len(result) != 2 or len(result[0]) != len(self.shapes):
            raise ValueError(
                f"{type(self.rule).__name__}.backward_step must return (carry, error), the carry a tuple of "
                f"{len(self.shapes)} tensors; received {result!r}."
            )
        errors = result[1] if isinstance(result[1], Errors) else Errors(result[1])
        cell = self.past.cell
        if errors.current.shape[-1] != cell.currents * cell.units:
            raise ValueError(
                f"{type(self.rule).__name__}.backward_step must return the errors of {cell.currents} currents of "
                f"{cell.units} units; received shape {tuple(errors.current.shape)}."
            )
        return tuple(cut_at_starts(result[0], now.step)), self.products.needed(errors)

    def prepared(self, error, start, size, carry):
        """The rule's `BackwardStep` of `size` steps from `start` on; `error` is L [T, B, H] of all steps."""
        return self.rule.prepare(take(error, start, size), self.past.derivatives(start, size), carry, self.context)

    def __call__(self, error, traces=()):
        """Eq. (13)-(15), block by block, so that only one block of steps is prepared at a time.

        Args:
            error: errors of the outputs [T, B, H].
            traces: from earlier pieces, one [B, .., H, J G + F] for each carried tensor; () for none.

        Returns:
            dC/dI(t) [T, B, G H] and dC/dW [I+H+1+F, G H], see `products.Products`.
        """
        error = self.rule.learning_signal(error, self.past.steps)
        first = self.prepared(error, 0, 1, self.carry(error))

        def begin(start, size, carry):
            return varying(self.prepared(error, start, size, carry)), self.products.block(start, size)

        def step(carry, now):
            carry, errors = self.step(carry, with_varying(first, now))
            return carry, errors.current, errors

        carry, current, total, _ = blockwise(
            begin,
            step,
            self.products.add,
            self.carry(error),
            self.products.start(error.dtype),
            self.past.length,
            reverse=True,
            unroll=self.past.unroll,
        )
        return current, tf.concat(total, 0) + self.products.with_traces(traces, carry)

    def advance(self, traces):
        """The traces after the last valid step, from those before the first."""
        return advance_traces(self, traces)


class NothingBack(Backward):
    """The backward pass of a rule without gradients: zeros, without a loop."""

    def __call__(self, error, traces=()):
        current = tf.concat([tf.zeros_like(error)] * self.past.cell.currents, -1)
        return current, tf.concat(self.products.start(error.dtype), 0)


def cut_at_starts(carry, step):
    """A carry for t-1, a structure of tensors [B, .., H], set to 0 where a sequence starts at step t."""
    if not tf.is_tensor(step.continues):
        return carry
    return map_tensors(lambda x: tf.reshape(step.continues, (-1, *[1] * (x.shape.rank - 1))) * x, carry)


def checked_shapes(rule, cell, traces):
    """The rule's `carry_shapes`, checked."""
    shapes = rule.carry_shapes(cell, traces)
    if not isinstance(shapes, list) or not all(
        isinstance(shape, tuple) and len(shape) in (1, 2) and shape[-1] == cell.units for shape in shapes
    ):
        raise ValueError(
            f"{type(rule).__name__}.carry_shapes must return a list of shapes (units,) or (kernels, units); "
            f"received {shapes!r}."
        )
    return shapes
