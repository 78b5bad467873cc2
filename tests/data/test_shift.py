"""Random shifts: against a loop over examples, evenly spread, and a function of their key alone."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.data.augment import shifted
from kernl_keras.data.batches import Splits, sequence_data

STEPS, FEATURES = 7, 5
X = np.random.default_rng(0).uniform(1, 2, (600, STEPS, FEATURES)).astype("float32")


def moved(x, steps, features):
    """By a loop over entries."""
    y = np.zeros_like(x)
    for t in range(STEPS):
        for i in range(FEATURES):
            if 0 <= t - steps < STEPS and 0 <= i - features < FEATURES:
                y[t, i] = x[t - steps, i - features]
    return y


def moves(x, y, largest):
    """By how much each example was moved: the one move that makes y of x."""
    found = []
    for before, after in zip(x, y):
        some = [
            (steps, features)
            for steps in range(-largest[0], largest[0] + 1)
            for features in range(-largest[1], largest[1] + 1)
            if np.array_equal(moved(before, steps, features), after)
        ]
        assert len(some) == 1
        found.append(some[0])
    return np.array(found)


@pytest.mark.parametrize("largest", [(2, 1), (1, 1)])  # the same bits for both axes would show in the second
def test_all_moves_within_the_bounds_are_as_likely(largest):
    found = moves(X, shifted(X, largest, tf.constant([3, 4], tf.int64)).numpy(), largest)
    every = np.array(list(np.ndindex(*(2 * most + 1 for most in largest)))) - largest
    counts = np.array([np.sum((found == move).all(-1)) for move in every])
    expected = len(X) / len(every)
    assert sum(counts) == len(X) and np.abs(counts - expected).max() < 4 * np.sqrt(expected)  # standard deviations


def test_no_move_along_an_axis_without_a_bound():
    for largest in ((2, 0), (0, 2), (0, 0)):
        found = moves(X[:50], shifted(X[:50], largest, tf.constant([0, 1], tf.int64)).numpy(), largest)
        assert (np.abs(found).max(0) == largest).all()


def streams(skip_batches=0, seed=3, repeat=True):
    sequences = tf.constant(X[:20])
    return sequence_data(
        lambda indices: (tf.gather(sequences, indices), indices),
        first=Splits(0, 10, 15),
        examples=Splits(10, 5, 5),
        description="",
        batch_size=4,
        seed=seed,
        repeat=repeat,
        skip_batches=skip_batches,
        augment=lambda x, key: shifted(x, (2, 1), key),
    )


def test_training_sequences_alone_move_and_otherwise_each_time():
    data = streams()
    for part in (data.validation, data.test):
        for x, y in part.as_numpy_iterator():
            np.testing.assert_array_equal(x, X[y])
    found = [moves(X[y], x, (2, 1)).tolist() for x, y in data.train.take(12).as_numpy_iterator()]
    assert len({str(each) for each in found}) == 12  # no batch has the moves of another


def test_a_stream_that_starts_later_has_the_same_moves():
    whole = list(streams().train.take(9).as_numpy_iterator())
    rest = list(streams(skip_batches=5).train.take(4).as_numpy_iterator())
    epochs = streams(repeat=False).train
    passes = [batch for _ in range(5) for batch in epochs.as_numpy_iterator()]
    for (x, y), (later, its), (again, once) in zip(whole[5:], rest, passes[5:]):
        np.testing.assert_array_equal(x, later)
        np.testing.assert_array_equal(x, again)
        assert y.tolist() == its.tolist() == once.tolist()
    other = next(streams(seed=4).train.as_numpy_iterator())
    assert moves(X[whole[0][1]], whole[0][0], (2, 1)).tolist() != moves(X[other[1]], other[0], (2, 1)).tolist()
