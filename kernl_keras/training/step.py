"""The forward pass of a training step, and the losses that both updates start from."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..layers.step import Step, running
from ..replicas import share_of_loss, share_of_sensitivity_loss
from .metrics import build_metrics, present


class Forward(NamedTuple):
    """The results of the forward pass. The losses are a replica's shares, which add up to those of the whole batch."""

    tape: tf.GradientTape  # persistent
    y_pred: Any
    loss: Any  # for the weights
    sensitivity_loss: Any  # F; None where M and gamma do not learn
    reports: list  # `(layer, Report)` for every call of a layer, of the whole batch


def run_forward(model, x, y, sample_weight=None, learns=None, kept=None):
    """The `Forward` of a `Model`: clean and, if M and gamma learn, perturbed; `kept` gets metrics that are built."""
    with tf.GradientTape(persistent=True) as tape:
        with running(Step(present=present(sample_weight, x, y), learns=learns)) as step:
            y_pred = model(x, training=True)
            build_metrics(model, y, y_pred)
            if kept is not None:
                kept.add(variable for metric in model.metrics for variable in metric.variables)
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
        reports = step.own_reports()
        whole = [(layer, report.over_whole_batch()) for layer, report in reports]
        sensitivity_loss = share_of_sensitivity_loss(reports, whole)
        loss = share_of_loss(loss, model.loss, y_pred, x)
    return Forward(tape, y_pred, loss, sensitivity_loss, whole)
