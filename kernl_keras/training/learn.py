"""The two updates of a training step: M and gamma first, then all other weights with the new M and gamma."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..layers.find import rule_layers
from ..replicas import whole_sum
from .nonfinite import Suspect, all_finite, suspects_of_call
from .scaling import optimizer_variables, scaled_gradients, unscaled
from .updates import group, lower_loss_scale, update


class Schedule(NamedTuple):
    """Whether a step updates M and gamma, and whether it updates the weights; scalar bools."""

    sensitivity: Any
    weights: Any


class Learned(NamedTuple):
    """What came of the two updates of a step."""

    of_sensitivity: Any  # `updates.Group` of M and gamma
    of_weights: Any  # of all other weights
    left: list  # `Suspect` of new states, and of what else the forward pass has moved
    losses: list  # `Suspect` of the weights' loss and, where M and gamma learn, of F; of the whole batch
    finite: Any  # scalar bool: all of these, and the gradients
    overflow: Any  # scalar bool: gradients are not, because of a loss scale that is to be lowered
    good: Any  # scalar bool: finite, and training has not stopped


def variable_groups(model):
    """`(M and gamma of all layers, all other trainable weights)`."""
    sensitivity = [weight for layer in rule_layers(model) for weight in layer.sensitivity_weights]
    theirs = {id(weight) for weight in sensitivity}
    return sensitivity, [weight for weight in model.trainable_variables if id(weight) not in theirs]


def build_optimizers(model):
    """Each optimizer on its own variables, so that a saved model finds its slots again."""
    for optimizer, variables in zip((model.sensitivity_optimizer, model.optimizer), variable_groups(model)):
        if not getattr(optimizer, "built", False) and not getattr(optimizer, "_built", False):
            with tf.init_scope():
                optimizer.build(variables)


def schedule(model):
    """The `Schedule` of a step. The optimizers' own counts decide, so a resumed run goes on as before."""
    if not variable_groups(model)[0]:
        return Schedule(False, True)
    steps, warm = (
        tf.cast(tf.convert_to_tensor(optimizer.iterations), tf.int64)
        for optimizer in (model.optimizer, model.sensitivity_optimizer)
    )
    return Schedule(steps % model.sensitivity_every == 0, warm >= model.sensitivity_only)


def learn(model, forward, going_on, kept):
    """Both updates, unless something is not finite.

    Args:
        forward: `Forward`.
        going_on: scalar bool, False once training has stopped.
        kept: `Kept`, which has what lasts as it was before the forward pass. M and gamma and their optimizer are added
            to it: they have learned before the gradient of the weights is known.

    Returns:
        `Learned`.
    """
    build_optimizers(model)
    (sensitivity, weights), now = variable_groups(model), schedule(model)
    left = suspects_of_call(model, kept)
    kept.add([*sensitivity, *optimizer_variables(model.sensitivity_optimizer)])
    losses = [Suspect("loss", "result", whole_sum(forward.loss))]
    if forward.sensitivity_loss is not None:
        losses.append(Suspect("sensitivity loss F", "result", whole_sum(forward.sensitivity_loss)))
    of_sensitivity = group_of(forward.tape, forward.sensitivity_loss, sensitivity, model.sensitivity_optimizer)
    update(model.sensitivity_optimizer, of_sensitivity, tf.logical_and(going_on, now.sensitivity))
    of_weights = group_of(forward.tape, forward.loss, weights, model.optimizer)
    groups, before = (of_sensitivity, of_weights), all_finite([*left, *losses])
    finite = tf.reduce_all(tf.stack([before, *(each.finite for each in groups)]))
    explained = tf.reduce_all(tf.stack([before, *(tf.logical_or(each.finite, each.overflow) for each in groups)]))
    good = tf.logical_and(going_on, finite)
    update(model.optimizer, of_weights, tf.logical_and(good, now.weights))
    overflow = tf.reduce_all(tf.stack([going_on, explained, tf.logical_not(finite)]))
    return Learned(of_sensitivity, of_weights, left, losses, finite, overflow, good)


def lower_loss_scales(model, learned):
    """Has each optimizer whose gradients overflowed lower its loss scale; all else of the batch has been put back.

    Args:
        learned: `Learned`.
    """
    groups = (model.sensitivity_optimizer, learned.of_sensitivity), (model.optimizer, learned.of_weights)
    for optimizer, each in groups:
        lower_loss_scale(optimizer, each, tf.logical_and(learned.overflow, each.overflow))


def group_of(tape, loss, variables, optimizer):
    """The `Group` of the variables of an optimizer, by the gradients of a loss; the tape is persistent."""
    return group(scaled_gradients(tape, loss, variables, optimizer), variables, optimizer)


def gradients_of_both(model, forward):
    """Without an update in between: of M and gamma F's gradient, of all other weights the loss's.

    Args:
        forward: `Forward`.

    Returns:
        list of gradients of the whole batch, in the order of `trainable_variables`; None where no loss reaches.
    """
    found, losses = {}, (forward.sensitivity_loss, forward.loss)
    optimizers = model.sensitivity_optimizer, model.optimizer
    for loss, variables, optimizer in zip(losses, variable_groups(model), optimizers):
        for variable, gradient in zip(variables, scaled_gradients(forward.tape, loss, variables, optimizer)):
            found[id(variable)] = gradient if gradient is None else unscaled(whole_sum(gradient), optimizer)
    return [found[id(variable)] for variable in model.trainable_variables]
