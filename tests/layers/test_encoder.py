"""SpikeEncoder: its draws in training and in evaluation, and that it agrees with the cells."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.dynamics.encoding import CODES, delta_code, latency_code, population_code, threshold_code
from kernl_keras.keras_version import keras

from ..reference.tools import MODES


def values(batch=3, steps=11, features=2):
    return tf.constant(np.random.default_rng(0).uniform(size=(batch, steps, features)), tf.float32)


def test_the_context_feature_is_counted_not_encoded():
    """As the context cell does it: fractions are added up; of whole numbers the channel is on behind so many."""
    x = values(features=3)
    outputs = kk.SpikeEncoder(4, "threshold", context_switch=5)(x)
    np.testing.assert_array_equal(outputs[..., :-1], kk.SpikeEncoder(4, "threshold")(x[..., :2]))
    np.testing.assert_array_equal(outputs[..., -1], np.cumsum(x[..., 2], 1) > 5)
    context = keras.layers.RNN(kk.ContextCell(5), return_sequences=True)(x[..., 2:])
    np.testing.assert_array_equal(outputs[..., -1:], context)
    assert kk.ContextCell().context_switch == 784  # it is on from step 785
    counted = np.float32([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]])[..., None].repeat(2, -1)
    context = kk.SpikeEncoder(4, "threshold", context_switch=2)(counted)[..., -1]
    np.testing.assert_array_equal(context, [[0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])


@pytest.mark.parametrize("mode", MODES)
def test_training_draws_anew_and_evaluation_repeats(mode):
    eager, encoder = kk.SpikeEncoder(4, seed=3), kk.SpikeEncoder(4, seed=3)
    for layer in (eager, encoder):
        layer.build((3, 11, 2))
    x = values()
    encode = {t: MODES[mode](lambda x, t=t: encoder(x, training=t)) for t in (True, False)}
    runs = []
    for training in (False, True, True, False):
        runs.append(encode[training](x).numpy())
        np.testing.assert_array_equal(runs[-1], eager(x, training=training))
    evaluated, first, second, again = runs
    np.testing.assert_array_equal(evaluated, again)
    assert np.any(first != second) and np.any(first != evaluated)
    assert int(encoder.weights[0]) == 2


@pytest.mark.parametrize("code", [code for code in CODES if code != "bernoulli"])
def test_codes_without_draws_have_no_weights(code):
    encoder, x = kk.SpikeEncoder(4, code), values()
    np.testing.assert_array_equal(encoder(x, training=True), encoder(x, training=False))
    assert encoder.weights == []


def test_a_loaded_model_goes_on_where_the_saved_one_stopped(tmp_path):
    """`fit` moves the counter on, `predict` repeats; the seed that was drawn is kept."""
    model = keras.Sequential([keras.Input((11, 2)), kk.SpikeEncoder(4, context_switch=3), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(values(), np.ones((3, 11, 1)), batch_size=1, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.predict(values(), verbose=0), model.predict(values(), verbose=0))
    assert int(model.layers[0].draws) == 6
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for training in (False, True):
        np.testing.assert_array_equal(again(values(), training=training), model(values(), training=training))


def test_settings_reach_the_code():
    x = values()
    np.testing.assert_allclose(kk.SpikeEncoder(3, "current", gain=2.5)(x), 2.5 * np.repeat(x, 3, -1), rtol=1e-6)
    np.testing.assert_array_equal(kk.SpikeEncoder(4, "threshold", gain=0.5)(x), threshold_code(0.5 * x, 4))
    np.testing.assert_array_equal(kk.SpikeEncoder(4, "delta", delta=0.3)(x), delta_code(x, 4, delta=0.3))
    np.testing.assert_array_equal(kk.SpikeEncoder(4, "latency", period=5)(x), latency_code(x, 4, period=5))
    np.testing.assert_allclose(kk.SpikeEncoder(3, "population", gain=0.5)(x), population_code(0.5 * x, 3), rtol=1e-6)
    rate = kk.SpikeEncoder(50, gain=0.25)(tf.ones((10, 20, 1))).numpy().mean()
    assert rate == pytest.approx(0.25, abs=0.025)  # 10,000 draws: 5 standard deviations are 0.022


@pytest.mark.sampled(3)
@pytest.mark.parametrize("code", CODES)
def test_mixed_precision(code):
    x = tf.cast(tf.concat([values(3, 302, 1), tf.ones((3, 302, 1))], -1), tf.bfloat16)
    outputs = kk.SpikeEncoder(4, code, context_switch=300, seed=1, dtype="mixed_bfloat16")(x)
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(outputs[..., -1], tf.float32), [[0] * 300 + [1] * 2] * 3)
    exact = kk.SpikeEncoder(4, code, context_switch=300, seed=1)(tf.cast(x, tf.float32))
    np.testing.assert_array_equal(outputs, tf.cast(exact, tf.bfloat16))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("code", CODES)
def test_what_is_not_finite_stays_so(code, value):
    """A comparison would make a spike of it, or none; then nobody would know that the input was bad."""
    x = tf.concat([values(2, 6, 2), tf.ones((2, 6, 1))], -1).numpy()
    good = kk.SpikeEncoder(2, code, context_switch=3, seed=1)(x).numpy()
    x[1, 4, 0], x[0, 5, 2] = value, value
    outputs = kk.SpikeEncoder(2, code, context_switch=3, seed=1)(x).numpy()
    bad = np.zeros(outputs.shape, bool)
    bad[1, 4, :2] = bad[0, 5, 4] = True
    assert np.isnan(outputs[bad]).all()
    bad[1, 4:, :2] = True  # what comes later in these channels is unknown
    np.testing.assert_array_equal(outputs[~bad], good[~bad])


def test_a_mask_passes_through():
    x = tf.concat([values(), tf.zeros((3, 4, 2))], 1)
    model = keras.Sequential([keras.layers.Masking(), kk.SpikeEncoder(4, "current"), keras.layers.LSTM(3)])
    short = keras.Sequential([kk.SpikeEncoder(4, "current"), model.layers[-1]])
    np.testing.assert_allclose(model(x), short(values()), rtol=1e-5, atol=1e-6)


def test_a_feature_to_encode_is_needed():
    with pytest.raises(ValueError, match=r"inputs must have a known last axis >= 2; received shape \(3, 11, 1\)"):
        kk.SpikeEncoder(4, context_switch=5)(tf.zeros((3, 11, 1)))
