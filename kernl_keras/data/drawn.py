"""Tasks whose examples are drawn when they are needed: the adding problem, and A^n B^n."""

import tensorflow as tf

from ..checks import integer, number
from .batches import SequenceData, Splits, counted, sequence_data


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
        seed: int. Example i of a part depends on (seed, part, i) alone, and the training order on (seed, epoch).
        repeat, skip_batches: as in `sequential_mnist`.

    Returns:
        `SequenceData` of x float32 [B, T, 2] and y float32 [B, 1].

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import kernl_keras as kk
        >>> x, y = next(iter(kk.data.adding_problem(steps=30, batch_size=4).train))
        >>> x.shape, y.shape
        (TensorShape([4, 30, 2]), TensorShape([4, 1]))

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

    return _drawn_examples(
        make_example,
        (tf.TensorSpec((steps, 2)), tf.TensorSpec((1,))),
        f"the adding problem over {steps} steps",
        (examples, validation, test),
        **dict(batch_size=batch_size, seed=seed, repeat=repeat, skip_batches=skip_batches),
    )


def anbn(
    steps: int = 100,
    shortest: int = 1,
    longest: int = 10,
    *,
    batch_size: int = 50,
    examples: int = 100_000,
    validation: int = 1_000,
    test: int = 10_000,
    seed: int = 0,
    repeat: bool = False,
    skip_batches: int = 0,
) -> SequenceData:
    """Predict the next symbol of strings A^n B^n, one after the other: A A A B B B A B A A B B ...

        x(t) = the symbol at step t, one-hot,    y(t) = the symbol at step t + 1, 0 for A and 1 for B

    Each n is drawn anew, uniformly from `shortest` to `longest`. The number of A cannot be known in advance. A
    network that has counted them knows the rest of the string. If n is drawn from 1 to N, the best possible predictor
    is right at a share 1 - (1 - 1/N) / (N + 1) of the steps of a long sequence (92 % for N = 10). A predictor that
    always repeats the last symbol is right at 1 - 2 / (N + 1) (82 %).

    Args:
        steps: int >= 2, T.
        shortest, longest: int, from which n are drawn. Example i begins with a whole string and ends anywhere.
        batch_size, examples, validation, test, seed: as in `adding_problem`.
        repeat, skip_batches: as in `sequential_mnist`.

    Returns:
        `SequenceData` of x float32 [B, T, 2] and y int32 [B, T].

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import kernl_keras as kk
        >>> x, y = next(iter(kk.data.anbn(steps=12, shortest=2, longest=2, batch_size=4).train))
        >>> x.shape, y.shape
        (TensorShape([4, 12, 2]), TensorShape([4, 12]))
        >>> "".join("AB"[symbol] for symbol in y[0].numpy())  # without the first A
        'ABBAABBAABBA'

    References:
        Gers, Schmidhuber 2001, "LSTM recurrent networks learn simple context-free and context-sensitive languages";
        Roth, Kanitscheider, Fiete 2019, "Kernel RNN learning (KeRNL)".
    """
    steps = integer("steps", steps, low=2)
    shortest = integer("shortest", shortest)
    longest = integer("longest", longest, low=shortest)
    number("longest", longest, high=2**30)
    strings = steps // (2 * shortest) + 1  # as many as there may be in T + 1 symbols

    def make_example(key):
        """x [T, 2] and y [T] of one example."""
        n = tf.random.stateless_uniform((strings,), key, shortest, longest + 1, tf.int32, alg="philox")
        n = tf.cast(n, tf.int64)
        ends, place = tf.cumsum(2 * n), tf.range(steps + 1, dtype=tf.int64)
        string = tf.searchsorted(ends, place, side="right")  # which string a symbol is of
        symbols = tf.cast(place >= tf.gather(ends - n, string), tf.int32)  # the last n of it are B
        return tf.one_hot(symbols[:-1], 2), symbols[1:]

    return _drawn_examples(
        make_example,
        (tf.TensorSpec((steps, 2)), tf.TensorSpec((steps,), tf.int32)),
        f"strings A^n B^n, n from {shortest} to {longest}, {steps} steps",
        (examples, validation, test),
        **dict(batch_size=batch_size, seed=seed, repeat=repeat, skip_batches=skip_batches),
    )


def _drawn_examples(make_example, spec, description, sizes, *, seed, **settings):
    """The `SequenceData` of examples `make_example(key [2] int64)`, each of which depends on (seed, number) alone."""
    examples, validation, test = sizes
    sizes = Splits(integer("examples", examples), integer("validation", validation, low=0), integer("test", test))
    seed = integer("seed", seed, low=0)

    def make_batch(indices, _):
        keys = tf.stack([tf.fill(tf.shape(indices), tf.constant(seed, tf.int64)), indices], -1)
        return tf.map_fn(make_example, keys, fn_output_signature=spec)

    first = Splits(0, 2**40, 2**41)  # far apart: an example does not depend on the sizes of the parts
    description = f"{description}, drawn from seed {seed}: {counted(sizes, ' examples')}"
    return sequence_data(make_batch, first, sizes, description, seed=seed, **settings)
