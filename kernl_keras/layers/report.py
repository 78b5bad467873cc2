"""What a `RNN` layer says of its last call."""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from ..replicas import replicas, whole_sum

FULL = 0.95  # share of all that a unit can do


class Report(NamedTuple):
    """Means over the steps of all examples of one call."""

    sensitivity_loss: Any  # F; None where M and gamma did not learn
    perturbation_variance: Any  # mean D^2; None likewise
    restarted_perturbations: Any  # share of steps in which a perturbation reached its bound; None likewise
    credited: Any  # how many steps these three are means over; None likewise
    unit_activity: Any  # mean absolute output of each unit [H]
    highest_activity: Any  # that of a unit that does all it can in these steps
    counted: Any  # how many steps these two are means over

    @property
    def firing_rate(self):
        """Mean absolute output: spikes a unit and step."""
        return tf.reduce_mean(self.unit_activity)

    @property
    def silent_units(self):
        """Share of units whose output was zero for the whole batch."""
        return share(self.unit_activity == 0.0, self.unit_activity.dtype)

    @property
    def saturated_units(self):
        """Share of units that spiked at nearly every step at which they could, in the whole batch."""
        return share(self.unit_activity > FULL * self.highest_activity, self.unit_activity.dtype)

    @property
    def explained_variance(self):
        """1 - F / mean D^2: share of the perturbation's effect that M and gamma predict; 0 where nothing moved."""
        unexplained = tf.math.divide_no_nan(self.sensitivity_loss, self.perturbation_variance)
        return tf.where(self.perturbation_variance == 0.0, tf.zeros_like(unexplained), 1.0 - unexplained)

    def of_whole_batch(self):
        """The same of the whole batch, of which this replica had a part; no gradient."""
        if replicas() == 1:
            return self
        activity, counted = whole_mean([self.unit_activity, self.highest_activity], self.counted)
        learned = (None, None, None), None
        if self.credited is not None:
            learned = whole_mean(self[:3], self.credited)
        return Report(*learned[0], learned[1], *activity, counted)


def share(happened, dtype):
    """In which share of its elements a bool tensor is True."""
    return tf.reduce_mean(tf.cast(happened, dtype))


def whole_mean(means, count):
    """Means over all replicas of what each has as means over `count`, and how many they are over."""
    sums = [tf.math.multiply_no_nan(tf.stop_gradient(mean), tf.cast(count, mean.dtype)) for mean in means]
    *sums, count = whole_sum([*sums, count])
    return [tf.math.divide_no_nan(total, tf.cast(count, total.dtype)) for total in sums], count


def activity(outputs, counted, highest):
    """The last three numbers of a `Report`.

    Args:
        outputs: [T, B, H].
        counted: [T, B], False where an example's step does not count; None where all do.
        highest: the cell's `highest_activity`.
    """
    size, dtype = tf.shape(outputs), outputs.dtype
    if counted is None:
        steps, examples = size[:1], tf.cast(size[1], dtype)  # one number of steps for all
        mean = tf.reduce_mean(tf.abs(outputs), (0, 1))
        count = tf.cast(size[0], dtype) * examples
    else:
        steps, examples = tf.reduce_sum(tf.cast(counted, tf.int32), 0), tf.constant(1.0, dtype)
        count = tf.reduce_sum(tf.cast(steps, dtype))
        mean = tf.math.divide_no_nan(tf.einsum("tbh,tb->h", tf.abs(outputs), tf.cast(counted, dtype)), count)
    most = examples * tf.reduce_sum(most_spikes(tf.cast(steps, dtype), highest))
    return mean, tf.math.divide_no_nan(most, count), count


def most_spikes(steps, highest):
    """How much a unit can send in so many steps.

    A unit that rests after a spike may begin with one: in 5 steps, one of 4 of which is the most in the long run, it
    sends 2. It takes two spikes to tell such a unit from one that happened to spike.
    """
    if math.isinf(highest):
        return tf.fill(tf.shape(steps), tf.constant(highest, steps.dtype))
    most = tf.maximum(tf.math.ceil(steps * highest - 1e-3), 2.0)  # less than a rounding of the product
    return tf.where(steps > 0.0, most, tf.zeros_like(most))
