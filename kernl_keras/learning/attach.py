"""A rule's gradient in the place of the loop's: forward the loop's outputs, backward what the rule says."""

import tensorflow as tf


def attach_gradient(outputs, inputs, kernel, recurrent_weights, bias, rule_gradient):
    """`outputs`, whose gradient by inputs and weights is the rule's.

    Args:
        outputs: what the loop gave [T, B, H], with its gradient stopped.
        inputs: x [T, B, I].
        kernel: W_in [I, H].
        recurrent_weights: W_rec [H, H].
        bias: [H], or None.
        rule_gradient: error of the outputs L [T, B, H] -> dC/dI(t) [T, B, H] and dC/dW [I+H+1, H].

    Returns:
        [T, B, H], equal to `outputs`.
    """
    size, units = kernel.shape

    @tf.custom_gradient
    def attached(inputs, kernel, recurrent_weights, bias):
        def gradient(error):
            current_error, weight_gradient = rule_gradient(error)
            of_kernel, of_recurrent, of_bias = tf.split(weight_gradient, (size, units, 1))
            of_inputs = tf.einsum("tbh,ih->tbi", current_error, kernel)  # Eq. (15)
            return of_inputs, of_kernel, of_recurrent, of_bias[0]

        return tf.identity(outputs), gradient

    bias = tf.zeros(units, outputs.dtype) if bias is None else tf.convert_to_tensor(bias)
    return attached(inputs, tf.convert_to_tensor(kernel), recurrent_weights, bias)
