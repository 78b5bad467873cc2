"""AdLIF units: steps and perturbations are the loops', and every rule has both numbers of the own state."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, EProp, Exponential, KeRNL, Tangent

from ..reference.cases import draw
from ..reference.expected import compute, same

B, T, I, H = 2, 9, 3, 4  # noqa: E741
ERROR = draw(53, B, T, H)
SETTINGS = {
    "equal": dict(tau_m=6.0, tau_a=30.0, coupling=20.0, adaptation_strength=40.0),
    "spread": dict(
        tau_m=[4.0, 6.0, 9.0, 6.0], tau_a=[30.0, 12.0, 50.0, 12.0], tau_s=3.0, coupling=[9.0, 0.0, 30.0, 0.0],
        adaptation_strength=[0.0, 5.0, 60.0, 5.0], base_threshold=0.6, resistance=[1.0, 3.0, 0.5, 2.0],
    ),
}  # fmt: skip
X = draw(66, B, T, I) + 0.5


def network(name, rule="kernl", m=None, learn=(), **settings):
    cell = kk.AdLIFCell(H, use_bias=True, dtype="float64", learn=learn, **SETTINGS[name])
    layer = kk.RNN(cell, rule=rule, seed=5, **settings)
    layer.build((B, T, I))
    c = ref.adlif_constants(H, **SETTINGS[name])
    weights = 1.3 * draw(67, I, H) / c.drive, 0.8 * draw(68, H, H) / c.drive, 0.1 * draw(69, H) / c.drive
    for variable, value in zip((cell.kernel, cell.recurrent_kernel, cell.bias), weights):
        variable.assign(value)
    layer.reset_sensitivity()  # from these weights
    if m is not None:
        layer.sensitivity_tensor.assign(m)
    w_used = weights[1] * (1.0 - np.eye(H))
    return layer, c, (weights[0], w_used, weights[2])


def used(gradient):
    mask = np.ones(gradient.shape)
    mask[I : I + H] -= np.eye(H)
    return gradient * mask


@pytest.mark.parametrize("name", SETTINGS)
def test_steps_are_the_loops(name):
    layer, c, weights = network(name)
    run = ref.adlif(X, *weights, c)
    assert 0.1 < run.z.mean() < 0.6
    np.testing.assert_allclose(layer(X), run.z)
    plain = keras.layers.RNN(layer.cell, return_sequences=True, return_state=True, dtype="float64")
    outputs, v, w, s = plain(X)
    np.testing.assert_allclose(outputs, run.z)
    for one, other in ((v, run.v), (w, run.w), (s, run.s)):
        same(one, other[:, -1])


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("enters", ["state", "current"])
def test_the_tangent_is_the_loops(name, enters):
    layer, c, weights = network(name)
    run, xi = ref.adlif(X, *weights, c), draw(3, B, T, H)
    cell, p = layer.cell, layer.cell.parameters()
    state = change = cell.State(*[tf.zeros((B, H), "float64")] * 3)
    for t in range(T):
        if enters == "state":
            change = change._replace(trace=change.trace + xi[:, t])
        recurrent = cell.recurrent_weights()
        of_current = change.trace @ recurrent + (xi[:, t] if enters == "current" else 0.0)
        current = cell.input_current(X[:, t]) + state.trace @ recurrent
        step, state = cell.step(current, state, p)
        effect, change = Tangent(observe="voltage").effect(cell, p, (step, state), None, of_current, change)
        same(effect, ref.adlif_tangent(xi, enters, run, weights[1], c)[:, t])


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("follow_reset", [False, True])
@pytest.mark.parametrize("hop", [False, True])
def test_rules_are_their_loops(name, follow_reset, hop):
    m = draw(7, H, H) if hop else None
    rule = (KeRNL if hop else EProp)(reset_gradient=follow_reset)
    layer, c, weights = network(name, rule, m)
    run = ref.adlif(X, *weights, c)
    s = ref.presynaptic(X, run.seen, np.zeros((B, H)))
    expected = ref.adlif_rule(ERROR, s, run, c, follow_reset, m)
    found = compute(layer, tf.constant(X), ERROR, training=False)[1]
    assert np.abs(expected).max() > 0.01
    same(found, used(expected))


def gradients(layer, x, error=ERROR, **arguments):
    weights = layer.cell.trainable_weights
    with tf.GradientTape() as tape:
        outputs = layer(x, **arguments)
        loss = tf.reduce_sum((outputs[0] if isinstance(outputs, (list, tuple)) else outputs) * error)
    found = tape.gradient(loss, weights, unconnected_gradients="zero")
    return {weight.name.split("/")[-1].split(":")[0]: np.asarray(each) for weight, each in zip(weights, found)}


def alike(one, other):
    assert one.keys() == other.keys() and one
    for name in one:
        same(one[name], other[name], tolerance=1e-8)


LEARNS = {
    "equal": ("tau_m", "tau_a", "base_threshold", "adaptation_strength", "coupling"),
    "spread": ("tau_s", "tau_a"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_backpropagation_is_that_of_automatic_differentiation(name):
    """Constants that learn included; and so is every rule with a window of the whole sequence."""
    expected = gradients(network(name, BPTT(tape=True), learn=LEARNS[name])[0], X)
    assert all(np.abs(each).max() > 1e-5 for each in expected.values())
    alike(gradients(network(name, "bptt", learn=LEARNS[name])[0], X), expected)
    alike(gradients(network(name, "kernl", learn=LEARNS[name], window=T)[0], X), expected)


@pytest.mark.parametrize("window", [pytest.param(None, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize(
    ("name", "rule"),
    [("equal", KeRNL()), ("spread", KeRNL(Exponential(2))), ("spread", KeRNL("whole_unit")), ("spread", EProp())],
)
def test_pieces_with_traces_are_the_whole(name, rule, window):
    whole = gradients(network(name, rule, learn=LEARNS[name], window=window)[0], X)
    layer = network(name, rule, learn=LEARNS[name], window=window, traces=True, return_state=True)[0]
    states, total = {}, dict.fromkeys(whole, 0.0)
    for cut in (slice(0, 4), slice(4, 8), slice(8, T)):
        found = gradients(layer, X[:, cut], ERROR[:, cut], **states)
        states = {"initial_state": layer(X[:, cut], **states)[1:]}
        total = {each: total[each] + found[each] for each in total}
    alike(total, whole)


def test_m_explains_what_a_spike_does_to_another_unit():
    """From unit 0 to unit 1 alone, no reset on the way: M = W drive is the path, and KeRNL is backpropagation."""
    found = []
    for rule in ("bptt", "kernl"):
        cell = kk.AdLIFCell(2, tau_m=6.0, tau_a=30.0, coupling=20.0, base_threshold=1e3, dtype="float64")
        layer = kk.RNN(cell, rule=rule)
        layer.build((B, T, I))
        cell.kernel.assign(draw(1, I, 2))
        cell.recurrent_kernel.assign([[0.0, 2.0], [0.0, 0.0]])
        layer.rule.reset(layer)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(X)[..., 1] * ERROR[..., 1])
        found.append(tape.gradient(loss, cell.kernel))
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3)  # psi is small, not 0
    assert np.abs(found[0][:, 0]).max() > 0.0


def test_what_it_has_not():
    cell = kk.AdLIFCell(3)
    assert not cell.adapts and cell.get_config()["coupling"] == 60.0
    assert kk.RNN(kk.AdLIFCell(3), rule="kernl", stateful=True).carries_traces is True
    for settings in ({}, {"stateful": True}, {"traces": True}):
        rule = kk.RNN(kk.AdLIFCell(3), **settings).rule
        assert rule.get_config() == KeRNL("whole_unit", reset_gradient=False).get_config()
    with pytest.raises(ValueError, match="traces must be True or False for AdLIFCell, which has none in linear memory"):
        kk.RNN(kk.AdLIFCell(3), traces="linear")
    with pytest.warns(UserWarning, match='rule="eprop" has fewer, and with any kernel but "whole_unit" so have'):
        kk.RNN(kk.AdLIFCell(150), rule="kernl", stateful=True).build((1, 9, 160))
    with pytest.raises(ValueError, match="coupling must be >= 0; received -1"):
        kk.AdLIFCell(3, coupling=-1.0)


@pytest.mark.slow
def test_it_learns_in_fit_and_is_saved(tmp_path):
    inputs = keras.Input((T, I))
    layer = kk.RNN(kk.AdLIFCell(H, learn=("tau_m", "coupling"), input_gain=3.0), name="hidden")
    model = kk.Model(inputs, kk.Readout(2)(layer(inputs)))
    model.compile("adam", "mse", jit_compile=True)
    x = np.float32(np.random.default_rng(0).normal(1.0, 2.0, (16, T, I)))
    history = model.fit(x, np.ones((16, T, 2)), batch_size=8, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
