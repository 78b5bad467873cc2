"""The adding problem: its form, its statistics, and that an example is a function of (seed, part, number) alone."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.data import Splits, adding_problem


def everything(dataset):
    return [np.concatenate(part) for part in zip(*dataset.as_numpy_iterator())]


@pytest.mark.parametrize("steps", [2, 3, 11, 100])
def test_one_marker_in_each_half_and_their_sum(steps):
    data = adding_problem(steps, batch_size=8, examples=64, validation=10, test=20)
    x, y = everything(data.train)
    assert x.shape == (64, steps, 2) == (64, data.time_steps, data.features) and y.shape == (64, 1)
    assert x.dtype == y.dtype == np.float32
    numbers, markers = x[..., 0], x[..., 1]
    assert numbers.min() >= 0 and numbers.max() < 1
    assert set(np.unique(markers)) <= {0.0, 1.0}
    np.testing.assert_array_equal(markers[:, : steps // 2].sum(axis=1), 1)
    np.testing.assert_array_equal(markers[:, steps // 2 :].sum(axis=1), 1)
    marked = numbers[markers == 1].reshape(64, 2)
    np.testing.assert_allclose(y[:, 0], marked[:, 0] + marked[:, 1], rtol=1e-6)


def test_the_trivial_answer_has_mean_squared_error_one_sixth():
    """var(u1 + u2) = 2/12. The squared error has a standard deviation of 0.197: 4 * 0.197 / sqrt(4096) is 0.013."""
    x, y = everything(adding_problem(10, batch_size=64, examples=64, validation=1, test=4096).test)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, abs=0.013)
    assert np.mean(y) == pytest.approx(1, abs=4 * np.sqrt(1 / 6 / 4096))
    # numbers uniform, every place marked alike, numbers of different steps and examples unrelated
    assert np.var(x[..., 0]) == pytest.approx(1 / 12, abs=0.002)
    np.testing.assert_allclose(x[..., 1].mean(axis=0), 0.2, atol=4 * np.sqrt(0.16 / 4096))
    assert np.abs(np.corrcoef(x[..., 0].T) - np.eye(10)).max() < 4.5 / np.sqrt(4096)
    assert abs(np.corrcoef(x[:-1, 0, 0], x[1:, 0, 0])[0, 1]) < 4 / np.sqrt(4096)
    first, second = x[:, :5, 1].argmax(axis=1), x[:, 5:, 1].argmax(axis=1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(4096)


def test_parts_and_epochs_differ_and_epochs_hold_the_same_examples():
    data = adding_problem(6, batch_size=8, examples=32, validation=32, test=32)
    (first, _), (second, _), (validation, _), (test, _) = map(everything, (data.train, data.train, *data[1:3]))
    assert not np.array_equal(first, second)
    sets = [{example.tobytes() for example in part} for part in (first, second, validation, test)]
    assert sets[0] == sets[1] and len(sets[0] | sets[2] | sets[3]) == 96


def test_an_example_depends_on_its_seed_and_number_alone():
    tf.random.set_seed(99)
    x, y = everything(adding_problem(9, batch_size=4, examples=20, validation=6, test=6, seed=3).test)
    other_x, other_y = everything(adding_problem(9, batch_size=5, examples=50, validation=0, test=12, seed=3).test)
    np.testing.assert_array_equal(x, other_x[:6])
    np.testing.assert_array_equal(y, other_y[:6])
    assert not np.array_equal(x, everything(adding_problem(9, examples=50, validation=1, test=6, seed=4).test)[0])


@pytest.mark.parametrize(
    "skip", [4, pytest.param(1, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow)]
)  # 4 batches an epoch
def test_a_resumed_stream_gives_the_same_examples(skip):
    settings = dict(steps=7, batch_size=5, examples=23, validation=1, test=1, seed=2, repeat=True)
    whole = list(adding_problem(**settings).train.take(10).as_numpy_iterator())
    resumed = list(adding_problem(**settings, skip_batches=skip).train.take(3).as_numpy_iterator())
    for (x, y), (resumed_x, resumed_y) in zip(whole[skip:], resumed):
        np.testing.assert_array_equal(x, resumed_x)
        np.testing.assert_array_equal(y, resumed_y)


def test_sizes_and_description():
    data = adding_problem(steps=30)
    assert data.examples == Splits(100_000, 1_000, 10_000)
    assert data.steps_per_epoch == Splits(2000, 20, 200)
    assert "adding problem over 30 steps, drawn from seed 0: 100,000 examples" in data.description


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"steps": 1}, "steps must be an integer >= 2; received 1"),
        ({"examples": 0}, "examples must be an integer >= 1; received 0"),
        ({"validation": -1}, "validation must be an integer >= 0; received -1"),
        ({"test": 0}, "test must be an integer >= 1; received 0"),
        ({"seed": 0.5}, "seed must be an integer >= 0; received 0.5"),
        ({"examples": 49}, "batch_size must be at most the 49 training examples; received 50"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        adding_problem(**settings)
