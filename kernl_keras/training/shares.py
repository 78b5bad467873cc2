"""A replica's shares of the whole batch's losses, such that the sum over the replicas is what one device would have."""

import tensorflow as tf

from ..keras_version import IS_KERAS_3
from ..replicas import replicas, whole_sum

MEANS = {"sum_over_batch_size", "mean", "auto"}  # Keras' names of one reduction


def share_of_loss(loss, losses, y_pred, x):
    """Of a replica, its part of the whole batch's loss; a mean, in proportion to what it is the mean of.

    Args:
        loss: of the replica's examples, scalar.
        losses: what `compile` was given as `loss`.
        y_pred, x: the replica's predictions and inputs.

    Raises:
        ValueError: for losses that have no one reduction.
    """
    divided_by = tf.distribute.get_strategy().num_replicas_in_sync  # by Keras, whatever the replicas have
    if divided_by == 1:
        return loss
    reductions = {getattr(each, "reduction", "mean") for each in tf.nest.flatten(losses)}
    if reductions == {"sum"}:
        return loss
    if not reductions <= MEANS:
        raise ValueError(
            "loss must have the reduction 'sum_over_batch_size', or 'sum' for all outputs, under a strategy of "
            f"several replicas; received {sorted(map(str, reductions))}."
        )
    count = tf.cast(counted(y_pred, x), loss.dtype)
    return loss * (divided_by * count / whole_sum(count))


def share_of_sensitivity_loss(reports, whole):
    """F of all layers; of a replica its part of the whole batch's F, in proportion to its steps.

    Args:
        reports: `(layer, Report)` of every call of a layer.
        whole: the same of the whole batch.
    """
    shares = []
    for (_, report), (_, of_whole) in zip(reports, whole):
        loss = report.sensitivity_loss
        if loss is not None and replicas() > 1:
            loss *= tf.math.divide_no_nan(*(tf.cast(each.credited, loss.dtype) for each in (report, of_whole)))
        shares += [] if loss is None else [loss]
    return tf.add_n(shares) if shares else None


def first_part(iterator, strategy):
    """The first replica's part of a first batch.

    Keras would take the mean of all parts, which no two workers can form (3.15), nor replicas with unlike numbers of
    examples.
    """
    for _, _, batches in iterator:
        return tf.nest.map_structure(lambda part: strategy.experimental_local_results(part)[0], next(batches))


def batch_size(x):
    """B of the inputs of a model."""
    return tf.shape(tf.nest.flatten(x)[0])[0]


def counted(y_pred, x):
    """How many numbers the mean of the loss is over, but for a factor: the valid steps of a masked output, or B.

    Raises:
        ValueError: for masks among several outputs, each of whose losses would need a count of its own.
    """
    outputs = tf.nest.flatten(y_pred)
    masks = [mask for mask in (getattr(output, "_keras_mask", None) for output in outputs) if mask is not None]
    if not masks:
        return batch_size(x)
    if len(outputs) > 1:
        raise ValueError(
            f"outputs must be one, or without a mask, under a strategy of several replicas; received {len(outputs)}."
        )
    return tf.reduce_sum(tf.cast(masks[0], tf.int32))


def logs_of_replica(logs):
    """What a step returns: Keras 3 means the first axis away where there are several workers, so it gets one."""
    strategy = tf.distribute.get_strategy()
    if IS_KERAS_3 and replicas() > 1 and isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return tf.nest.map_structure(lambda value: value[None], logs)
    return logs
