"""One step of rate units and its tangent."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.cells.leaky_rnn import ACTIVATIONS, LeakyRNNCell, RateParameters, RateState, rate_step

from ..reference.cases import RATE, B, H, Network, T, by_steps, draw

# g = -0.5, 0.25, 2 -> f(g), f'(g)
HAND = {
    "tanh": ([-0.46211715726, 0.24491866240, 0.96402758008], [0.78644773297, 0.94001484881, 0.07065082485]),
    "relu": ([0.0, 0.25, 2.0], [0.0, 1.0, 1.0]),
    "identity": ([-0.5, 0.25, 2.0], [1.0, 1.0, 1.0]),
}


def test_every_activation_has_a_hand_computed_row():
    assert set(ACTIVATIONS) == set(HAND)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_step_by_hand(activation):
    value, slope = map(np.array, HAND[activation])
    p = RateParameters(activation, leak=0.75, turn=0.0, drive=0.25)
    state = RateState(tf.constant([[1.0, -2.0, 0.5]], tf.float64))
    step, new = rate_step(tf.constant([[-0.5, 0.25, 2.0]], tf.float64), state, p)
    np.testing.assert_allclose(step.output[0], 0.75 * np.array([1.0, -2.0, 0.5]) + 0.25 * value, rtol=1e-9)
    np.testing.assert_allclose(step.slope[0], slope, rtol=1e-9)
    np.testing.assert_array_equal(new.activity, step.output)
    changes = [tf.constant(each, tf.float64) for each in ([[2.0, 1.0, -1.0]], [[1.0, 4.0, -3.0]])]
    cell = LeakyRNNCell(3, activation=activation)
    made = cell.linear_step(cell.save_residuals(step, new), p).forward(changes[:1], changes[1])
    expected = [1.5 + 0.25 * slope[0], 0.75 + slope[1], -0.75 - 0.75 * slope[2]]
    np.testing.assert_allclose(made.output[0], expected, rtol=1e-9)
    np.testing.assert_array_equal(made.x[0], made.output)


@pytest.mark.parametrize("name", RATE)
def test_sequences_match_the_reference(name):
    network = Network(name)
    cell, p, weights, current = by_steps(network)
    expected, state = network.run(), cell.State(*(tf.zeros((B, size), tf.float64) for size in cell.state_size))
    for t in range(network.time):
        step, state = rate_step(current[t] + cell.presynaptic(state) @ weights, state, p)
        np.testing.assert_allclose(step.output, expected.output[:, t], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(step.slope, expected.slope[:, t], rtol=1e-9, atol=1e-12)
    assert np.abs(expected.output).max() > 0.1


@pytest.mark.parametrize("enters", ["current", "synapse", "state"])
@pytest.mark.parametrize("name", RATE)
def test_the_references_tangent_is_the_derivative_of_its_run(name, enters):
    network, xi, step = Network(name), draw(1, B, T, H), 1e-6
    up, down = (network.run(noise=sign * step * xi, enters=enters).output for sign in (1.0, -1.0))
    tangent = network.tangent(xi, enters)["voltage"]
    np.testing.assert_allclose(tangent, (up - down) / (2.0 * step), rtol=1e-6, atol=1e-8)
    assert np.abs(tangent).max() > 0.1


def test_no_memory_by_hand():
    """tau=None: h(t) = f(g(t))."""
    c = ref.rate_constants(1, activation="identity")
    run = ref.rate(np.array([[[2.0], [3.0]]]), np.array([[0.5]]), np.array([[1.0]]), np.zeros(1), c)
    np.testing.assert_allclose(run.output[0, :, 0], [1.0, 2.5])  # 0.5 * 2; 0.5 * 3 + 1
