"""The first part of a training step: the network once, and the losses that both updates start from."""

import functools
from typing import Any, NamedTuple

import tensorflow as tf

from ..keras_version import IS_KERAS_3
from ..layers.step import Step, reports_of_here, running
from .diagnostics import of_whole_batch
from .shares import share_of_loss, share_of_sensitivity_loss
from .state import metric_variables


class Forward(NamedTuple):
    """What came of running the network once. The losses are a replica's shares, which add up to the whole batch's."""

    tape: tf.GradientTape  # persistent
    y_pred: Any
    loss: Any  # of the weights
    sensitivity_loss: Any  # F; None where M and gamma do not learn
    reports: list  # `(layer, Report)` of every call of a layer, of the whole batch


def run_forward(model, x, y, sample_weight=None, learns=None, kept=None):
    """Runs a `Model` once, clean and, where M and gamma learn, perturbed.

    Args:
        x, y, sample_weight: a batch, or a replica's part of it.
        learns: scalar bool, whether M and gamma learn in this step; None for True.
        kept: `Kept`, which learns of the metrics that come into being here.

    Returns:
        `Forward`.
    """
    with tf.GradientTape(persistent=True) as tape:
        with running(Step(present=present(sample_weight, x), learns=learns)) as step:
            y_pred = model(x, training=True)
            build_metrics(model, y, y_pred)
            if kept is not None:
                kept.add(metric_variables(model))
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
        reports = reports_of_here(step)
        whole = of_whole_batch(reports)
        sensitivity_loss = share_of_sensitivity_loss(reports, whole)
        loss = share_of_loss(loss, model.loss, y_pred, x)
    return Forward(tape, y_pred, loss, sensitivity_loss, whole)


def present(sample_weight, x):
    """Which examples count, [B] of 0 and 1; None for all, and for weights that are not one number an example.

    Args:
        sample_weight: as for `fit`. [B, 1] weighs examples, or steps where the inputs are sequences of one step.
        x: the inputs of the model.
    """
    if sample_weight is None or isinstance(sample_weight, (dict, list, tuple)):
        return None
    sample_weight = tf.convert_to_tensor(sample_weight)
    if sample_weight.shape.rank not in (1, 2):
        return None
    if sample_weight.shape.rank == 2 and sample_weight.shape[1] != 1:
        return None
    counts = tf.reshape(sample_weight, (-1,)) != 0
    if sample_weight.shape.rank == 2:
        sequences = [each for each in tf.nest.flatten(x) if (tf.TensorShape(each.shape).rank or 0) >= 3]
        counts = functools.reduce(tf.logical_or, [tf.equal(tf.shape(each)[1], 1) for each in sequences], counts)
    return tf.cast(counts, sample_weight.dtype)


def build_metrics(model, y, y_pred):
    """So that all there is can be put back, and read, after a batch that does not count."""
    if not IS_KERAS_3:
        if not model.compiled_loss.built:  # it counts the losses of each output
            model.compiled_loss.build(y_pred)
        if model.compiled_metrics is not None and not model.compiled_metrics.built:
            model.compiled_metrics.build(y_pred, y)
    elif model._compile_metrics is not None and not model._compile_metrics.built:
        model._compile_metrics.build(y, y_pred)
