"""Bands of frequencies, by a Fourier sum written out; and the compressions, by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.dynamics.audio import band_power, framed, log_level, mel_filters, pcen

RATE, LENGTH, BANDS = 4000.0, 24, 5  # a transform of 32 samples
LOW, HIGH = 100.0, 1900.0


def mel(frequency):
    return 1127.0 * math.log(1.0 + frequency / 700.0)


def filters_by_hand():
    """Triangles on the mel scale, an edge at a time."""
    edges = [mel(LOW) + (mel(HIGH) - mel(LOW)) * n / (BANDS + 1) for n in range(BANDS + 2)]
    weights = np.zeros((17, BANDS))
    for k in range(1, 17):  # 0 Hz belongs to no band
        at = mel(k * RATE / 32)
        for b in range(BANDS):
            left, middle, right = edges[b : b + 3]
            if left < at < right:
                weights[k, b] = (at - left) / (middle - left) if at < middle else (right - at) / (right - middle)
    return weights


def power_by_hand(frame):
    """The power of one frame in each band."""
    window = [0.5 - 0.5 * math.cos(2.0 * math.pi * n / LENGTH) for n in range(LENGTH)]
    found = np.zeros(17)
    for k in range(17):
        total = sum(window[n] * frame[n] * np.exp(-2j * math.pi * k * n / 32) for n in range(LENGTH))
        found[k] = abs(total) ** 2 / (sum(window) / 2.0) ** 2
    return found @ filters_by_hand()


def test_the_filters_are_triangles_on_the_mel_scale():
    np.testing.assert_allclose(mel_filters(BANDS, LENGTH, RATE, LOW, HIGH), filters_by_hand(), atol=1e-6)


def test_the_power_is_that_of_a_fourier_sum():
    frames = np.random.default_rng(0).normal(size=(2, 3, LENGTH))
    expected = [[power_by_hand(frame) for frame in row] for row in frames]
    found = band_power(tf.constant(frames, tf.float32), mel_filters(BANDS, LENGTH, RATE, LOW, HIGH))
    assert found.shape == (2, 3, BANDS)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_sine_of_amplitude_1_has_the_power_1():
    """At a frequency of the transform, of a frame as long as the transform: |sum h sin|^2 = (sum h / 2)^2."""
    x = np.sin(2.0 * np.pi * 6 * np.arange(32) / 32)[None].astype("float32")
    every = np.eye(17, dtype="float32")
    np.testing.assert_allclose(band_power(tf.constant(x), every)[0, 6], 1.0, rtol=1e-5)


@pytest.mark.parametrize("samples, steps", [(6, 2), (8, 2), (9, 3)])
def test_frames_end_a_hop_apart(samples, steps):
    x, before = np.arange(1, samples + 1, dtype="int32"), [[-1, 0]]  # L = 5, hop 3
    found = framed(tf.constant(x[None]), tf.constant(before), 5, 3)
    joined = [-1, 0, *x]
    np.testing.assert_array_equal(found[0], [joined[3 * t : 3 * t + 5] for t in range(steps)])


def test_compressions_by_hand():
    """log(1 + 1000) / log(1 + 10^6) = 0.5001; (4 / (0.003 + 2) + 2)^0.5 - 2^0.5 = 0.5850."""
    assert float(log_level(tf.constant(1e-3))) == pytest.approx(0.50007, abs=1e-4)
    assert float(pcen(tf.constant(4.0), tf.constant(2.0), tf.constant(3.0))) == pytest.approx(0.58504, abs=1e-5)
    assert float(pcen(tf.constant(1e-11), tf.constant(0.0), tf.constant(0.0))) == pytest.approx(0.31784, abs=1e-5)
    assert float(pcen(tf.constant(0.0), tf.constant(0.0), tf.constant(0.0))) == 0.0
