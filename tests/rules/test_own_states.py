"""Units that have loops of their own in the oracle: AdLIF with an adaptation current, LSTM with four currents a unit.

Backpropagation, pieces, windows of whole sequences, masks and modes of both are in `test_forms` and in `tests/layers`.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras
from kernl_keras.rules import EProp, Exponential, KeRNL, Tangent, Twin, WholeUnit

from ..reference.cases import B, H, I, draw, taking_turns
from ..reference.expected import compute, learn, noise, same
from ..reference.units import CURRENT, SPREAD, layer_over

T = 9
ERROR = draw(53, B, T, H)
M, GAMMA = 0.5 * draw(7, 2, H, H), draw(8, 2, H) ** 2
WEIGHTS = draw(67, I, 4 * H), draw(68, H, 4 * H), 0.5 * draw(69, 4 * H)  # of LSTM units
SETTINGS = {"equal": CURRENT, "spread": SPREAD}
X = draw(66, B, T, I) + 0.5


def without_diagonal(gradient):
    """dC/dW [J, H] without the self-connections, which are not there."""
    mask = np.ones(gradient.shape)
    mask[-H - 1 : -1] -= np.eye(H)
    return gradient * mask


def adlif(name, rule="kernl", **settings):
    """A layer, the oracle's run of it, its constants, and the presynaptic values [B, T, J]."""
    c = ref.adlif_constants(H, **SETTINGS[name])
    scales = ((1.3, (I, H)), (0.8, (H, H)), (0.1, (H,)))
    weights = [scale * draw(67 + n, *shape) / c.drive for n, (scale, shape) in enumerate(scales)]
    cell = kk.AdLIFCell(H, use_bias=True, dtype="float64", **SETTINGS[name])
    layer = layer_over(cell, rule, X.shape, weights, (M, GAMMA), **settings)
    weights[1] = weights[1] * (1.0 - np.eye(H))
    run = ref.adlif(X, *weights, c)
    return layer, run, c, weights, ref.presynaptic(X, run.seen, np.zeros((B, H)))


def lstm(rule="kernl", dt=1.0, **settings):
    return layer_over(kk.LSTMCell(H, dt=dt, dtype="float64"), rule, X.shape, WEIGHTS, (M, GAMMA), **settings)


def test_the_default_constants_are_those_of_the_oracle():
    settings, c = kk.AdLIFCell(H).get_config(), ref.adlif_constants(H)
    for name in ("coupling", "adaptation_strength", "base_threshold"):
        same(settings[name] + np.zeros(H), getattr(c, name) + np.zeros(H))


@pytest.mark.parametrize("name", [*SETTINGS, "lstm"])
def test_steps_are_the_loops(name):
    """In the layer, in Keras' own, and LSTM units in Keras' own cell."""
    if name == "lstm":
        layer, run, outputs = lstm(), ref.lstm(X, *WEIGHTS), "h"
        theirs = keras.layers.LSTM(H, return_sequences=True, dtype="float64")
        theirs.build((B, T, I))
        theirs.set_weights(WEIGHTS)
        same(theirs(X), run.h)
    else:
        layer, run, outputs = *adlif(name)[:2], "z"
        assert 0.1 < run.z.mean() < 0.6
    plain = keras.layers.RNN(layer.cell, return_sequences=True, return_state=True, dtype="float64")
    found, *states = plain(X)
    for one in (layer(X), found):
        same(one, getattr(run, outputs))
    for one, state in zip(states, ("h", "c") if name == "lstm" else ("v", "w", "s"), strict=True):
        same(one, getattr(run, state)[:, -1])


ADLIF_RULES = []
for follows in (True, False):
    ADLIF_RULES += [EProp(reset_gradient=follows)]
    ADLIF_RULES += [KeRNL(kernel, Tangent(1e9), reset_gradient=follows) for kernel in ("membrane", "whole_unit")]


@pytest.mark.parametrize("name, rule", taking_turns(itertools.product(SETTINGS, ADLIF_RULES), every=2))
def test_adlif_learns_as_in_the_loops(name, rule):
    """Gradients of the weights, and with the whole unit's kernel F and dF/dM."""
    layer, run, c, weights, s = adlif(name, rule)
    found = compute(layer, tf.constant(X), ERROR)
    steps = kernel = ref.linear("adlif", run, c, reset_gradient=rule.reset_gradient)
    if not isinstance(getattr(rule, "kernel", None), WholeUnit):
        kernel = ref.resting("adlif", run, c)
    of_kernel = kernel, ref.arrivals(kernel, c)
    expected = ref.traces_gradient(ERROR, s, steps, ref.unit_hop(*of_kernel, M[0]) if rule.hops else None)
    if kernel is steps:
        xi = noise(T, 1)
        effect = ref.tangent(xi, "state", ref.linear("adlif", run, c), weights[1], c.s)["voltage"]
        loss, of_m = ref.kernel_sensitivity(effect, xi, M[0], *of_kernel)
        same(layer.report.sensitivity_loss, loss)
        same(found[3][0], of_m)
        assert np.abs(of_m).max() > 1e-3
    assert np.abs(expected).max() > 0.01
    same(found[1], without_diagonal(expected))


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("enters", ["state", "current"])
def test_adlifs_tangent_is_the_loops(name, enters):
    layer, run, c, weights, _ = adlif(name)
    xi, cell, p = draw(3, B, T, H), layer.cell, layer.cell.parameters()
    expected = ref.tangent(xi, enters, ref.linear("adlif", run, c), weights[1], c.s)["voltage"]
    state = change = cell.State(*[tf.zeros((B, H), "float64")] * 3)
    for t in range(T):
        if enters == "state":
            change = change._replace(trace=change.trace + xi[:, t])
        recurrent = cell.recurrent_weights()
        of_current = change.trace @ recurrent + (xi[:, t] if enters == "current" else 0.0)
        step, state = cell.step(cell.input_current(X[:, t]) + state.trace @ recurrent, state, p)
        effect, change = Tangent(observe="voltage").effect(cell, p, (step, state), None, of_current, change)
        same(effect, expected[:, t])


# LSTM

RULES = {"bptt": "bptt", "eprop": EProp(), "kernl": KeRNL("exponential"), "two kernels": KeRNL(Exponential(2))}


def test_lstm_weights_start_as_those_of_keras():
    for forget in (True, False):
        cell = kk.LSTMCell(H, unit_forget_bias=forget)
        theirs = keras.layers.LSTMCell(H, unit_forget_bias=forget)
        for each in (cell, theirs):
            each.build((None, I))
        assert [tuple(w.shape) for w in cell.weights] == [tuple(w.shape) for w in theirs.weights]
        np.testing.assert_array_equal(cell.bias, theirs.get_weights()[2])
    products = tf.matmul(cell.recurrent_kernel, cell.recurrent_kernel, transpose_b=True)
    np.testing.assert_allclose(products, np.eye(H), atol=1e-5)  # orthogonal


@pytest.mark.parametrize(
    ("name", "window"),
    [*((name, None) for name in ("eprop", "kernl", "two kernels")), ("bptt", 1)]
    + [(name, 4) for name in ("bptt", "eprop", "two kernels")],
)
def test_lstm_learns_as_in_the_loops(name, window):
    count, dt = {"kernl": 1, "two kernels": 2}.get(name, 0), 0.5 if window is None else 1.0
    m, gamma = M[:count], GAMMA[:count]
    run = ref.lstm(X, *WEIGHTS)
    s, steps = ref.presynaptic(X, run.h, np.zeros((B, H))), ref.linear("lstm", run)
    found = compute(lstm(RULES[name], dt, window=window), tf.constant(X), ERROR, training=False)
    if window is None:
        hop = ref.exponential_hop(steps, m, gamma, dt) if count else None
        same(found[1], ref.traces_gradient(ERROR, s, steps, hop))
    else:
        hop = ref.exponential_back(m, gamma, dt) if count else None
        behind = None if name == "bptt" else steps
        of_current = ref.windows(ERROR, steps, WEIGHTS[1], window, behind=behind, hop=hop)
        same(found[1], ref.weight_gradient(of_current, s))
        same(found[2], ref.input_gradient(of_current, WEIGHTS[0]))


def test_lstms_m_and_gamma_learn_from_the_tangent():
    """The effect of noise on the memories is the loops', and the twin's for small noise."""
    xi, run = noise(T, 1), ref.lstm(X, *WEIGHTS)
    effect = ref.tangent(xi, "synapse", ref.linear("lstm", run), WEIGHTS[1])["voltage"]
    omega, slope = ref.filtered_noise(xi, np.ones_like(xi), GAMMA[:1], 1.0)
    _, of_m, of_gamma = ref.sensitivity(effect, omega, slope, M[:1])
    found = compute(lstm(), tf.constant(X), ERROR)[3]
    same(found[0], of_m[0])
    same(found[1], of_gamma[0])
    twin = compute(lstm(KeRNL("exponential", perturbation=Twin(std=1e-6))), tf.constant(X), ERROR)[3]
    np.testing.assert_allclose(twin[0], of_m[0], rtol=1e-3, atol=1e-5)


def test_lstms_m_and_gamma_start_at_the_path_through_one_synapse():
    """Of units at rest: the step of the memories that a small output makes, and the forget gate."""
    layer = lstm(dt=0.5)
    layer.cell.bias.assign(np.repeat([0.3, 1.0, 0.0, -0.2], H))
    layer.reset_sensitivity()
    cell, p = layer.cell, layer.cell.parameters()
    rest = cell.State(tf.zeros((H, H), "float64"), tf.zeros((H, H), "float64"))
    small = 1e-6 * np.eye(H)  # the output of unit i, in example i
    memory = cell.step(cell.bias + small @ cell.recurrent_weights(), rest, p)[1].memory
    np.testing.assert_allclose(layer.sensitivity_tensor, np.transpose(memory) / 1e-6, rtol=1e-5)
    np.testing.assert_allclose(np.exp(-0.5 * layer.temporal_filter.numpy()), 1.0 / (1.0 + np.exp(-1.0)))


def test_sparse_recurrence_of_lstm_and_no_connections_to_itself():
    """Of all gates alike; what is not there does not learn."""
    matrix = np.ones((H, H), bool)
    matrix[0, 2] = False
    cell = kk.LSTMCell(H, self_connections=False, recurrent_connectivity=matrix, dtype="float64")
    layer = kk.RNN(cell, rule="bptt")
    layer.build((B, T, I))
    cell.recurrent_kernel.assign(WEIGHTS[1])
    there = np.tile(matrix & ~np.eye(H, dtype=bool), (1, 4))
    np.testing.assert_array_equal(cell.recurrent_weights() != 0.0, there)
    np.testing.assert_array_equal(cell.connections() > 0.0, there)
    np.testing.assert_array_equal(learn(layer, tf.constant(X), ERROR).gradients["recurrent_kernel"] != 0.0, there)


def test_a_rule_of_ones_own_has_to_give_the_error_of_each_current():
    class Hebbian(kk.rules.Rule):
        def carry_shapes(self, cell, traces):
            return []

        def backward_step(self, carry, now, context):
            return (), now.L

    with pytest.raises(ValueError, match="must return the errors of 4 currents of 4 units; received shape \\(2, 4\\)"):
        learn(lstm(Hebbian()), tf.constant(X), ERROR)


def test_a_comparison_leaves_out_what_does_not_go_with_the_cell():
    inputs = keras.Input((T, I))
    model = kk.Model(inputs, kk.Readout(2)(kk.RNN(kk.LSTMCell(H), name="hidden")(inputs)))
    x, y = np.float32(X), np.ones((B, T, 2), "float32")
    model.compile("sgd", "mse", run_eagerly=True)
    assert set(kk.gradient_alignment(model, x, y, windows=2).variables["hidden"]) == {"kernl", "eprop"}
    with pytest.raises(ValueError, match="cell must have one current a unit for RFLO; received LSTMCell"):
        kk.gradient_alignment(model, x, y, rules=["rflo"], windows=2)
