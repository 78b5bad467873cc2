"""LSTM units: four currents a unit. Steps are Keras' and the loops', and every rule has the memory as own state."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, EProp, Exponential, KeRNL, Twin

from ..reference.cases import draw
from ..reference.expected import compute, in_pieces, noise, same

B, T, I, H = 2, 6, 3, 4  # noqa: E741
ERROR, X = draw(53, B, T, H), draw(66, B, T, I)
WEIGHTS = draw(67, I, 4 * H), draw(68, H, 4 * H), 0.5 * draw(69, 4 * H)
M, GAMMA = 0.5 * draw(7, 2, H, H), draw(8, 2, H) ** 2


def network(rule="kernl", kernels=1, dt=1.0, **settings):
    cell = kk.LSTMCell(H, dt=dt, dtype="float64")
    layer = kk.RNN(cell, rule=rule, seed=5, **settings)
    layer.build((B, T, I))
    for variable, value in zip((cell.kernel, cell.recurrent_kernel, cell.bias), WEIGHTS):
        variable.assign(value)
    if hasattr(layer, "temporal_filter"):
        layer.sensitivity_tensor.assign(M[0] if kernels == 1 else M)
        layer.temporal_filter.assign(GAMMA[0] if kernels == 1 else GAMMA)
    return layer


def gradients(layer, x=X, error=ERROR, **arguments):
    """Of kernel, recurrent kernel, bias and inputs."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x, **arguments) * error)
    return [np.asarray(each) for each in tape.gradient(loss, [*layer.cell.trainable_weights, x])]


def plain():
    """Keras' own layer with these weights."""
    layer = keras.layers.LSTM(H, return_sequences=True, dtype="float64")
    layer.build((B, T, I))
    layer.set_weights(WEIGHTS)
    return layer


def test_steps_are_those_of_keras_and_of_the_loops():
    layer, run = network(), ref.lstm(X, *WEIGHTS)
    same(layer(X), run.h)
    same(plain()(X), run.h)
    outputs, h, c = keras.layers.RNN(layer.cell, return_sequences=True, return_state=True, dtype="float64")(X)
    same(outputs, run.h)
    same(h, run.h[:, -1])
    same(c, run.c[:, -1])


def test_weights_start_as_those_of_keras():
    for forget in (True, False):
        cell = kk.LSTMCell(H, unit_forget_bias=forget)
        theirs = keras.layers.LSTMCell(H, unit_forget_bias=forget)
        for each in (cell, theirs):
            keras.utils.set_random_seed(3)
            each.build((None, I))
        assert [tuple(w.shape) for w in cell.weights] == [tuple(w.shape) for w in theirs.weights]
        np.testing.assert_array_equal(cell.bias, theirs.get_weights()[2])
    products = tf.matmul(cell.recurrent_kernel, cell.recurrent_kernel, transpose_b=True)
    np.testing.assert_allclose(products, np.eye(H), atol=1e-5)  # orthogonal


def test_backpropagation_is_that_of_automatic_differentiation():
    """And so is every rule with a window of the whole sequence."""
    expected = gradients(plain())
    assert all(np.abs(each).max() > 0.1 for each in expected)
    for rule, window in ((BPTT(tape=True), None), ("bptt", None), ("bptt", T), ("eprop", T), ("kernl", T)):
        for one, other in zip(gradients(network(rule, window=window)), expected):
            same(one, other)


RULES = {"eprop": EProp(), "kernl": KeRNL("exponential"), "two kernels": KeRNL(Exponential(2))}


def sensitivity(name):
    """M and gamma as the loops take them."""
    count = {"kernl": 1, "two kernels": 2}.get(name, 0)
    return {"m": M[:count], "gamma": GAMMA[:count]} if count else {}


@pytest.mark.parametrize("name", RULES)
def test_rules_are_their_loops(name):
    layer = network(RULES[name], 2 if "two" in name else 1, dt=0.5)
    run = ref.lstm(X, *WEIGHTS)
    s = ref.presynaptic(X, run.h, np.zeros((B, H)))
    expected = ref.lstm_rule(ERROR, s, run, **sensitivity(name), dt=0.5)
    same(compute(layer, tf.constant(X), ERROR, training=False)[1], expected)


@pytest.mark.parametrize(("name", "window"), [("bptt", 1), ("bptt", 4), ("eprop", 4), ("kernl", 1), ("two kernels", 4)])
def test_windows_are_their_loops(name, window):
    layer = network(RULES.get(name, name), 2 if "two" in name else 1, window=window)
    run = ref.lstm(X, *WEIGHTS)
    s = ref.presynaptic(X, run.h, np.zeros((B, H)))
    of_current = ref.lstm_windows(ERROR, run, WEIGHTS[1], window, name != "bptt", **sensitivity(name))
    of_weights, of_x = compute(layer, tf.constant(X), ERROR, training=False)[1:3]
    same(of_weights, np.einsum("btj,btn->jn", s, of_current))
    same(of_x, of_current @ WEIGHTS[0].T)


@pytest.mark.parametrize(("name", "window"), [("eprop", None), ("kernl", None), ("two kernels", 4)])
def test_pieces_with_traces_are_the_whole(name, window):
    kernels = 2 if "two" in name else 1
    whole = compute(network(RULES[name], kernels, window=window), tf.constant(X), ERROR, training=False)
    layer = network(RULES[name], kernels, window=window, traces=True, return_state=True)
    outputs, gradient = in_pieces(layer, tf.constant(X), (slice(0, 4), slice(4, T)), ERROR)
    same(outputs, whole[0])
    same(gradient, whole[1])


@pytest.mark.parametrize("name", ["bptt", "kernl"])
def test_masked_steps_are_no_steps(name):
    """With a step left out, in the middle and at the end, the rest learns what it would learn by itself."""
    counted = [0, 1, 3, 4]
    mask = np.zeros((B, T), bool)
    mask[:, counted] = True
    error = np.where(mask[..., None], ERROR, 0.0)
    found = gradients(network(name), error=error, mask=tf.constant(mask))
    expected = gradients(network(name), X[:, counted], ERROR[:, counted])
    for one, other in zip(found[:3], expected[:3]):
        same(one, other)


def test_m_and_gamma_learn_from_the_tangent():
    """The effect of noise on the memories is the loops', and the twin's for small noise."""
    xi, run = noise(T, 1), ref.lstm(X, *WEIGHTS)
    effect = ref.lstm_tangent(xi, run, WEIGHTS[1])
    omega, slope = ref.filtered_noise(xi, np.ones_like(xi), GAMMA[:1], 1.0)
    _, of_m, of_gamma = ref.sensitivity(effect, omega, slope, M[:1])
    found = compute(network(), tf.constant(X))[3]
    same(found[0], of_m[0])
    same(found[1], of_gamma[0])
    twin = compute(network(KeRNL("exponential", perturbation=Twin(std=1e-6))), tf.constant(X))[3]
    np.testing.assert_allclose(twin[0], of_m[0], rtol=1e-3, atol=1e-5)


def test_m_and_gamma_start_at_the_path_through_one_synapse():
    """Of units at rest: the step of the memories that a small output makes, and the forget gate."""
    layer = network(dt=0.5)
    layer.cell.bias.assign(np.repeat([0.3, 1.0, 0.0, -0.2], H))
    layer.reset_sensitivity()
    cell, p = layer.cell, layer.cell.parameters()
    rest = cell.State(tf.zeros((H, H), "float64"), tf.zeros((H, H), "float64"))
    small = 1e-6 * np.eye(H)  # the output of unit i, in example i
    memory = cell.step(cell.bias + small @ cell.recurrent_weights(), rest, p)[1].memory
    np.testing.assert_allclose(layer.sensitivity_tensor, np.transpose(memory) / 1e-6, rtol=1e-5)
    np.testing.assert_allclose(np.exp(-0.5 * layer.temporal_filter.numpy()), 1.0 / (1.0 + np.exp(-1.0)))


def test_sparse_recurrence_and_no_connections_to_itself():
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
    np.testing.assert_array_equal(gradients(layer)[1] != 0.0, there)


def test_what_it_has_not():
    cell = kk.LSTMCell(3)
    for rule in ("rflo", "plain_kernl"):
        with pytest.raises(ValueError, match="cell must have one current a unit for .*; received LSTMCell, whose"):
            kk.RNN(cell, rule=rule)
    with pytest.raises(ValueError, match="kernel must be .exponential. for LSTMCell; received Membrane"):
        kk.RNN(cell, rule=KeRNL())
    with pytest.raises(ValueError, match="traces must be True or False"):
        kk.RNN(cell, traces="linear")
    with pytest.raises(ValueError, match="traces must be True or False for LSTMCell, which has none in linear memory"):
        kk.RNN(cell, rule="eprop", traces="linear")
    assert isinstance(kk.RNN(cell).rule.kernel, Exponential)
    assert kk.RNN(cell, stateful=True).carries_traces is True


def test_a_rule_of_ones_own_has_to_give_the_error_of_each_current():
    class Hebbian(kk.rules.Rule):
        def carry_shapes(self, cell, traces):
            return []

        def backward_step(self, carry, now, context):
            return (), now.error

    with pytest.raises(ValueError, match="must return the errors of 4 currents of 4 units; received shape \\(2, 4\\)"):
        gradients(network(Hebbian()))


def test_readout_only_learns_nothing():
    assert not any(np.any(each) for each in gradients(network("readout_only")))


def made():
    """A model, and data for it."""
    inputs = keras.Input((T, I))
    layer = kk.RNN(kk.LSTMCell(H, dt=0.5, unit_forget_bias=False), name="hidden")
    model = kk.Model(inputs, kk.Readout(2, dt=0.5)(layer(inputs)))
    return model, np.float32(draw(1, 16, T, I)), np.ones((16, T, 2), "float32")


def test_it_is_saved(tmp_path):
    model, x, _ = made()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    layer = loaded.get_layer("hidden")
    assert (layer.cell.dt, layer.cell.unit_forget_bias, layer.rule.kernel.count) == (0.5, False, 1)


@pytest.mark.slow
def test_it_learns_in_fit_and_is_compared():
    model, x, y = made()
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=True)
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    found = kk.gradient_alignment(model, x, y, rules=["kernl", "eprop"], windows=2)
    assert found.variables["hidden"]["kernl"].cosine > 0.5


def test_a_comparison_leaves_out_what_does_not_go_with_the_cell():
    model, x, y = made()
    model.compile("sgd", "mse")
    assert set(kk.gradient_alignment(model, x, y, windows=2).variables["hidden"]) == {"kernl", "eprop"}
    with pytest.raises(ValueError, match="cell must have one current a unit for RFLO; received LSTMCell"):
        kk.gradient_alignment(model, x, y, rules=["rflo"], windows=2)
