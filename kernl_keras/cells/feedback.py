"""A matrix product whose errors come back by fixed weights: random feedback."""

import tensorflow as tf


def product_with_feedback(inputs, kernel, feedback):
    """z W, whose gradient by z is e B^T where backpropagation has e W^T; that by W is z^T e as ever.

    Args:
        inputs: z [n, H].
        kernel: W [H, O].
        feedback: B [H, O], which has no gradient.

    Returns:
        [n, O].

    Example:

    >>> z, w, b = tf.constant([[1.0, 2.0]]), tf.constant([[3.0], [4.0]]), tf.constant([[5.0], [6.0]])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(z)
    ...     y = product_with_feedback(z, w, b)
    >>> y.numpy().tolist(), tape.gradient(y, z).numpy().tolist()
    ([[11.0]], [[5.0, 6.0]])

    Source: Lillicrap, Cownden, Tweed, Akerman, Random synaptic feedback weights support error backpropagation for deep
    learning, Nature Communications 7:13276 (2016).
    """
    feedback = tf.stop_gradient(feedback)

    @tf.custom_gradient
    def product(inputs, kernel):
        def gradient(error):
            return tf.matmul(error, feedback, transpose_b=True), tf.matmul(inputs, error, transpose_a=True)

        return tf.matmul(inputs, kernel), gradient

    return product(inputs, tf.convert_to_tensor(kernel))
