"""Pixel-by-pixel MNIST: what each step holds, and the parts. Where the digits come from is in test_folders.py."""

import numpy as np
import pytest

from kernl_keras.data import Splits, arrays, sequential_mnist
from kernl_keras.data.mnist import load_sample

from ..reference.cases import taking_turns
from .test_batches import moves

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
    other = sequential_mnist(layout="rows", context_steps=0, batch_size=64, seed=1)  # decides the training order alone
    for part, mine in ((other.validation, validation), (other.test, test)):
        np.testing.assert_array_equal(arrays(part)[0], mine)
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
    for part in ("validation", "test"):
        np.testing.assert_array_equal(first_batch(getattr(plain, part))[0], first_batch(getattr(data, part))[0])
