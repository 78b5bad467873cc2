"""The codes against loops over time and the law of large numbers."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.dynamics.encoding import CODES, bernoulli_code, delta_code, threshold_code

from ..reference.tools import MODES

KEY = [3, 7]


def values(batch=3, steps=11, features=2):
    return np.random.default_rng(0).uniform(size=(batch, steps, features)).astype("float32")


def threshold_reference(x, units):
    """Bellec et al. 2018: one channel and step after the other."""
    batch, steps, features = x.shape
    half = units // 2
    spikes = np.zeros((batch, steps, features * units))
    for b in range(batch):
        for f in range(features):
            before = 0.0
            for t in range(steps):
                now = float(x[b, t, f])
                for j in range(half):
                    theta = (j + 1) / (half + 1)
                    spikes[b, t, f * units + j] = before < theta <= now
                    spikes[b, t, f * units + half + j] = now < theta <= before
                before = now
    return spikes


def test_bernoulli_spikes_as_often_as_the_value_says():
    x = tf.tile(tf.constant([[[0.1, 0.7, -0.5, 0.0, 1.0, 1.5]]]), (40, 50, 1))
    spikes = bernoulli_code(x, 2, KEY).numpy()
    assert spikes.shape == (40, 50, 12) and set(np.unique(spikes)) == {0.0, 1.0}
    # 2000 draws a channel: 5 standard deviations are 0.034 and 0.051
    np.testing.assert_allclose(spikes.mean((0, 1))[:4], [0.1, 0.1, 0.7, 0.7], atol=0.05)
    np.testing.assert_array_equal(spikes[..., 4:], np.broadcast_to([0] * 4 + [1] * 4, (40, 50, 8)))


def test_bernoulli_draws_independently_in_examples_steps_and_channels():
    spikes = bernoulli_code(tf.fill((30, 40, 1), 0.5), 20, KEY).numpy() * 2 - 1
    for axis in range(3):
        one, other = (np.delete(spikes, place, axis) for place in (0, -1))
        assert abs((one * other).mean()) < 5 / np.sqrt(one.size)


def test_bernoulli_depends_on_the_key():
    x = tf.fill((3, 5, 1), 0.5)
    assert np.any(bernoulli_code(x, 4, [3, 7]) != bernoulli_code(x, 4, [3, 8]))
    assert np.any(bernoulli_code(x, 4, [3, 7]) != bernoulli_code(x, 4, [4, 7]))


@pytest.mark.parametrize("units", [2, 6, 80])
def test_threshold_crossings(units):
    x = values()
    expected = threshold_reference(x, units)
    np.testing.assert_array_equal(threshold_code(x, units), expected)
    assert 0 < expected.sum() < expected.size


def test_a_value_on_a_threshold_has_crossed_it():
    # thresholds 1/4, 1/2, 3/4; up 1 and 2, nothing, down 2, down 1
    x = tf.constant([[[0.5], [0.5], [0.25], [0.0]]])
    up_down = [[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(threshold_code(x, 6)[0], up_down)


def test_current_goes_to_every_channel():
    x = values()
    np.testing.assert_array_equal(CODES["current"](x, 3), x[:, :, [0, 0, 0, 1, 1, 1]])


def test_population_by_hand():
    """Five channels prefer 0, 0.25, .. 1; sigma is 1/6: exp(-18 (x - mu)^2)."""
    x = tf.constant([[[0.25, 0.5], [-0.25, 1.0]]], tf.float64)
    away = np.array([[[-1, 0, 1, 2, 3], [-2, -1, 0, 1, 2]], [[1, 2, 3, 4, 5], [-4, -3, -2, -1, 0]]])
    expected = np.exp(-1.125 * away**2).reshape(1, 2, 10)
    np.testing.assert_allclose(CODES["population"](x, 5), expected, rtol=1e-12)


def delta_reference(x, units, delta):
    """One channel and step after the other, by the value that was sent last."""
    batch, steps, features = x.shape
    half = units // 2
    spikes = np.zeros((batch, steps, features * units))
    for b in range(batch):
        for f in range(features):
            for j in range(half):
                size, reference = delta * (j + 1), 0.0
                for t in range(steps):
                    moved = float(x[b, t, f]) - reference
                    if moved >= size:
                        spikes[b, t, f * units + j], reference = 1.0, reference + size
                    elif moved <= -size:
                        spikes[b, t, f * units + half + j], reference = 1.0, reference - size
    return spikes


@pytest.mark.parametrize("units, delta", [(2, 0.11), (6, 0.07), (2, 0.9)])
def test_delta(units, delta):
    x = 3.0 * values() - 1.0
    expected = delta_reference(x, units, delta)
    np.testing.assert_array_equal(delta_code(x, units, delta=delta), expected)
    assert 0 < expected.sum() < expected.size


def test_latency_by_hand():
    """Two periods of five steps: x of the first step of each decides, 1 - x of the period later."""
    x = np.zeros((1, 10, 5), "float32")
    x[0, 0], x[0, 5] = [1.0, 0.5, 0.25, 0.0, 7.0], [0.0, 1.0, 0.01, 0.75, -1.0]
    x[0, 1:5] = 0.9  # not looked at
    spikes = CODES["latency"](x, 1, period=5).numpy()[0]
    expected = [[0, 2, 3, None, 0], [None, 0, 4, 1, None]]
    for number, of_period in enumerate(expected):
        for feature, when in enumerate(of_period):
            channel = spikes[5 * number : 5 * number + 5, feature]
            np.testing.assert_array_equal(np.flatnonzero(channel), [] if when is None else [when])
    np.testing.assert_array_equal(CODES["latency"](x, 3, period=5), np.repeat(spikes[None], 3, -1))


@pytest.mark.sampled(3)  # both modes have a turn
@pytest.mark.parametrize("mode", ["graph", "xla"])
@pytest.mark.parametrize("name", CODES)
def test_modes_agree_to_the_bit(name, mode):
    x = values()
    outputs = MODES[mode](lambda x: CODES[name](x, 4, tf.constant(KEY)))(tf.constant(x))
    assert outputs.shape == (3, 11, 8)
    digits = 1e-6 if name == "population" else 0.0  # an exponential is rounded otherwise
    np.testing.assert_allclose(outputs, CODES[name](tf.constant(x), 4, KEY), rtol=digits, atol=digits)


@pytest.mark.parametrize("name", CODES)
def test_known_axes_stay_known_and_unknown_ones_work(name):
    def outputs(batch, steps):
        encode = tf.function(lambda x: CODES[name](x, 4, tf.constant(KEY)))
        return encode.get_concrete_function(tf.TensorSpec((batch, steps, 2)))

    assert outputs(None, 11).output_shapes.as_list() == [None, 11, 8]
    assert outputs(None, None)(tf.constant(values())).shape == (3, 11, 8)
