"""Whether a `RNN` layer is in a state to learn: means over the calls of an epoch, kept by the layer itself."""

import numpy as np
import tensorflow as tf

from ..keras_version import keras
from .step import running_step

ACTIVITY = ("firing_rate", "silent_units", "saturated_units")
LEARNING = ("sensitivity_loss", "explained_variance", "restarted_perturbations")
EXPLAINED_OF = "perturbation_variance"  # what `explained_variance` is a share of


class Means(tf.__internal__.tracking.AutoTrackable):
    """Some `keras.metrics.Mean` by name.

    Keras looks for metrics among the attributes of a layer or a model, and would report these in every log. It does
    not look in here; that it is trackable is for SavedModels, which must know all variables of a step.
    """

    def __init__(self, *names):
        self._means = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def variables(self):
        """The totals and counts."""
        return [variable for mean in self._means.values() for variable in mean.variables]

    def update(self, values, counts=True):
        """Adds one number to each of the means that are among `{name: scalar}`, where the scalar bool `counts`."""
        for name, value in values.items():
            value = tf.where(counts, tf.cast(tf.stop_gradient(value), tf.float32), 0.0)  # 0 times NaN is NaN
            self._means[name].update_state(value, sample_weight=tf.cast(counts, tf.float32))

    def result(self):
        """`{name: float}`, NaN where nothing was counted."""
        counts = {name: float(tf.convert_to_tensor(mean.count)) for name, mean in self._means.items()}
        return {name: float(mean.result()) if counts[name] else float("nan") for name, mean in self._means.items()}

    def reset_state(self):
        """Starts anew."""
        for mean in self._means.values():
            mean.reset_state()


class Diagnostics(tf.__internal__.tracking.AutoTrackable):
    """What a `RNN` layer measures while it trains, in any Keras model: the mean over calls since `reset_state()`.

        sensitivity_loss            F, in units of the noise variance
        explained_variance          1 - F / mean D^2: share of the perturbation's effect that M and gamma predict
        restarted_perturbations     share of steps in which a perturbation exceeded `max_perturbation` and began anew
        firing_rate                 spikes a unit and step (mean absolute activity of rate units)
        silent_units                share of units without a spike in a whole batch
        saturated_units             share of units that spiked at nearly every step at which they could, in a batch

    Keras does not report them. A `kernl_keras.Model` starts them anew with every epoch, measures the activity while it
    evaluates, too, and leaves a batch out that is not finite; in other models `evaluate` and `predict` look alike from
    inside a layer, so that the activity is that of training alone.
    """

    def __init__(self):
        self.input_square = None
        self.training = Means(*LEARNING, EXPLAINED_OF, *ACTIVITY)
        self.evaluation = Means(*ACTIVITY)

    def build(self, features):
        """Makes room for the mean square of each of the layer's input features."""
        with tf.init_scope():
            self.input_square = tf.Variable(
                tf.zeros(features),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name="input_square",
            )

    @property
    def variables(self):
        """What holds the means."""
        own = [] if self.input_square is None else [self.input_square]
        return [*self.training.variables, *self.evaluation.variables, *own]

    def update(self, report, training=True, learns=None, counts=True):
        """Adds a call.

        Args:
            report: `Report` of the call.
            training: whether the model trains or evaluates.
            learns: scalar bool, whether M and gamma learned in this call; None for True.
            counts: scalar bool, whether the call counts at all.
        """
        means = self.training if training else self.evaluation
        means.update({name: getattr(report, name) for name in ACTIVITY}, counts)
        if training:
            square = tf.cast(tf.stop_gradient(report.input_square), tf.float32)
            self.input_square.assign(tf.where(counts, square, self.input_square))
        if training and report.sensitivity_loss is not None:
            counts = counts if learns is None else tf.logical_and(counts, learns)
            means.update({name: getattr(report, name) for name in (*LEARNING, EXPLAINED_OF)}, counts)

    def input_sizes(self):
        """The root mean square of each input feature, an array [I], in the last training step that counted."""
        return np.sqrt(self.input_square.numpy())

    def result(self, training=True):
        """`{name: float}` of training, or the activity of evaluation; NaN where nothing was counted."""
        return (self.training if training else self.evaluation).result()

    def reset_state(self, training=True):
        """Starts the means of training, or of evaluation, anew."""
        (self.training if training else self.evaluation).reset_state()


def tell(layer, report, training):
    """Takes the `Report` of a layer's call to whom it concerns.

    A `kernl_keras.Model` takes F for its own optimizer, and knows which batches count. Anywhere else F is an added
    loss, and the layer counts by itself.
    """
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
    """Zero, whatever the scalar loss is, with the gradient of the loss: what is reported besides stays as it is."""
    return tf.where(tf.math.is_finite(loss), loss - tf.stop_gradient(loss), tf.zeros_like(loss))
