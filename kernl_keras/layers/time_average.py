"""`TimeAverage`: one answer from a sequence of outputs."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_sequences, integer, nearest_name, time_steps
from ..keras_version import keras, output_shape
from ..serialization import serializable
from ..types import Config


@serializable
class TimeAverage(keras.layers.Layer):
    """Mean over the last steps of a sequence.

        y = 1/n sum_{t = T-n+1..T} x(t),  n = last

    With a mask, only unmasked steps count. An example with fewer than `last` of them is averaged over those it has.

    Args:
        last: number of steps; None for all of them.
        **kwargs: `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: sequences [B, T, O].
        mask: True where a step counts [B, T]; None where all do.

    Returns:
        Means [B, O].

    Raises:
        ValueError: if the sequence is shorter than `last`. Where a graph is traced with an unknown number of steps,
            nothing is checked, and a sequence that is too short is averaged over all of its steps.

    Example:

    >>> TimeAverage(2)(tf.constant([[[1.0], [2.0], [4.0]]])).numpy()
    array([[3.]], dtype=float32)

    Reference: Bellec et al., arXiv:1803.09574 (2018), who average the readouts over the steps after the last pixel.
    """

    def __init__(self, last: int | None = None, **kwargs: Any) -> None:
        with nearest_name(type(self), kwargs):
            super().__init__(**kwargs)
        self.last = None if last is None else integer("last", last)
        self.supports_masking = True

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        check_sequences("inputs", inputs)
        self.compute_output_shape(inputs.shape)  # T may be known now
        # A sum over many steps needs more digits than half precision has.
        x = tf.cast(inputs, tf.float32 if tf.as_dtype(self.compute_dtype).size < 4 else self.compute_dtype)
        if mask is None:
            mean = tf.reduce_mean(x if self.last is None else x[:, -self.last :], axis=1)
        else:
            counted = tf.cast(mask, x.dtype)  # [B, T]
            if self.last is not None:
                from_end = tf.cumsum(counted, axis=1, reverse=True)
                counted *= tf.cast(from_end <= self.last, x.dtype)
            mean = tf.math.divide_no_nan(
                tf.einsum("bt,bto->bo", counted, x), tf.reduce_sum(counted, axis=1, keepdims=True)
            )
        return tf.cast(mean, self.compute_dtype)

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        steps = time_steps("inputs", input_shape)
        if None not in (self.last, steps) and self.last > steps:
            raise ValueError(f"last must be <= the number of time steps, {steps}; received {self.last}.")
        return output_shape(input_shape[0], input_shape[2])

    def get_config(self) -> Config:
        return {**super().get_config(), "last": self.last}
