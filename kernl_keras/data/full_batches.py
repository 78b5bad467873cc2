"""Batches of one size, so that XLA compiles a training step once."""

import tensorflow as tf

from ..checks import integer


def full_batches(data: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Fills a short batch, such as the last of an epoch, with examples of weight 0.

    XLA compiles a training step anew, for seconds, for every size of a batch. Here every batch has one size; what fills
    it are copies of the batch's own examples, which weigh nothing in a loss, in `weighted_metrics`, in the sensitivity
    loss and in the activity. With a loss of `reduction="mean_with_sample_weight"` (Keras 3) or "sum" a training step is
    then exactly that of the short batch. The mean loss that Keras reports of an epoch takes every batch by its size,
    the filled one too, and `metrics` (not weighted) count the copies.

    Args:
        data: `tf.data.Dataset` of batches (x, y) or (x, y, sample_weight [B]); x and y may be nested.
        batch_size: B, the size of every batch.

    Returns:
        `tf.data.Dataset` of (x, y, sample_weight [B] float32).

    Raises:
        ValueError: for a `batch_size` < 1, and for data without targets.
        tf.errors.InvalidArgumentError: when it runs, for a batch that has more examples.

    Example:

    >>> data = tf.data.Dataset.from_tensor_slices(([[1.0], [2.0], [3.0]], [0, 1, 2])).batch(2)
    >>> [weight.numpy().tolist() for x, y, weight in full_batches(data, 2)]
    [[1.0, 1.0], [1.0, 0.0]]

    Source: padding with zero weights, as TensorFlow's guide to distributed evaluation does.
    """
    batch_size = integer("batch_size", batch_size)
    if not isinstance(data.element_spec, tuple) or len(data.element_spec) not in (2, 3):
        raise ValueError(f"data must have batches (x, y) or (x, y, sample_weight); received {data.element_spec}.")

    def fill(x, y, weight=None):
        count = tf.shape(tf.nest.flatten(x)[0])[0]
        check = tf.debugging.assert_less_equal(count, batch_size, f"data must have batches of at most {batch_size}.")
        with tf.control_dependencies([check]):
            count = tf.identity(count)  # all that follows waits for the check
        rows = tf.range(batch_size) % count
        weight = tf.ones(count) if weight is None else tf.reshape(tf.cast(weight, tf.float32), (-1,))
        weight = tf.pad(weight, [[0, batch_size - count]])
        x, y = tf.nest.map_structure(
            lambda part: tf.ensure_shape(tf.gather(part, rows), (batch_size, *part.shape[1:])), (x, y)
        )
        return x, y, tf.ensure_shape(weight, (batch_size,))

    return data.map(fill, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
