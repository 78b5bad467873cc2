"""Applying a group's gradients, or not."""

import contextlib
from typing import Any, NamedTuple

import tensorflow as tf

from ..keras_version import IS_KERAS_3
from ..replicas import replicas, under_strategy, whole_sum

SUMMING = "_all_reduce_sum_gradients"


class Group(NamedTuple):
    """The gradients of the variables of one optimizer, of the whole batch."""

    gradients: list  # of the variables that the loss reaches
    variables: list
    norm: Any  # of all gradients together, before any clipping; scalar
    finite: Any  # scalar bool


def group(gradients, variables):
    """The `Group` of some variables.

    Args:
        gradients: list of tensors, None for a variable that the loss does not reach; of a replica its share, and the
            sum over all replicas is looked at, clipped and applied: all decide alike.
        variables: list of variables.
    """
    pairs = [(gradient, variable) for gradient, variable in zip(gradients, variables) if gradient is not None]
    if not pairs:
        return Group([], [], tf.constant(0.0), tf.constant(True))
    gradients, variables = map(list, zip(*pairs))
    gradients = whole_sum(gradients)
    norm = tf.linalg.global_norm([tf.cast(gradient, tf.float32) for gradient in gradients])
    return Group(gradients, variables, norm, tf.math.is_finite(norm))


def update(optimizer, group, condition=True):
    """Applies the gradients of a `Group` where the scalar bool `condition` holds and all of them are finite.

    Args:
        optimizer: Keras optimizer, built on the group's variables.
    """
    if not group.variables:
        return
    now = tf.logical_and(group.finite, condition)
    if under_strategy():  # of one replica, too: an optimizer does not ask how many
        arguments = now, optimizer, group.gradients, group.variables
        tf.distribute.get_replica_context().merge_call(apply_on_all, args=arguments)
    else:
        where(now, lambda: apply(optimizer, group.gradients, group.variables))


def where(condition, act):
    """Acts where the condition holds."""

    def acted():
        act()
        return tf.constant(True)

    tf.cond(tf.convert_to_tensor(condition), acted, lambda: tf.constant(False))


def apply(optimizer, gradients, variables):
    """One step of the optimizer; a replica's gradients are the sum already."""
    scale = optimizer.scale_loss if IS_KERAS_3 else lambda gradient: gradient  # Keras 3's `apply_gradients` undoes it
    options = {} if IS_KERAS_3 or replicas() == 1 else {"skip_gradients_aggregation": True}
    optimizer.apply_gradients(
        [(scale(gradient), variable) for gradient, variable in zip(gradients, variables)], **options
    )


def apply_on_all(strategy, now, optimizer, gradients, variables):
    """One step on every replica where `now` holds, which is the same on all.

    The condition is outside of the replicas, for inside one of them no other could be met, as optimizers do.
    """
    with summed_already(optimizer):
        where(
            strategy.experimental_local_results(now)[0],
            lambda: strategy.extended.call_for_each_replica(apply, args=(optimizer, gradients, variables)),
        )


@contextlib.contextmanager
def summed_already(optimizer):
    """Within, an optimizer of Keras 3 does not sum over replicas: it would, after it has clipped each one's part."""
    if not IS_KERAS_3:
        yield
        return
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(optimizer, SUMMING):
        raise NotImplementedError(f"This version of Keras has no {SUMMING}, so that gradients would be summed twice.")
    vars(optimizer)[SUMMING] = lambda pairs: pairs
    try:
        yield
    finally:
        del vars(optimizer)[SUMMING]
