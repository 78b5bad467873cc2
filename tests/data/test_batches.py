"""The order of training batches: shuffled, reproducible, and resumable at any batch."""

import numpy as np
import pytest
import tensorflow as tf

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


@pytest.mark.parametrize("skip", [0, 1, 3, 4, 5, 8, 9])  # 4 batches an epoch
def test_skipping_starts_where_an_uninterrupted_stream_would_be(skip):
    whole = batches(train_indices(0, 23, batch_size=5, seed=3, repeat=True), 20)
    rest = batches(train_indices(0, 23, batch_size=5, seed=3, repeat=True, skip_batches=skip), 11)
    np.testing.assert_array_equal(rest, whole[skip : skip + 11])


def test_skipping_makes_no_skipped_example():
    made = []

    def make_batch(indices):
        tf.py_function(lambda i: made.append(i.numpy()), [indices], [])
        return tf.zeros((5, 2, 3)), indices

    data = sequence_data(
        make_batch,
        first=Splits(0, 23, 30),
        examples=Splits(23, 7, 8),
        description="",
        batch_size=5,
        seed=0,
        repeat=True,
        skip_batches=10**9 + 1,
    )
    x, y = next(iter(data.train.take(1)))
    assert len(made) < 10
    np.testing.assert_array_equal(made[0], y)


@pytest.mark.parametrize("repeat, cardinality", [(False, 4), (True, tf.data.INFINITE_CARDINALITY)])
def test_the_length_is_known_to_keras(repeat, cardinality):
    assert train_indices(0, 23, batch_size=5, seed=3, repeat=repeat).cardinality() == cardinality


def make_data(validation=7, **settings):
    settings = dict(batch_size=5, seed=0, repeat=False, skip_batches=0) | settings
    return sequence_data(
        lambda indices: (tf.zeros((tf.shape(indices)[0], 2, 3)), indices),
        first=Splits(0, 23, 30),
        examples=Splits(23, validation, 8),
        description="numbers",
        **settings,
    )


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
