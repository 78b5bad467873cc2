"""TimeAverage against NumPy means."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

MODES = {"eager": lambda f: f, "graph": tf.function, "xla": lambda f: tf.function(f, jit_compile=True)}


def values(batch=3, steps=7, outputs=2):
    return np.random.default_rng(0).normal(size=(batch, steps, outputs)).astype("float32")


@pytest.mark.parametrize(("window", "mode"), [(1, "eager"), (4, "xla"), (7, "graph"), (None, "eager"), (None, "graph")])
def test_mean_of_the_last_steps(window, mode):
    layer, x = kk.TimeAverage(window), values()
    outputs = MODES[mode](lambda x: layer(x))(tf.constant(x))
    np.testing.assert_allclose(outputs, x[:, 7 - (window or 7) :].astype("float64").mean(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("window", "mode"), [(1, "eager"), (2, "xla"), (None, "graph"), (None, "eager")])
def test_masked_steps_do_not_count(window, mode):
    mask = np.array([[1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0]], bool)
    layer, x = kk.TimeAverage(window), values()
    outputs = MODES[mode](lambda x, mask: layer(x, mask=mask))(tf.constant(x), tf.constant(mask))
    # an example without a step has the mean 0
    expected = [x[b, mask[b]][-(window or 7) :].mean(0) if mask[b].any() else [0.0, 0.0] for b in range(3)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_a_mask_ends_here():
    x = np.concatenate([values(), np.zeros((3, 2, 2), "float32")], 1)
    model = keras.Sequential([keras.layers.Masking(), kk.TimeAverage(3), keras.layers.Dense(2)])
    short = keras.Sequential([kk.TimeAverage(3), model.layers[-1]])
    np.testing.assert_allclose(model(x), short(values()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [4, None])
def test_unknown_batch_and_time(window):
    inputs = keras.Input((None, 2))
    outputs = kk.TimeAverage(window)(inputs)
    assert tuple(outputs.shape) == (None, 2)
    x = values()
    np.testing.assert_allclose(keras.Model(inputs, outputs)(x), x[:, 7 - (window or 7) :].mean(1), rtol=1e-5, atol=1e-6)


def test_gradient_reaches_the_window_only():
    x, weight = tf.constant(values()), tf.constant([[1.0, -2.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(kk.TimeAverage(4)(x) * weight)
    expected = np.zeros((3, 7, 2))
    expected[:, 3:] = [0.25, -0.5]
    np.testing.assert_allclose(tape.gradient(loss, x), expected, rtol=1e-6)


def test_half_precision_sums_in_float32():
    x = tf.fill((1, 600, 1), tf.constant(200.0, tf.float16))  # 600 * 200 is beyond float16
    outputs = kk.TimeAverage(dtype="mixed_float16")(x)
    assert outputs.dtype == tf.float16
    np.testing.assert_array_equal(outputs, [[200.0]])


@pytest.mark.parametrize("window", [0, -1, 1.5, "3"])
def test_wrong_window(window):
    with pytest.raises(ValueError, match=f"last must be an integer >= 1; received {window!r}"):
        kk.TimeAverage(window)


@pytest.mark.parametrize("inputs", [keras.Input((7, 2)), tf.constant(values())], ids=["symbolic", "eager"])
def test_window_longer_than_the_sequence(inputs):
    with pytest.raises(ValueError, match="last must be <= the number of time steps, 7; received 8"):
        kk.TimeAverage(8)(inputs)


def test_wrong_shape():
    with pytest.raises(ValueError, match=r"inputs must have shape \[batch, time, features\]; received \(3, 7\)"):
        kk.TimeAverage(2)(tf.zeros((3, 7)))
