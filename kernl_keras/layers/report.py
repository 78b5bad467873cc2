"""What a `KeRNL` layer says of its last call."""

from typing import Any, NamedTuple

import tensorflow as tf


class Report(NamedTuple):
    """Scalars of one call."""

    sensitivity_loss: Any  # F; None where M and gamma did not learn
    perturbation_variance: Any  # mean D^2; None likewise
    firing_rate: Any  # mean absolute output: spikes a unit and step
    silent_units: Any  # share of units whose output was zero for the whole batch


def activity(outputs, counted=None):
    """Firing rate and share of silent units, from outputs [T, B, H]; of the steps that are `counted` [T, B], or all."""
    if counted is None:
        per_unit = tf.reduce_mean(tf.abs(outputs), (0, 1))  # [H]
    else:
        counted = tf.cast(counted, outputs.dtype)
        per_unit = tf.math.divide_no_nan(tf.einsum("tbh,tb->h", tf.abs(outputs), counted), tf.reduce_sum(counted))
    return tf.reduce_mean(per_unit), tf.reduce_mean(tf.cast(per_unit == 0.0, outputs.dtype))
