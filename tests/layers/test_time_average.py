"""TimeAverage against NumPy means."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.tools import MODES, outputs_and_gradients

X = np.random.default_rng(0).normal(size=(3, 7, 2)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("last", "mode"), [(1, "eager"), (4, "xla"), (7, "graph"), (None, "eager")])
def test_mean_of_the_last_steps_that_count(last, mode, masked):
    layer, mask = kk.TimeAverage(last), MASK if masked else np.ones_like(MASK)
    outputs = MODES[mode](lambda x: layer(x, mask=tf.constant(mask) if masked else None))(tf.constant(X))
    # an example without a step has the mean 0
    expected = [X[b, mask[b]][-(last or 7) :].mean(0) if mask[b].any() else [0.0, 0.0] for b in range(3)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_a_mask_ends_here_and_batch_and_time_may_be_unknown():
    inputs = keras.Input((None, 2))
    dense = keras.layers.Dense(2)
    model = keras.Model(inputs, dense(kk.TimeAverage(3)(keras.layers.Masking()(inputs))))
    padded = np.concatenate([X, np.zeros((3, 2, 2), "float32")], 1)
    np.testing.assert_allclose(model(padded), dense(X[:, 4:].mean(1)), rtol=1e-5, atol=1e-6)


def test_gradient_reaches_the_window_only():
    x, expected = tf.constant(X), np.zeros((3, 7, 2))
    _, (found,) = outputs_and_gradients(lambda: kk.TimeAverage(4)(x), [[1.0, -2.0]], [x])
    expected[:, 3:] = [0.25, -0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_half_precision_sums_in_float32():
    x = tf.fill((1, 600, 1), tf.constant(200.0, tf.float16))  # 600 * 200 is beyond float16
    outputs = kk.TimeAverage(dtype="mixed_float16")(x)
    assert outputs.dtype == tf.float16
    np.testing.assert_array_equal(outputs, [[200.0]])


def test_window_longer_than_the_sequence():
    for inputs in (keras.Input((7, 2)), tf.constant(X)):
        with pytest.raises(ValueError, match="last must be <= the number of time steps, 7; received 8"):
            kk.TimeAverage(8)(inputs)
