"""Batches whose order is a pure function of (seed, epoch), so that training can be resumed exactly; and full ones."""

import itertools
from typing import NamedTuple

import tensorflow as tf

from ..checks import flag, integer


class Splits(NamedTuple):
    """One number for each part of the data.

    Attributes:
        train, validation, test: int.

    Example:
        >>> Splits(train=6500, validation=500, test=1000).test
        1000
    """

    train: int
    validation: int
    test: int


class SequenceData(NamedTuple):
    """Three pipelines of batches (x [B, T, I] float32, y) and their sizes: the data of a task.

    Attributes:
        train: `tf.data.Dataset` of full batches. Each pass over it has the order of the next epoch. With `repeat=True`
            it is one endless stream of epochs.
        validation, test: `tf.data.Dataset` of all examples in a fixed order; `validation` is None if it has none.
        examples, steps_per_epoch: `Splits`, the number of examples and of batches of each part.
        time_steps, features: int, T and I.
        description: str, where the data come from.

    Example:
        >>> import kernl_keras as kk
        >>> data = kk.data.adding_problem(steps=30, batch_size=4)
        >>> data.time_steps, data.features, data.steps_per_epoch.train
        (30, 2, 25000)
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset
    examples: Splits
    steps_per_epoch: Splits
    time_steps: int
    features: int
    description: str


def sequence_data(make_batch, first, examples, description, *, batch_size, seed, repeat, skip_batches):
    """The `SequenceData` of a function of example numbers.

    Args:
        make_batch: `(indices [B] int64, key) -> (x [B, T, I], y)`. The key, int64 [2], is for what is drawn anew
            whenever an example is trained on; no two batches of a stream have the same. It is None outside of training.
        first, examples: `Splits`, the number of the first example of each part, and how many it has.
    """
    batch_size = integer("batch_size", batch_size)
    if batch_size > examples.train:
        raise ValueError(f"batch_size must be at most the {examples.train} training examples; received {batch_size}.")
    seed = integer("seed", seed, low=0)

    def make_train_batch(number, indices):
        return make_batch(indices, tf.stack([tf.constant(seed, tf.int64), number]))

    def in_order(start, count):
        indices = tf.data.Dataset.range(start, start + count).batch(batch_size)
        return indices.map(lambda each: make_batch(each, None)).prefetch(tf.data.AUTOTUNE)

    train = numbered_indices(first.train, examples.train, batch_size, seed, repeat, skip_batches)
    train = train.map(make_train_batch).prefetch(tf.data.AUTOTUNE)
    _, time_steps, features = train.element_spec[0].shape
    steps = Splits(examples.train // batch_size, *(-(-size // batch_size) for size in examples[1:]))
    validation = in_order(first.validation, examples.validation) if examples.validation else None
    test = in_order(first.test, examples.test)
    return SequenceData(train, validation, test, examples, steps, time_steps, features, description)


def array_data(x, y, examples, description, augment=None, finish=None, **settings):
    """The `SequenceData` of arrays that hold the examples for training, for validation and for testing in turn.

    Each batch of x becomes float32, goes through `augment(x, key)` in training alone, and through `finish(x)`.
    """
    with tf.device("CPU"):  # where tf.data works; a GPU would take the constants otherwise
        all_x, all_y = tf.constant(x), tf.constant(y)

    def make_batch(indices, key):
        x = tf.cast(tf.gather(all_x, indices), tf.float32)
        x = x if augment is None or key is None else augment(x, key)
        return x if finish is None else finish(x), tf.gather(all_y, indices)

    first = Splits(0, examples.train, examples.train + examples.validation)
    return sequence_data(make_batch, first, examples, description, **settings)


def held_out(validation, train, total, words):
    """`Splits` of `total` examples, the first `train` of them for training, less those for validation."""
    validation = integer("validation", validation, low=0)
    if validation >= train:
        raise ValueError(f"validation must leave some of the {train} training {words}; received {validation}.")
    return Splits(train - validation, validation, total - train)


def counted(examples, words=""):
    """The sizes of the parts in words, the end of a description."""
    train, validation, test = (f"{size:,}" for size in examples)
    return f"{train}{words} for training, {validation} for validation, {test} for testing"


def numbered_indices(first, examples, batch_size, seed, repeat=False, skip_batches=0):
    """The number of each batch since the stream began, and its shuffled example numbers [B] int64.

    All batches are full: every epoch leaves out a few examples, and others each time. Skipping makes no example.
    """
    steps = examples // batch_size
    repeat = flag("repeat", repeat)
    skip_batches = integer("skip_batches", skip_batches, low=0)
    if skip_batches and not repeat:
        raise ValueError(f"skip_batches must be 0 unless repeat=True; received {skip_batches!r}.")
    first_epoch, first_step = divmod(skip_batches, steps)

    def epoch_batches(epoch):
        # not random.experimental.index_shuffle: its orders for neighbouring seeds resemble each other (correlation 0.8)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(first, first + examples, dtype=tf.int64), [seed, epoch], alg="philox"
        )
        order = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        numbered = tf.data.Dataset.from_tensor_slices((epoch * steps + tf.range(steps, dtype=tf.int64), order))
        return numbered.skip(tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0))

    if repeat:
        epochs = tf.data.Dataset.counter(first_epoch)
    else:
        passes = itertools.count()  # one number for each pass that is made over the dataset
        epochs = tf.data.Dataset.from_generator(lambda: [next(passes)], output_signature=tf.TensorSpec((), tf.int64))
    length = tf.data.INFINITE_CARDINALITY if repeat else steps
    return epochs.flat_map(epoch_batches).apply(tf.data.experimental.assert_cardinality(length))


def full_batches(data: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Fills up a short batch, such as the last one of an epoch, with examples of weight 0.

    For every new batch size XLA compiles the training step again, which takes seconds. Here a short batch is filled
    with copies of its own examples, of weight 0 in the loss, in `weighted_metrics`, in the sensitivity loss and in the
    activity. With `reduction="mean_with_sample_weight"` (Keras 3) or "sum" as the reduction of the loss, a training
    step is exactly that of the short batch. Two numbers that Keras reports do count the copies: the mean loss of an
    epoch, which weights every batch by its size, and `metrics` without weights.

    Args:
        data: `tf.data.Dataset` of batches (x, y) or (x, y, sample_weight), with weights [B], or [B, T] for answers at
            every step; x and y may be nested.
        batch_size: B, the size of every batch.

    Returns:
        `tf.data.Dataset` of (x, y, sample_weight float32). Weights of examples are [B], or [B, 1] for targets with more
        than one axis, so that Keras spreads them over the steps of answers at every step. They are nested as y is.

    Raises:
        ValueError: for a `batch_size` < 1, and for data without targets.
        tf.errors.InvalidArgumentError: when it runs, for a batch with more than `batch_size` examples, or with none.

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
            "data must be a tf.data.Dataset of batches (x, y) or (x, y, sample_weight), as "
            f"tf.data.Dataset.from_tensor_slices((x, y)).batch({batch_size}) makes one of arrays; received "
            f"{spec or type(data).__name__}."
        )

    def fill(x, y, weight=None):
        count = tf.shape(tf.nest.flatten(x)[0])[0]
        fits = (count > 0) & (count <= batch_size)
        check = tf.debugging.Assert(fits, [f"data must have batches of 1 to {batch_size} examples; received", count])
        with tf.control_dependencies([check]):
            count = tf.identity(count)  # all that follows waits for the check
        rows = tf.range(batch_size) % count

        def weights_of(target, weight):
            weight = tf.cast(weight, tf.float32)
            weight = weight[:, None] if weight.shape.rank == 1 and target.shape.rank > 1 else weight
            weight = tf.pad(weight, [[0, batch_size - count], *([0, 0] for _ in weight.shape[1:])])
            return tf.ensure_shape(weight, (batch_size, *weight.shape[1:]))

        weight = tf.ones(count) if weight is None else weight
        if not tf.nest.is_nested(weight):  # it is that of all targets
            weight = tf.nest.map_structure(lambda target: weight, y)
        weight = tf.nest.map_structure(weights_of, y, weight)
        x, y = tf.nest.map_structure(
            lambda part: tf.ensure_shape(tf.gather(part, rows), (batch_size, *part.shape[1:])), (x, y)
        )
        return x, y, weight

    return data.map(fill, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
