"""Training batches: their order, reproducible and resumable at any batch, and sequences that are moved at random."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.data.augment import shifted
from kernl_keras.data.batches import Splits, array_data, numbered_indices, sequence_data

from ..reference.tools import all_same


def drawn(count=None, first=0, examples=23, batch_size=5, seed=3, **settings):
    """The example numbers of the first batches, or of all: [N, B]."""
    dataset = numbered_indices(first, examples, batch_size, seed, **settings)
    dataset = dataset.take(-1 if count is None else count)
    return np.stack([indices for _, indices in dataset.as_numpy_iterator()])


def test_an_epoch_draws_every_example_at_most_once_in_full_batches():
    found = drawn(first=100)
    assert found.shape == (4, 5) and found.dtype == np.int64
    assert len(np.unique(found)) == 20 and found.min() >= 100 and found.max() < 123
    assert not np.array_equal(found.ravel(), np.sort(found.ravel()))


def test_passes_over_one_epoch_are_the_epochs_of_the_endless_stream():
    """In which every example has its turn. Keras is told both lengths."""
    one_epoch, endless = numbered_indices(0, 23, 5, 3), drawn(40, repeat=True)
    passes = [indices for _ in range(3) for _, indices in one_epoch.as_numpy_iterator()]
    np.testing.assert_array_equal(passes, endless[:12])
    assert set(endless.ravel()) == set(range(23)) and one_epoch.cardinality() == 4
    assert numbered_indices(0, 23, 5, 3, repeat=True).cardinality() == tf.data.INFINITE_CARDINALITY


def test_orders_of_epochs_and_seeds_are_unrelated():
    """A weak shuffle shows here: `index_shuffle` gives 0.8 between neighbouring epochs of 55,000 examples."""
    orders = [drawn(3, 0, 55_000, 55_000, seed, repeat=True) for seed in (0, 1)]
    correlation = np.corrcoef(np.concatenate([*orders, [np.arange(55_000)]]))
    assert np.abs(correlation - np.eye(7)).max() < 0.02  # 4 standard deviations, 4 / sqrt(55000)


def test_skipping_starts_where_an_uninterrupted_stream_would_be():
    """Whatever TensorFlow's own seed is."""
    whole = drawn(20, repeat=True)
    for skip in (0, 3, 4, 9):  # 4 batches an epoch
        tf.random.set_seed(1234 + skip)
        np.testing.assert_array_equal(drawn(11, repeat=True, skip_batches=skip), whole[skip : skip + 11])


def make_data(validation=7, make_batch=lambda i, key: (tf.zeros((tf.shape(i)[0], 2, 3)), i), **settings):
    settings = dict(batch_size=5, seed=0, repeat=False, skip_batches=0, description="numbers") | settings
    return sequence_data(make_batch, first=Splits(0, 23, 30), examples=Splits(23, validation, 8), **settings)


def test_skipping_makes_no_skipped_example():
    made = []

    def make_batch(indices, key):
        tf.py_function(lambda i: made.append(i.numpy()), [indices], [])
        return tf.zeros((5, 2, 3)), indices

    data = make_data(make_batch=make_batch, repeat=True, skip_batches=10**9 + 1)
    x, y = next(iter(data.train.take(1)))
    assert len(made) < 10
    np.testing.assert_array_equal(made[0], y)


def test_parts_are_disjoint_and_their_sizes_are_told():
    data = make_data()
    assert data.steps_per_epoch == Splits(4, 2, 2) == Splits(len(data.train), len(data.validation), len(data.test))
    assert (data.time_steps, data.features, data.description) == (2, 3, "numbers")
    seen = [np.concatenate([y for _, y in part.as_numpy_iterator()]) for part in (data.validation, data.test)]
    assert seen[0].tolist() == list(range(23, 30)) and seen[1].tolist() == list(range(30, 38))
    assert all(y.max() < 23 for _, y in data.train.as_numpy_iterator())
    data = make_data(validation=0)
    assert data.validation is None and data.steps_per_epoch.validation == 0


X = np.random.default_rng(0).uniform(1, 2, (600, 7, 5)).astype("float32")


def moves(before, after, largest):
    """The moves, each of (steps, features), that make one sequence of the other."""
    (time, features), (steps, bands) = before.shape, largest
    wide = np.pad(before, [(steps, steps), (bands, bands)])
    every = np.ndindex(2 * steps + 1, 2 * bands + 1)
    return [(steps - t, bands - i) for t, i in every if np.array_equal(after, wide[t : t + time, i : i + features])]


def moves_of(x, y, largest):
    """By how much each example was moved: the one move that makes y of x."""
    found = [moves(before, after, largest) for before, after in zip(x, y)]
    assert all(len(each) == 1 for each in found)
    return np.array(found)[:, 0]


def test_a_move_is_towards_later_steps_and_higher_features():
    found = shifted(X[:50], (2, 1), tf.constant([3, 4], tf.int64)).numpy()
    for x, y, (steps, features) in zip(X, found, moves_of(X, found, (2, 1))):
        for t, i in np.ndindex(*y.shape):
            inside = 0 <= t - steps < 7 and 0 <= i - features < 5
            assert y[t, i] == (x[t - steps, i - features] if inside else 0.0)
    pinned = shifted(tf.constant([[[1.0], [2.0], [3.0]]]), (1, 0), tf.constant([0, 7], tf.int64))
    assert pinned.numpy().ravel().tolist() == [0.0, 1.0, 2.0]  # the moves of a seed are those of published results


# The same bits for both axes would show in the second.
@pytest.mark.parametrize("largest", [(2, 1), (1, 1), (2, 0), (0, 2), (0, 0)])
def test_all_moves_within_the_bounds_are_as_likely(largest):
    found = moves_of(X, shifted(X, largest, tf.constant([3, 4], tf.int64)).numpy(), largest)
    every = np.array(list(np.ndindex(*(2 * most + 1 for most in largest)))) - largest
    counts = np.array([np.sum((found == move).all(-1)) for move in every])
    expected = len(X) / len(every)
    assert sum(counts) == len(X) and np.abs(counts - expected).max() < 4 * np.sqrt(expected)  # standard deviations


def streams(skip_batches=0, seed=3, repeat=True):
    settings = {"batch_size": 4, "seed": seed, "repeat": repeat, "skip_batches": skip_batches, "description": ""}
    augment = lambda x, key: shifted(x, (2, 1), key)  # noqa: E731
    return array_data(X[:20], np.arange(20), Splits(10, 5, 5), augment=augment, **settings)


def test_training_sequences_alone_move_and_otherwise_each_time():
    """A stream that starts later, and the passes over one epoch, have the moves of the whole stream."""
    data, epoch = streams(), streams(repeat=False).train
    for part in (data.validation, data.test):
        for x, y in part.as_numpy_iterator():
            np.testing.assert_array_equal(x, X[y])
    whole = list(data.train.take(12).as_numpy_iterator())
    found = [str(moves_of(X[y], x, (2, 1))) for x, y in whole]
    assert len(set(found)) == 12  # no batch has the moves of another
    all_same(list(streams(skip_batches=3).train.take(3)), whole[3:6])
    all_same([batch for _ in range(3) for batch in epoch], whole[:6])
    x, y = next(streams(seed=4).train.as_numpy_iterator())
    assert str(moves_of(X[y], x, (2, 1))) != found[0]
