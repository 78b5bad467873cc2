"""The spike and its pseudo-derivative: Eq. (4) and (5)."""

import tensorflow as tf


def triangle(u):
    """max(0, 1 - |u|): Bellec et al., arXiv:1803.09574 (2018)."""
    return tf.nn.relu(1.0 - tf.abs(u))


def exponential(u):
    """exp(-|u| / 2): wider than the triangle, never exactly zero."""
    return tf.exp(-0.5 * tf.abs(u))


SURROGATES = {"triangle": triangle, "exponential": exponential}


def surrogate_slope(potential, threshold, gate, damping, shape):
    """Eq. (5): psi = damping * shape(u) / B with u = (V- - B) / B; 0 where `gate` is 0 (refractory). All [B, H]."""
    u = (potential - threshold) / threshold
    return gate * damping * SURROGATES[shape](u) / threshold


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
