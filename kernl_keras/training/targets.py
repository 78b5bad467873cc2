"""Targets that count for nothing, under a sample weight of 0 and at masked steps: there they may be NaN."""

import contextlib

import tensorflow as tf

from ..keras_version import IS_KERAS_3
from .forward import build_metrics
from .nonfinite import can_be_nonfinite

UNWEIGHTED, WEIGHTED = ("_flat_metrics", "_flat_weighted_metrics") if IS_KERAS_3 else ("_metrics", "_weighted_metrics")


def counted_targets(y, y_pred, sample_weight):
    """The targets, in which 0 stands for NaN and infinity that count for nothing: 0 times NaN would be NaN.

    Args:
        y, y_pred, sample_weight: as of `keras.Model.compute_loss`.
    """
    if isinstance(y, dict) and isinstance(sample_weight, dict):
        sample_weight = {name: sample_weight.get(name) for name in y}
    targets = tf.nest.flatten(y)
    weights = of_each(targets, sample_weight)
    masks = of_each(targets, [getattr(output, "_keras_mask", None) for output in tf.nest.flatten(y_pred)])
    counted = [
        finite_where_nothing(finite_where_nothing(y, weight), mask) for y, weight, mask in zip(targets, weights, masks)
    ]
    return tf.nest.pack_sequence_as(y, counted)


def of_each(targets, given):
    """What was given for each of the targets, or for all of them; None where it cannot be told."""
    flat = tf.nest.flatten(given)
    return flat * len(targets) if len(flat) == 1 else flat if len(flat) == len(targets) else [None] * len(targets)


def finite_where_nothing(y, weight):
    """Targets with 0 for NaN and infinity where the weight, or the mask, is 0."""
    if weight is None or not can_be_nonfinite(y):
        return y
    y, weight = tf.convert_to_tensor(y), tf.convert_to_tensor(weight)
    if weight.shape.rank and weight.shape.rank == (y.shape.rank or 0) + 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]  # [B, 1] for [B]
    if None in (y.shape.rank, weight.shape.rank) or weight.shape.rank > y.shape.rank:
        return y  # Keras says what is wrong
    weight = tf.reshape(weight, tf.concat([tf.shape(weight), [1] * (y.shape.rank - weight.shape.rank)], 0))
    nothing = tf.equal(tf.cast(weight, y.dtype), 0)
    return tf.where(nothing & ~tf.math.is_finite(y), tf.zeros_like(y), y)


def update_metrics(model, y, y_pred, sample_weight):
    """Adds a batch to all compiled metrics.

    Those that hear of no weight are told the targets as they are, for Keras counts all of them there.
    """
    build_metrics(model, y, y_pred)
    metrics = model._compile_metrics if IS_KERAS_3 else model.compiled_metrics
    if metrics is None:
        return
    for kind, targets in ((WEIGHTED, y), (UNWEIGHTED, counted_targets(y, y_pred, sample_weight))):
        with without(metrics, kind):
            metrics.update_state(targets, y_pred, sample_weight)


@contextlib.contextmanager
def without(metrics, kind):
    """Within, compiled metrics of one kind hear of nothing."""
    kept = vars(metrics)[kind]
    vars(metrics)[kind] = [()] * len(kept)  # past Keras, which would track them
    try:
        yield
    finally:
        vars(metrics)[kind] = kept
