"""Batches of one size, so that XLA compiles a training step once."""

import tensorflow as tf

from ..checks import integer


def full_batches(data: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Fills up a short batch, such as the last one of an epoch, with examples of weight 0.

    For every new batch size XLA compiles the training step again, which takes seconds. Here all batches have the same
    size. A short one is filled with copies of its own examples. They have weight 0 in the loss, in `weighted_metrics`,
    in the sensitivity loss and in the activity. With `reduction="mean_with_sample_weight"` (Keras 3) or "sum" as the
    reduction of the loss, a training step is exactly that of the short batch. Two numbers that Keras reports do count
    the copies: the mean loss of an epoch, which weights every batch by its size, and `metrics` without weights.

    Args:
        data: `tf.data.Dataset` of batches (x, y) or (x, y, sample_weight), with weights [B], or [B, T] for answers at
            every step; x and y may be nested.
        batch_size: B, the size of every batch.

    Returns:
        `tf.data.Dataset` of (x, y, sample_weight float32). Weights of examples are [B], or [B, 1] where y has more than
        one axis, so that Keras spreads them over the steps of answers at every step.

    Raises:
        ValueError: for a `batch_size` < 1, and for data without targets.
        tf.errors.InvalidArgumentError: when it runs, for a batch with more than `batch_size` examples.

    Example:

    >>> import tensorflow as tf, kernl_keras as kk
    >>> data = tf.data.Dataset.from_tensor_slices(([[1.0], [2.0], [3.0]], [0, 1, 2])).batch(2)
    >>> [weight.numpy().tolist() for x, y, weight in kk.data.full_batches(data, 2)]
    [[1.0, 1.0], [1.0, 0.0]]

    Source: padding with zero weights, as TensorFlow's guide to distributed evaluation does.
    """
    batch_size = integer("batch_size", batch_size)
    spec = getattr(data, "element_spec", None)
    if not isinstance(data, tf.data.Dataset) or not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(
            f"data must be a tf.data.Dataset of batches (x, y) or (x, y, sample_weight); received {spec or data!r}."
        )

    def fill(x, y, weight=None):
        count = tf.shape(tf.nest.flatten(x)[0])[0]
        check = tf.debugging.assert_less_equal(count, batch_size, f"data must have batches of at most {batch_size}.")
        with tf.control_dependencies([check]):
            count = tf.identity(count)  # all that follows waits for the check
        rows = tf.range(batch_size) % count
        weight = tf.ones(count) if weight is None else tf.cast(weight, tf.float32)
        if weight.shape.rank == 1 and not tf.nest.is_nested(y) and y.shape.rank > 1:
            weight = weight[:, None]
        weight = tf.pad(weight, [[0, batch_size - count], *([0, 0] for _ in weight.shape[1:])])
        x, y = tf.nest.map_structure(
            lambda part: tf.ensure_shape(tf.gather(part, rows), (batch_size, *part.shape[1:])), (x, y)
        )
        return x, y, tf.ensure_shape(weight, (batch_size, *weight.shape[1:]))

    return data.map(fill, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
