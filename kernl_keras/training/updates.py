"""Applying a group's gradients, or not."""

import tensorflow as tf

from ..keras_version import IS_KERAS_3


def update(optimizer, gradients, variables, condition=True):
    """Applies the gradients where `condition` holds and all of them are finite.

    Args:
        optimizer: Keras optimizer, built on `variables`.
        gradients: list of tensors, None for a variable that the loss does not reach.
        variables: list of variables.
        condition: scalar bool.

    Returns:
        the global norm of the gradients before any clipping, and 1.0 where they were not finite, else 0.0.
    """
    pairs = [(gradient, variable) for gradient, variable in zip(gradients, variables) if gradient is not None]
    if not pairs:
        return tf.constant(0.0), tf.constant(0.0)
    norm = tf.linalg.global_norm([tf.cast(gradient, tf.float32) for gradient, _ in pairs])
    finite = tf.math.is_finite(norm)

    scale = optimizer.scale_loss if IS_KERAS_3 else lambda gradient: gradient  # Keras 3's `apply_gradients` undoes it

    def apply():
        optimizer.apply_gradients([(scale(gradient), variable) for gradient, variable in pairs])
        return tf.constant(True)

    tf.cond(tf.logical_and(finite, condition), apply, lambda: tf.constant(False))
    return tf.where(finite, norm, tf.zeros_like(norm)), 1.0 - tf.cast(finite, norm.dtype)
