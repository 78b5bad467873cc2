"""Replicas of a model that share a batch, under `tf.distribute`: what each has to know of the whole.

Where there is one replica, and outside of `Strategy.run`, the whole is what is here, and nothing is sent.
"""

import tensorflow as tf


def replicas():
    """How many replicas share the batch of the running step."""
    context = tf.distribute.get_replica_context()  # None outside of `Strategy.run`
    return 1 if context is None else context.num_replicas_in_sync


def under_strategy():
    """Whether this is a replica's part of a step, if only of one replica: variables are then the strategy's."""
    return tf.distribute.get_replica_context() is not None and tf.distribute.has_strategy()


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
    """How many rows of the whole batch the replicas before this one have.

    Args:
        rows: how many this one has.
        alike: whether all have as many, as `equal_parts` makes sure; then nothing is sent.
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
