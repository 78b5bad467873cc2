"""Gradients of the weights, Eq. (14), and of the constants that learn, Eq. (30), block by block."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..cells.linear import Errors


class Block(NamedTuple):
    """What a block of steps needs for its share."""

    presynaptic: Any  # s(t) in its parts, each [C, B, rows]
    effects: Any  # `Effects` of each constant, a list
    drive: Any  # of the potential by the current


class Products:
    """dC/dW [I+H+1+F, G H]: rows of inputs, units, bias and the F constants of a step that learn.

    Args:
        past: `backward.Past`.
    """

    def __init__(self, past):
        self.past = past

    def start(self, like):
        """Zeros, in the parts that the blocks add up to; `like` has the dtype."""
        cell = self.past.cell
        counts = [self.past.x.shape[-1], cell.units, 1, len(self.past.fields)]
        return tuple(tf.zeros((rows, cell.currents * cell.units), like.dtype) for rows in counts if rows)

    def block(self, start, size):
        """`Block` of the `size` steps from `start` on."""
        past = self.past
        effects, drive = (past.effects(start, size), past.derivatives(start, size).Q[0]) if past.fields else ([], None)
        return Block(past.presynaptic(start, size), effects, drive)

    def needed(self, errors):
        """Of `Errors` those that the gradients need, so that no others are kept."""
        return errors if self.past.fields else Errors(errors.current)

    def add(self, total, block, errors):
        """`total` and a block's share.

        Args:
            total: as of `start`.
            block: `Block`.
            errors: `Errors` [C, B, H].
        """
        added = self.add_weights(total[:3], block.presynaptic, errors.current)
        if block.effects:
            added += (total[3] + tf.stack([tf.reduce_sum(each, (0, 1)) for each in shares(errors, block)]),)
        return added

    def add_weights(self, total, presynaptic, current):
        """`total` of the weights alone and the share of errors of the currents [C, B, G H]."""
        current = tf.reshape(current, (-1, current.shape[-1]))  # [CB, G H]
        added = [tf.matmul(tf.reshape(s, (-1, s.shape[-1])), current, transpose_a=True) for s in presynaptic]
        return tuple(map(tf.add, total, [*added, tf.reduce_sum(current, 0, keepdims=True)]))

    def of_examples(self, block, errors):
        """The same for each example of a block [B, H, J G + F]: all weights into a unit, those of an input together."""
        x, s = block.presynaptic
        s = tf.concat([x, s, tf.ones_like(s[..., :1])], -1)  # [C, B, J]; 1 for the bias
        found = self.by_unit(s, errors.current)
        if block.effects:
            of_constants = tf.stack([tf.reduce_sum(each, 0) for each in shares(errors, block)], -1)
            found = tf.concat([found, of_constants], -1)
        return found

    def by_unit(self, s, current):
        """The products of s [C, B, J] and the errors of the currents [C, B, G H], [B, H, J G]."""
        cell = self.past.cell
        if cell.currents == 1:
            return tf.einsum("tbj,tbh->bhj", s, current)
        length, batch = tf.unstack(tf.shape(current)[:2])
        current = tf.reshape(current, (length, batch, cell.currents, cell.units))
        found = tf.einsum("tbj,tbgh->bhjg", s, current)
        return tf.reshape(found, (batch, cell.units, s.shape[-1] * cell.currents))

    def with_traces(self, traces, carry):
        """dC/dW of the errors of this piece by the inputs of those before, Eq. (29); 0 without traces.

        Args:
            traces: carried in from the pieces before, one [B, .., H, J G + F] for each carried tensor.
            carry: what the errors of this piece make of the state before it, each [B, .., H].
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
    """What the steps add to the gradient of each constant, a list of [C, B, H]."""
    if errors.y is None:  # as a current that moves the potential by as much
        potential = tf.math.divide_no_nan(errors.current, tf.broadcast_to(block.drive, tf.shape(errors.current)))
        errors = errors._replace(y=(potential,))
    return [share(errors, each) for each in block.effects]


def share(errors, effects):
    """The sum over what moves of its error times how much it moves."""
    pairs = [
        *zip(errors.y, effects.y),
        *zip(errors.x, effects.x),
        (errors.distance, effects.distance),
        (errors.synapse, effects.synapse),
    ]
    products = [error * moved for error, moved in pairs if error is not None and moved is not None]
    return sum(products) if products else tf.zeros_like(errors.current)
