"""The adding problem: a number to remember, a long wait, and another number to add to it."""

import tensorflow as tf

from ..checks import integer
from .batches import SequenceData, drawn_examples


def adding_problem(
    steps: int = 100,
    *,
    batch_size: int = 50,
    examples: int = 100_000,
    validation: int = 1_000,
    test: int = 10_000,
    seed: int = 0,
    repeat: bool = False,
    skip_batches: int = 0,
) -> SequenceData:
    """Add the two marked numbers of a long sequence.

        x(t) = [number(t), marker(t)],    y = sum_t number(t) marker(t)

    The numbers are drawn from [0, 1). The marker is 1 at one step of each half and 0 elsewhere. The constant answer 1
    has a mean squared error of 2 / 12 = 0.167. A network that remembers does better.

    Args:
        steps: int >= 2, T.
        batch_size: int, B.
        examples, validation, test: int, how many examples each part has; `validation=0` gives no validation part.
            Examples are drawn when they are needed and take no memory.
        seed: int. Example i of a part depends on (seed, part, i) alone, and the order of the training examples on
            (seed, epoch).
        repeat, skip_batches: as in `sequential_mnist`.

    Returns:
        A `SequenceData` with the pipelines `train`, `validation` and `test` of (x float32 [B, T, 2], y float32 [B, 1])
        and their sizes.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import kernl_keras as kk
        >>> data = kk.data.adding_problem(steps=30, batch_size=4)
        >>> x, y = next(iter(data.train))
        >>> x.shape, y.shape
        (TensorShape([4, 30, 2]), TensorShape([4, 1]))
        >>> float(abs((x[..., 0] * x[..., 1]).numpy().sum(axis=1) - y[:, 0]).numpy().max()) < 1e-6
        True

    References:
        Hochreiter, Schmidhuber 1997, "Long short-term memory", experiment 4; in the form of Le, Jaitly, Hinton 2015, "A
        simple way to initialize recurrent networks of rectified linear units".
    """
    steps = integer("steps", steps, low=2)

    def make_example(key):
        """x [T, 2] and y [1] of one example."""
        keys = tf.random.split(key, 3, alg="philox")  # [3, 2]
        numbers = tf.random.stateless_uniform((steps,), keys[0], alg="philox")
        half = steps // 2
        early = tf.random.stateless_uniform((), keys[1], 0, half, tf.int32, alg="philox")
        late = tf.random.stateless_uniform((), keys[2], half, steps, tf.int32, alg="philox")
        markers = tf.one_hot(early, steps) + tf.one_hot(late, steps)
        return tf.stack([numbers, markers], axis=-1), tf.tensordot(numbers, markers, 1)[tf.newaxis]

    return drawn_examples(
        make_example,
        (tf.TensorSpec((steps, 2)), tf.TensorSpec((1,))),
        f"the adding problem over {steps} steps",
        examples=examples,
        validation=validation,
        test=test,
        batch_size=batch_size,
        seed=seed,
        repeat=repeat,
        skip_batches=skip_batches,
    )
