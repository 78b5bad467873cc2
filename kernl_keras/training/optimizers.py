"""The two optimizers of a model, one for M and gamma and one for all other weights: gradients, updates and averages.

An optimizer with a loss scale multiplies the loss and divides the gradients, so that tiny ones survive half precision.
"""

import contextlib
import math
import warnings
from typing import Any, NamedTuple

import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras, serializable
from ..layers.names import layers_that_learn_constants, rule_layers
from ..replicas import act_if, replicas, whole_sum

_SUMMING = "_all_reduce_sum_gradients"


@serializable
class LeastSquares(keras.optimizers.SGD):
    """M moves to what the least squares of a batch give, Eq. (45), by the share `learning_rate`.

    The layers give the step in the place of the gradient of F, see `rules.sensitivity_loss`. Where least squares cannot
    find M, it is plain SGD.
    """


class Group(NamedTuple):
    """The variables of one optimizer that the loss reaches, and their gradients of the whole batch."""

    optimizer: Any
    variables: list
    gradients: list  # times the optimizer's loss scale
    norm: Any  # norm of all gradients together, without the scale, before any clipping; scalar
    finite: Any  # scalar bool
    overflow: Any  # scalar bool: they are not finite, and the optimizer's loss scale may be to blame


def variable_groups(model):
    """`(M and gamma of all layers, all other trainable weights)`."""
    sensitivity = [weight for layer in rule_layers(model) for weight in layer.sensitivity_weights]
    theirs = {id(weight) for weight in sensitivity}
    return sensitivity, [weight for weight in model.trainable_variables if id(weight) not in theirs]


def build_optimizers(model):
    """Builds each optimizer on its own variables, so that a saved model finds its slots again.

    Constants that learn have no weight decay: it would draw their logarithms to 0, and tau to 1 ms.
    """
    layers = layers_that_learn_constants(model)
    constants = [weight for layer in layers for weight in layer.cell.learned_weights().values()]
    for optimizer, variables in zip((model.sensitivity_optimizer, model.optimizer), variable_groups(model)):
        if not (getattr(optimizer, "built", False) or getattr(optimizer, "_built", False)):
            with tf.init_scope():
                optimizer.build(variables)
        leave_out_of_decay(optimizer, constants)


def leave_out_of_decay(optimizer, variables):
    """These variables get no weight decay by the optimizer, nor by those that it has inside."""
    for each in (getattr(optimizer, "inner_optimizer", optimizer), *getattr(optimizer, "optimizers", ())):
        if variables and getattr(each, "weight_decay", None):
            # Keras' `exclude_from_weight_decay` would forget what a user has left out.
            others = getattr(each, "_exclude_from_weight_decay", ())
            each._exclude_from_weight_decay = {*others, *map(each._var_key, variables)}
            getattr(each, "_exclude_from_weight_decay_cache", {}).clear()


def schedule(model):
    """Whether a step updates M and gamma, and whether the weights, two scalar bools: by the optimizers' own counts.

    While M learns alone, the count of the weights' optimizer stands still, at any number.
    """
    if not variable_groups(model)[0]:
        return False, True
    steps, warm = (
        tf.cast(tf.convert_to_tensor(optimizer.iterations), tf.int64)
        for optimizer in (model.optimizer, model.sensitivity_optimizer)
    )
    alone = warm < model.sensitivity_only
    return tf.logical_or(alone, steps % model.sensitivity_every == 0), tf.logical_not(alone)


def loss_scale(optimizer):
    """The factor by which the optimizer multiplies the loss, scalar; None without one."""
    scaled = getattr(optimizer, "scale_loss" if IS_KERAS_3 else "get_scaled_loss", lambda loss: loss)
    one = tf.constant(1.0)
    scale = scaled(one)
    return None if scale is one else tf.convert_to_tensor(scale)


def is_dynamic(optimizer):
    """True if the optimizer lowers its scale after gradients that are not finite, and raises it in time."""
    return isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer) and getattr(optimizer, "dynamic", True)


def optimizer_variables(optimizer):
    """All variables of an optimizer; Keras 2 does not count those of a loss scale among them."""
    if IS_KERAS_3 or not is_dynamic(optimizer):
        return optimizer.variables
    return [*optimizer.variables, optimizer._loss_scale.current_loss_scale, optimizer.dynamic_counter]


def unscaled(gradient, scale):
    """A gradient, or `tf.IndexedSlices`, divided by the loss scale, in float32 at least."""
    if scale is None:
        return gradient
    wide = gradient if gradient.dtype == tf.float64 else tf.cast(gradient, tf.float32)
    return tf.math.scalar_mul(1.0 / tf.cast(scale, wide.dtype), wide)


def take_gradients(tape, loss, variables, optimizer):
    """The `Group` of some variables, by a persistent tape; `loss` is a replica's share, not scaled, or None."""
    scale, gradients = loss_scale(optimizer), []
    if variables and loss is not None:
        gradients = tape.gradient(loss, variables, None if scale is None else tf.cast(scale, loss.dtype))
    pairs = [(variable, gradient) for variable, gradient in zip(variables, gradients) if gradient is not None]
    if not pairs:
        return Group(optimizer, [], [], tf.constant(0.0), tf.constant(True), tf.constant(False))
    variables, gradients = map(list, zip(*pairs))
    gradients = whole_sum(gradients)
    norm = tf.linalg.global_norm([tf.cast(unscaled(gradient, scale), tf.float32) for gradient in gradients])
    finite = tf.math.is_finite(norm)
    overflow = tf.logical_and(tf.logical_not(finite), scale > 1.0 if is_dynamic(optimizer) else tf.constant(False))
    return Group(optimizer, variables, gradients, norm, finite, overflow)


def warn_of_unreached(variables, group):
    """Warns, as Keras does, of variables that the loss does not reach, and so have no place in their `Group`."""
    reached = set(map(id, group.variables))
    if names := [getattr(each, "path", each.name) for each in variables if id(each) not in reached]:
        warnings.warn(
            f"Gradients do not exist for variables {names} when minimizing the loss. Errors do not go through the "
            "initial and final states of a kernl_keras.RNN, but with rule=kernl_keras.rules.BPTT(tape=True).",
            stacklevel=2,
        )


def update(group, condition):
    """Applies the gradients of a `Group` where the scalar bool `condition` holds."""
    optimizer = group.optimizer

    def apply(gradients):
        if not IS_KERAS_3 and hasattr(optimizer, "get_unscaled_gradients"):
            gradients = optimizer.get_unscaled_gradients(gradients)
        summed = {} if IS_KERAS_3 or replicas() == 1 else {"skip_gradients_aggregation": True}
        optimizer.apply_gradients(list(zip(gradients, group.variables)), **summed)

    def apply_on_all(strategy, gradients):
        if strategy is None:
            return apply(gradients)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if IS_KERAS_3 and not hasattr(inner, _SUMMING):
            raise NotImplementedError(
                f"This version of Keras has no {_SUMMING}, so that gradients would be summed twice."
            )
        vars(inner)[_SUMMING] = lambda pairs: pairs  # Keras 3 would sum over replicas after clipping each part
        try:
            strategy.extended.call_for_each_replica(apply, args=(gradients,))
        finally:
            del vars(inner)[_SUMMING]

    if group.variables:
        act_if(condition, apply_on_all, group.gradients)


def lower_loss_scale(group, condition):
    """Halves the scale of a `LossScaleOptimizer`: it does so by itself at gradients of NaN, which change no weight."""
    if is_dynamic(group.optimizer):
        nan = [tf.fill(variable.shape, tf.constant(math.nan, variable.dtype)) for variable in group.variables]
        update(group._replace(gradients=nan), condition)


def give_averages(model):
    """Sets the weights to their averages, by each optimizer with `use_ema`; M by least squares follows them."""
    solves = isinstance(model.sensitivity_optimizer, LeastSquares)
    layers = [layer for layer in rule_layers(model) if solves and layer.sensitivity_weights]
    following = [(layer, layer.cell.direct_effect()) for layer in layers if layer.rule.solvable(layer)]
    for optimizer, variables in zip((model.sensitivity_optimizer, model.optimizer), variable_groups(model)):
        type(optimizer).finalize_variable_values(optimizer, variables)
    for layer, before in following:
        layer.sensitivity_tensor.assign_add(layer.cell.direct_effect() - before)


@contextlib.contextmanager
def ending_in_averages(model):
    """Within, `fit` ends with the averages of both optimizers; Keras would give all variables to one of them."""
    attributes = {} if getattr(model, "optimizer", None) is None else vars(model.optimizer)
    attributes["finalize_variable_values"] = lambda _: give_averages(model)
    try:
        yield
    finally:
        del attributes["finalize_variable_values"]


@contextlib.contextmanager
def averaged(model):
    """Within, the weights are their averages, as by Keras 3's `SwapEMAWeights` for one optimizer."""
    kept = [(variable, variable.numpy()) for variables in variable_groups(model) for variable in variables]
    give_averages(model)
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def scheduled_rate(optimizer):
    """The learning rate of the next step by the optimizer's schedule, a float; None without one."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a `LossScaleOptimizer`
    # Keras 2's `learning_rate` is a schedule's value at the last step.
    rate = getattr(optimizer, "_learning_rate", optimizer.learning_rate)
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return float(rate(optimizer.iterations)) if is_schedule else None


def learning_rate(optimizer):
    """The present learning rate, of a schedule that of the next step, a float."""
    scheduled = scheduled_rate(optimizer)
    return float(getattr(optimizer, "inner_optimizer", optimizer).learning_rate) if scheduled is None else scheduled
