"""What a `KeRNL` layer says of its last call."""

from typing import Any, NamedTuple

import tensorflow as tf


class Report(NamedTuple):
    """Scalars of one call."""

    sensitivity_loss: Any  # F; None where M and gamma did not learn
    perturbation_variance: Any  # mean D^2; None likewise
    firing_rate: Any  # mean absolute output: spikes a unit and step
    silent_units: Any  # share of units whose output was zero for the whole batch


def activity(outputs):
    """Firing rate and share of silent units, from outputs [T, B, H]."""
    flat = tf.reshape(tf.abs(outputs), (-1, outputs.shape[-1]))  # [TB, H]
    share = 1.0 / tf.cast(tf.shape(flat)[0], flat.dtype)
    per_unit = share * tf.matmul(tf.ones_like(flat[:, :1]), flat, transpose_a=True)  # a product: XLA's sums are slow
    return tf.reduce_mean(per_unit), tf.reduce_mean(tf.cast(per_unit == 0.0, flat.dtype))
