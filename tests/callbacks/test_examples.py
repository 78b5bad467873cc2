"""The first examples of whatever holds data."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.callbacks.examples import first_examples
from kernl_keras.keras_version import keras

X, Y, W = np.arange(30.0).reshape(10, 3), np.arange(10) * 2, np.ones(10)


class Batches(keras.utils.Sequence):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[5 * index : 5 * index + 5], Y[5 * index : 5 * index + 5]


def dataset(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(5)


@pytest.mark.parametrize(
    "make, count, expected",
    [
        (lambda: (X, Y), 4, 4),
        (lambda: [X, Y], 4, 4),
        (lambda: (X, Y), None, 10),
        (lambda: (X, Y), 99, 10),
        (lambda: (tf.constant(X), tf.constant(Y)), 4, 4),
        (lambda: (X, Y, W), 4, 4),
        (lambda: dataset(X, Y), 4, 4),
        (lambda: dataset(X, Y), None, 5),  # the first batch
        (lambda: dataset(X, Y), 99, 5),
        (lambda: dataset(X, Y, W), 4, 4),
        (lambda: Batches(), 4, 4),
    ],
)
def test_examples(make, count, expected):
    x, y = first_examples(make(), count)
    assert tf.is_tensor(x) and tf.is_tensor(y)
    np.testing.assert_array_equal(x, X[:expected])
    np.testing.assert_array_equal(y, Y[:expected])


def test_structures_keep_their_form():
    x, y = first_examples(({"a": X, "b": 2.0 * X}, None), 3)
    np.testing.assert_array_equal(x["b"], 2.0 * X[:3])
    assert y is None


@pytest.mark.parametrize(
    "make",
    [lambda: None, lambda: iter([(X, Y)]), lambda: tf.data.Dataset.range(0).batch(2), lambda: dataset(X).take(0)],
)
def test_nothing_to_take(make):
    assert first_examples(make(), 4) == (None, None)


def test_a_generator_loses_no_example():
    data = iter([(X, Y)])
    first_examples(data, 4)
    assert len(list(data)) == 1
