"""The spike and its pseudo-derivative: Eq. (4), (5). The oracle's is compared with them in `tests/cells`."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.dynamics.surrogate import SURROGATES, spike, surrogate_slope

from ..reference.tools import MODES, outputs_and_gradients

# u = (V- - B) / B = -1.5, -0.75, 0, 0.25, 2 at B = 0.8
POTENTIAL = np.array([-0.4, 0.2, 0.8, 1.0, 2.4])
# damping * shape(u) / B with damping 0.3: 0.3 / 0.8 = 0.375 at the threshold
SLOPES = {
    "triangle": 0.375 * np.array([0.0, 0.25, 1.0, 0.75, 0.0]),
    "exponential": 0.375 * np.exp(-np.array([0.75, 0.375, 0.0, 0.125, 1.0])),
    "fast_sigmoid": 0.375 / np.array([256.0, 72.25, 1.0, 12.25, 441.0]),
    "arctan": 0.375 / (1.0 + np.pi**2 * np.array([2.25, 0.5625, 0.0, 0.0625, 4.0])),
    "gaussian": 0.375 * np.exp(-np.array([4.5, 1.125, 0.0, 0.125, 8.0])),
    # by hand from Yin's sum, 1.15 N(u; 0, 1/2) - 0.15 N(u; 1/2, 3) - 0.15 N(u; -1/2, 3), by 0.8782233 at u = 0
    "multi_gaussian": 0.375 * np.array([-0.02806611, 0.29573787, 1.0, 0.87738380, -0.03574382]),
    "boxcar": 0.375 * np.array([0.0, 0.0, 1.0, 1.0, 0.0]),
}


def constants(*values):
    return [tf.constant(value, tf.float64) for value in values]


@pytest.mark.parametrize("shape", SURROGATES)
def test_slope_by_hand(shape):
    gate = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    slope = surrogate_slope(*constants(POTENTIAL, np.full(5, 0.8), gate), 0.3, shape)
    digits = 1e-7 if shape == "multi_gaussian" else 1e-12
    np.testing.assert_allclose(slope, SLOPES[shape] * gate, rtol=digits, atol=1e-15)


def test_the_multi_gaussian_falls_below_zero_and_its_integral_is_the_published_one():
    """1.15 - 2 * 0.15 of normal densities, by 0.8782233, the sum at u = 0."""
    u = np.linspace(-40.0, 40.0, 80001)
    values = SURROGATES["multi_gaussian"](tf.constant(u)).numpy()
    assert values.min() < -0.03
    assert np.sum(values) * 0.001 == pytest.approx(0.85 / 0.8782233, rel=1e-6)


def test_a_function_takes_the_place_of_a_word():
    slope = surrogate_slope(*constants(POTENTIAL, [0.8] * 5, [1.0] * 5), 0.3, lambda u: u**2)
    np.testing.assert_allclose(slope, 0.375 * np.array([2.25, 0.5625, 0.0, 0.0625, 4.0]), atol=1e-15)


def test_a_spike_at_the_threshold_and_above():
    below = np.nextafter(0.8, 0.0)
    spikes = spike(*constants([below, 0.8, 1.0], [0.8] * 3, [1.0] * 3))
    np.testing.assert_array_equal(spikes, [0.0, 1.0, 1.0])
    assert spikes.dtype == tf.float64


@pytest.mark.parametrize("mode", MODES)
def test_the_derivative_is_the_slope_whatever_the_spike(mode):
    sources = constants(POTENTIAL, [0.8] * 5, [0.1, 0.2, 0.3, 0.4, 0.5])  # potential, threshold, slope
    run = MODES[mode](lambda *of: outputs_and_gradients(lambda: spike(*of), [1.0, -2.0, 3.0, 4.0, 5.0], list(of))[1])
    of_potential, of_threshold, of_slope = run(*sources)
    expected = np.array([0.1, -0.4, 0.9, 1.6, 2.5])
    np.testing.assert_allclose(of_potential, expected, rtol=1e-12)
    np.testing.assert_allclose(of_threshold, -expected, rtol=1e-12)
    np.testing.assert_array_equal(of_slope, np.zeros(5))
