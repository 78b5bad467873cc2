"""A^n B^n: what the strings are, how far they can be foreseen, and that an example depends on its number alone."""

import itertools

import numpy as np
import pytest

from kernl_keras.data import Splits, anbn


def everything(dataset):
    return [np.concatenate(part) for part in zip(*dataset.as_numpy_iterator())]


def runs(symbols):
    """The lengths of the runs of equal symbols, and the symbols."""
    return [(len(list(run)), int(symbol)) for symbol, run in itertools.groupby(symbols)]


@pytest.mark.parametrize(("steps", "shortest", "longest"), [(2, 1, 1), (7, 3, 3), (40, 1, 10), (31, 2, 5)])
def test_as_many_b_as_a(steps, shortest, longest):
    data = anbn(steps, shortest, longest, batch_size=8, examples=32, validation=8, test=8)
    x, y = everything(data.train)
    assert x.shape == (32, steps, 2) == (32, data.time_steps, data.features) and y.shape == (32, steps)
    assert x.dtype == np.float32 and y.dtype == np.int32
    np.testing.assert_array_equal(x.sum(-1), 1.0)
    np.testing.assert_array_equal(x[:, 1:].argmax(-1), y[:, :-1])  # y is the next symbol
    for example in np.concatenate([x[:, :1].argmax(-1), y], 1):
        found = runs(example)
        assert [symbol for _, symbol in found] == [number % 2 for number in range(len(found))]  # A first
        whole, (last, _) = [length for length, _ in found[:-1]], found[-1]
        assert all(shortest <= length <= longest for length in whole) and last <= longest
        assert whole[1::2] == whole[: 2 * (len(whole) // 2) : 2]
        assert len(found) % 2 or last <= whole[-1]  # the last B are as many as there is room for


def test_every_n_is_as_frequent_and_the_best_answers_are_as_good_as_the_docstring_says():
    """N = 4 at 4,000 steps of 16 examples: 12,800 strings, so that a share has a standard deviation below 0.004."""
    x, y = everything(anbn(4000, 1, 4, batch_size=16, examples=16, validation=0, test=16).test)
    found = np.array([run for example in x.argmax(-1) for run in runs(example)[:-2]])
    lengths = found[found[:, 1] == 0, 0]
    np.testing.assert_allclose(np.bincount(lengths)[1:] / len(lengths), 0.25, atol=0.016)
    right = 0
    for symbols, following in zip(x.argmax(-1), y):
        a = b = 0
        for now, then in zip(symbols, following):
            a, b = (a + 1, 0) if now == 0 and not b else (1, 0) if now == 0 else (a, b + 1)
            answer = int(a == 4) if not b else int(b < a)  # of A the last that there may be; of B all
            right += answer == then
    assert right / y.size == pytest.approx(1.0 - (1.0 - 1.0 / 4.0) / 5.0, abs=0.01)
    assert np.mean(x.argmax(-1) == y) == pytest.approx(1.0 - 2.0 / 5.0, abs=0.01)


def test_an_example_depends_on_its_seed_and_number_alone():
    x, y = everything(anbn(9, batch_size=4, examples=20, validation=6, test=6, seed=3).test)
    other_x, other_y = everything(anbn(9, batch_size=5, examples=50, validation=0, test=12, seed=3).test)
    np.testing.assert_array_equal(x, other_x[:6])
    np.testing.assert_array_equal(y, other_y[:6])
    assert not np.array_equal(x, everything(anbn(9, examples=50, validation=1, test=6, seed=4).test)[0])
    data = anbn(60, batch_size=8, examples=8, validation=32, test=32)
    parts = [everything(part)[1] for part in (data.validation, data.test)]
    assert len({example.tobytes() for part in parts for example in part}) == 64


def test_a_resumed_stream_gives_the_same_examples():
    settings = dict(steps=20, batch_size=5, examples=23, validation=1, test=1, seed=2, repeat=True)
    whole = list(anbn(**settings).train.take(10).as_numpy_iterator())
    for (_, y), (_, resumed) in zip(whole[6:], anbn(**settings, skip_batches=6).train.take(3).as_numpy_iterator()):
        np.testing.assert_array_equal(y, resumed)


def test_sizes_and_description():
    data = anbn(steps=30)
    assert data.examples == Splits(100_000, 1_000, 10_000)
    assert "strings A^n B^n, n from 1 to 10, 30 steps, drawn from seed 0: 100,000 examples" in data.description


def test_strings_longer_than_any_count_of_32_bits():
    x, y = next(iter(anbn(12, longest=2**30, batch_size=2, examples=2, validation=0, test=1).train))
    assert np.all(x[..., 0] == 1.0) and not np.any(y)  # none comes to its first B


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"steps": 1}, "steps must be an integer >= 2; received 1"),
        ({"shortest": 0}, "shortest must be an integer >= 1; received 0"),
        ({"shortest": 4, "longest": 3}, "longest must be an integer >= 4; received 3"),
        ({"longest": 2**31 - 1}, "longest must be <= "),
        ({"examples": 0}, "examples must be an integer >= 1; received 0"),
        ({"validation": -1}, "validation must be an integer >= 0; received -1"),
        ({"test": 0}, "test must be an integer >= 1; received 0"),
        ({"seed": 0.5}, "seed must be an integer >= 0; received 0.5"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        anbn(**settings)
