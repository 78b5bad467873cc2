"""One training step: forward, M and gamma, weights, metrics; all is put back if something was not finite."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras
from ..layers.step import Step, running
from ..replicas import logs_of_replica, share_of_loss, share_of_sensitivity_loss, whole_sum
from .metrics import build_metrics, counted_targets, present
from .nonfinite import Suspect, all_finite, suspects_left, suspects_of_step
from .optimizers import (
    LeastSquares,
    build_optimizers,
    lower_loss_scale,
    optimizer_variables,
    schedule,
    take_gradients,
    update,
    variable_groups,
)  # fmt: skip
from .state import Kept, begin_anew, lasting


class Forward(NamedTuple):
    """The results of the forward pass. The losses are a replica's shares, which add up to those of the whole batch."""

    tape: tf.GradientTape  # persistent
    y_pred: Any
    loss: Any  # for the weights
    sensitivity_loss: Any  # F; None where M and gamma do not learn
    reports: list  # `(layer, Report)` for every call of a layer, of the whole batch


def run_forward(model, x, y, sample_weight=None, learns=None, kept=None):
    """The `Forward` of a `Model`: clean and, if M and gamma learn, perturbed; `kept` gets metrics that are built."""
    solves = isinstance(model.sensitivity_optimizer, LeastSquares)
    with tf.GradientTape(persistent=True) as tape:
        with running(Step(present(sample_weight, x, y), learns, solves)) as step:
            y_pred = model(x, training=True)
            build_metrics(model, y, y_pred)
            if kept is not None:
                kept.add(variable for metric in model.metrics for variable in metric.variables)
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
        reports = step.own_reports()
        whole = [(layer, report.over_whole_batch()) for layer, report in reports]
        sensitivity_loss = share_of_sensitivity_loss(reports, whole, mean=solves)
        loss = share_of_loss(loss, model.loss, y_pred, x)
    return Forward(tape, y_pred, loss, sensitivity_loss, whole)


def train_step(model, data):
    """The step of a `Model` for one batch; returns the logs."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)

    if tf.executing_eagerly() and not model.built:  # or a bad first batch could not be put back
        with Kept(lasting(model, metrics=False)):
            model(tf.nest.map_structure(tf.zeros_like, x), training=False)
            begin_anew(model)

    # The network once, and the losses that both updates start from. A step without M needs no perturbed pass.
    kept = Kept(lasting(model))
    learns = schedule(model)[0] if model.built and model.sensitivity_every > 1 else None
    forward = run_forward(model, x, y, sample_weight, learns, kept)
    left, losses = suspects_left(model, kept), [Suspect("loss", "result", whole_sum(forward.loss))]
    if forward.sensitivity_loss is not None:
        losses.append(Suspect("sensitivity loss F", "result", whole_sum(forward.sensitivity_loss)))

    # M and gamma by F, if they learn in this step. The gradient of the weights uses the new ones.
    build_optimizers(model)
    (sensitivity, weights), (sensitivity_now, weights_now) = variable_groups(model), schedule(model)
    kept.add([*sensitivity, *optimizer_variables(model.sensitivity_optimizer)])
    goes_on = model._nonfinite.goes_on()
    sensitivity_group = take_gradients(forward.tape, forward.sensitivity_loss, sensitivity, model.sensitivity_optimizer)
    update(sensitivity_group, goes_on & sensitivity_group.finite & sensitivity_now)

    # All other weights by the loss, with the new M and gamma, if everything is finite.
    weight_group = take_gradients(forward.tape, forward.loss, weights, model.optimizer)
    groups, before = (sensitivity_group, weight_group), all_finite([*left, *losses])
    finite = before & sensitivity_group.finite & weight_group.finite
    good = goes_on & finite
    update(weight_group, good & weights_now)

    # Metrics. Then, after a bad batch, all is put back, but for a loss scale that was too large.
    targets = counted_targets(y, forward.y_pred, sample_weight)
    if IS_KERAS_3:  # Keras 2 counts the loss in `compute_loss`
        model._loss_tracker.update_state(losses[0].tensor, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0])
    logs = model.compute_metrics(x, y, forward.y_pred, sample_weight)
    kept.put_back(~good)
    overflow = goes_on & before & ~finite & tf.reduce_all([group.finite | group.overflow for group in groups])
    for group in groups:
        lower_loss_scale(group, overflow & group.overflow)

    # The record and the diagnostics. As in Keras, gradients that overflow are not reported.
    suspects = suspects_of_step(model, (x, targets, sample_weight), [*left, *losses], groups)
    model._nonfinite.write(finite | overflow, suspects)
    model._diagnostics.count_training(forward.reports, sensitivity_group, weight_group, good, learns)
    return logs_of_replica({**logs, **model.get_metrics_result()})  # of a skipped batch the old ones
