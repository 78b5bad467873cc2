"""What a `RNN` layer says of its last call."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..replicas import replicas, whole_sum

NEARLY = 0.95  # of all that a unit can do
FEW = 10  # spikes


class Report(NamedTuple):
    """Means over the steps of all examples of one call."""

    sensitivity_loss: Any  # F; None where M and gamma did not learn
    perturbation_variance: Any  # mean D^2; None likewise
    restarted_perturbations: Any  # share of steps in which a perturbation reached its bound; None likewise
    credited: Any  # how many steps these three are means over; None likewise
    unit_activity: Any  # mean absolute output of each unit [H]
    saturation: Any  # the mean absolute output from which on a unit does nearly all it can
    input_square: Any  # mean square of each input feature [I]
    counted: Any  # how many steps these three are means over

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
        return share(self.unit_activity > self.saturation, self.unit_activity.dtype)

    @property
    def explained_variance(self):
        """1 - F / mean D^2: share of the perturbation's effect that M and gamma predict; 0 where nothing moved."""
        unexplained = tf.math.divide_no_nan(self.sensitivity_loss, self.perturbation_variance)
        return tf.where(self.perturbation_variance == 0.0, tf.zeros_like(unexplained), 1.0 - unexplained)

    def of_whole_batch(self):
        """The same of the whole batch, of which this replica had a part; no gradient."""
        if replicas() == 1:
            return self
        activity, counted = whole_mean([self.unit_activity, self.saturation, self.input_square], self.counted)
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


def activity(inputs, outputs, counted, highest):
    """The last four numbers of a `Report`.

    Args:
        inputs, outputs: [T, B, I], [T, B, H].
        counted: [T, B], False where an example's step does not count; None where all do.
        highest: the cell's `highest_activity`.
    """
    size, dtype = tf.shape(outputs), outputs.dtype
    if counted is None:
        steps, examples = size[:1], tf.cast(size[1], dtype)  # one number of steps for all
        mean, square = tf.reduce_mean(tf.abs(outputs), (0, 1)), tf.reduce_mean(tf.square(inputs), (0, 1))
        count = tf.cast(size[0], dtype) * examples
    else:
        steps, examples = tf.reduce_sum(tf.cast(counted, tf.int32), 0), tf.constant(1.0, dtype)
        count = tf.reduce_sum(tf.cast(steps, dtype))
        mean = tf.math.divide_no_nan(tf.einsum("tbh,tb->h", tf.abs(outputs), tf.cast(counted, dtype)), count)
        inputs = tf.where(counted[..., None], inputs, tf.zeros_like(inputs))
        square = tf.math.divide_no_nan(tf.reduce_sum(tf.square(inputs), (0, 1)), count)
    enough = examples * tf.reduce_sum(nearly_all(tf.cast(steps, dtype), highest))
    return mean, tf.math.divide_no_nan(enough, count), square, count


def nearly_all(steps, highest):
    """From how much on a unit does nearly all it can in so many steps.

    Few spikes tell nothing: two in five steps are more than the 1.25 that a unit can have there in the long run if it
    rests for three steps after each, and it need not be at its limit. Where there is no room for more than a few, a
    unit must do more than is possible.

    Args:
        steps: of each example, a float tensor.
        highest: spikes a step in the long run, or the highest rate.
    """
    return tf.where(steps * highest < FEW, steps, NEARLY * highest * steps)
