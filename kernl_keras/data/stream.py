"""Streams: rows without end in which the sequences of a data set come at random times."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from ..checks import integer, number
from ..draws import uniform

TIMES, NOISE = 1, 2  # one key for each kind of draws, with the seed
LARGEST = float(np.finfo(np.float32).max)  # what the pieces, which are float32, can hold


def stream(
    x: Any,
    y: Any,
    lengths: Any = None,
    *,
    every: int | None = None,
    answer: int | None = 10,
    noise: float = 0.0,
    piece: int = 100,
    batch_size: int = 16,
    seed: int = 0,
    skip_pieces: int = 0,
) -> tf.data.Dataset:
    """Endless rows in which sequences of a data set come one after the other, at random times, in pieces.

    Time is cut into stretches of `every` steps. In each of them every row has one sequence, a word, at a random place,
    and pauses before and after it. Pauses hold zeros, and all steps the noise. Every N words of all rows together are
    the N words in a new random order. A row of a piece continues that of the piece before, so a layer with
    `stateful=True` learns from it. Weights are 1 where there is something to answer, and else 0. All of it is a
    pure function of the seed and of the number of the piece, so `skip_pieces` continues a stream exactly, at no cost.

    Args:
        x: words [N, T, I].
        y: targets, one a word [N, ...], or one a step [N, T, ...] with `answer=None`.
        lengths: int [N], how many steps of each word count, from the first on; None for all T. The steps behind them
            are no part of the stream.
        every: steps from the beginning of one stretch to that of the next, at least those of the longest word and its
            answer. None for twice that. If all words have the same length, `every` is that length and `answer=None`,
            they follow each other without pauses, as one long recording.
        answer: for how many steps a word is asked for: at its last step, and in the pause that follows. None where y
            has a target a step: each step of a word is asked for.
        noise: standard deviation of the Gaussian noise.
        piece: P, steps in a piece.
        batch_size: B, rows.
        seed: int, of order, times and noise.
        skip_pieces: int, starts the stream where it would be after so many pieces.

    Returns:
        An endless `tf.data.Dataset` of (x float32 [B, P, I], y [B, P, ...], weight float32 [B, P]), one batch a piece.
        Keras needs `steps_per_epoch`, and `.take(n)` makes the first n pieces a validation set.

    Raises:
        ValueError: an argument is out of range, the shapes of x, y and lengths do not fit, or a step of x or a target
            that counts is NaN or infinity.

    Example: words of 2 steps, a one and a two; in every 5 steps one of them, each asked for at its last step.

        >>> import tensorflow as tf, kernl_keras as kk
        >>> words = [[[1.0], [1.0]], [[2.0], [2.0]]]
        >>> pieces = kk.data.stream(words, [1, 2], every=5, answer=1, piece=10, batch_size=1)
        >>> x, y, weight = next(iter(pieces))
        >>> x.shape, y.shape
        (TensorShape([1, 10, 1]), TensorShape([1, 10]))
        >>> float(tf.reduce_sum(x)), float(tf.reduce_sum(weight)), sorted(y[weight > 0].numpy().tolist())
        (6.0, 2.0, [1, 2])
    """
    x, y, lengths = _checked_words(x, y, lengths, answer)
    answer = None if answer is None else integer("answer", answer)
    longest = int(lengths.max()) + (answer or 1) - 1
    every = 2 * longest if every is None else integer("every", every)
    if every < longest:
        raise ValueError(f"every must be at least {longest}, the longest word and its answer; received {every}.")
    noise, piece = number("noise", noise, low=0.0, high=LARGEST / 100), integer("piece", piece)
    rows, seed = integer("batch_size", batch_size), integer("seed", seed, low=0)
    count, features = len(x), x.shape[2]
    stretches = (piece - 1) // every + 2  # that a piece can touch
    with tf.device("CPU"):  # where tf.data works; a GPU would take the constants otherwise
        words, targets = tf.constant(x), tf.constant(y)
        needed, sizes = tf.constant(lengths + (answer or 1) - 1), tf.constant(lengths)

    def make_piece(number):
        step = number * piece + tf.range(piece, dtype=tf.int64)  # [P], since the stream began
        first = step[0] // every
        numbers = first * rows + tf.range(stretches * rows, dtype=tf.int64)  # of the words since the stream began
        passes = numbers // count
        orders = tf.map_fn(
            lambda each: tf.random.experimental.stateless_shuffle(
                tf.range(count, dtype=tf.int64), tf.stack([seed, each]), alg="philox"
            ),
            tf.range(passes[0], passes[-1] + 1),
        )  # one pass over all words a row
        chosen = tf.gather_nd(orders, tf.stack([passes - passes[0], numbers % count], -1))
        chosen = tf.reshape(chosen, (stretches, rows))  # [K, B]
        free = every - tf.gather(needed, chosen) + 1  # places where it may begin
        draws = tf.cast(uniform((stretches, rows), [seed, TIMES], first), tf.float64)
        begins = tf.cast(draws * tf.cast(free, tf.float64), tf.int64)
        stretch = step // every - first
        word, begin = (tf.transpose(tf.gather(each, stretch)) for each in (chosen, begins))  # [B, P]
        at = step % every - begin  # step of the word, negative before it
        size = tf.gather(sizes, word)
        is_word = (at >= 0) & (at < size)
        place = tf.stack([word, tf.where(is_word, at, 0)], -1)
        heard = tf.where(is_word[..., None], tf.gather_nd(words, place), 0.0)
        if noise:  # Gaussian, by Box and Muller; a step is a row of one long draw
            radius, angle = tf.unstack(uniform((piece, rows * features, 2), [seed, NOISE], step[0]), axis=-1)
            drawn = tf.sqrt(-2.0 * tf.math.log(1.0 - radius)) * tf.cos(2.0 * math.pi * angle)
            heard += noise * tf.transpose(tf.reshape(drawn, (piece, rows, -1)), (1, 0, 2))
        asked = is_word if answer is None else (at >= size - 1) & (at < size - 1 + answer)
        target = tf.gather_nd(targets, place) if answer is None else tf.gather(targets, word)
        shown = tf.reshape(asked, (rows, piece, *[1] * (target.shape.rank - 2)))
        return heard, tf.where(shown, target, tf.zeros_like(target)), tf.cast(asked, tf.float32)

    pieces = tf.data.Dataset.counter(integer("skip_pieces", skip_pieces, low=0))
    pieces = pieces.map(make_piece, num_parallel_calls=2, deterministic=True).prefetch(tf.data.AUTOTUNE)
    pieces.rows_continue = True  # for `fit`, which warns of layers that do not continue them
    return pieces


def _checked_words(x, y, lengths, answer):
    """x float32 [N, T, I], y [N, ...] and lengths int64 [N]; raises where they do not fit."""
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise ValueError(
            "x must be words of one length: fill them up with zeros, and give the steps of each as lengths; "
            f"received {len(x)} words of which NumPy says: {error}"
        ) from error
    y = np.asarray(y)
    if x.ndim != 3 or 0 in x.shape or x.dtype.kind not in "biuf":
        raise ValueError(f"x must be numbers [words, time, features]; received {x.dtype} of shape {x.shape}.")
    axes = 1 if answer is not None else 2
    if y.shape[:axes] != x.shape[:axes] or y.dtype.kind not in "biuf":
        what = "a target for each word" if answer is not None else "a target for each step, as answer=None"
        raise ValueError(f"y must have {what}, {x.shape[:axes]}; received {y.dtype} of shape {y.shape}.")
    if answer is not None and y.shape[1:2] == x.shape[1:2] and (y.ndim > 2 or y.dtype.kind in "iu"):
        raise ValueError(
            f"answer must be None for targets at every step, y of shape {y.shape}; received {answer!r}. A vector for "
            "each word must have floating point numbers: y.astype('float32')."
        )
    lengths = np.full(len(x), x.shape[1]) if lengths is None else np.asarray(lengths)
    whole = lengths.shape == x.shape[:1] and lengths.dtype.kind in "iu"
    if not whole or lengths.min() < 1 or lengths.max() > x.shape[1]:
        raise ValueError(f"lengths must be {len(x)} integers from 1 to {x.shape[1]}; received {lengths!r}.")
    integers = y.dtype.kind in "iu"
    if integers and y.size and (y.min() < -(2**31) or y.max() >= 2**31):
        raise ValueError(f"y must hold integers of 32 bits; received them from {y.min()} to {y.max()}.")
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
    if np.any(np.isinf(single) & np.isfinite(x)):
        most = np.max(np.abs(x), initial=0.0, where=np.isfinite(x))
        raise ValueError(f"x must hold numbers of at most {LARGEST:.4g}, as float32 has; received {most:.4g}.")
    counted = np.arange(x.shape[1]) < lengths[:, None]  # [N, T]
    for name, values in (("x", single[counted]), ("y", y if answer is not None else y[counted])):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite in the steps that count; received NaN or infinity.")
    return single, y.astype(np.int32 if integers else np.float32), lengths.astype(np.int64)


def arrays(data: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """All examples of a finite pipeline of batches (x, y), such as `ecg().validation`: arrays, as `stream` takes them.

    Args:
        data: `tf.data.Dataset` of batches (x [B, ...], y [B, ...]).

    Returns:
        x [N, ...] and y [N, ...].

    Raises:
        ValueError: for a pipeline without end or without a batch, and for batches that are not pairs (x, y).

    Example:

        >>> import kernl_keras as kk
        >>> x, y = kk.data.arrays(kk.data.ecg().validation)
        >>> x.shape, y.shape
        ((100, 1301, 4), (100, 1301))
    """
    if not isinstance(data, tf.data.Dataset) or not isinstance(data.element_spec, tuple) or len(data.element_spec) != 2:
        received = data if isinstance(data, tf.data.Dataset) else type(data).__name__
        raise ValueError(f"data must be a tf.data.Dataset of batches (x, y); received {received}.")
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("data must have an end, such as repeat=False gives it; received a pipeline without.")
    batches = list(data.as_numpy_iterator())
    if not batches:
        raise ValueError("data must have at least one batch; received none.")
    x, y = (np.concatenate(part) for part in zip(*batches))
    return x, y
