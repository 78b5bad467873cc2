"""Diagnostics of a `Model` besides the loss and the metrics, and the warnings of `fit`."""

import math
import warnings

import numpy as np
import tensorflow as tf

from ..keras_version import keras
from ..layers.diagnostics import ACTIVITY, EXPLAINED_OF, LEARNING, Means
from ..layers.names import rule_layers
from .optimizers import scheduled_rate

OWN = ("weight_gradient_norm", "sensitivity_gradient_norm", "skipped_updates")
DIAGNOSTICS = (*LEARNING, *ACTIVITY, *OWN)

SILENT, STILL = 0.9, 1e-3  # share of units without a spike; spikes a unit and step
SATURATED = 0.25  # share of units that can do no more
LARGE = 5.0  # root mean square of an input feature; where series are scaled, batches of 16 of them stay below 1.5
RESTARTED = 0.2  # share of steps in which the perturbation started anew; with 0.16 M explains 90 % of heartbeats

MESSAGES = {
    "silent": "Layer {name!r} is silent: {silent_units:.0%} of its units sent nothing in a batch, and the mean "
    "activity was {firing_rate:.2g} a step. Raise input_gain, recurrent_gain or the encoder's gain, or lower the "
    "threshold (base_threshold, adaptation_strength), where the cell has them; see that the inputs are "
    "not all 0, nor much smaller than 1, as those of a keras.layers.Embedding are; "
    "lower the learning rate if it fell silent while it learned.",
    "saturated": "Layer {name!r} is saturated: {saturated_units:.0%} of its units were as active as they can be at "
    "nearly every step of a batch. Scale the inputs (mean 0, standard deviation 1), lower input_gain, recurrent_gain "
    "or the encoder's gain, or raise the threshold (base_threshold, adaptation_strength), where the cell has them; "
    "lower the learning rate or set global_clipnorm if it came while it learned.",
    "large": "Layer {name!r} receives inputs that are not scaled: in the first batch the root mean square of feature "
    "{feature} is {size:.3g}{smallest}, where the initial weights are made for about 1. Scale every feature to mean 0 "
    "and standard deviation 1, as with keras.layers.Normalization: its adapt(x) measures the training data, and the "
    "layer comes first in the model.",
    "no rate": "Nothing was learned: the learning rate was 0 in the whole epoch, after {updates} updates. Its schedule "
    "may have ended: compile the model again with another learning rate.",
    "restarted": "M of layer {name!r} learns little: in {restarted_perturbations:.0%} of the steps the perturbation "
    "exceeded max_perturbation and started anew. Lower recurrent_gain or surrogate_damping, or take the rule's "
    "perturbation='replica'.",
}


class Diagnostics:
    """The means of a `Model`, together with those of its `RNN` layers."""

    def __init__(self, model):
        self.model = model
        self.own = Means(*OWN)

    def reset_state(self, training=True):
        """Starts the means of training, or of evaluation, anew."""
        if training:
            self.own.reset_state()
        for layer in rule_layers(self.model):
            layer.diagnostics.reset_state(training)

    def count_training(self, reports, sensitivity_group, weight_group, good, learns):
        """Adds a training step, in which M and gamma learned if `learns`, or None; if not `good` it was skipped."""
        for layer, report in reports:
            layer.diagnostics.update(report, learns=learns, counts=good)
        self.own.update({"skipped_updates": 1.0 - tf.cast(good, tf.float32)})
        self.own.update({"weight_gradient_norm": weight_group.norm}, good)
        if sensitivity_group.variables:
            with_m = good if learns is None else tf.logical_and(good, learns)
            self.own.update({"sensitivity_gradient_norm": sensitivity_group.norm}, with_m)

    def result(self, training=True):
        """`{name: float}`: F is summed over layers, the explained variance weighted by variance, others averaged."""
        layers = rule_layers(self.model)
        by_layer = [layer.diagnostics.result(training) for layer in layers]
        activity = {name: _mean([means[name] for means in by_layer]) for name in ACTIVITY if layers}
        if not training:
            return activity
        learning = [means for layer, means in zip(layers, by_layer) if layer.sensitivity_weights]
        own = self.own.result()
        if not learning:
            return {**activity, **{name: own[name] for name in OWN if name != "sensitivity_gradient_norm"}}
        variances = [means[EXPLAINED_OF] for means in learning]
        explained = sum(variance * means["explained_variance"] for variance, means in zip(variances, learning))
        return {
            "sensitivity_loss": sum(means["sensitivity_loss"] for means in learning),
            "explained_variance": explained / sum(variances) if sum(variances) else explained,
            "restarted_perturbations": _mean([means["restarted_perturbations"] for means in learning]),
            **activity,
            **own,
        }


def _mean(numbers):
    """The mean of a list of numbers without those that are NaN, because nothing was counted."""
    numbers = [number for number in numbers if not math.isnan(number)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def with_diagnostics(model, logs):
    """The logs of an epoch and the model's diagnostics, if it has them; those of evaluation begin with `val_`."""
    if not hasattr(model, "diagnostics"):
        return dict(logs)
    diagnostics = model.diagnostics()
    if any(name.startswith("val_") for name in logs):
        diagnostics |= {f"val_{name}": value for name, value in model.diagnostics(training=False).items()}
    return {**logs, **diagnostics, **logs}


class Watch(keras.callbacks.Callback):
    """The callback that `fit` adds: stops at a batch that is not finite, warns of skipped batches and of bad layers."""

    def __init__(self, model):
        super().__init__()
        self.set_model(model)
        self.record = model._nonfinite
        self._supports_tf_logs = True  # Keras 2 then does not copy the logs of every batch to NumPy
        self._said = set()  # once a fit
        self._looked = False  # at the inputs
        for layer in rule_layers(model):
            layer.diagnostics.measure_inputs_anew()

    def on_epoch_begin(self, epoch, logs=None):
        self.record.clear()
        self.model._diagnostics.reset_state()
        self._epoch, self._rate = epoch + 1, scheduled_rate(self.model.optimizer)

    def on_train_batch_end(self, batch, logs=None):
        self.record.check(self._epoch)
        if not self._looked:
            layers = [layer for layer in rule_layers(self.model) if layer.built]  # a subclass may call not all of them
            sizes = {layer.name: layer.diagnostics.input_sizes() for layer in layers}
            self._looked = not any(each is None for each in sizes.values())  # after a batch that counted
            for name, each in sizes.items():
                if self._looked and (message := not_scaled(name, each)):
                    self._warn(message)

    def on_epoch_end(self, epoch, logs=None):
        if self.model.reports_diagnostics:
            logs.update(with_diagnostics(self.model, logs))
        summary = self.record.read()
        if summary.skipped:
            self._warn(
                f"{summary.skipped} of {summary.steps} batches of epoch {self._epoch} were skipped, the first at step "
                f"{summary.step}: {summary.problem}. Nothing was learned from them. {summary.advice} "
                "compile(on_nonfinite='stop') stops there."
            )
        if summary.steps and summary.skipped == summary.steps:  # nothing was counted: no loss is not a loss of 0
            logs.update({name: math.nan for name in logs if not name.startswith(("val_", "skipped"))})
            return
        problems = []
        if self._rate == scheduled_rate(self.model.optimizer) == 0.0:
            problems.append((self, "no rate", MESSAGES["no rate"].format(updates=int(self.model.optimizer.iterations))))
        for layer in rule_layers(self.model):
            problems += [(layer, *each) for each in out_of_range(layer.name, layer.diagnostics.result())]
        for of, word, message in problems:
            if (of, word) not in self._said:
                self._said.add((of, word))
                self._warn(message)

    def _warn(self, message):
        warnings.warn(message, RuntimeWarning, stacklevel=3)


def out_of_range(name, means):
    """Keys of `MESSAGES`, with the messages, for a layer that hardly learns, by its means of an epoch."""
    problems = {
        "silent": means["silent_units"] > SILENT and means["firing_rate"] < STILL,
        "saturated": means["saturated_units"] > SATURATED,
        "restarted": means["restarted_perturbations"] > RESTARTED,
    }
    return [(word, MESSAGES[word].format(name=name, **means)) for word, happened in problems.items() if happened]


def not_scaled(name, sizes):
    """The message for a layer with a feature that is too large for the initial weights, by the sizes [I]; or None."""
    large = int(np.argmax(sizes))
    if not sizes[large] > LARGE:
        return None
    positive = np.where(sizes > 0.0, sizes, np.inf)
    small = int(np.argmin(positive))
    smallest = "" if small == large else f" and that of feature {small} is {positive[small]:.3g}"
    return MESSAGES["large"].format(name=name, feature=large, size=float(sizes[large]), smallest=smallest)


def with_callback(callback, callbacks):
    """The argument `callbacks` of `fit` with one more callback, before the others unless they are a `CallbackList`."""
    if hasattr(callbacks, "append") and hasattr(callbacks, "callbacks"):  # Keras' own `CallbackList`
        # without that of an earlier `fit`
        callbacks.callbacks[:] = [other for other in callbacks.callbacks if not isinstance(other, Watch)]
        callbacks.append(callback)
        return callbacks
    return [callback, *tf.nest.flatten([] if callbacks is None else callbacks)]
