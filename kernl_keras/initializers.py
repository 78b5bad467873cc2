"""Initializers that Keras lacks."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .checks import integer, number
from .draws import check_seed, fixed_key, uniform
from .keras_version import keras, serializable
from .types import Config


@serializable
class LogSpaced(keras.initializers.Initializer):
    """A few values, the same for every layer, spaced evenly over the orders of magnitude between two bounds.

        x_i = low (high / low)^(k / (count - 1)),  k = i mod count

    Time constants spread like this give a network memory on many time scales at once, and leave nothing to chance. A
    few distinct values are cheaper where a rule needs a trace for each (`kernl_keras.rules.Membrane`, with traces).

    Args:
        low: smallest value, > 0.
        high: largest value, >= `low`.
        count: number of distinct values, >= 2; with fewer units than that, each unit has a value of its own.

    Call arguments:
        shape: shape of the values; units are on the last axis.
        dtype: a floating dtype; Keras' `floatx` by default.

    Returns:
        Tensor of `shape`.

    Raises:
        ValueError: unless 0 < low <= high and count >= 2.

    Example:
        >>> import kernl_keras as kk
        >>> kk.LogSpaced(10.0, 1000.0, count=3)((5,)).numpy().round()
        array([  10.,  100., 1000.,   10.,  100.], dtype=float32)

    Reference: Perez-Nieves et al., Neural heterogeneity promotes robust learning, Nature Communications 12:5791 (2021),
    for why time constants should differ.
    """

    def __init__(self, low: float, high: float, count: int = 20) -> None:
        self.low = number("low", low, above=0.0)
        self.high = number("high", high, low=self.low)
        self.count = integer("count", count, low=2)

    def values(self, units: int) -> list[float]:
        """The values of so many units."""
        count, ratio = min(self.count, units), self.high / self.low
        return [self.low * ratio ** (unit % count / max(count - 1, 1)) for unit in range(units)]

    def __call__(self, shape: Sequence[int], dtype: str | tf.DType | None = None, **kwargs: Any) -> tf.Tensor:
        values = tf.constant(self.values(shape[-1]), dtype or keras.backend.floatx())
        return tf.broadcast_to(values, shape)

    def __repr__(self) -> str:
        return f"LogSpaced({self.low:g}, {self.high:g}, count={self.count})"

    def get_config(self) -> Config:
        return {"low": self.low, "high": self.high, "count": self.count}


@serializable
class LogUniform(keras.initializers.Initializer):
    """Values spread evenly over the orders of magnitude between two bounds.

        x = exp(u),  u ~ Uniform(log low, log high)

    Each unit has a value of its own, unlike with `LogSpaced`. Half of the values lie below the geometric mean of the
    bounds.

    Args:
        low: smallest value, > 0.
        high: largest value, >= `low`.
        seed: integer >= 0. The same seed gives the same values at every call with the same shape. None draws a seed
            once, when the initializer is made.

    It is called as `LogSpaced` is.

    Raises:
        ValueError: unless 0 < low <= high.

    Example:
        >>> import kernl_keras as kk
        >>> tau = kk.LogUniform(10.0, 1000.0, seed=1)((200,))  # ms
        >>> tau.shape, bool(10.0 <= min(tau)), bool(max(tau) <= 1000.0)
        (TensorShape([200]), True, True)

    Reference: the reciprocal distribution; for why time constants should differ, see `LogSpaced`.
    """

    def __init__(self, low: float, high: float, seed: int | None = None) -> None:
        self.low = number("low", low, above=0.0)
        self.high = number("high", high, low=self.low)
        self._seed = check_seed(seed)
        self.seed = None if seed is None else self._seed

    def __call__(self, shape: Sequence[int], dtype: str | tf.DType | None = None, **kwargs: Any) -> tf.Tensor:
        dtype = tf.as_dtype(dtype or keras.backend.floatx())
        low, high = math.log(self.low), math.log(self.high)
        fraction = tf.cast(uniform(shape, fixed_key(self._seed)), dtype)
        values = tf.exp(low + (high - low) * fraction)
        return tf.clip_by_value(values, self.low, self.high)  # exp(log(low)) may round below low

    def __repr__(self) -> str:
        return f"LogUniform({self.low:g}, {self.high:g}, seed={self.seed})"

    def get_config(self) -> Config:
        return {"low": self.low, "high": self.high, "seed": self.seed}
