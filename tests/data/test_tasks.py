"""The data sets by name: one table of what all of them promise, and what each of them holds.

Where the digits of MNIST come from is in test_folders.py.
"""

import hashlib
import itertools
import pathlib
from importlib import resources

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.data import Splits, adding_problem, anbn, arrays, ecg, sequential_mnist
from kernl_keras.data.augment import without_channels
from kernl_keras.data.ecg import load_ecg
from kernl_keras.data.mnist import SAMPLE_FILE, load_sample

from ..reference.cases import taking_turns
from ..reference.tools import all_same
from .test_batches import moves

pytestmark = pytest.mark.usefixtures("packaged_data_read_once")
slow = pytest.mark.slow
PIXELS_SHA256 = "525aee69543f006d9bb00b52bd4fecd75874c6a84c6b5bde952efe2f93ea4a54"
ECG_SHA256 = "d64819b37b67b9199ad31e5d0b97dec0720e277d7655d7b1877644420dcbf62e"


def first_batch(dataset):
    return next(dataset.as_numpy_iterator())


def read_package(name):
    return resources.files("kernl_keras.data").joinpath(name).read_bytes()


@pytest.mark.parametrize("make", [adding_problem, pytest.param(anbn, marks=slow)])
def test_an_example_depends_on_its_seed_and_number_alone(make):
    tf.random.set_seed(99)
    x, y = arrays(make(9, batch_size=4, examples=20, validation=6, test=6, seed=3).test)
    other_x, other_y = arrays(make(9, batch_size=5, examples=50, validation=0, test=12, seed=3).test)
    all_same((x, y), (other_x[:6], other_y[:6]))
    assert not np.array_equal(x, arrays(make(9, examples=50, validation=1, test=6, seed=4).test)[0])
    data = make(60, batch_size=8, examples=32, validation=32, test=32)
    first, second, validation, test = (arrays(part)[0] for part in (data.train, data.train, *data[1:3]))
    assert not np.array_equal(first, second)  # an epoch has the same examples in another order
    sets = [{example.tobytes() for example in part} for part in (first, second, validation, test)]
    assert sets[0] == sets[1] and len(sets[0] | sets[2] | sets[3]) == 96


@pytest.mark.parametrize(
    "make, settings, skip",
    [
        (adding_problem, {"steps": 7, "batch_size": 5, "examples": 23, "validation": 1, "test": 1, "seed": 2}, 6),
        pytest.param(anbn, {"steps": 20, "batch_size": 5, "examples": 23, "validation": 1, "test": 1}, 4, marks=slow),
        (sequential_mnist, {"layout": "rows", "context_steps": 0, "batch_size": 60, "seed": 5}, 107),  # of 108
        (ecg, {"batch_size": 100, "seed": 3, "channel_dropout": 0.25}, 5),
    ],
    ids=["adding", "anbn", "mnist", "ecg"],
)
def test_a_resumed_stream_gives_the_same_examples(make, settings, skip):
    """Also in a later epoch."""
    whole = make(**settings, repeat=True).train.skip(skip).take(3)
    all_same(list(make(**settings, repeat=True, skip_batches=skip).train.take(3)), list(whole))


@pytest.mark.parametrize(
    "make, settings, examples, description",
    [
        (adding_problem, {"steps": 30}, (10**5, 1_000, 10_000), "adding problem over 30 steps, drawn from seed 0: 100"),
        (anbn, {"steps": 30}, (10**5, 1_000, 10_000), "A^n B^n, n from 1 to 10, 30 steps, drawn from seed 0: 100,000 "),
        (sequential_mnist, {}, (6500, 500, 1000), "6,500 for training, 500 for validation, 1,000 for testing"),
        (sequential_mnist, {"validation": 30}, (6970, 30, 1000), "sample of real MNIST digits"),
        (sequential_mnist, {"validation": 0}, (7000, 0, 1000), "sample of real MNIST digits"),
    ],
)
def test_sizes_and_description(make, settings, examples, description):
    data = make(**settings)
    assert data.examples == examples and description in data.description
    assert (data.validation is None) == (examples[1] == 0)


@pytest.mark.parametrize(
    "make, settings, message",
    [
        (adding_problem, {"examples": 0}, "examples must be an integer >= 1; received 0"),
        (anbn, {"examples": 49}, "batch_size must be at most the 49 training examples; received 50"),
        (anbn, {"skip_batches": 2}, "skip_batches must be 0 unless repeat=True; received 2"),
        (anbn, {"shortest": 4, "longest": 3}, "longest must be an integer >= 4; received 3"),
        (anbn, {"longest": 2**31 - 1}, "longest must be <= "),
        (ecg, {"validation": 618}, "validation must leave some of the 618 training sequences; received 618"),
        (ecg, {"channel_dropout": 0.95}, "channel_dropout must be >= 0 and <= 0.9; received 0.95"),
        (sequential_mnist, {"shift": 2}, "shift must be two integers, of rows and of columns; received 2"),
        (sequential_mnist, {"shift": (1, -1)}, r"shift\[1\] must be an integer >= 0; received -1"),
        (sequential_mnist, {"shift": (28, 0)}, r"shift\[0\] must be less than the 28 rows of a digit; received 28"),
        (sequential_mnist, {"size": 14, "shift": (0, 14)}, r"shift\[1\] must be less than the 14 columns of a digit"),
        (sequential_mnist, {"validation": 7000}, "validation must leave some of the 7000 training digits; rec"),
    ],
)  # fmt: skip
def test_bad_arguments(make, settings, message):
    """Those that go wrong together, or with the data; `tests/badinput` tries each alone."""
    with pytest.raises(ValueError, match=message):
        make(**settings)


@pytest.mark.parametrize("steps", [2, 3, 100])
def test_adding_has_one_marker_in_each_half_and_their_sum(steps):
    data = adding_problem(steps, batch_size=8, examples=64, validation=10, test=20)
    x, y = arrays(data.train)
    assert x.shape == (64, steps, 2) == (64, data.time_steps, data.features) and y.shape == (64, 1)
    assert x.dtype == y.dtype == np.float32
    numbers, markers = x[..., 0], x[..., 1]
    assert numbers.min() >= 0 and numbers.max() < 1
    assert set(np.unique(markers)) <= {0.0, 1.0}
    np.testing.assert_array_equal(markers[:, : steps // 2].sum(axis=1), 1)
    np.testing.assert_array_equal(markers[:, steps // 2 :].sum(axis=1), 1)
    marked = numbers[markers == 1].reshape(64, 2)
    np.testing.assert_allclose(y[:, 0], marked[:, 0] + marked[:, 1], rtol=1e-6)


@slow
def test_the_trivial_answer_to_adding_has_mean_squared_error_one_sixth():
    """var(u1 + u2) = 2/12. The squared error has a standard deviation of 0.197: 4 * 0.197 / sqrt(4096) is 0.013."""
    x, y = arrays(adding_problem(10, batch_size=64, examples=64, validation=1, test=4096).test)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, abs=0.013)
    assert np.mean(y) == pytest.approx(1, abs=4 * np.sqrt(1 / 6 / 4096))
    # numbers uniform, every place marked alike, numbers of different steps and examples unrelated
    assert np.var(x[..., 0]) == pytest.approx(1 / 12, abs=0.002)
    np.testing.assert_allclose(x[..., 1].mean(axis=0), 0.2, atol=4 * np.sqrt(0.16 / 4096))
    assert np.abs(np.corrcoef(x[..., 0].T) - np.eye(10)).max() < 4.5 / np.sqrt(4096)
    assert abs(np.corrcoef(x[:-1, 0, 0], x[1:, 0, 0])[0, 1]) < 4 / np.sqrt(4096)
    first, second = x[:, :5, 1].argmax(axis=1), x[:, 5:, 1].argmax(axis=1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(4096)


def runs(symbols):
    """The lengths of the runs of equal symbols, and the symbols."""
    return [(len(list(run)), int(symbol)) for symbol, run in itertools.groupby(symbols)]


@pytest.mark.parametrize(("steps", "shortest", "longest"), [(2, 1, 1), (7, 3, 3), (40, 1, 10), (31, 2, 5)])
def test_strings_have_as_many_b_as_a(steps, shortest, longest):
    data = anbn(steps, shortest, longest, batch_size=8, examples=32, validation=8, test=8)
    x, y = arrays(data.train)
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
    x, y = arrays(anbn(4000, 1, 4, batch_size=16, examples=16, validation=0, test=16).test)
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


def test_strings_longer_than_any_count_of_32_bits():
    x, y = next(iter(anbn(12, longest=2**30, batch_size=2, examples=2, validation=0, test=1).train))
    assert np.all(x[..., 0] == 1.0) and not np.any(y)  # none comes to its first B


def test_the_sample_of_mnist_is_as_it_was_packaged():
    digits = load_sample()
    assert digits.images.shape == (8000, 28, 28) and digits.images.dtype == np.uint8
    assert hashlib.sha256(digits.images.tobytes()).hexdigest() == PIXELS_SHA256
    assert digits.labels.dtype == np.int32 and digits.train == 7000
    np.testing.assert_array_equal(digits.labels, np.arange(8000) % 10)
    assert len({image.tobytes() for image in digits.images}) == 8000  # none is there twice


def test_the_heartbeats_are_as_they_were_packaged():
    crossings, classes, train = load_ecg()
    assert crossings.shape == (759, 1301, 4) and crossings.dtype == np.int8
    digest = hashlib.sha256(crossings.tobytes() + classes.astype(np.uint8).tobytes()).hexdigest()
    assert digest == ECG_SHA256
    assert set(np.unique(classes)) == set(range(6)) and train == 618
    assert (crossings[:, -1, 0] == -1).all() and (crossings[:, :-1] >= 0).all()
    counts = np.bincount(classes[:618].ravel())
    assert counts.max() / counts.sum() == pytest.approx(0.33, abs=0.01)  # the most frequent class


@pytest.mark.parametrize(
    "file, licence, size, words",
    [
        (SAMPLE_FILE, "mnist_sample", 1_200_000, ("Attribution-ShareAlike 3.0", "LeCun", PIXELS_SHA256)),
        ("ecg_qtdb.npz", "ecg_qtdb", 350_000, ("Open Data Commons Attribution", "Laguna", "Yin", ECG_SHA256)),
    ],
)
def test_a_packaged_file_is_small_and_its_licence_lies_beside_it(file, licence, size, words):
    text = read_package(f"{licence}.LICENSE.txt").decode()
    assert len(read_package(file)) < size and all(word in text for word in words)


def test_the_heartbeats_are_made_of_the_sources(tmp_path):
    """Where the sources are at hand: the same bytes."""
    source = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "ecg_qtdb"
    pytest.importorskip("scipy")
    if not source.is_dir():
        pytest.skip("the sources of the recordings are not here")
    from notebooks.lab.make_ecg import main

    assert main(["--source", str(source), "--output", str(tmp_path / "ecg.npz")]) == 0
    assert (tmp_path / "ecg.npz").read_bytes() == read_package("ecg_qtdb.npz")


def test_the_pipelines_are_the_heartbeats():
    (crossings, classes, _), data = load_ecg(), ecg(batch_size=7, validation=20, seed=3)
    assert data.examples == (598, 20, 141) and (data.time_steps, data.features) == (1301, 4)
    for part, at in ((data.validation, slice(598, 618)), (data.test, slice(618, None))):
        all_same(arrays(part), (crossings[at], classes[at]))
    x, y = first_batch(data.train)
    assert x.shape == (7, 1301, 4) and y.shape == (7, 1301) and x.dtype == "float32" and y.dtype == "int32"
    known = {each.tobytes(): number for number, each in enumerate(crossings[:598])}
    for each, found in zip(x, y):
        np.testing.assert_array_equal(found, classes[known[each.astype(np.int8).tobytes()]])


def kept_channels(y, x, rate=0.25):
    """Which channels [B, I] were kept; each must be wholly 0, or wholly the input over 1 - rate."""
    gone = (y == 0).all(axis=1)
    np.testing.assert_allclose(y, np.where(gone[:, None], 0.0, x / (1 - rate)), rtol=1e-6)
    return ~gone


def test_whole_channels_are_left_out_independently_and_as_often_as_the_rate_says():
    """The share that is gone, of each channel, of each pair and overall, within four standard deviations."""
    x = np.random.default_rng(0).uniform(1, 2, (500, 3, 4)).astype("float32")
    keys = tf.constant([[3, 4], [3, 4], [3, 5]], tf.int64)
    first, again, other = (without_channels(x, 0.25, key).numpy() for key in keys)
    pinned = without_channels(tf.ones((1, 1, 4)), 0.5, tf.constant([0, 4], tf.int64))
    assert pinned.numpy().ravel().tolist() == [2.0, 0.0, 2.0, 2.0]
    np.testing.assert_array_equal(first, again)  # the key decides
    assert np.any(first != other)
    found = kept_channels(first, x)
    np.testing.assert_allclose(found.mean(0), 0.75, atol=4 * np.sqrt(0.25 * 0.75 / 500))
    assert abs(found.mean() - 0.75) < 2 * np.sqrt(0.25 * 0.75 / 500)  # 2,000 draws
    pairs = found.astype(float).T @ found / 500
    np.testing.assert_allclose(pairs[~np.eye(4, dtype=bool)], 0.75**2, atol=4 * np.sqrt(0.5625 * 0.4375 / 500))


def test_training_heartbeats_alone_lose_channels_and_others_in_each_epoch():
    settings = {"batch_size": 50, "validation": 100, "seed": 3}
    plain, data = ecg(**settings), ecg(**settings, channel_dropout=0.25)
    for one, other in zip(data[1:3], plain[1:3]):  # validation and test
        all_same(arrays(one), arrays(other))
    batches, others = ([batch for _ in range(2) for batch in each.train.as_numpy_iterator()] for each in (data, plain))
    masks = []
    for (x, y), (expected, classes) in zip(batches, others, strict=True):
        masks.append(kept_channels(x, expected))
        np.testing.assert_array_equal(y, classes)
    assert abs(1 - np.concatenate(masks).mean() - 0.25) < 0.03
    half = len(masks) // 2
    assert all(np.any(one != other) for one, other in zip(masks[:half], masks[half:]))


# Pixel-by-pixel MNIST: what each step holds, and the parts


@pytest.fixture(scope="module")
def digits():
    return load_sample()


@pytest.mark.parametrize(
    "layout, context_steps, shape",
    [("pixels", 54, (838, 2)), ("pixels", 0, (784, 1)), ("rows", 5, (33, 29)), ("rows", 0, (28, 28))],
)
def test_a_sequence_is_the_pixels_then_zeros_beside_a_context_input(layout, context_steps, shape, digits):
    data = sequential_mnist(layout=layout, context_steps=context_steps, batch_size=3)
    x, y = first_batch(data.test)
    assert x.shape[1:] == shape == (data.time_steps, data.features) and (x.dtype, y.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(y, digits.labels[7000:7003])
    assert data.train.element_spec[0].shape == (3, *shape)
    image_steps, pixels = (784, 1) if layout == "pixels" else (28, 28)
    shown = x[:, :image_steps, :pixels].reshape(3, 28, 28)
    np.testing.assert_allclose(shown, digits.images[7000:7003] / 255.0, rtol=1e-6)
    assert (x[:, image_steps:, :pixels] == 0).all() and (x[:, :, pixels:] == 1).all()


def test_parts_are_disjoint_and_whole(digits):
    data = sequential_mnist(layout="rows", context_steps=0, batch_size=64)
    assert data.examples == Splits(6500, 500, 1000)
    assert data.steps_per_epoch == Splits(101, 8, 16)
    (train, train_y), (validation, validation_y), (test, test_y) = map(arrays, data[:3])
    assert (len(train), len(validation), len(test)) == (101 * 64, 500, 1000)
    np.testing.assert_array_equal(validation_y, digits.labels[6500:7000])
    np.testing.assert_array_equal(test_y, digits.labels[7000:])
    np.testing.assert_array_equal(np.bincount(validation_y), 50)
    seen = [{digit.tobytes() for digit in part} for part in (train, validation, test)]
    assert list(map(len, seen)) == [101 * 64, 500, 1000]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    other = sequential_mnist(layout="rows", context_steps=0, batch_size=64, seed=1)  # decides the training order alone
    all_same([arrays(part)[0] for part in other[1:3]], [validation, test])
    assert not np.array_equal(first_batch(other.train)[1], train_y[:64])
    # each training digit keeps its own label
    label_of = {(image / np.float32(255)).tobytes(): label for image, label in zip(*digits[:2])}
    assert all(label_of[image.tobytes()] == label for image, label in zip(train, train_y))


def test_permuted_pixels_are_one_fixed_order_for_all_parts(digits):
    data = sequential_mnist(order="permuted", batch_size=25)
    permutation = np.random.RandomState(92916).permutation(784)
    assert permutation[:5].tolist() == [319, 576, 323, 107, 355]  # no NumPy version may change published results
    for part, first in (("validation", 6500), ("test", 7000)):
        x, _ = first_batch(getattr(data, part))
        expected = digits.images[first : first + 25].reshape(25, 784)[:, permutation]
        np.testing.assert_allclose(x[:, :784, 0], expected / 255.0, rtol=1e-6)
    # the training order is the seed's, with or without the permutation
    x, y = first_batch(data.train)
    row_x, row_y = first_batch(sequential_mnist(batch_size=25).train)
    np.testing.assert_array_equal(y, row_y)
    np.testing.assert_array_equal(x[:, :784, 0], row_x[:, permutation, 0])
    other, _ = first_batch(sequential_mnist(order="permuted", permutation_seed=1, batch_size=25).train)
    assert not np.array_equal(other, x)


@pytest.mark.parametrize(
    "layout, context_steps, order",  # every pair; the quick ones have another order
    taking_turns([("pixels", 5, "permuted"), ("pixels", 0, "row"), ("rows", 0, "permuted"), ("rows", 5, "row")], 2),
)
def test_shift_moves_training_digits_as_pictures_whatever_the_order_of_their_pixels(layout, context_steps, order):
    settings = dict(layout=layout, context_steps=context_steps, order=order, batch_size=40)
    plain, data = sequential_mnist(**settings), sequential_mnist(**settings, shift=(2, 1))
    shown = (slice(None), slice(784), slice(1)) if layout == "pixels" else (slice(None), slice(28), slice(28))
    places = np.random.RandomState(92916).permutation(784) if order == "permuted" else np.arange(784)

    def pictures(x):
        seen = np.zeros((len(x), 784), x.dtype)
        seen[:, places] = x[shown].reshape(len(x), 784)
        return seen.reshape(-1, 28, 28)

    (x, y), (moved, its) = (map(np.array, first_batch(each.train)) for each in (plain, data))
    np.testing.assert_array_equal(y, its)
    found = [moves(before, after, (2, 1)) for before, after in zip(pictures(x), pictures(moved))]
    assert all(found) and len(set(sum(found, []))) > 10  # of the 15
    x[shown] = moved[shown] = 0.0  # what is no pixel has stayed
    np.testing.assert_array_equal(x, moved)
    for one, other in zip(plain[1:3], data[1:3]):  # validation and test
        all_same(first_batch(one), first_batch(other))
