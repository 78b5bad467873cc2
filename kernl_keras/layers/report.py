"""What a `RNN` layer says of its last call."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..replicas import replicas, whole_sum


class Report(NamedTuple):
    """Means over the steps of all examples of one call."""

    sensitivity_loss: Any  # F; None where M and gamma did not learn
    perturbation_variance: Any  # mean D^2; None likewise
    restarted_perturbations: Any  # share of steps in which a perturbation reached its bound; None likewise
    credited: Any  # how many steps these three are means over; None likewise
    unit_activity: Any  # mean absolute output of each unit [H]
    counted: Any  # how many steps it is a mean over

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
        activity, counted = whole_mean([self.unit_activity], self.counted)
        learned = (None, None, None), None
        if self.credited is not None:
            learned = whole_mean(self[:3], self.credited)
        return Report(*learned[0], learned[1], *activity, counted)


def whole_mean(means, count):
    """Means over all replicas of what each has as means over `count`, and how many they are over."""
    sums = [tf.math.multiply_no_nan(tf.stop_gradient(mean), tf.cast(count, mean.dtype)) for mean in means]
    *sums, count = whole_sum([*sums, count])
    return [tf.math.divide_no_nan(total, tf.cast(count, total.dtype)) for total in sums], count


def unit_activity(outputs, counted=None):
    """Mean absolute output of each unit [H] from outputs [T, B, H]; of the steps that are `counted` [T, B], or all.

    Also how many they are.
    """
    if counted is None:
        count = tf.cast(tf.size(outputs[..., 0]), outputs.dtype)
        return tf.reduce_mean(tf.abs(outputs), (0, 1)), count
    counted = tf.cast(counted, outputs.dtype)
    count = tf.reduce_sum(counted)
    return tf.math.divide_no_nan(tf.einsum("tbh,tb->h", tf.abs(outputs), counted), count), count
