"""The two updates of a training step: M and gamma first, then all other weights with the new M and gamma."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..layers.find import rule_layers
from ..replicas import whole_sum
from .nonfinite import Suspect, all_finite, suspects_of_call
from .updates import group, update


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
    kept.add([*sensitivity, *model.sensitivity_optimizer.variables])
    losses = [Suspect("loss", "result", whole_sum(forward.loss))]
    if forward.sensitivity_loss is not None:
        losses.append(Suspect("sensitivity loss F", "result", whole_sum(forward.sensitivity_loss)))
    of_sensitivity = group(gradients(forward.tape, forward.sensitivity_loss, sensitivity), sensitivity)
    update(model.sensitivity_optimizer, of_sensitivity, tf.logical_and(going_on, now.sensitivity))
    of_weights = group(gradients(forward.tape, forward.loss, weights), weights)
    finite = [of_sensitivity.finite, of_weights.finite, all_finite([*left, *losses])]
    finite = tf.reduce_all(tf.stack(finite))
    good = tf.logical_and(going_on, finite)
    update(model.optimizer, of_weights, tf.logical_and(good, now.weights))
    return Learned(of_sensitivity, of_weights, left, losses, finite, good)


def gradients(tape, loss, variables):
    """The gradients of a loss, None for a variable that it does not reach."""
    return tape.gradient(loss, variables) if variables else []


def gradients_of_both(model, forward):
    """Without an update in between: of M and gamma F's gradient, of all other weights the loss's.

    Args:
        forward: `Forward`.

    Returns:
        list of gradients of the whole batch, in the order of `trainable_variables`; None where no loss reaches.
    """
    found = {}
    for loss, variables in zip((forward.sensitivity_loss, forward.loss), variable_groups(model)):
        for variable, gradient in zip(variables, gradients(forward.tape, loss, variables)):
            found[id(variable)] = gradient if gradient is None else whole_sum(gradient)
    return [found[id(variable)] for variable in model.trainable_variables]
