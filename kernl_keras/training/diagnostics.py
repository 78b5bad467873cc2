"""What `Model.fit` reports besides the compiled metrics: their names, what they are of, and their means."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..keras_version import keras

OF_SENSITIVITY = ("sensitivity_loss", "explained_variance", "restarted_perturbations", "sensitivity_gradient_norm")
ACTIVITY = ("firing_rate", "silent_units")
DIAGNOSTICS = (
    "sensitivity_loss",
    "explained_variance",
    "restarted_perturbations",
    *ACTIVITY,
    "weight_gradient_norm",
    "sensitivity_gradient_norm",
    "skipped_updates",
)


class Totals(NamedTuple):
    """What the layers report of the whole batch: F and D^2 summed over layers, all else averaged; scalars."""

    sensitivity_loss: Any  # None where no layer learns, likewise the next two
    perturbation_variance: Any
    restarted_perturbations: Any
    firing_rate: Any
    silent_units: Any


def totals(reports):
    """`Totals` of the reports of all calls."""
    learning = [report for report in reports if report.sensitivity_loss is not None]
    return Totals(
        sensitivity_loss=tf.add_n([report.sensitivity_loss for report in learning]) if learning else None,
        perturbation_variance=tf.add_n([report.perturbation_variance for report in learning]) if learning else None,
        restarted_perturbations=mean([report.restarted_perturbations for report in learning]) if learning else None,
        firing_rate=mean([report.firing_rate for report in reports]) if reports else 0.0,
        silent_units=mean([report.silent_units for report in reports]) if reports else 0.0,
    )


def mean(scalars):
    """Of a list of scalars."""
    return tf.add_n(scalars) / len(scalars)


class Diagnostics:
    """The means of an epoch. Not a list, which Keras would track, and refuse in a model that is built."""

    def __init__(self):
        self.means = tuple(keras.metrics.Mean(name=name) for name in DIAGNOSTICS)

    def update(self, totals, of_sensitivity=0.0, of_weights=0.0, learns=None, good=True):
        """A step more.

        Args:
            totals: `Totals` of the step.
            of_sensitivity, of_weights: norms of the gradients of M and gamma, and of all other weights; scalars.
            learns: scalar bool, whether M and gamma learn in this step; None for True.
            good: scalar bool, whether the step counts: it was finite.
        """
        values = {
            "firing_rate": totals.firing_rate,
            "silent_units": totals.silent_units,
            "weight_gradient_norm": of_weights,
            "sensitivity_gradient_norm": of_sensitivity,
            "skipped_updates": 1.0 - tf.cast(good, tf.float32),
        }
        if totals.sensitivity_loss is not None:
            values["sensitivity_loss"] = totals.sensitivity_loss
            values["restarted_perturbations"] = totals.restarted_perturbations
            none = totals.perturbation_variance == 0.0  # nothing counted, or nothing moved: there is no share
            share = tf.math.divide_no_nan(totals.sensitivity_loss, totals.perturbation_variance)
            values["explained_variance"] = tf.where(none, 0.0, 1.0 - tf.cast(share, tf.float32))
        for metric in self.means:
            if metric.name in values:
                value, counts = values[metric.name], good
                if metric.name == "skipped_updates":
                    counts = True
                elif learns is not None and metric.name in OF_SENSITIVITY:  # of the steps in which they learn
                    counts = tf.logical_and(good, learns)
                value = tf.where(counts, tf.cast(value, tf.float32), 0.0)  # 0 times NaN is NaN
                metric.update_state(value, sample_weight=tf.cast(counts, tf.float32))


def check_names(given):
    """Raises where a metric among the arguments of `compile` has the name of a number that `fit` reports itself."""
    for kind in ("metrics", "weighted_metrics"):
        for metric in tf.nest.flatten(given.get(kind)):
            name = getattr(metric, "name", metric)
            if isinstance(name, str) and name in DIAGNOSTICS:
                raise ValueError(f"{kind} must have other names than {DIAGNOSTICS}; received {name!r}.")
