"""One step of spiking units: by hand, against the loops of the reference, and its tangent against their differences."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.cells.lif import LIFParameters, LIFState, lif_step

from ..reference.cases import SPIKING, B, H, Network, T, by_steps, draw

HAND = LIFParameters(
    membrane_decay=0.5, adaptation_decay=0.75, trace_decay=0.5, resistance=2.0, base_threshold=1.0,
    adaptation_strength=2.0, refractory_time=3.0, reset_potential=-0.5, dt=1.0, soft_reset=False, surrogate="triangle",
    surrogate_damping=0.4,
)  # fmt: skip


def tensors(*values):
    return [tf.constant(value, tf.float64) for value in values]


def test_one_step_by_hand():
    """Units: one fires, one stays below, one is refractory for one step more, one just leaves that time."""
    v, adaptation = [0.8, 0.4, 0.9, 0.6], [0.1, 0.2, 0.0, 0.0]
    state = LIFState(*tensors([v], [adaptation], [[0.0, 0.5, 1.0, 0.9]], [[0.2, 0.4, 0.6, 0.8]]))
    step, state = lif_step(*tensors([[1.0, 0.6, 5.0, 0.2]]), state, HAND)
    expected = {
        "threshold": [1.2, 1.4, 1.0, 1.0],  # 1 + 2 b
        "gate": [1.0, 1.0, 0.0, 1.0],  # r < 1
        "potential": [1.4, 0.8, 0.9, 0.5],  # 0.5 V + 0.5 * 2 I, or held
        "output": [1.0, 0.0, 0.0, 0.0],
        # 0.4 (1 - |V- - B| / B) / B
        "slope": [0.4 * (1 - 0.2 / 1.2) / 1.2, 0.4 * (1 - 0.6 / 1.4) / 1.4, 0.0, 0.4 * 0.5],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(step, name)[0], value, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(state.v[0], [-0.5, 0.8, 0.9, 0.5], rtol=1e-12)  # the first: V_reset
    np.testing.assert_allclose(state.adaptation[0], [0.325, 0.15, 0.0, 0.0], rtol=1e-12)  # 0.75 b + 0.25 z
    np.testing.assert_allclose(state.refractory[0], [3.0, 0.0, 0.0, 0.0], rtol=1e-12)
    np.testing.assert_allclose(state.trace[0], [1.1, 0.2, 0.3, 0.4], rtol=1e-12)


def test_soft_reset_by_hand():
    state = LIFState(*tensors([[0.8]], [[0.1]], [[0.0]], [[0.0]]))
    _, state = lif_step(*tensors([[1.0]]), state, HAND._replace(soft_reset=True))
    np.testing.assert_allclose(state.v, [[0.2]], rtol=1e-12)  # V- - B = 1.4 - 1.2


def test_refractory_time_by_hand():
    """tau_ref 3, dt 1: after a spike at t=0 the unit is deaf at t=1, 2, 3 and fires again at t=4."""
    p = HAND._replace(adaptation_strength=0.0, reset_potential=0.0)
    state = LIFState(*tensors([[0.0]], [[0.0]], [[0.0]], [[0.0]]))
    spikes, gates = [], []
    for _ in range(6):
        step, state = lif_step(*tensors([[1.5]]), state, p)  # drive 1: V- = 1.5 where it listens
        spikes.append(step.output.numpy().item())
        gates.append(step.gate.numpy().item())
    assert spikes == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert gates == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def test_a_refractory_unit_fires_where_its_held_potential_is_above_threshold():
    """Eq. (4) asks nothing of `on`: a soft reset may leave V >= B."""
    state = LIFState(*tensors([[2.3]], [[0.0]], [[2.0]], [[0.0]]))
    step, state = lif_step(*tensors([[0.0]]), state, HAND._replace(soft_reset=True))
    assert [x.numpy().item() for x in (step.gate, step.output, step.slope)] == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(state.v, [[1.3]], rtol=1e-12)


@pytest.mark.parametrize("name", SPIKING)
def test_sequences_match_the_reference(name):
    network = Network(name)
    cell, p, weights, current = by_steps(network)
    expected = network.run()
    assert 0.05 < expected.z.mean() < 0.8 and (expected.psi > 0).any()
    state = cell.State(*tensors(*network.start))
    for t in range(network.time):
        step, state = lif_step(current[t] + state.trace @ weights, state, p)
        for field, name in zip(step._fields, ("z", "potential", "threshold", "psi", "on")):
            np.testing.assert_allclose(getattr(step, field), getattr(expected, name)[:, t], rtol=1e-9, atol=1e-12)
        for field, name in zip(state._fields, ("v", "b", "r", "s")):
            np.testing.assert_allclose(getattr(state, field), getattr(expected, name)[:, t], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(state, expected.end, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("enters", ["current", "synapse", "state"])
@pytest.mark.parametrize("name", SPIKING)
def test_the_references_tangent_is_the_derivative_of_its_smooth_run(name, enters):
    """The oracle's own oracle: differences of a run in which spikes move with the distance to threshold."""
    network, xi, step = Network(name), draw(1, B, T, H), 1e-6
    clean = network.run()
    up, down = (network.run(noise=sign * step * xi, enters=enters, smooth=clean) for sign in (1.0, -1.0))
    tangent = network.tangent(xi, enters)
    for name in ("voltage", "distance", "reset_voltage"):
        slope = (up.observed[name] - down.observed[name]) / (2.0 * step)
        np.testing.assert_allclose(tangent[name], slope, rtol=1e-6, atol=1e-7)
    assert np.abs(tangent["distance"]).max() > 0.1


@pytest.mark.parametrize("name", SPIKING)
def test_tangents_match_the_reference(name):
    network, xi = Network(name), draw(1, B, T, H)
    cell, p, weights, current = by_steps(network)
    expected = network.tangent(xi, "current")
    state = cell.State(*tensors(*network.start))
    change = cell.State(*tensors(*np.zeros((4, B, H))))
    for t in range(network.time):
        step, state = lif_step(current[t] + state.trace @ weights, state, p)
        linear = cell.linear_step(cell.save_residuals(step, state), p).following_reset()
        own = [getattr(change, name) for name in cell.own_states]
        changes = linear.forward(own, change.trace @ weights + xi[:, t])
        change = cell.changed_state(change, changes, p)
        for found, name in zip((changes.y[0], changes.distance, change.v), ("voltage", "distance", "reset_voltage")):
            np.testing.assert_allclose(found, expected[name][:, t], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SPIKING)
def test_automatic_differentiation_sees_the_tangent(name):
    """The backward pass of a step, with its reset and adaptation, is the transpose of `LinearStep.forward`."""
    cell, p, *_ = by_steps(Network(name))
    values = [draw(1, B, H), draw(2, B, H), 0.3 * np.abs(draw(3, B, H)), np.zeros((B, H)), draw(4, B, H)]
    current, *state = tensors(*values)
    changes = tensors(*(draw(10 + n, B, H) for n in range(5)))
    changes[3] = tf.zeros_like(changes[3])  # refractoriness is an event
    errors = tensors(*(draw(20 + n, B, H) for n in range(4)))
    errors[2] *= cell.adapts  # b has no effect where the threshold stands still, and is not followed
    with tf.GradientTape() as tape:
        tape.watch((current, state))
        step, new = lif_step(3.0 * current, LIFState(*state), p)
        loss = tf.add_n(
            [tf.reduce_sum(e * s) for e, s in zip(errors, (step.potential, new.v, new.adaptation, new.trace))]
        )
    gradients = tape.gradient(loss, [current, *state], unconnected_gradients="zero")
    backward = sum(np.sum(g * c) for g, c in zip(gradients, changes))
    linear, change = cell.linear_step(cell.save_residuals(step, new), p).following_reset(), LIFState(*changes[1:])
    made = linear.forward([getattr(change, each) for each in cell.own_states], 3.0 * changes[0])
    change = cell.changed_state(change, made, p)
    forward = sum(np.sum(e * c) for e, c in zip(errors, (made.y[0], change.v, change.adaptation, change.trace)))
    assert 0.0 < np.mean(step.output) < 1.0
    np.testing.assert_allclose(backward, forward, rtol=1e-9)


def test_smooth_runs_are_the_runs_they_are_made_from():
    network = Network("hard adaptive")
    run = network.run()
    for name in ref.FIELDS[:2] + ref.FIELDS[4:]:
        np.testing.assert_array_equal(getattr(network.run(smooth=run), name), getattr(run, name))
