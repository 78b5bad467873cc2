"""The examples and targets that count in the loss and the metrics.

A target with a sample weight of 0, or at a masked step, does not count: it may be NaN.
"""

import functools

import tensorflow as tf

from ..keras_version import IS_KERAS_3
from .nonfinite import can_be_nonfinite

UNWEIGHTED, WEIGHTED = ("_flat_metrics", "_flat_weighted_metrics") if IS_KERAS_3 else ("_metrics", "_weighted_metrics")


def present(sample_weight, x, y=None):
    """1 for examples that count, else 0 [B]; None for all, and for weights that are not one number an example.

    Weights [B, 1] belong to examples, or to steps if the inputs `x` are sequences of one step. Where each target in
    `y` has weights of its own, an example counts if it does for one of them.
    """
    if isinstance(sample_weight, (dict, list, tuple)):
        every = [present(each, x) for each in tf.nest.flatten(sample_weight)]
        if len(every) != len(tf.nest.flatten(y)) or any(each is None for each in every):
            return None
        return functools.reduce(tf.maximum, every)
    if sample_weight is None:
        return None
    sample_weight = tf.convert_to_tensor(sample_weight)
    if sample_weight.shape.rank not in (1, 2) or sample_weight.shape[1:] not in ((), (1,)):
        return None
    counts = tf.cast(tf.reshape(sample_weight, (-1,)), tf.bool)
    if sample_weight.shape.rank == 2:
        sequences = [part for part in tf.nest.flatten(x) if (tf.TensorShape(part.shape).rank or 0) >= 3]
        counts = functools.reduce(tf.logical_or, [tf.equal(tf.shape(part)[1], 1) for part in sequences], counts)
    return tf.cast(counts, tf.float32)


def counted_targets(model, y, y_pred, sample_weight):
    """The targets with 0 for NaN and infinity that do not count, because 0 times NaN would be NaN."""
    if isinstance(y, dict) and isinstance(sample_weight, dict):
        sample_weight = {name: sample_weight.get(name) for name in y}
    if isinstance(y, dict):
        names = getattr(model, "output_names", None) or ()
        named = y_pred if isinstance(y_pred, dict) else dict(zip(names, tf.nest.flatten(y_pred)))
        y_pred = {name: named.get(name) for name in y}
    targets = tf.nest.flatten(y)
    for given in (sample_weight, [getattr(output, "_keras_mask", None) for output in tf.nest.flatten(y_pred)]):
        weights = tf.nest.flatten(given)
        if len(weights) == 1:  # for all of them
            weights *= len(targets)
        if len(weights) == len(targets):  # else Keras says what is wrong
            targets = list(map(_finite_where_nothing, targets, weights))
    return tf.nest.pack_sequence_as(y, targets)


def _finite_where_nothing(y, weight):
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


def build_metrics(model, y, y_pred):
    """Builds the metrics, so that their variables can be put back after a batch that does not count."""
    if not IS_KERAS_3:
        if not model.compiled_loss.built:  # it counts the losses of each output
            model.compiled_loss.build(y_pred)
        if model.compiled_metrics is not None and not model.compiled_metrics.built:
            # The same order for both, as Keras does it when it updates them.
            model.compiled_metrics.build(y_pred, model.compiled_metrics._conform_to_outputs(y_pred, y))
    elif model._compile_metrics is not None and not model._compile_metrics.built:
        model._compile_metrics.build(y, y_pred)


def update_metrics(model, y, y_pred, sample_weight):
    """Adds a batch to all compiled metrics; those without weights count all targets, as they are."""
    build_metrics(model, y, y_pred)
    metrics = model._compile_metrics if IS_KERAS_3 else model.compiled_metrics
    if metrics is None:
        return
    for kind, targets in ((WEIGHTED, y), (UNWEIGHTED, counted_targets(model, y, y_pred, sample_weight))):
        kept = vars(metrics)[kind]  # which are left out; not by setattr: Keras would track the empty ones
        vars(metrics)[kind] = [()] * len(kept)
        try:
            metrics.update_state(targets, y_pred, sample_weight)
        finally:
            vars(metrics)[kind] = kept
