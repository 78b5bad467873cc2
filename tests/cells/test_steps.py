"""One step of leaky spiking units and of rate units by hand, the linear step; and the oracle's own oracle.

Whole sequences are compared with the oracle in `test_hidden_cells`, tangents in `tests/rules/test_gradients.py`.
"""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.cells.leaky_rnn import ACTIVATIONS, RateParameters, RateState
from kernl_keras.cells.lif import LIFParameters, LIFState
from kernl_keras.cells.linear import Jacobian, LinearStep

from ..reference.cases import CELLS, B, H, Network, T, draw

HAND = LIFParameters(
    membrane_decay=0.5, adaptation_decay=0.75, trace_decay=0.5, drive=1.0, base_threshold=1.0, adaptation_strength=2.0
)


def lif_step(current, state, p=HAND, **settings):
    """One step of a cell whose constants are set by hand."""
    settings = {"tau_ref": 3.0, "reset_potential": -0.5, "surrogate_damping": 0.4, **settings}
    return kk.LIFCell(1, dtype="float64", **settings).step(current, state, p)


def tensors(*values):
    return [tf.constant(value, tf.float64) for value in values]


def test_one_step_by_hand():
    """Units: one fires, one stays below, one is refractory for one step more, one just leaves that time."""
    v, adaptation = [0.8, 0.4, 0.9, 0.6], [0.1, 0.2, 0.0, 0.0]
    state = LIFState(*tensors([v], [adaptation], [[0.0, 0.5, 1.0, 0.9]], [[0.2, 0.4, 0.6, 0.8]]))
    step, state = lif_step(*tensors([[1.0, 0.6, 5.0, 0.2]]), state)
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
    _, state = lif_step(*tensors([[1.0]]), state, reset="soft")
    np.testing.assert_allclose(state.v, [[0.2]], rtol=1e-12)  # V- - B = 1.4 - 1.2


def test_refractory_time_by_hand():
    """tau_ref 3, dt 1: after a spike at t=0 the unit is deaf at t=1, 2, 3 and fires again at t=4."""
    p = HAND._replace(adaptation_strength=0.0)
    state = LIFState(*tensors([[0.0]], [[0.0]], [[0.0]], [[0.0]]))
    spikes, gates = [], []
    for _ in range(6):
        step, state = lif_step(*tensors([[1.5]]), state, p, reset_potential=0.0)  # drive 1: V- = 1.5 where it listens
        spikes.append(step.output.numpy().item())
        gates.append(step.gate.numpy().item())
    assert spikes == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert gates == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def test_a_refractory_unit_fires_where_its_held_potential_is_above_threshold():
    """Eq. (4) asks nothing of `on`: a soft reset may leave V >= B."""
    state = LIFState(*tensors([[2.3]], [[0.0]], [[2.0]], [[0.0]]))
    step, state = lif_step(*tensors([[0.0]]), state, reset="soft")
    assert [x.numpy().item() for x in (step.gate, step.output, step.slope)] == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(state.v, [[1.3]], rtol=1e-12)


# g = -0.5, 0.25, 2 -> f(g), f'(g)
ACTIVATED = {
    "tanh": ([-0.46211715726, 0.24491866240, 0.96402758008], [0.78644773297, 0.94001484881, 0.07065082485]),
    "relu": ([0.0, 0.25, 2.0], [0.0, 1.0, 1.0]),
    "identity": ([-0.5, 0.25, 2.0], [1.0, 1.0, 1.0]),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_step_of_rate_units_by_hand(activation):
    value, slope = map(np.array, ACTIVATED[activation])
    p, cell = RateParameters(leak=0.75, turn=0.0, drive=0.25), kk.LeakyRNNCell(3, activation=activation)
    state = RateState(tf.constant([[1.0, -2.0, 0.5]], tf.float64))
    step, new = cell.step(tf.constant([[-0.5, 0.25, 2.0]], tf.float64), state, p)
    np.testing.assert_allclose(step.output[0], 0.75 * np.array([1.0, -2.0, 0.5]) + 0.25 * value, rtol=1e-9)
    np.testing.assert_allclose(step.slope[0], slope, rtol=1e-9)
    np.testing.assert_array_equal(new.activity, step.output)
    changes = [tf.constant(each, tf.float64) for each in ([[2.0, 1.0, -1.0]], [[1.0, 4.0, -3.0]])]
    made = cell.linear_step(cell.save_residuals(step, new), p).forward(changes[:1], changes[1])
    expected = [1.5 + 0.25 * slope[0], 0.75 + slope[1], -0.75 - 0.75 * slope[2]]
    np.testing.assert_allclose(made.output[0], expected, rtol=1e-9)
    np.testing.assert_array_equal(made.x[0], made.output)


def test_no_memory_by_hand():
    """tau=None: h(t) = f(g(t))."""
    c = ref.rate_constants(1, activation="identity")
    run = ref.rate(np.array([[[2.0], [3.0]]]), np.array([[0.5]]), np.array([[1.0]]), np.zeros(1), c)
    np.testing.assert_allclose(run.output[0, :, 0], [1.0, 2.5])  # 0.5 * 2; 0.5 * 3 + 1


# The linear step, without a unit


@pytest.mark.parametrize("d", [1, 2])
def test_two_steps_at_once_are_two_steps(d):
    """The same error enters at both, and the current's is their mean."""
    *rows, of_current, to_output, later = [tuple(tf.unstack(draw(n, d, B, H))) for n in range(d + 3)]
    direct, error = tf.unstack(draw(9, 2, B, H))
    step = Jacobian(tuple(rows), of_current, to_output, direct)
    middle, second = step.back(later, error)
    before, first = step.back(middle, error)
    found, current = step.twice().back(later, error)
    np.testing.assert_allclose(found, before, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(current, (first + second) / 2.0, rtol=1e-12, atol=1e-12)


def test_the_first_states_alone_have_no_entry_of_the_others():
    pair, matrix = (1.0, 2.0), ((1.0, 2.0), (3.0, 4.0))
    step = LinearStep(psi=1.0, P=matrix, Q=pair, r=pair, K=matrix, s=pair, reset=pair, K0=matrix).first(1)
    assert all(getattr(step, name) == (1.0,) for name in ("Q", "r", "s", "reset"))
    assert all(getattr(step, name) == ((1.0,),) for name in ("P", "K", "K0"))


# The oracle


@pytest.mark.parametrize("enters", ["current", "synapse", "state"])
@pytest.mark.parametrize("name", CELLS)
def test_the_references_tangent_is_the_derivative_of_its_smooth_run(name, enters):
    """Differences of a run in which spikes move with the distance to threshold; of rate units of the run itself."""
    network, xi, step = Network(name), draw(1, B, T, H), 1e-6
    smooth = {"smooth": network.run()} if network.spiking else {}
    up, down = (network.run(noise=sign * step * xi, enters=enters, **smooth) for sign in (1.0, -1.0))
    tangent = network.tangent(xi, enters)
    for observed in up.observed:
        slope = (up.observed[observed] - down.observed[observed]) / (2.0 * step)
        np.testing.assert_allclose(tangent[observed], slope, rtol=1e-6, atol=1e-7)
    assert np.abs(tangent["voltage"]).max() > 0.1


def test_smooth_runs_are_the_runs_they_are_made_from():
    network = Network("hard adaptive")
    run = network.run()
    for name in ref.FIELDS[:2] + ref.FIELDS[4:]:
        np.testing.assert_array_equal(getattr(network.run(smooth=run), name), getattr(run, name))


@pytest.mark.parametrize("strength, expected", [(3.0, 0.5 - 0.5 * 3.0), (5.9, 0.5 - 0.5 * 5.9 * 0.5), (7.0, -1.0)])
@pytest.mark.parametrize("learn", [(), ("tau_a",)])
def test_an_error_of_the_threshold_never_grows(strength, expected, learn):
    """db(t)/db(t-1) = p - (1-p) beta psi, but at least -1: here p = 1/2, and psi = 1 or 1/2 at the threshold."""
    settings = dict(surrogate_damping=1.0 if strength == 3.0 else 0.5, tau_a=1.0 / np.log(2.0), learn=learn)
    cell = kk.LIFCell(1, adaptation_strength=strength, tau_s=None, resistance=1.0, dtype="float64", **settings)
    cell.build((1, 1))
    assert cell.overshoots == (strength == 7.0 or bool(learn))
    b, p = tf.constant([[0.0]], tf.float64), cell.parameters()
    with tf.GradientTape() as tape:
        tape.watch(b)
        potential = 1.0 + strength * tf.stop_gradient(b)
        current = potential / (1.0 - p.membrane_decay)
        _, state = cell.step(current, LIFState(0.0 * b, b, 0.0 * b, 0.0 * b), p)
    np.testing.assert_allclose(tape.gradient(state.adaptation, b), [[expected]], rtol=1e-6)


def test_whether_a_threshold_may_overshoot_depends_on_how_it_decays():
    """p = 1 - 1/2 or exp(-1/2): p - (1-p) 7 psi, with psi = 1/2 at most, is -1.25 or -0.77."""
    for discretization, overshoots in (("euler", True), ("exponential", False)):
        settings = dict(tau_a=2.0, adaptation_strength=7.0, surrogate_damping=0.5, discretization=discretization)
        assert kk.LIFCell(1, **settings).overshoots == overshoots
