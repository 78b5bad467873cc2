"""The power of sound in bands of frequencies, frame by frame, and its compression."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

FLOOR = 1e-6  # power, 60 dB below a sine of amplitude 1
DELTA, ROOT = 2.0, 0.5  # of `pcen`
SHARE = 1e-3  # of the level: sounds 30 dB below it, such as the noise of few bits, hardly count
LEAST = 1e-11  # about the power in a band that rounding to 16 bits adds
RELEASE = 2000.0  # ms, in which the level falls to 1 / e of its power


def mel_filters(bands, frame_length, sampling_rate, low, high):
    """Triangles over the frequencies of a Fourier transform [bins, bands], evenly spaced on the mel scale.

        mel(f) = 1127 log(1 + f / 700 Hz)

    Band b rises from the centre of the band below it to its own, and falls to that of the band above it, between `low`
    and `high`, in Hz. The transform of `frame_length` samples has the next power of two. A band between two of its
    frequencies has zeros alone.

    Reference: Stevens, Volkmann, Newman (1937); the formula, O'Shaughnessy, Speech communication (1987).
    """
    bins = 2 ** (frame_length - 1).bit_length() // 2 + 1
    with tf.init_scope():
        filters = tf.signal.linear_to_mel_weight_matrix(bands, bins, sampling_rate, low, high, tf.float64)
        return filters.numpy().astype(np.float32)


def framed(x, before, frame_length, hop):
    """Frames [..., T, L] of x [..., N], one every `hop` samples; `before` has the L - hop samples before x."""
    return tf.signal.frame(tf.concat([before, x], axis=-1), frame_length, hop)


def band_power(frames, filters):
    """Power of frames x [..., T, L] in each band, [..., T, bands]; about 1 for a sine of amplitude 1 in its middle.

        E_b = sum_k W_kb |sum_n h(n) x(n) exp(-2 pi i k n / K)|^2 / (sum_n h(n) / 2)^2,     W: [K / 2 + 1, bands]

    Reference: the window h is that of Hann; Harris, On the use of windows for harmonic analysis (1978).
    """
    window = tf.signal.hann_window(frames.shape[-1], periodic=True, dtype=frames.dtype)
    spectrum = tf.signal.rfft(frames * window, [2 * (filters.shape[0] - 1)])
    power = tf.math.real(spectrum) ** 2 + tf.math.imag(spectrum) ** 2
    # not matmul, whose broadcast of the filters crashes (TensorFlow 2.21 with oneDNN on CPU)
    bands = tf.tensordot(power, tf.constant(filters, frames.dtype), 1)
    return bands / (tf.reduce_sum(window) / 2.0) ** 2


def log_level(power):
    """log(1 + E / E_0) / log(1 + 1 / E_0), from 0 for silence to 1 for a sine of amplitude 1; E_0 is 60 dB below it.

    Reference: Fechner's law, of loudness; Elemente der Psychophysik (1860).
    """
    return tf.math.log1p(power / FLOOR) / float(np.log1p(1.0 / FLOOR))


def pcen(power, mean, level):
    """(E / (E_0 + M) + delta)^r - delta^r,  E_0 = 10^-3 L + 10^-11: power relative to its running mean M, as a root.

    The floor E_0 follows the level L of all bands, so that a soft sound gives the same values as a loud one, down to
    the noise of 16 bits. Noise that is much softer than the voice stays below it.

    Reference: Wang et al., Trainable frontend for robust and far-field keyword spotting (2017), with its delta = 2 and
    r = 0.5. There the floor is a constant, and E is divided by (E_0 + M)^0.98: a little of the loudness stays.
    """
    return (power / (SHARE * level + LEAST + mean) + DELTA) ** ROOT - DELTA**ROOT


COMPRESSIONS: dict[str, Callable[..., Any]] = {"log": log_level, "pcen": pcen}
