"""What a `KeRNL` layer says of its last call."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..replicas import replicas, whole_sum


class Report(NamedTuple):
    """Means over the examples of one call."""

    sensitivity_loss: Any  # F; None where M and gamma did not learn
    perturbation_variance: Any  # mean D^2; None likewise
    unit_activity: Any  # mean absolute output of each unit [H]
    examples: Any  # how many these are means over

    @property
    def firing_rate(self):
        """Mean absolute output: spikes a unit and step."""
        return tf.reduce_mean(self.unit_activity)

    @property
    def silent_units(self):
        """Share of units whose output was zero for the whole batch."""
        return tf.reduce_mean(tf.cast(self.unit_activity == 0.0, self.unit_activity.dtype))

    def of_whole_batch(self):
        """The same of the whole batch, of which this replica had a part; no gradient."""
        if replicas() == 1:
            return self
        learned = [mean for mean in self[:2] if mean is not None]
        means = [tf.stop_gradient(mean) for mean in (*learned, self.unit_activity)]
        sums = [tf.math.multiply_no_nan(mean, tf.cast(self.examples, mean.dtype)) for mean in means]
        *sums, examples = whole_sum([*sums, self.examples])
        means = [tf.math.divide_no_nan(total, tf.cast(examples, total.dtype)) for total in sums]
        return Report(*(means[:-1] or (None, None)), means[-1], examples)


def unit_activity(outputs, present=None):
    """Mean absolute output of each unit [H] from outputs [T, B, H]; of the examples that are `present` [B], or all.

    Also how many they are.
    """
    if present is None:
        return tf.reduce_mean(tf.abs(outputs), (0, 1)), tf.cast(tf.shape(outputs)[1], tf.float32)
    present = tf.cast(present, outputs.dtype)
    total = tf.linalg.matvec(tf.reduce_mean(tf.abs(outputs), 0), present, transpose_a=True)
    return tf.math.divide_no_nan(total, tf.reduce_sum(present)), tf.reduce_sum(tf.cast(present, tf.float32))
