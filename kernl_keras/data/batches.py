"""Batches whose order is a pure function of (seed, epoch), so that training can be resumed exactly."""

import itertools
from typing import NamedTuple

import tensorflow as tf

from ..checks import flag, integer


class Splits(NamedTuple):
    """One number for each part of the data.

    Attributes:
        train, validation, test: int.

    Example:

    >>> import kernl_keras as kk
    >>> kk.data.Splits(train=6500, validation=500, test=1000)._asdict()["test"]
    1000
    """

    train: int
    validation: int
    test: int


class SequenceData(NamedTuple):
    """What every task returns: three pipelines of batches (x [B, T, I] float32, y) and their sizes.

    Attributes:
        train: `tf.data.Dataset` of full batches. Each pass over it has the order of the next epoch. With `repeat=True`
            it is one endless stream of epochs.
        validation: `tf.data.Dataset` of all validation examples in a fixed order, or None if there are none.
        test: `tf.data.Dataset` of all test examples in a fixed order.
        examples: `Splits`, the number of examples of each part.
        steps_per_epoch: `Splits`, the number of batches of each part.
        time_steps: int, T.
        features: int, I.
        description: str, a sentence that says where the data come from.

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


def sequence_data(make_batch, first, examples, description, *, batch_size, seed, repeat, skip_batches, augment=None):
    """Builds the three pipelines from a function of example numbers.

    Args:
        make_batch: `indices [B] int64 -> (x [B, T, I], y)`.
        first: `Splits`, the number of the first example of each part.
        examples: `Splits`, how many examples each part has.
        description: str, goes into the result.
        augment: `(x, key [2] int64) -> x`, applied to training batches alone. No two batches of a stream have one key.
        batch_size, seed, repeat, skip_batches: as in `kernl_keras.data.sequential_mnist`.

    Returns:
        A `SequenceData`.
    """
    batch_size = integer("batch_size", batch_size)
    if batch_size > examples.train:
        raise ValueError(f"batch_size must be at most the {examples.train} training examples; received {batch_size}.")
    seed = integer("seed", seed, low=0)
    numbered = numbered_indices(first.train, examples.train, batch_size, seed, repeat, skip_batches)

    def make_train_batch(number, indices):
        x, y = make_batch(indices)
        return (x if augment is None else augment(x, tf.stack([tf.constant(seed, tf.int64), number]))), y

    def in_order(start, count):
        return tf.data.Dataset.range(start, start + count).batch(batch_size)

    def batches(indices):
        return indices.map(make_batch).prefetch(tf.data.AUTOTUNE)

    train = numbered.map(make_train_batch).prefetch(tf.data.AUTOTUNE)
    return SequenceData(
        train=train,
        validation=batches(in_order(first.validation, examples.validation)) if examples.validation else None,
        test=batches(in_order(first.test, examples.test)),
        examples=examples,
        steps_per_epoch=Splits(
            examples.train // batch_size, -(-examples.validation // batch_size), -(-examples.test // batch_size)
        ),
        time_steps=train.element_spec[0].shape[1],
        features=train.element_spec[0].shape[2],
        description=description,
    )


def drawn_examples(
    make_example, spec, description, *, examples, validation, test, batch_size, seed, repeat, skip_batches
):
    """The `sequence_data` of examples that are drawn when they are needed.

    Args:
        make_example: `key [2] int64 -> (x [T, I], y)` of one example.
        spec: `tf.TensorSpec` of x and y.
        description: str, what an example is.
        examples, validation, test: int, how many examples each part has.
        batch_size, seed, repeat, skip_batches: as of `sequence_data`.
    """
    sizes = Splits(integer("examples", examples), integer("validation", validation, low=0), integer("test", test))
    seed = integer("seed", seed, low=0)

    def make_batch(indices):
        keys = tf.stack([tf.fill(tf.shape(indices), tf.constant(seed, tf.int64)), indices], -1)
        return tf.map_fn(make_example, keys, fn_output_signature=spec)

    return sequence_data(
        make_batch,
        first=Splits(0, 2**40, 2**41),  # far apart: an example does not depend on the sizes of the parts
        examples=sizes,
        description=f"{description}, drawn from seed {seed}: {sizes.train:,} examples for training, "
        f"{sizes.validation:,} for validation, {sizes.test:,} for testing",
        batch_size=batch_size,
        seed=seed,
        repeat=repeat,
        skip_batches=skip_batches,
    )


def numbered_indices(first, examples, batch_size, seed, repeat=False, skip_batches=0):
    """The number of each batch since the stream began, and its shuffled example numbers [B] int64.

    An epoch has `examples // batch_size` full batches. The examples that fill no batch are left out; every epoch leaves
    out others. Skipping costs no example: it starts at the epoch it belongs to and cuts that epoch's list of numbers.
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
