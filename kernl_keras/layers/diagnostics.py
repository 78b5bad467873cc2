"""Diagnostics of a `RNN` layer: the report of each call, and means over the calls of an epoch."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..replicas import replicas, whole_sum
from .step import running_step

ACTIVITY = ("firing_rate", "silent_units", "saturated_units")
LEARNING = ("sensitivity_loss", "explained_variance", "restarted_perturbations")
EXPLAINED_OF = "perturbation_variance"  # the whole of which `explained_variance` is a share

NEARLY = 0.95  # share of a unit's highest activity
FEW = 10  # spikes


class Report(NamedTuple):
    """The report of a layer on one call: means over the steps of all examples."""

    sensitivity_loss: Any  # F; None where M and gamma did not learn
    perturbation_variance: Any  # mean D^2; None likewise
    restarted_perturbations: Any  # share of steps in which a perturbation reached its bound; None likewise
    credited: Any  # number of steps in these three means; None likewise
    input_square: Any  # mean square of each input feature [I]
    unit_activity: Any  # mean absolute output of each unit [H]
    saturation: Any  # mean absolute output above which a unit is saturated
    counted: Any  # number of steps in these means

    @property
    def firing_rate(self):
        """Mean absolute output: spikes a unit and step."""
        return tf.reduce_mean(self.unit_activity)

    @property
    def silent_units(self):
        """Share of units whose output was zero for the whole batch."""
        return tf.reduce_mean(tf.cast(self.unit_activity == 0.0, self.unit_activity.dtype))

    @property
    def saturated_units(self):
        """Share of units that spiked at nearly every step at which they could, in the whole batch."""
        return tf.reduce_mean(tf.cast(self.unit_activity > self.saturation, self.unit_activity.dtype))

    @property
    def explained_variance(self):
        """1 - F / mean D^2: share of the perturbation's effect that M and gamma predict; 0 where nothing moved."""
        unexplained = tf.math.divide_no_nan(self.sensitivity_loss, self.perturbation_variance)
        return tf.where(self.perturbation_variance == 0.0, tf.zeros_like(unexplained), 1.0 - unexplained)

    def over_whole_batch(self):
        """The report on the whole batch, of which this replica had a part; without a gradient."""
        if replicas() == 1:
            return self
        learned = [None] * 4 if self.credited is None else whole_mean(self[:3], self.credited)
        return Report(*learned, *whole_mean(self[4:7], self.counted))


def whole_mean(means, count):
    """Means over all replicas, from the means of each over `count`; and, last, their count."""
    sums = [tf.math.multiply_no_nan(tf.stop_gradient(mean), tf.cast(count, mean.dtype)) for mean in means]
    *sums, count = whole_sum([*sums, count])
    return [*(tf.math.divide_no_nan(total, tf.cast(count, total.dtype)) for total in sums), count]


def activity(outputs, counted, highest):
    """`unit_activity`, `saturation` and `counted` of a `Report`, from outputs [T, B, H] and counted [T, B] or None.

    A unit is saturated from 0.95 of its `highest` activity on. Few spikes tell nothing, as a unit that rests after each
    may have two at once without being at its limit: where there is room for only a few, the bound is beyond reach.
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
    steps = tf.cast(steps, dtype)
    enough = examples * tf.reduce_sum(tf.where(steps * highest < FEW, steps, NEARLY * highest * steps))
    return mean, tf.math.divide_no_nan(enough, count), count


def first_replicas(value, name):
    """A variable that is measured, which begins with a NumPy array, and whose value is that of the first replica."""
    with tf.init_scope():
        return tf.Variable(value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA, name=name)


class Means(tf.__internal__.tracking.AutoTrackable):
    """Several means by name, in one trackable variable; no Keras metrics, which every log would report."""

    def __init__(self, *names):
        self._names = names
        self._sums = first_replicas(np.zeros((2, len(names)), np.float32), "means")  # of the values, of their counts

    def update(self, values, counts=True):
        """Adds the numbers of `{name: scalar}` to their means, if the scalar bool `counts`."""
        given = {name: tf.cast(tf.stop_gradient(value), tf.float32) for name, value in values.items()}
        added = [[given.get(name, 0.0) for name in self._names], [float(name in given) for name in self._names]]
        self._sums.assign(self._sums + tf.where(counts, tf.stack(added), 0.0))  # 0 times NaN would be NaN

    def result(self):
        """The means `{name: float}`, NaN where nothing was counted."""
        sums, counts = self._sums.numpy().tolist()
        return {name: x / count if count else float("nan") for name, x, count in zip(self._names, sums, counts)}

    def reset_state(self):
        """Starts the means anew."""
        self._sums.assign(tf.zeros_like(self._sums))


class Diagnostics(tf.__internal__.tracking.AutoTrackable):
    """Means of the `Report`s of a `RNN` layer since `reset_state()`, in training, and by a `Model` in evaluation.

    In other Keras models a layer cannot tell `evaluate` from `predict`.
    """

    def __init__(self):
        self.input_square = None
        self.training = Means(*LEARNING, EXPLAINED_OF, *ACTIVITY)
        self.evaluation = Means(*ACTIVITY)

    def build(self, features):
        """Makes the variable for the mean square of each input feature, negative before it is measured."""
        self.input_square = first_replicas(-np.ones(features, np.float32), "input_square")

    def measure_inputs_anew(self):
        """Lets the next training step that counts measure the inputs; later ones leave them alone, to save time."""
        if self.input_square is not None:
            self.input_square.assign(-tf.ones_like(self.input_square))

    def look_at_inputs(self, inputs, counted, training):
        """The mean square of each feature of inputs [T, B, I] in the first training step; zeros out of training."""
        if not training:  # nothing that is exported reads the variable
            return tf.zeros(self.input_square.shape)
        known = tf.convert_to_tensor(self.input_square)

        def measured():
            if counted is None:
                return tf.cast(tf.reduce_mean(tf.square(inputs), (0, 1)), known.dtype)
            total = tf.reduce_sum(tf.square(tf.where(counted[..., None], inputs, tf.zeros_like(inputs))), (0, 1))
            return tf.cast(tf.math.divide_no_nan(total, tf.reduce_sum(tf.cast(counted, total.dtype))), known.dtype)

        return tf.cond(known[0] < 0.0, measured, lambda: known)

    def update(self, report, training=True, learns=None, counts=True):
        """Adds the `Report` of a call, if it `counts`. `learns`: whether M and gamma learned in it, None for True."""
        means = self.training if training else self.evaluation
        means.update({name: getattr(report, name) for name in ACTIVITY}, tf.logical_and(counts, report.counted > 0.0))
        if training:
            self.input_square.assign(tf.where(counts, report.input_square, self.input_square))
        if training and report.sensitivity_loss is not None:
            counts = tf.logical_and(counts, report.credited > 0.0)
            counts = counts if learns is None else tf.logical_and(counts, learns)
            means.update({name: getattr(report, name) for name in (*LEARNING, EXPLAINED_OF)}, counts)

    def input_sizes(self):
        """The root mean square of each input feature [I], in the first training step that counted; None before it."""
        square = self.input_square.numpy()
        return None if (square < 0.0).all() else np.sqrt(square)

    def result(self, training=True):
        """The means `{name: float}` of training, or the activity of evaluation; NaN where nothing was counted."""
        return (self.training if training else self.evaluation).result()

    def reset_state(self, training=True):
        """Starts the means of training, or of evaluation, anew."""
        (self.training if training else self.evaluation).reset_state()


def tell(layer, report, training):
    """Passes the `Report` of a call to the running `Model`; in any other model F is an added loss of the layer."""
    step = running_step()
    if step is not None:
        layer.report = None  # no tensor of a traced step is kept
        step.reports.append((layer, report))
        return
    layer.report = report
    if report.sensitivity_loss is not None:
        layer.add_loss(gradient_alone(report.sensitivity_loss))
    if training:
        layer.diagnostics.update(report)


def gradient_alone(loss):
    """Zero with the gradient of the scalar loss, so that the reported loss stays the same."""
    return tf.where(tf.math.is_finite(loss), loss - tf.stop_gradient(loss), tf.zeros_like(loss))
