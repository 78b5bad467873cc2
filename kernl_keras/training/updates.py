"""Applying a group's gradients, or not."""

import contextlib
import math
from typing import Any, NamedTuple

import tensorflow as tf

from ..keras_version import IS_KERAS_3
from ..replicas import replicas, under_strategy, whole_sum
from .scaling import as_received, can_be_lowered, is_dynamic, unscaled

SUMMING = "_all_reduce_sum_gradients"


class Group(NamedTuple):
    """The gradients of the variables of one optimizer, of the whole batch."""

    gradients: list  # of the variables that the loss reaches; times the optimizer's loss scale
    variables: list
    norm: Any  # of all gradients together, not scaled, before any clipping; scalar
    finite: Any  # scalar bool
    overflow: Any  # scalar bool: they are not, and the optimizer's loss scale may be to blame


def group(gradients, variables, optimizer):
    """The `Group` of some variables.

    Args:
        gradients: list of tensors as of `scaled_gradients`, None for a variable that the loss does not reach; of a
            replica its share, and the sum over all replicas is looked at, clipped and applied: all decide alike.
        variables: list of variables.
        optimizer: theirs.
    """
    pairs = [(gradient, variable) for gradient, variable in zip(gradients, variables) if gradient is not None]
    if not pairs:
        return Group([], [], tf.constant(0.0), tf.constant(True), tf.constant(False))
    gradients, variables = map(list, zip(*pairs))
    gradients = whole_sum(gradients)
    norm = tf.linalg.global_norm([tf.cast(unscaled(gradient, optimizer), tf.float32) for gradient in gradients])
    finite = tf.math.is_finite(norm)
    overflow = tf.logical_and(tf.logical_not(finite), can_be_lowered(optimizer))
    return Group(gradients, variables, norm, finite, overflow)


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


def lower_loss_scale(optimizer, group, condition):
    """Has a `LossScaleOptimizer` halve its scale where the scalar bool `condition` holds.

    It does so where gradients are not finite, and moves no weight then.
    """
    if is_dynamic(optimizer):
        nan = [tf.fill(variable.shape, tf.constant(math.nan, variable.dtype)) for variable in group.variables]
        update(optimizer, group._replace(gradients=nan, finite=tf.constant(True)), condition)


def where(condition, act):
    """Acts where the condition holds."""

    def acted():
        act()
        return tf.constant(True)

    tf.cond(tf.convert_to_tensor(condition), acted, lambda: tf.constant(False))


def apply(optimizer, gradients, variables):
    """One step of the optimizer; a replica's gradients are the sum already."""
    options = {} if IS_KERAS_3 or replicas() == 1 else {"skip_gradients_aggregation": True}
    optimizer.apply_gradients(list(zip(as_received(gradients, optimizer), variables)), **options)


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
