"""Loss scaling: an optimizer that multiplies the loss, so that tiny gradients do not become 0 in half precision.

The gradients that come of it are as many times larger all the way back to the weights, and the optimizer gets them so.
"""

import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras


def loss_scale(optimizer):
    """What the optimizer multiplies the loss by, scalar; None for optimizers that leave it as it is."""
    scaled = getattr(optimizer, "scale_loss" if IS_KERAS_3 else "get_scaled_loss", lambda loss: loss)
    one = tf.constant(1.0)
    scale = scaled(one)
    return None if scale is one else tf.convert_to_tensor(scale)


def is_dynamic(optimizer):
    """Whether the optimizer makes the scale smaller where gradients are not finite, and larger in time."""
    return isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer) and getattr(optimizer, "dynamic", True)


def optimizer_variables(optimizer):
    """All variables of an optimizer; Keras 2 does not count those of a loss scale among them."""
    if IS_KERAS_3 or not is_dynamic(optimizer):
        return optimizer.variables
    return [*optimizer.variables, optimizer._loss_scale.current_loss_scale, optimizer.dynamic_counter]


def can_be_lowered(optimizer):
    """Whether a loss scale may be to blame for gradients that are not finite; scalar bool."""
    return loss_scale(optimizer) > 1.0 if is_dynamic(optimizer) else tf.constant(False)


def scaled_gradients(tape, loss, variables, optimizer):
    """The gradients of the loss times the scale, None for a variable that it does not reach.

    Args:
        tape: `tf.GradientTape`, persistent.
        loss: scalar, not scaled.
        variables: list of variables.
        optimizer: which receives them.
    """
    if not variables:
        return []
    scale = loss_scale(optimizer)
    return tape.gradient(loss, variables, None if scale is None else tf.cast(scale, loss.dtype))


def unscaled(gradient, optimizer):
    """A gradient without the scale of the optimizer, in float32 at least; also of `tf.IndexedSlices`."""
    scale = loss_scale(optimizer)
    if scale is None:
        return gradient
    wide = gradient if gradient.dtype == tf.float64 else tf.cast(gradient, tf.float32)
    return tf.math.scalar_mul(1.0 / tf.cast(scale, wide.dtype), wide)


def as_received(gradients, optimizer):
    """Scaled gradients as `apply_gradients` wants them: in Keras 2 a `LossScaleOptimizer` has them unscaled before."""
    if IS_KERAS_3 or not hasattr(optimizer, "get_unscaled_gradients"):
        return gradients
    return optimizer.get_unscaled_gradients(gradients)
