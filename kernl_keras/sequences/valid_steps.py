"""Masked steps are no steps: the valid ones move to the front, so that each finds the valid one before it next to it.

What the steps behind them make of a unit or of a trace reaches nothing: no error comes from there, and states stand
still. So every rule is exact under a mask, and none has to know of it.
"""

import tensorflow as tf


class ValidSteps:
    """Where the valid steps of each example are.

    Args:
        mask: True where a step is valid [B, T].

    Attributes:
        valid: [T, B], the same of sequences that were gathered.
        last: [T, B], True at the last valid step of each example.

    Example:

    >>> steps = ValidSteps([[False, True, False, True]])
    >>> steps.gather(tf.constant([[[1.0], [2.0], [3.0], [4.0]]]))[0, :, 0].numpy()
    array([2., 4., 0., 0.], dtype=float32)
    >>> steps.scatter(tf.constant([[[5.0], [6.0], [7.0], [8.0]]]))[0, :, 0].numpy()
    array([0., 5., 5., 6.], dtype=float32)
    """

    def __init__(self, mask):
        self.mask = tf.cast(mask, tf.bool)
        self.so_far = tf.cumsum(tf.cast(self.mask, tf.int32), axis=1)  # [B, T]
        steps, length = tf.range(tf.shape(self.mask)[1]), self.so_far[:, -1:]
        self.valid = tf.transpose(steps < length)
        self.last = tf.transpose(tf.equal(steps, length - 1))

    def gather(self, sequences):
        """x [B, T, n] with the valid steps first, then zeros: whatever a masked step holds, NaN too, goes nowhere."""
        order = tf.argsort(tf.cast(~self.mask, tf.int32), axis=1, stable=True)
        first = tf.gather(sequences, order, axis=1, batch_dims=1)
        return tf.where(tf.transpose(self.valid)[..., None], first, tf.zeros_like(first))

    def scatter(self, outputs, zeros=False):
        """The steps where they were, [B, T, n]: a masked one repeats the valid one before it, or is 0, with `zeros`."""
        rows = tf.gather(outputs, tf.maximum(self.so_far - 1, 0), axis=1, batch_dims=1)
        shown = self.mask if zeros else self.so_far > 0
        return tf.where(shown[..., None], rows, tf.zeros_like(rows))


def where_valid(valid, new, old):
    """A state after a step, a structure of tensors [B, ...]: `new` where the step is `valid` [B], else `old`.

    All of it is new where `valid` is None.
    """
    if valid is None:
        return new
    return tf.nest.map_structure(
        lambda x, before: tf.where(tf.reshape(valid, (-1, *[1] * (x.shape.rank - 1))), x, before), new, old
    )
