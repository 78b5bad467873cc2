"""Initializers that Keras lacks."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .checks import number
from .draws import check_seed, fixed_key
from .keras_version import keras
from .serialization import serializable
from .types import Config
from .uniform import uniform


@serializable
class LogUniform(keras.initializers.Initializer):
    """Values spread evenly over the orders of magnitude between two bounds.

        x = exp(u),  u ~ Uniform(log low, log high)

    Spread time constants give a network memory at several time scales at once. Half of the values lie below the
    geometric mean of the bounds.

    Args:
        low: smallest value, > 0.
        high: largest value, >= `low`.
        seed: integer >= 0. The same seed gives the same values at every call with the same shape. None draws a seed
            once, when the initializer is made.

    Call arguments:
        shape: shape of the values.
        dtype: a floating dtype; Keras' `floatx` by default.

    Returns:
        Tensor of `shape`.

    Raises:
        ValueError: unless 0 < low <= high.

    Example:

    >>> tau = LogUniform(10.0, 1000.0, seed=1)((200,))  # ms
    >>> tau.shape, bool(10.0 <= min(tau)), bool(max(tau) <= 1000.0)
    (TensorShape([200]), True, True)

    Reference: the reciprocal distribution; for why time constants should differ, Perez-Nieves et al., Neural
    heterogeneity promotes robust learning, Nature Communications 12:5791 (2021).
    """

    def __init__(self, low: float, high: float, seed: int | None = None) -> None:
        self.low = number("low", low, above=0.0)
        self.high = number("high", high, low=self.low)
        self.seed, self._seed = check_seed(seed)

    def __call__(self, shape: Sequence[int], dtype: str | tf.DType | None = None, **kwargs: Any) -> tf.Tensor:
        dtype = tf.as_dtype(dtype or keras.backend.floatx())
        low, high = math.log(self.low), math.log(self.high)
        fraction = tf.cast(uniform(shape, fixed_key(self._seed)), dtype)
        values = tf.exp(low + (high - low) * fraction)
        return tf.clip_by_value(values, self.low, self.high)  # exp(log(low)) may round below low

    def get_config(self) -> Config:
        return {"low": self.low, "high": self.high, "seed": self.seed}
