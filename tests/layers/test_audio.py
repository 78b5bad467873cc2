"""The audio encoder: what it hears in a step, in pieces as on the whole, and what it refuses."""

import math

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.dynamics.audio import band_power, mel_filters
from kernl_keras.keras_version import keras

SMALL = dict(bands=4, sampling_rate=2000.0, frame=16.0, hop=5.0, low=50.0)  # 32 samples, every 10
X = np.random.default_rng(0).normal(0.0, 0.3, (3, 60, 2)).astype("float32")
CODES = [("current", 1), ("delta", 2), ("threshold", 4), ("population", 3), ("bernoulli", 2), ("latency", 1)]


def power_by_steps(x, steps):
    """E [steps, bands] of a sound [N], each frame cut out by hand; before the sound is silence."""
    frames = np.zeros((steps, 32), "float32")
    for t in range(steps):
        for n in range(32):
            at = 10 * (t + 1) - 32 + n
            frames[t, n] = x[at] if at >= 0 else 0.0
    return band_power(tf.constant(frames), mel_filters(4, 32, 2000.0, 50.0, 1000.0)).numpy()


def pcen_by_steps(power, tau=400.0):
    """The mean with fading weights and the level that fades, a step at a time."""
    decay, fade = math.exp(-5.0 / tau), math.exp(-5.0 / 2000.0)
    total, weight, level, out = 0.0, 0.0, 0.0, []
    for now in power:
        total, weight = decay * total + now, decay * weight + 1.0
        level = max(float(now.sum()), fade * level)
        out.append((now / (0.001 * level + 1e-11 + total / weight) + 2.0) ** 0.5 - 2.0**0.5)
    return np.array(out)


@pytest.mark.parametrize("tau", [None, 20.0])
def test_a_step_hears_the_frame_before_its_end(tau):
    """67 samples are 6 steps; the last 7 fill no hop. Both channels, one after the other."""
    x = np.concatenate([X, X[:, :7]], 1)
    found = kk.AudioEncoder(**SMALL, tau=tau)(x)
    assert found.shape == (3, 6, 8)
    for row in range(3):
        for channel in range(2):
            expected = pcen_by_steps(power_by_steps(x[row, :, channel], 6), tau or 400.0)
            np.testing.assert_allclose(found[row, :, 4 * channel : 4 * channel + 4], expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("gain", [5.0, 0.02])
def test_a_soft_voice_looks_like_a_loud_one(gain):
    """Two sounds one after the other, the first 20 dB louder; at another level both look the same."""
    x = 0.2 * X * np.where(np.arange(60) < 30, 1.0, 0.1)[None, :, None].astype("float32")
    loud, soft = (np.asarray(kk.AudioEncoder(**SMALL)(np.float32(factor) * x)) for factor in (1.0, gain))
    np.testing.assert_allclose(soft, loud, atol=2e-3)
    assert loud.std() > 0.1


def test_noise_far_below_the_voice_is_hardly_heard():
    """A tone in the lowest band, and noise 40 dB below it in the others, as of 8 bits: without the floor it has 0.3."""
    time = np.arange(4000) / 2000.0
    noise = np.random.default_rng(1).normal(size=4000)
    x = np.sin(2 * np.pi * 150.0 * time) + np.where(time < 1.0, 0.01 * noise, 0.0)
    found = np.asarray(kk.AudioEncoder(**SMALL)(x[None, :, None].astype("float32")))[0, 20:180]
    assert found[:, 0].mean() > 0.3 and found[:, 2:].mean() < 0.05


def test_the_level_falls_within_seconds():
    """After a loud second, noise 40 dB softer is below the floor, and 19 s later as loud as ever; steps of 100 ms."""
    layer = kk.AudioEncoder(bands=4, sampling_rate=500.0, frame=100.0, hop=100.0, low=50.0)
    noise = np.random.default_rng(1).normal(size=(1, 10000, 1)).astype("float32")
    x = noise * np.where(np.arange(10000) < 500, 0.3, 0.003)[None, :, None].astype("float32")
    found, alone = (np.asarray(layer(sound))[0].mean(1) for sound in (x, noise))
    assert found[30:40].mean() < 0.5 * alone[30:40].mean()
    np.testing.assert_allclose(found[-50:], alone[-50:], rtol=0.1)


def test_the_sound_has_a_gradient():
    """Of the mean and of the level, by finite differences: the loudest step is not the last."""
    x = X[:1, :40, :1] * np.where(np.arange(40) < 20, 1.0, 0.3)[None, :, None].astype("float32")
    layer, direction = kk.AudioEncoder(**SMALL), np.random.default_rng(2).normal(size=x.shape).astype("float32")

    def value(x):
        return tf.reduce_sum(layer(x) * tf.constant([[[1.0, -2.0, 0.5, 3.0]]]))

    at = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(at)
        y = value(at)
    slope = float(tf.reduce_sum(tape.gradient(y, at) * direction))
    step = 1e-3
    found = float(value(x + step * direction) - value(x - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, found, rtol=0.01)


def test_log_and_a_code():
    """The code is that of a `SpikeEncoder` of the levels."""
    levels = np.stack([np.log1p(power_by_steps(X[row, :, 0], 6) * 1e6) / math.log1p(1e6) for row in range(3)])
    x = X[..., :1]
    np.testing.assert_allclose(kk.AudioEncoder(**SMALL, compression="log")(x), levels, rtol=1e-4)
    spikes = kk.AudioEncoder(**SMALL, compression="log", code="threshold", units=6, gain=1.3)(x)
    np.testing.assert_array_equal(spikes, kk.SpikeEncoder(6, "threshold", gain=1.3)(levels.astype("float32")))
    assert 0.0 < np.mean(spikes) < 0.5


@pytest.mark.parametrize("code, units, compression", [*((*code, "pcen") for code in CODES), ("current", 1, "log")])
def test_pieces_are_the_whole_to_the_bit(code, units, compression):
    settings = {**SMALL, "code": code, "units": units, "compression": compression, "seed": 3}
    settings["period"] = 3 if code == "latency" else None
    draws = code == "bernoulli"  # the whole, too, is what a stateful layer draws
    whole = kk.AudioEncoder(**settings, stateful=draws)(X).numpy()
    layer = kk.AudioEncoder(**settings, stateful=True)
    for _ in range(2):
        pieces = np.concatenate([layer(X[:, start:stop]) for start, stop in ((0, 10), (10, 40), (40, 60))], 1)
        np.testing.assert_array_equal(pieces, whole)
        layer.reset_state()
    assert len(np.unique(whole)) > 1


def test_steps_whose_frame_is_whole_count():
    """Behind the sound: the mask of the steps, the running mean, and the code."""
    mask = np.arange(60) < np.array([[60], [33], [47]])
    layer = kk.AudioEncoder(**SMALL, code="delta", units=2)
    expected = [[6], [3], [4]]
    np.testing.assert_array_equal(layer.compute_mask(X, mask), np.arange(6) < np.array(expected))
    masked = layer(X, mask=mask)
    for row, (steps,) in enumerate(expected):
        np.testing.assert_array_equal(masked[row, :steps], layer(X[row : row + 1, : 10 * steps])[0])
    front = np.arange(60) >= 15  # before it: the frames of the steps 2 to 4 have samples that do not count
    np.testing.assert_array_equal(layer.compute_mask(X[:1], front[None])[0], [False] * 4 + [True] * 2)


def test_the_mask_reaches_the_next_layer():
    """In a model of unknown length, too."""
    inputs, layer = keras.Input((None, 2)), kk.AudioEncoder(**SMALL)
    encoded = layer(keras.layers.Masking()(inputs))
    assert tuple(encoded.shape) == (None, None, 8) and tuple(layer.compute_output_shape((3, 67, 2))) == (3, 6, 8)
    x = X.copy()
    x[1, 40:] = 0.0
    expected = layer(X[1:2, :40])
    found = keras.Model(inputs, kk.TimeAverage()(encoded))(x)[1]
    np.testing.assert_allclose(found, np.mean(expected[0], 0), rtol=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"bands": 30}, r"bands must be so few, or frame so long.* bands=30 and frame=16.0, which leave \d+ without"),
        ({"frame": 16.2}, "frame must be a whole number of samples; received 16.2 ms, 32.4 samples at 2000 Hz"),
        ({"hop": 0.1}, "hop must be a whole number of samples; received 0.1 ms"),
        ({"hop": 20.0}, "hop must be at most frame, 16 ms; received 20.0"),
        ({"low": 1000.0}, "low must be below high, 1000 Hz; received 1000.0"),
        ({"high": 1001.0}, "high must be > 0 and <= 1000; received 1001.0"),
        ({"tau": 9.0, "compression": "log"}, "tau must be None unless compression='pcen'; received tau=9.0"),
        ({"code": "delta"}, "units must be even for code='delta'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        kk.AudioEncoder(**{**SMALL, **settings})


def test_bad_inputs():
    layer, streaming = kk.AudioEncoder(**SMALL), kk.AudioEncoder(**SMALL, stateful=True)
    with pytest.raises(ValueError, match=r"inputs must have at least the 10 samples of a hop; received .*\(3, 9, 2\)"):
        layer(X[:, :9])
    with pytest.raises(ValueError, match=r"inputs must be whole hops of 10 samples, as stateful=True; .*\(3, 25, 2\)"):
        streaming(X[:, :25])
    streaming(X)
    with pytest.raises(ValueError, match="mask must be None for stateful=True"):
        streaming(X, mask=np.ones((3, 60), bool))
