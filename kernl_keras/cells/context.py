"""The context cell, which signals that the input is over."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_features, integer
from ..serialization import serializable
from ..types import Config
from .wide import WideCell


@serializable
class ContextCell(WideCell):
    """One unit that counts its input and switches on after `context_switch` steps.

        n(t) = n(t-1) + x(t);  z(t) = 1[n(t) > context_switch]

    With input 1 at every step, the output is 0 in the first `context_switch` steps and 1 afterwards.

    Args:
        context_switch: number of steps to count before the unit switches on.
        **kwargs: `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: what the unit counts [B, 1].
        states: list of one tensor [B, 1], the count so far.

    Returns:
        The output [B, 1], 0 or 1, and the list of new states.

    Raises:
        ValueError: if the inputs have more than one channel.

    Example:

    >>> import tensorflow as tf, kernl_keras as kk
    >>> from tensorflow import keras
    >>> layer = keras.layers.RNN(kk.ContextCell(3), return_sequences=True)
    >>> layer(tf.ones((1, 5, 1)))[0, :, 0].numpy()
    array([0., 0., 0., 1., 1.], dtype=float32)

    Reference: the cue that ends the pixels, as in Bellec et al., arXiv:1803.09574 (2018).
    """

    def __init__(self, context_switch: int = 784, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.context_switch = integer("context_switch", context_switch, low=0)

    def build(self, input_shape: Sequence[int | None]) -> None:
        if input_shape[-1] != 1:
            raise ValueError(f"inputs must have 1 channel, which is counted; received shape {tuple(input_shape)}.")
        self.built = True

    def call(self, inputs: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        check_features("inputs", inputs, 1)
        inputs = tf.cast(inputs, self.compute_dtype)
        count = states[0] + inputs
        return tf.cast(count > self.context_switch, inputs.dtype), [count]

    @property
    def state_size(self) -> list[int]:
        return [1]

    @property
    def output_size(self) -> int:
        return 1

    def get_config(self) -> Config:
        return {**super().get_config(), "context_switch": self.context_switch}
