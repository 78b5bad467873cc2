"""Training batches: their order, reproducible and resumable at any batch, and sequences that are moved at random."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.data.augment import shifted
from kernl_keras.data.batches import Splits, numbered_indices, sequence_data


def train_indices(*arguments, **settings):
    return numbered_indices(*arguments, **settings).map(lambda number, indices: indices)


def batches(dataset, count=None):
    return np.stack(list((dataset if count is None else dataset.take(count)).as_numpy_iterator()))


def test_an_epoch_draws_every_example_at_most_once_in_full_batches():
    drawn = batches(train_indices(100, 23, batch_size=5, seed=3))
    assert drawn.shape == (4, 5) and drawn.dtype == np.int64
    assert len(np.unique(drawn)) == 20 and drawn.min() >= 100 and drawn.max() < 123
    assert not np.array_equal(drawn.ravel(), np.sort(drawn.ravel()))


def test_every_example_has_its_turn_over_the_epochs():
    stream = train_indices(0, 23, batch_size=5, seed=3, repeat=True)
    assert set(batches(stream, 4 * 10).ravel()) == set(range(23))


def test_passes_over_one_epoch_are_the_epochs_of_the_endless_stream():
    one_epoch = train_indices(0, 23, batch_size=5, seed=3)
    passes = np.concatenate([batches(one_epoch) for _ in range(3)])
    np.testing.assert_array_equal(passes, batches(train_indices(0, 23, batch_size=5, seed=3, repeat=True), 12))


def test_orders_of_epochs_and_seeds_are_unrelated():
    """A weak shuffle shows here: `index_shuffle` gives 0.8 between neighbouring epochs of 55,000 examples."""
    orders = [batches(train_indices(0, 55_000, 55_000, seed, repeat=True), 3) for seed in (0, 1)]
    correlation = np.corrcoef(np.concatenate([*orders, [np.arange(55_000)]]))
    assert np.abs(correlation - np.eye(7)).max() < 0.02  # 4 standard deviations, 4 / sqrt(55000)


def test_the_order_depends_on_the_seed_alone():
    first = batches(train_indices(0, 23, batch_size=5, seed=3))
    tf.random.set_seed(1234)
    np.testing.assert_array_equal(first, batches(train_indices(0, 23, batch_size=5, seed=3)))
    assert not np.array_equal(first, batches(train_indices(0, 23, batch_size=5, seed=4)))


def test_skipping_starts_where_an_uninterrupted_stream_would_be():
    whole = batches(train_indices(0, 23, batch_size=5, seed=3, repeat=True), 20)
    for skip in (0, 1, 3, 4, 5, 8, 9):  # 4 batches an epoch
        rest = batches(train_indices(0, 23, batch_size=5, seed=3, repeat=True, skip_batches=skip), 11)
        np.testing.assert_array_equal(rest, whole[skip : skip + 11])


def test_skipping_makes_no_skipped_example():
    made = []

    def make_batch(indices):
        tf.py_function(lambda i: made.append(i.numpy()), [indices], [])
        return tf.zeros((5, 2, 3)), indices

    data = make_data(make_batch=make_batch, repeat=True, skip_batches=10**9 + 1)
    x, y = next(iter(data.train.take(1)))
    assert len(made) < 10
    np.testing.assert_array_equal(made[0], y)


@pytest.mark.parametrize("repeat, cardinality", [(False, 4), (True, tf.data.INFINITE_CARDINALITY)])
def test_the_length_is_known_to_keras(repeat, cardinality):
    assert train_indices(0, 23, batch_size=5, seed=3, repeat=repeat).cardinality() == cardinality


def make_data(validation=7, make_batch=lambda i: (tf.zeros((tf.shape(i)[0], 2, 3)), i), **settings):
    settings = dict(batch_size=5, seed=0, repeat=False, skip_batches=0, description="numbers") | settings
    return sequence_data(make_batch, first=Splits(0, 23, 30), examples=Splits(23, validation, 8), **settings)


def test_parts_are_disjoint_and_their_sizes_are_told():
    data = make_data()
    assert data.steps_per_epoch == Splits(4, 2, 2) == Splits(len(data.train), len(data.validation), len(data.test))
    assert (data.time_steps, data.features, data.description) == (2, 3, "numbers")
    seen = [np.concatenate([y for _, y in part.as_numpy_iterator()]) for part in (data.validation, data.test)]
    assert seen[0].tolist() == list(range(23, 30)) and seen[1].tolist() == list(range(30, 38))
    assert all(y.max() < 23 for _, y in data.train.as_numpy_iterator())


def test_no_validation_part():
    data = make_data(validation=0)
    assert data.validation is None and data.steps_per_epoch.validation == 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"batch_size": 24}, "batch_size must be at most the 23 training examples; received 24"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1; received 0"),
        ({"seed": -1}, "seed must be an integer >= 0; received -1"),
        ({"repeat": True, "skip_batches": -1}, "skip_batches must be an integer >= 0; received -1"),
        ({"skip_batches": 2}, "skip_batches must be 0 unless repeat=True; received 2"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        make_data(**settings)


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
    settings = {"batch_size": 4, "seed": seed, "repeat": repeat, "skip_batches": skip_batches, "description": ""}
    return sequence_data(
        lambda indices: (tf.gather(sequences, indices), indices),
        first=Splits(0, 10, 15),
        examples=Splits(10, 5, 5),
        augment=lambda x, key: shifted(x, (2, 1), key),
        **settings,
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
