"""What a `Model` says about its training besides the loss and the metrics: its layers' means, and its own."""

import math

import tensorflow as tf

from ..layers.diagnostics import ACTIVITY, EXPLAINED_OF, LEARNING, Means
from ..layers.find import rule_layers

OWN = ("weight_gradient_norm", "sensitivity_gradient_norm", "skipped_updates")
DIAGNOSTICS = (*LEARNING, *ACTIVITY, *OWN)


class Diagnostics:
    """The means of the model itself, and those of its `RNN` layers put together."""

    def __init__(self, model):
        self.model = model
        self.own = Means(*OWN)

    def reset_state(self, training=True):
        """Starts the means of training, or of evaluation, anew."""
        if training:
            self.own.reset_state()
        for layer in rule_layers(self.model):
            layer.diagnostics.reset_state(training)

    def count_training(self, reports, learned, learns):
        """Adds a training step; one that was not finite counts as skipped, and nowhere else.

        Args:
            reports: `(layer, Report)` of every call of a layer, of the whole batch.
            learned: `Learned`.
            learns: scalar bool, whether M and gamma learned in this step; None for True.
        """
        for layer, report in reports:
            layer.diagnostics.update(report, learns=learns, counts=learned.good)
        self.own.update({"skipped_updates": 1.0 - tf.cast(learned.good, tf.float32)})
        self.own.update({"weight_gradient_norm": learned.of_weights.norm}, learned.good)
        if learned.of_sensitivity.variables:
            with_m = learned.good if learns is None else tf.logical_and(learned.good, learns)
            self.own.update({"sensitivity_gradient_norm": learned.of_sensitivity.norm}, with_m)

    def count_evaluation(self, reports):
        """Adds the activity of a step of evaluation; `reports` as above."""
        for layer, report in reports:
            layer.diagnostics.update(report, training=False)

    def result(self, training=True):
        """`{name: float}`; F is the sum over layers, all else but the variance explained a plain mean."""
        layers = rule_layers(self.model)
        of_layers = [layer.diagnostics.result(training) for layer in layers]
        found = {name: mean([each[name] for each in of_layers]) for name in ACTIVITY if layers}
        if not training:
            return found
        learning = [each for layer, each in zip(layers, of_layers) if layer.sensitivity_weights]
        own = self.own.result()
        if not learning:
            return {**found, **{name: own[name] for name in OWN if name != "sensitivity_gradient_norm"}}
        variances = [each[EXPLAINED_OF] for each in learning]
        explained = sum(variance * each["explained_variance"] for variance, each in zip(variances, learning))
        return {
            "sensitivity_loss": sum(each["sensitivity_loss"] for each in learning),
            "explained_variance": explained / sum(variances) if sum(variances) else explained,
            "restarted_perturbations": mean([each["restarted_perturbations"] for each in learning]),
            **found,
            **own,
        }


def mean(numbers):
    """Of a list of numbers, NaN for what was not counted left out."""
    numbers = [number for number in numbers if not math.isnan(number)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def of_whole_batch(reports):
    """The `(layer, Report)` of every call of a layer, each of the whole batch instead of this replica's part."""
    return [(layer, report.of_whole_batch()) for layer, report in reports]


def with_diagnostics(model, logs):
    """The logs of an epoch with all that the model measured in it, in evaluation under Keras' prefix `val_`.

    Args:
        model: any Keras model; one that measures nothing has the logs as they are.
        logs: dict of what Keras logs.
    """
    if not hasattr(model, "diagnostics"):
        return dict(logs)
    found = model.diagnostics()
    if any(name.startswith("val_") for name in logs):
        found |= {f"val_{name}": value for name, value in model.diagnostics(training=False).items()}
    return with_measured(logs, found)


def with_measured(logs, found):
    """The logs, and behind them whatever else was `found`; an entry of the logs stays as it is."""
    return {**logs, **{name: value for name, value in found.items() if name not in logs}}
