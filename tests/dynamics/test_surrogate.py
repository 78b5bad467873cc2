"""The spike and its pseudo-derivative: Eq. (4), (5)."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.dynamics.surrogate import SURROGATES, spike, surrogate_slope

# u = (V- - B) / B = -1.5, -0.75, 0, 0.5, 2 at B = 0.8
POTENTIAL = np.array([-0.4, 0.2, 0.8, 1.2, 2.4])
# damping * shape(u) / B with damping 0.3: 0.3 / 0.8 = 0.375 at the threshold
SLOPES = {
    "triangle": 0.375 * np.array([0.0, 0.25, 1.0, 0.5, 0.0]),
    "exponential": 0.375 * np.exp(-np.array([0.75, 0.375, 0.0, 0.25, 1.0])),
}


def constants(*values):
    return [tf.constant(value, tf.float64) for value in values]


@pytest.mark.parametrize("shape", SURROGATES)
def test_slope_by_hand(shape):
    gate = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    slope = surrogate_slope(*constants(POTENTIAL, np.full(5, 0.8), gate), 0.3, shape)
    np.testing.assert_allclose(slope, SLOPES[shape] * gate, rtol=1e-12, atol=1e-15)


def test_every_surrogate_has_a_hand_computed_row():
    assert set(SURROGATES) == set(SLOPES)


def test_a_spike_at_the_threshold_and_above():
    below = np.nextafter(0.8, 0.0)
    spikes = spike(*constants([below, 0.8, 1.0], [0.8] * 3, [1.0] * 3))
    np.testing.assert_array_equal(spikes, [0.0, 1.0, 1.0])
    assert spikes.dtype == tf.float64


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function, lambda f: tf.function(f, jit_compile=True)])
def test_the_derivative_is_the_slope_whatever_the_spike(wrap):
    potential, threshold, slope, error = constants(
        POTENTIAL, [0.8] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], [1.0, -2.0, 3.0, 4.0, 5.0]
    )

    def gradients(potential, threshold, slope):
        with tf.GradientTape() as tape:
            tape.watch((potential, threshold, slope))
            loss = tf.reduce_sum(error * spike(potential, threshold, slope))
        return tape.gradient(loss, (potential, threshold, slope))

    of_potential, of_threshold, of_slope = wrap(gradients)(potential, threshold, slope)
    expected = np.array([0.1, -0.4, 0.9, 1.6, 2.5])
    np.testing.assert_allclose(of_potential, expected, rtol=1e-12)
    np.testing.assert_allclose(of_threshold, -expected, rtol=1e-12)
    np.testing.assert_array_equal(of_slope, np.zeros(5))
