"""Regularizers that Keras lacks."""

import inspect

import tensorflow as tf

from .checks import flag, number
from .keras_version import keras, serializable
from .replicas import replicas, whole_sum
from .types import Config


@serializable
class FiringRate(keras.regularizers.Regularizer):
    """A cost of firing rates that are far from a target, or outside of a band.

        f_i = mean of z_i(t) over the batch and all steps, / dt  spikes per ms
        R   = strength sum_i (f_i - target / 1000)^2,            target in Hz; of a band the nearer edge, 0 inside

    As `activity_regularizer` of `kernl_keras.RNN` it adds R to the loss, and dR/dz(t) to the error L(t) that the
    layer's rule learns from, whatever the rule. There steps under a mask and examples of weight zero count for nothing.
    In another Keras layer, whose outputs are [B, T, H] without a mask, it does the same.

    Args:
        target: rate in Hz, >= 0; None for a band.
        low, high: edges of the band in Hz; None for no edge.
        strength: of the cost, >= 0, for rates in spikes per ms: one unit that is 10 Hz away costs 1e-4 strength.
        dt: length of a step, ms, as of the cell.
        per_unit: whether each unit's rate counts by itself; if not, the mean rate of all units alone.

    Call arguments:
        x: outputs of all steps [B, T, H].
        mask: True where a step counts [B, T]; None where all do.

    Returns:
        B R, a scalar: Keras divides what an activity regularizer returns by the number of examples.

    Raises:
        ValueError: for a number out of its range, and unless there is either a target or a band.

    Example: a unit with 20 Hz and a silent one; both are 10 Hz away.

    >>> import tensorflow as tf, kernl_keras as kk
    >>> z = tf.constant([[[1.0, 0.0]] + [[0.0, 0.0]] * 49])
    >>> round(float(kk.FiringRate(10.0, strength=1e4)(z)), 6)
    2.0

    Source: Bellec et al., Nature Communications 11:3625 (2020), Methods, "Firing rate regularization".
    """

    def __init__(
        self,
        target: float | None = None,
        low: float | None = None,
        high: float | None = None,
        strength: float = 1.0,
        dt: float = 1.0,
        per_unit: bool = True,
    ) -> None:
        self.target = None if target is None else number("target", target, low=0.0)
        self.low = None if low is None else number("low", low, low=0.0)
        self.high = None if high is None else number("high", high, low=self.low or 0.0)
        if (target is None) == (low is None and high is None):
            raise ValueError(f"target must be given, or low or high in its place; received {target=}, {low=}, {high=}.")
        self.strength = number("strength", strength, low=0.0)
        self.dt = number("dt", dt, above=0.0)
        self.per_unit = flag("per_unit", per_unit)

    def __call__(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        x = tf.convert_to_tensor(x)
        if mask is None and replicas() == 1:
            rate = tf.reduce_mean(x, (0, 1))
        else:  # of the whole batch
            mask = tf.ones_like(x[..., 0]) if mask is None else tf.cast(mask, x.dtype)
            rate = tf.math.divide_no_nan(*whole_sum([tf.einsum("bth,bt->h", x, mask), tf.reduce_sum(mask)]))
        if not self.per_unit:
            rate = tf.reduce_mean(rate, keepdims=True)
        rate = rate / self.dt  # spikes per ms
        low, high = (self.low, self.high) if self.target is None else (self.target, self.target)
        away = tf.zeros_like(rate)
        if low is not None:
            away += tf.nn.relu(low / 1000.0 - rate)
        if high is not None:
            away += tf.nn.relu(rate - high / 1000.0)
        return self.strength * tf.reduce_sum(away**2) * tf.cast(tf.shape(x)[0], x.dtype)

    def get_config(self) -> Config:
        names = ("target", "low", "high", "strength", "dt", "per_unit")
        return {name: getattr(self, name) for name in names}


def cost_of_activity(regularizer, outputs, counted):
    """The loss of a layer by an activity regularizer of its outputs [B, T, H], per example of which a step counts.

    A regularizer whose call takes a `mask` is told which steps are `counted` [B, T], None for all. For any other the
    outputs are 0 at those that are not.
    """
    examples = tf.cast(tf.shape(outputs)[0], outputs.dtype)
    if counted is None:
        return regularizer(outputs) / examples
    if "mask" in inspect.signature(regularizer).parameters:
        return regularizer(outputs, mask=counted) / examples
    present = tf.reduce_sum(tf.cast(tf.reduce_any(counted, 1), outputs.dtype))
    outputs = tf.where(counted[..., None], outputs, tf.zeros_like(outputs))
    return tf.math.divide_no_nan(regularizer(outputs), present)
