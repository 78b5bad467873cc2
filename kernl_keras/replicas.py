"""Replicas of a model that share a batch, under `tf.distribute`: sums and counts over the whole batch.

With one replica, and outside of `Strategy.run`, nothing is sent. The losses of a replica are its shares: their sum is
the loss that one device would have.
"""

import collections

import tensorflow as tf

from .keras_version import IS_KERAS_3


def replicas():
    """The number of replicas that share the batch of the running step."""
    context = tf.distribute.get_replica_context()  # None outside of `Strategy.run`
    return 1 if context is None else context.num_replicas_in_sync


def replica():
    """The number of this replica, from 0."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group if replicas() > 1 else 0


def whole_sum(tensors):
    """Each tensor of a structure summed over all replicas, which must all call this equally often."""
    if replicas() == 1:
        return tensors
    flat = tf.nest.flatten(tensors)
    sums = {}
    for dtype in dict.fromkeys(tensor.dtype for tensor in flat):  # all that are sent together must have one dtype
        alike = [n for n, tensor in enumerate(flat) if tensor.dtype == dtype]
        total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, [flat[n] for n in alike])
        sums.update(zip(alike, total))
    return tf.nest.pack_sequence_as(tensors, [sums[n] for n in range(len(flat))])


def rows_of_each(rows):
    """The number of rows of each replica [replicas], if this one has `rows`."""
    return whole_sum(tf.one_hot(replica(), replicas(), dtype=tf.int32) * rows)


def rows_before(rows, alike=False):
    """The number of rows in the replicas before this one, which has `rows`; if all are `alike`, nothing is sent."""
    if replicas() == 1:
        return 0
    if alike:
        return replica() * rows
    return tf.reduce_sum(tf.where(tf.range(replicas()) < replica(), rows_of_each(rows), 0))


def equal_parts(rows, name):
    """Raises an error, in the name of a layer, if the replicas have different numbers of `rows`."""
    if replicas() > 1:
        message = f"{name} needs a batch of which all {replicas()} replicas have as many examples."
        tf.debugging.assert_equal(rows_of_each(rows), rows, message)


def act_if(condition, act, *args):
    """Calls `act(strategy, *args)` if the scalar bool `condition` holds, which is the same on all replicas.

    Under a strategy it is called once for all of them, with the arguments of each, as optimizers cannot synchronise
    inside a `tf.cond`. Elsewhere the strategy is None.
    """

    def act_once(strategy, condition, *args):
        def acted():
            act(strategy, *args)
            return tf.constant(True)  # of a condition without results XLA makes copies of all variables

        now = condition if strategy is None else strategy.experimental_local_results(condition)[0]
        tf.cond(now, acted, lambda: tf.constant(False))

    condition, context = tf.convert_to_tensor(condition), tf.distribute.get_replica_context()
    if context is not None and tf.distribute.has_strategy():  # also with one replica: variables are the strategy's
        context.merge_call(act_once, args=(condition, *args))
    else:
        act_once(None, condition, *args)


def share_of_loss(loss, losses, y_pred, x):
    """A replica's part of the whole batch's loss; a mean is weighted by the count that it is taken over."""
    divided_by = tf.distribute.get_strategy().num_replicas_in_sync  # by Keras, whatever the parts
    reductions = {getattr(part, "reduction", "mean") for part in tf.nest.flatten(losses)}
    if divided_by == 1 or reductions == {"sum"}:
        return loss
    if not reductions <= {"sum_over_batch_size", "mean", "auto"}:  # Keras' names for the same reduction
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


def share_of_sensitivity_loss(reports, whole, mean=False):
    """F summed over layers, for a replica its part of it, in proportion to its steps. None without F.

    With `mean` it is the mean of a layer's calls, not their sum: each has the whole step of Eq. (45).
    """
    shares, calls = [], collections.Counter(id(layer) for layer, _ in reports)
    for (layer, report), (_, whole_report) in zip(reports, whole):
        loss = report.sensitivity_loss
        if loss is not None and mean:
            loss /= calls[id(layer)]
        if loss is not None and replicas() > 1:
            loss *= tf.math.divide_no_nan(*(tf.cast(x.credited, loss.dtype) for x in (report, whole_report)))
        shares += [] if loss is None else [loss]
    widest = max((loss.dtype for loss in shares), key=lambda dtype: dtype.size, default=None)
    return tf.add_n([tf.cast(loss, widest) for loss in shares]) if shares else None


def logs_of_replica(logs):
    """The logs of a step. Keras 3 averages over the first axis if there are several workers, so they get one."""
    strategy = tf.distribute.get_strategy()
    if IS_KERAS_3 and replicas() > 1 and isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return tf.nest.map_structure(lambda value: value[None], logs)
    return logs
