"""Constants that are to learn, and that the rule of their layer never moves."""

import math

import tensorflow as tf

from ..cells.linear import varying, with_varying
from ..rules.backward import Backward, Past
from ..rules.products import meeting
from ..sequences.clean_pass import clean_pass


def constants_without_gradient(layer):
    """The names in `learn` of a built layer's cell to which the rule gives no gradient, whatever the errors are.

    One step goes back in a graph that never runs. A constant is moved where an error that the rule has meets an effect
    that the constant has.
    """
    cell, rule, moved = layer.cell, layer.rule, set()
    window = layer.window or (math.inf if layer.memory else 1)
    if not cell.learn or not rule.learns or rule.by_tape or window > 1:  # backpropagation in a window moves all of them
        return []

    def one_step():
        x = tf.zeros((1, 1, cell.kernel.shape[0]), cell.compute_dtype)
        before = cell.State(*(tf.zeros((1, size), x.dtype) for size in cell.state_size))
        p = cell.parameters()
        residuals, _ = clean_pass(cell, p, cell.recurrent_weights(), cell.input_current(x), before)
        past = Past(layer, x, before, residuals, p)
        way = Backward(rule, past)
        carry = way.carry(residuals.output)
        now = way.prepared(residuals.output, 0, 1, carry)
        _, errors = way.step(carry, with_varying(now, [entry[0] for entry in varying(now)]))
        if errors.y is None:  # that of the potential follows from that of the current
            errors = errors._replace(y=(errors.current,))
        effects = zip(past.fields, way.products.block(0, 1).effects)
        moved.update(field for field, each in effects if meeting(errors, each))

    tf.function(one_step, autograph=False).get_concrete_function()
    return [name for name in cell.learn if not moved.intersection(cell.FIELDS[name])]
