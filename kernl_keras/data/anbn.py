"""A^n B^n: strings that a network can only foresee if it counts."""

import tensorflow as tf

from ..checks import integer, number
from .batches import SequenceData, drawn_examples


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
        batch_size: int, B.
        examples, validation, test: int, how many examples each part has; `validation=0` gives no validation part.
            Examples are drawn when they are needed and take no memory.
        seed: int. Example i of a part depends on (seed, part, i) alone, and the order of the training examples on
            (seed, epoch).
        repeat, skip_batches: as in `sequential_mnist`.

    Returns:
        A `SequenceData` with the pipelines `train`, `validation` and `test` of (x float32 [B, T, 2], y int32 [B, T])
        and their sizes.

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

    return drawn_examples(
        make_example,
        (tf.TensorSpec((steps, 2)), tf.TensorSpec((steps,), tf.int32)),
        f"strings A^n B^n, n from {shortest} to {longest}, {steps} steps",
        examples=examples,
        validation=validation,
        test=test,
        batch_size=batch_size,
        seed=seed,
        repeat=repeat,
        skip_batches=skip_batches,
    )
