"""The spike and its pseudo-derivative: Eq. (4) and (5).

A surrogate is a function of u = (V- - B) / B, the distance to the threshold in thresholds: a word of `SURROGATES`, each
of which is 1 at u = 0, or a function of the user's.
"""

import math
from collections.abc import Mapping

import tensorflow as tf

from ..keras_version import keras


def triangle(u):
    """max(0, 1 - |u|): Bellec et al., arXiv:1803.09574 (2018)."""
    return tf.nn.relu(1.0 - tf.abs(u))


def exponential(u):
    """exp(-|u| / 2), wider than the triangle, never exactly zero: Shrestha, Orchard, SLAYER, NeurIPS 2018."""
    return tf.exp(-0.5 * tf.abs(u))


def fast_sigmoid(u):
    """1 / (1 + 10 |u|)^2, the derivative of a fast sigmoid: Zenke, Ganguli, SuperSpike, Neural Computation 30:1514
    (2018); the slope 10: Zenke, Vogels, Neural Computation 33:899 (2021)."""
    return 1.0 / (1.0 + 10.0 * tf.abs(u)) ** 2


def arctan(u):
    """1 / (1 + (pi u)^2), the derivative of an arc tangent: Fang et al., Incorporating Learnable Membrane Time Constant
    to Enhance Learning of Spiking Neural Networks, ICCV 2021."""
    return 1.0 / (1.0 + (math.pi * u) ** 2)


def gaussian(u):
    """exp(-u^2 / (2 sigma^2)) with sigma = 1/2: Yin, Corradi, Bohte, ICONS 2020."""
    return tf.exp(-2.0 * u**2)


def multi_gaussian(u):
    """A Gaussian less two wide ones at u = -sigma and sigma, so that it is below zero far from the threshold.

        (1 + h) N(u; 0, sigma) - h N(u; sigma, s sigma) - h N(u; -sigma, s sigma),    sigma = 1/2, h = 0.15, s = 6

    N is the normal density. The published sum is 0.878 at u = 0; here it is divided by that.
    Source: Yin, Corradi, Bohte, Accurate and efficient time-domain classification with adaptive spiking recurrent
    neural networks, Nature Machine Intelligence 3:905 (2021).
    """
    sigma, height, scale = 0.5, 0.15, 6.0

    def bump(distance, width):
        return tf.exp(-(distance**2) / (2.0 * width**2))

    wide = bump(u - sigma, scale * sigma) + bump(u + sigma, scale * sigma)
    at_threshold = 1.0 + height - 2.0 * height / scale * math.exp(-0.5 / scale**2)
    return ((1.0 + height) * bump(u, sigma) - height / scale * wide) / at_threshold


def boxcar(u):
    """1 where |u| < 1/2, else 0: Wu et al., Spatio-temporal backpropagation for training high-performance spiking
    neural networks, Frontiers in Neuroscience 12:331 (2018)."""
    return tf.cast(tf.abs(u) < 0.5, u.dtype)


SURROGATES = {
    function.__name__: function
    for function in (triangle, exponential, fast_sigmoid, arctan, gaussian, multi_gaussian, boxcar)
}


def check_surrogate(name, value, dtype):
    """The argument `name` as a cell that computes in `dtype` keeps it: a word, or a function of u; or a ValueError."""
    if isinstance(value, str) and value in SURROGATES:
        return value
    function = value
    if isinstance(value, Mapping):
        try:
            function = keras.saving.deserialize_keras_object(value)
        except (KeyError, TypeError, ValueError) as error:  # Keras' own, which does not say of which argument
            raise ValueError(
                f"{name} must be a configuration that Keras can load; received {value!r}. {error}"
            ) from error
    if not callable(function) or isinstance(function, type):
        raise ValueError(f"{name} must be one of {sorted(SURROGATES)}, or a function f(u); received {value!r}.")
    wanted = f"{name} must be a function of a tensor u [B, H] to a slope of the same shape and dtype, in TensorFlow"
    try:
        slope = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec((None, 3), dtype))
        received = slope.structured_outputs
    except Exception as error:  # a function of another kind may raise anything
        raise ValueError(f"{wanted}; received {value!r}, which raised {type(error).__name__}: {error}") from error
    if not tf.is_tensor(received) or received.dtype != dtype or not received.shape.is_compatible_with((None, 3)):
        raise ValueError(f"{wanted}; received {value!r}, which returned {received!r}.")
    return function


def serialize_surrogate(name, value):
    """A checked `value` for `get_config`; a ValueError for a function or class that is not registered with Keras."""
    if isinstance(value, str):
        return value
    registered = value if hasattr(value, "__name__") else type(value)
    if keras.saving.get_registered_object(keras.saving.get_registered_name(registered)) is not registered:
        raise ValueError(
            f"{name} must be registered with keras.saving.register_keras_serializable, so that Keras can save it and "
            f"load it again; received {value!r}."
        )
    return keras.saving.serialize_keras_object(value)


def surrogate_slope(potential, threshold, gate, damping, shape):
    """Eq. (5): psi = gate * damping * f(u) / B with u = (V- - B) / B, [B, H]; `shape` is f, a word or a function."""
    u = (potential - threshold) / threshold
    function = SURROGATES[shape] if isinstance(shape, str) else shape
    return gate * damping * function(u) / threshold


@tf.custom_gradient
def spike(potential, threshold, slope):
    """Eq. (4): z = 1[V- >= B], whose derivative is `slope` by V- and `-slope` by B. All [B, H]."""

    def gradient(error):
        return error * slope, -error * slope, tf.zeros_like(slope)

    return tf.cast(potential >= threshold, potential.dtype), gradient


@tf.custom_gradient
def scale_gradient(x, factor):
    """x, whose derivative is `factor` in place of 1."""
    return tf.identity(x), lambda error: (error * factor, tf.zeros_like(factor))
