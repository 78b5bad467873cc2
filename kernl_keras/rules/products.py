"""Gradients of the weights, Eq. (14), and of the constants that learn, Eq. (30), block by block."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..cells.linear import Errors


class Block(NamedTuple):
    """The factors that a block of steps brings to the gradients."""

    presynaptic: Any  # the parts of s(t), each [C, B, rows]
    effects: Any  # `Effects` of each constant, a list
    drive: Any  # derivative of the potential by the current


class Products:
    """dC/dW [I+H+1+F, G H] of a `backward.Past`: rows of inputs, units, bias and the F constants that learn."""

    def __init__(self, past):
        self.past = past

    def start(self, dtype):
        """The parts before the first block, zeros."""
        cell = self.past.cell
        counts = [self.past.x.shape[-1], cell.units, 1, len(self.past.fields)]
        return tuple(tf.zeros((rows, cell.currents * cell.units), dtype) for rows in counts if rows)

    def block(self, start, size):
        """`Block` of the `size` steps from `start` on."""
        past = self.past
        effects, drive = (past.effects(start, size), past.derivatives(start, size).Q[0]) if past.fields else ([], None)
        return Block(past.presynaptic(start, size), effects, drive)

    def needed(self, errors):
        """The `Errors` that the gradients need, without the others."""
        return errors if self.past.fields else Errors(errors.current)

    def add(self, total, block, errors):
        """The parts `total` with those of a `Block` and its `Errors` [C, B, H] added."""
        added = self.add_weights(total[:3], block.presynaptic, errors.current)
        if block.effects:
            added += (total[3] + tf.stack([tf.reduce_sum(x, (0, 1)) for x in shares(errors, block)]),)
        return added

    def add_weights(self, total, presynaptic, current):
        """`total`, of the weights alone, with the products of a block and its errors of the currents [C, B, G H]."""
        current = tf.reshape(current, (-1, current.shape[-1]))  # [CB, G H]
        added = [tf.matmul(tf.reshape(s, (-1, s.shape[-1])), current, transpose_a=True) for s in presynaptic]
        return tuple(map(tf.add, total, [*added, tf.reduce_sum(current, 0, keepdims=True)]))

    def per_example(self, block, errors):
        """The gradients of each example in a block [B, H, J G + F]: by unit, then by input."""
        cell, (x, s), current = self.past.cell, block.presynaptic, errors.current
        s = tf.concat([x, s, tf.ones_like(s[..., :1])], -1)  # [C, B, J]; 1 for the bias
        if cell.currents == 1:
            gradients = tf.einsum("tbj,tbh->bhj", s, current)
        else:
            length, batch = tf.unstack(tf.shape(current)[:2])
            current = tf.reshape(current, (length, batch, cell.currents, cell.units))
            products = tf.einsum("tbj,tbgh->bhjg", s, current)
            gradients = tf.reshape(products, (batch, cell.units, s.shape[-1] * cell.currents))
        if not block.effects:
            return gradients
        constants = tf.stack([tf.reduce_sum(x, 0) for x in shares(errors, block)], -1)
        return tf.concat([gradients, constants], -1)

    def with_traces(self, traces, carry):
        """dC/dW from the errors of this piece and the inputs of earlier pieces, Eq. (29); 0 without traces.

        The traces are one [B, .., H, J G + F] for each tensor of the carry before the first step of this piece.
        """
        cell = self.past.cell
        products = [
            tf.einsum("bh,bhj->jh" if weight.shape.rank == 2 else "brh,brhj->jh", weight, trace)
            for weight, trace in zip(carry, traces)
        ]
        if not products or cell.currents == 1:
            return sum(products) if products else 0.0
        return tf.reshape(sum(products), (-1, cell.currents * cell.units))  # [J G, H] to [J, G H]


def shares(errors, block):
    """The contributions of each step to the gradient of each constant, a list of [C, B, H]."""
    if errors.y is None:  # the error of the potential, from that of the current
        drive = tf.broadcast_to(tf.cast(block.drive, errors.current.dtype), tf.shape(errors.current))
        errors = errors._replace(y=(tf.math.divide_no_nan(errors.current, drive),))
    return [share(errors, effects) for effects in block.effects]


def share(errors, effects):
    """The sum of errors times `Effects`, Eq. (30)."""
    products = [error * effect for error, effect in meeting(errors, effects)]
    return sum(products) if products else tf.zeros_like(errors.current)


def meeting(errors, effects):
    """The pairs of an error and an effect on the same value, without those of which one is None."""
    pairs = [
        *zip(errors.y, effects.y),
        *zip(errors.x, effects.x),
        (errors.distance, effects.distance),
        (errors.synapse, effects.synapse),
    ]
    return [(error, effect) for error, effect in pairs if error is not None and effect is not None]
