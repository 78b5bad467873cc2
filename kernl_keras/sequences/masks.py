"""Masks and resets. Masked steps are skipped: the valid steps of each example move to the front.

The steps after them have no error and change no state, so every rule is exact under a mask without knowing of it.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from .time_loop import map_tensors


class Marks(NamedTuple):
    """Mask and reset of a layer's sequences. Keras passes them on in place of the mask."""

    mask: Any  # True where a step counts [B, T], or None
    reset: Any  # True where a new sequence starts [B, T], or None

    def read_backwards(self):
        """The `Marks` of the sequences read backward: a new sequence starts between the same two steps."""
        mask = None if self.mask is None else tf.reverse(self.mask, [1])
        if self.reset is None:
            return Marks(mask, None)
        return Marks(mask, tf.concat([tf.zeros_like(self.reset[:, :1]), tf.reverse(self.reset[:, 1:], [1])], 1))

    def steps(self):
        """`ValidSteps`, or None where every step is valid and none starts a sequence."""
        return None if self.mask is None and self.reset is None else ValidSteps(*self)


def marks(sequences, mask, reset):
    """The `Marks` of a call from its arguments.

    If there is a second tensor, Keras 3 does not pass the mask; it is then taken from the sequences [B, T, n].
    """
    if mask is not None:
        mask = tf.nest.flatten(mask)[0]  # Keras 2 adds one for the states
    if mask is None and reset is not None:
        mask = getattr(sequences, "_keras_mask", None)
    return Marks(_checked("mask", mask, sequences), _checked("reset", reset, sequences))


def _checked(name, flags, sequences):
    """The tensor of a mask or a reset, or None; raises for one that is not [B, T]. A mask may have any dtype."""
    if flags is None:
        return None
    flags = tf.convert_to_tensor(flags)
    if not flags.shape.is_compatible_with(sequences.shape[:2]) or (name == "reset" and flags.dtype != tf.bool):
        raise ValueError(
            f"{name} must be booleans [batch, time] for inputs of shape {tuple(sequences.shape)}; "
            f"received {flags.dtype.name} of shape {tuple(flags.shape)}."
        )
    return flags


class ValidSteps:
    """The places of the valid steps of each example, by mask and reset [B, T], see `Marks`.

    A reset at a masked step holds for the next valid one, or, if none follows, for the states after the sequence.

    Attributes:
        valid: [T, B], the mask of sequences that were gathered.
        last: [T, B], True at the last valid step of each sequence of an example.
        starts: [T, B], True where a new sequence starts, of sequences that were gathered; None without resets.
        over: [B], True where a new sequence starts after the last valid step; None without resets.

    Example:
        >>> steps = ValidSteps([[False, True, False, True]])
        >>> steps.gather(tf.constant([[[1.0], [2.0], [3.0], [4.0]]]))[0, :, 0].numpy()
        array([2., 4., 0., 0.], dtype=float32)
        >>> steps.scatter(tf.constant([[[5.0], [6.0], [7.0], [8.0]]]))[0, :, 0].numpy()
        array([0., 5., 5., 6.], dtype=float32)
    """

    def __init__(self, mask, reset=None):
        self.mask = tf.ones_like(reset) if mask is None else tf.cast(mask, tf.bool)
        self.so_far = tf.cumsum(tf.cast(self.mask, tf.int32), axis=1)  # [B, T]
        steps, length = tf.range(tf.shape(self.mask)[1]), self.so_far[:, -1:]
        self.valid = tf.transpose(steps < length)
        self.last = tf.transpose(tf.equal(steps, length - 1))
        self.starts = self.over = None
        if reset is not None:
            resets = tf.cumsum(tf.cast(reset, tf.int32), axis=1)  # so far
            so_far = tf.transpose(self.gather(resets[..., None])[..., 0])  # [T, B], 0 after the valid steps
            before = tf.concat([tf.zeros_like(so_far[:1]), so_far[:-1]], 0)
            self.starts = so_far > before
            self.over = resets[:, -1] > tf.reduce_max(so_far, 0)
            self.last |= self.valid & tf.concat([self.starts[1:], tf.zeros_like(self.starts[:1])], 0)

    def gather(self, sequences):
        """x [B, T, n] with the valid steps first, then zeros. Masked steps may hold anything, NaN too."""
        order = tf.argsort(tf.cast(~self.mask, tf.int32), axis=1, stable=True)
        first = tf.gather(sequences, order, axis=1, batch_dims=1)
        return tf.where(tf.transpose(self.valid)[..., None], first, tf.zeros_like(first))

    def scatter(self, outputs, zeros=False):
        """The steps at their old places [B, T, n]; a masked one repeats the last valid one, or is 0 with `zeros`."""
        rows = tf.gather(outputs, tf.maximum(self.so_far - 1, 0), axis=1, batch_dims=1)
        shown = self.mask if zeros else self.so_far > 0
        return tf.where(shown[..., None], rows, tf.zeros_like(rows))

    def starts_in_place(self):
        """True where a new sequence starts [B, T], each at a valid step."""
        return self.scatter(tf.transpose(self.starts)[..., None], zeros=True)[..., 0]

    def behind(self, x, first):
        """The last valid step [B, n] of x [B, T, n]; `first` without one, and zeros where the sequence is over."""
        return self.left(tf.where(self.so_far[:, -1:] > 0, self.scatter(x)[:, -1], first))

    def left(self, states):
        """The states after the last step, a structure of tensors [B, ...]: zeros where the sequence is over."""
        return states if self.over is None else where_fresh(self.over, states)


def where_valid(valid, new, old):
    """A state after a step, tensors [B, ...] or None: `new` where the step is `valid` [B], else `old`; None for all."""
    if valid is None:
        return new
    return map_tensors(lambda x, before: tf.where(_aligned(valid, x), x, before), new, old)


def where_fresh(starts, states):
    """States before a step, tensors [B, ...] or None: zeros where a sequence `starts` [B] with it; None for nowhere."""
    if starts is None:
        return states
    return map_tensors(lambda x: tf.where(_aligned(starts, x), tf.zeros_like(x), x), states)


def _aligned(flags, x):
    """Flags [B] as [B, 1, ...] with as many axes as x [B, ...]."""
    return tf.reshape(flags, (-1, *[1] * (x.shape.rank - 1)))
