"""Pixel-by-pixel MNIST: what each step holds, the parts, and the two sources."""

import socket
import sys

import numpy as np
import pytest

from kernl_keras.data import Splits, arrays, sequential_mnist
from kernl_keras.data.digits import load_sample

pytestmark = pytest.mark.usefixtures("packaged_data_read_once")


def first_batch(dataset):
    return next(dataset.as_numpy_iterator())


@pytest.fixture(scope="module")
def digits():
    return load_sample()


@pytest.mark.parametrize(
    "layout, context_steps, shape",
    [
        ("pixels", 54, (838, 2)),
        ("pixels", 3, (787, 2)),
        ("pixels", 0, (784, 1)),
        ("rows", 5, (33, 29)),
        ("rows", 0, (28, 28)),
    ],
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
    # each training digit keeps its own label
    label_of = {(image / np.float32(255)).tobytes(): label for image, label in zip(*digits[:2])}
    assert all(label_of[image.tobytes()] == label for image, label in zip(train, train_y))


def test_validation_and_test_do_not_depend_on_the_seed():
    one, other = (sequential_mnist(layout="rows", seed=seed) for seed in (0, 1))
    for part in ("validation", "test"):
        np.testing.assert_array_equal(first_batch(getattr(one, part))[0], first_batch(getattr(other, part))[0])
    assert not np.array_equal(first_batch(one.train)[1], first_batch(other.train)[1])


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
    "layout, context_steps, order",
    [("pixels", 5, "permuted"), ("pixels", 0, "row"), ("rows", 5, "row"), ("rows", 0, "permuted")],  # every pair
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
    found = set()
    for before, after in zip(pictures(x), pictures(moved)):
        padded = np.pad(before, [(2, 2), (1, 1)])
        some = [
            (rows, columns)
            for rows in range(5)
            for columns in range(3)
            if np.array_equal(after, padded[rows : rows + 28, columns : columns + 28])
        ]
        assert some
        found.update(some)
    assert len(found) > 10  # of the 15
    x[shown] = moved[shown] = 0.0  # what is no pixel has stayed
    np.testing.assert_array_equal(x, moved)
    for part in ("validation", "test"):
        np.testing.assert_array_equal(first_batch(getattr(plain, part))[0], first_batch(getattr(data, part))[0])


@pytest.fixture
def no_network(monkeypatch):
    """Every attempt to find or reach another machine from Python fails at once, as without a network; returns them."""
    attempts = []

    def unreachable(*arguments, **settings):
        attempts.append(arguments)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    return attempts


def test_the_sample_needs_neither_network_nor_tfds(no_network, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert first_batch(sequential_mnist().train)[0].shape == (25, 838, 2)
    assert not no_network


@pytest.mark.parametrize("download, error", [(False, FileNotFoundError), (True, OSError)])
def test_an_empty_data_dir_says_what_to_do(tmp_path, no_network, download, error):
    with pytest.raises(error, match=r'MNIST is not prepared in data_dir=.*give data_dir=.*or use source="sample"'):
        sequential_mnist("tfds", data_dir=str(tmp_path), download=download)
    assert bool(no_network) == download
    assert not list(tmp_path.iterdir())  # and leaves nothing half done


def test_all_of_mnist_from_a_prepared_folder_without_network(data_dir, no_network):
    data = sequential_mnist("tfds", data_dir=data_dir, layout="rows", context_steps=0, batch_size=500)
    assert not no_network
    assert data.examples == Splits(55_000, 5_000, 10_000)
    assert data.steps_per_epoch == Splits(110, 10, 20)
    assert f"read from {data_dir}" in data.description
    counts = [np.bincount(arrays(part)[1]) for part in data[:3]]
    # the published class counts of MNIST
    assert (counts[0] + counts[1]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts[2].tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.slow
def test_data_dir_may_come_from_the_environment_of_tfds(data_dir, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", data_dir)
    assert sequential_mnist("tfds", download=False, validation=0).examples == Splits(60_000, 0, 10_000)
