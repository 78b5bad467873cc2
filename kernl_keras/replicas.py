"""Replicas of a model that share a batch, under `tf.distribute`: what each has to know of the whole.

Where there is one replica, and outside of `Strategy.run`, the whole is what is here, and nothing is sent. The losses of
a replica are its shares of the whole batch's: their sum is what one device would have.
"""

import tensorflow as tf

from .keras_version import IS_KERAS_3


def replicas():
    """How many replicas share the batch of the running step."""
    context = tf.distribute.get_replica_context()  # None outside of `Strategy.run`
    return 1 if context is None else context.num_replicas_in_sync


def replica():
    """The number of this one, from 0."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group if replicas() > 1 else 0


def whole_sum(tensors):
    """The sum over all replicas of each tensor of a structure. All of them must come here equally often."""
    if replicas() == 1:
        return tensors
    flat = tf.nest.flatten(tensors)
    sums = {}
    for dtype in dict.fromkeys(tensor.dtype for tensor in flat):  # those that are sent together must be of one
        alike = [n for n, tensor in enumerate(flat) if tensor.dtype == dtype]
        total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, [flat[n] for n in alike])
        sums.update(zip(alike, total))
    return tf.nest.pack_sequence_as(tensors, [sums[n] for n in range(len(flat))])


def rows_of_each(rows):
    """How many rows of the whole batch each replica has, [replicas], where this one has `rows`."""
    return whole_sum(tf.one_hot(replica(), replicas(), dtype=tf.int32) * rows)


def rows_before(rows, alike=False):
    """How many rows of the whole batch the replicas before this one have, which has `rows`.

    If all have as many (`alike`), as `equal_parts` makes sure, nothing is sent.
    """
    if replicas() == 1:
        return 0
    if alike:
        return replica() * rows
    return tf.reduce_sum(tf.where(tf.range(replicas()) < replica(), rows_of_each(rows), 0))


def equal_parts(rows, name):
    """An error of the layer `name` where the replicas have unlike numbers of `rows`."""
    if replicas() > 1:
        message = f"{name} needs a batch of which all {replicas()} replicas have as many examples."
        tf.debugging.assert_equal(rows_of_each(rows), rows, message)


def act_if(condition, act, *args):
    """Calls `act(strategy, *args)` where the scalar bool `condition` holds, which is the same on all replicas.

    Under a strategy it is called once for all replicas, with the arguments of each: the condition has to be outside of
    the replicas, for inside one of them no other could be met, as optimizers do. Elsewhere the strategy is None.
    """

    def act_once(strategy, condition, *args):
        def acted():
            act(strategy, *args)
            return tf.constant(True)

        now = condition if strategy is None else strategy.experimental_local_results(condition)[0]
        tf.cond(now, acted, lambda: tf.constant(False))

    condition, context = tf.convert_to_tensor(condition), tf.distribute.get_replica_context()
    if context is not None and tf.distribute.has_strategy():  # of one replica, too: variables are the strategy's
        context.merge_call(act_once, args=(condition, *args))
    else:
        act_once(None, condition, *args)


def share_of_loss(loss, losses, y_pred, x):
    """A replica's part of the whole batch's loss; of a mean, in proportion to what it is the mean of.

    Raises a ValueError for `losses` (of `compile`) that have no one reduction, and for masks among several outputs,
    each of whose losses would need a count of its own.
    """
    divided_by = tf.distribute.get_strategy().num_replicas_in_sync  # by Keras, whatever the replicas have
    reductions = {getattr(each, "reduction", "mean") for each in tf.nest.flatten(losses)}
    if divided_by == 1 or reductions == {"sum"}:
        return loss
    if not reductions <= {"sum_over_batch_size", "mean", "auto"}:  # Keras' names of one reduction
        raise ValueError(
            "loss must have the reduction 'sum_over_batch_size', or 'sum' for all outputs, under a strategy of "
            f"several replicas; received {sorted(map(str, reductions))}."
        )
    outputs = tf.nest.flatten(y_pred)
    masks = [mask for mask in (getattr(output, "_keras_mask", None) for output in outputs) if mask is not None]
    if masks and len(outputs) > 1:
        raise ValueError(
            f"outputs must be one, or without a mask, under a strategy of several replicas; received {len(outputs)}."
        )
    count = tf.reduce_sum(tf.cast(masks[0], tf.int32)) if masks else tf.shape(tf.nest.flatten(x)[0])[0]
    count = tf.cast(count, loss.dtype)
    return loss * (divided_by * count / whole_sum(count))


def share_of_sensitivity_loss(reports, whole):
    """F of all layers; of a replica its part of the whole batch's F, in proportion to its steps. None without F."""
    shares = []
    for (_, report), (_, whole_report) in zip(reports, whole):
        loss = report.sensitivity_loss
        if loss is not None and replicas() > 1:
            loss *= tf.math.divide_no_nan(*(tf.cast(each.credited, loss.dtype) for each in (report, whole_report)))
        shares += [] if loss is None else [loss]
    return tf.add_n(shares) if shares else None


def logs_of_replica(logs):
    """What a step returns: Keras 3 means the first axis away where there are several workers, so it gets one."""
    strategy = tf.distribute.get_strategy()
    if IS_KERAS_3 and replicas() > 1 and isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return tf.nest.map_structure(lambda value: value[None], logs)
    return logs
