"""`SpikeEncoder`: from sequences of values to the spikes of input units."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_features, integer, nearest_name, number, one_of, time_steps
from ..draws import add_counter, check_seed, fixed_key, next_key
from ..dynamics.encoding import CODES, context_code
from ..keras_version import keras, output_shape
from ..replicas import rows_before
from ..serialization import serializable
from ..types import Code, Config


@serializable
class SpikeEncoder(keras.layers.Layer):
    """Input units that encode values, and a context unit that signals the end of the input.

    - "bernoulli": a spike with probability gain x(t), cut to [0, 1]
    - "threshold": a spike when gain x crosses theta_j: upwards for j <= units / 2, downwards for the others
    - "current": gain x(t)

    The thresholds are evenly spaced inside (0, 1), and x is 0 before the first step. With a `context_switch` the last
    feature is not encoded but summed up over time, and the last output channel is the context: 0 until the sum exceeds
    `context_switch`, then 1. There is no loop over time.

    Args:
        units: number of channels per feature; even for "threshold".
        code: one of the codes in the table.
        context_switch: the sum at which the context channel switches on; None for no context channel.
        gain: factor of the values, > 0.
        seed: integer >= 0, for the "bernoulli" code; None draws a seed, which the config keeps.
        **kwargs: `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: values [B, T, F], usually in [0, 1].
        training: if True, every call draws anew. Otherwise all calls draw the same, so that an evaluation can be
            repeated.

    Returns:
        [B, T, F units], or [B, T, (F - 1) units + 1] with a context channel.

    Raises:
        ValueError: for a setting out of range, for inputs that are not [B, T, F], or without a feature to encode.

    Example: a pixel and the context input become 80 input units and the context unit.

    >>> SpikeEncoder(80, context_switch=784)(tf.ones((25, 838, 2))).shape
    TensorShape([25, 838, 81])

    Reference: for threshold crossings, Bellec et al., arXiv:1803.09574 (2018).
    """

    def __init__(
        self,
        units: int,
        code: Code = "bernoulli",
        context_switch: int | None = None,
        gain: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        with nearest_name(type(self), kwargs):
            super().__init__(**kwargs)
        self.units = integer("units", units)
        self.code = one_of("code", code, CODES)
        if code == "threshold" and self.units % 2:
            raise ValueError(f"units must be even for code='threshold', half up and half down; received {units!r}.")
        self.context_switch = None if context_switch is None else integer("context_switch", context_switch, low=0)
        self.gain = number("gain", gain, above=0.0)
        # A drawn seed is kept as a given one is: a loaded model evaluates like the saved one.
        self.seed = check_seed(seed)[1]
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)  # checks the shape
        if self.code == "bernoulli":
            self.draws = add_counter(self)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        self.compute_output_shape(inputs.shape)  # it may be called with another shape than it was built on
        check_features("inputs", inputs)
        x = tf.cast(inputs, tf.float32)  # bfloat16 counts no further than 256
        features = self._encoded_features(inputs.shape)
        draws: tuple = ()
        if self.code == "bernoulli":
            key = next_key(self.seed, self.draws) if training else fixed_key(self.seed)
            draws = key, rows_before(tf.shape(x)[0])
        outputs = CODES[self.code](self.gain * x[..., :features], self.units, *draws)
        if self.context_switch is not None:
            outputs = tf.concat([outputs, context_code(x[..., features:], self.context_switch)], axis=-1)
        return tf.cast(outputs, self.compute_dtype)

    def _encoded_features(self, input_shape):
        return input_shape[-1] - (self.context_switch is not None)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        time_steps("inputs", input_shape)
        if input_shape[-1] is None or self._encoded_features(input_shape) < 1:
            least = 1 if self.context_switch is None else 2
            raise ValueError(f"inputs must have a known last axis >= {least}; received shape {tuple(input_shape)}.")
        channels = self._encoded_features(input_shape) * self.units + (self.context_switch is not None)
        return output_shape(*input_shape[:-1], channels)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "units": self.units,
            "code": self.code,
            "context_switch": self.context_switch,
            "gain": self.gain,
            "seed": self.seed,
        }
