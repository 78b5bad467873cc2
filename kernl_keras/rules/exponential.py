"""`Exponential`: the kernels exp(-gamma d) of the published rule, and their prediction of a perturbation."""

import math
from typing import Any

import tensorflow as tf

from ..cells.constants import Between
from ..cells.hidden import HiddenCell
from ..checks import flag, integer, keras_object
from ..keras_version import NO_AUTOCAST, serializable
from ..types import Initializer
from .hop import TracedHop
from .kernel import Kernel
from .predictor import Predictor


@serializable
class Exponential(Kernel):
    """Kernels exp(-gamma_i d) of the unit i that spikes: how its effect on the others fades after d milliseconds.

    gamma, the temporal filter, is a weight of the layer, `temporal_filter`, and learns together with M.

    Args:
        count: R, kernels per unit. M has one matrix for each.
        learn: whether gamma learns, where M does.
        initializer: of gamma, 1/ms. None for 1/tau_m of the unit (of an LSTM unit the rate at which its forget gate
            leaks at rest; without a leak 1/dt), and for each further kernel a quarter of the one before; or any Keras
            initializer.

    Raises:
        ValueError: for a setting out of range.

    Example:

    >>> import kernl_keras as kk
    >>> rule = kk.rules.KeRNL(kernel=kk.rules.Exponential(count=2))
    >>> kk.RNN(kk.LIFCell(4), rule=rule).rule.kernel.count
    2

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    word, presynaptic = "exponential", True

    def __init__(self, count: int = 1, learn: bool = True, initializer: Initializer | None = None) -> None:
        self.count = integer("count", count)
        self.learn = flag("learn", learn)
        self.initializer = keras_object("initializers", "initializer", initializer)

    def build(self, layer: Any, learns: bool) -> None:
        """Adds gamma to the layer, [H] or [R, H]."""
        units = layer.cell.units
        layer.temporal_filter = layer.add_weight(
            name="temporal_filter",
            shape=(units,) if self.count == 1 else (self.count, units),
            initializer=lambda shape, dtype=None, **_: self.initial_filter(layer, shape, dtype),
            constraint=Between(0.0, math.inf),  # as "non_neg", which in Keras 2 knows single precision only
            trainable=learns and self.learn,
            dtype=layer.cell.variable_dtype,
            **NO_AUTOCAST,
        )

    def initial_filter(self, layer: Any, shape: tuple, dtype: Any) -> tf.Tensor:
        if self.initializer is not None:
            return self.initializer(shape, dtype=dtype)
        rate = tf.convert_to_tensor(layer.cell.leak_rate(), dtype) * tf.ones(shape[-1], dtype)
        return rate if len(shape) == 1 else rate * 4.0 ** -tf.range(shape[0], dtype=dtype)[:, None]

    def reset(self, layer: Any) -> None:
        gamma = layer.temporal_filter
        gamma.assign(self.initial_filter(layer, tuple(gamma.shape), layer.cell.variable_dtype))

    def gamma(self, layer: Any) -> tf.Tensor:
        """gamma [R, H], 1/ms."""
        return tf.reshape(tf.convert_to_tensor(layer.temporal_filter), (self.count, layer.cell.units))

    def weights(self, layer: Any) -> list[tf.Variable]:
        return [layer.temporal_filter] if self.learn else []

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return [(self.count, cell.units)]

    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> TracedHop:
        return TracedHop(m, ((tf.exp(-self.gamma(layer) * layer.cell.dt),),))

    def predictor(self, layer: Any, p: Any, m: tf.Tensor) -> "ExponentialPredictor":
        return ExponentialPredictor(m, tf.stop_gradient(self.gamma(layer)), layer.cell.dt)


class ExponentialPredictor(Predictor):
    """The prediction of D, Omega M^T, for the perturbed pass, Eq. (19).

        (16) Omega(t) = k Omega(t-1) + q xi(t),    (17) Gamma(t) = k (Gamma(t-1) - dt Omega(t-1)),    k = exp(-gamma dt)

    `step` receives q xi.
    """

    def __init__(self, m, gamma, dt):
        super().__init__(m, gamma=True)
        self.decay, self.dt = tf.exp(-gamma * dt), dt

    def step(self, before, noise, step):
        """Omega(t) and Gamma(t) [B, R, H]."""
        omega, slope = before
        return self.decay * omega + noise[:, None, :], self.decay * (slope - self.dt * omega)
