"""The spike and its pseudo-derivative: Eq. (4) and (5).

A surrogate is a function of u = (V- - B) / B, the distance to the threshold in thresholds. Each is 1 at u = 0.
"""

import math

import tensorflow as tf


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
    each.__name__: each for each in (triangle, exponential, fast_sigmoid, arctan, gaussian, multi_gaussian, boxcar)
}


def surrogate_slope(potential, threshold, gate, damping, shape):
    """Eq. (5): psi = damping * f(u) / B with u = (V- - B) / B; 0 where `gate` is 0 (refractory). All [B, H].

    `shape` is f, a word of `SURROGATES` or a function.
    """
    u = (potential - threshold) / threshold
    function = SURROGATES[shape] if isinstance(shape, str) else shape
    return gate * damping * function(u) / threshold


@tf.custom_gradient
def spike(potential, threshold, slope):
    """Eq. (4): z = 1[V- >= B], whose derivative is `slope` by V- and `-slope` by B.

    Args:
        potential, threshold, slope: [B, H].

    Returns:
        spikes [B, H], 0 or 1, in the dtype of `potential`.
    """

    def gradient(error):
        return error * slope, -error * slope, tf.zeros_like(slope)

    return tf.cast(potential >= threshold, potential.dtype), gradient
