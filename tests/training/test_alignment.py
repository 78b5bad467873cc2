"""`gradient_alignment` against gradients taken step by step, and where the rules are exact."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import gradient_alignment
from kernl_keras.keras_version import keras
from kernl_keras.layers.step import Step, running
from kernl_keras.rules import RFLO, EProp, KeRNL, PlainKeRNL
from kernl_keras.rules.rule import name_of
from kernl_keras.training.alignment import Alignments, cosine

from ..reference.cases import taking_turns
from ..reference.tools import all_same, through

B, T, I, H, O = 3, 5, 4, 6, 2  # noqa: E741


def data():
    generator = np.random.default_rng(2)
    return generator.normal(0.6, 1.5, (B, T, I)).astype("float32"), generator.normal(size=(B, T, O)).astype("float32")


def model(*layers, **settings):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, I))
    x = through(layers, inputs)  # whose weights are drawn first
    network = kk.Model(inputs, keras.layers.Dense(O, name="readout")(x))
    network.compile("sgd", "mse", **(settings or {"run_eagerly": True}))
    return network


def hidden(name="hidden", cell=None, **settings):
    cell = cell or kk.LIFCell(H, tau_m=6.0, adaptation_strength=0.7, recurrent_gain=1.0, use_bias=True)
    return kk.RNN(cell, name=name, seed=3, **settings)


def layer_gradient(network, x, y, exact=False):
    """The weights' gradients as training has them, or as backpropagation through time has them; by name."""
    with tf.GradientTape() as tape, running(Step(exact=exact)):
        loss = tf.reduce_mean((network(x) - y) ** 2)
    cell = network.get_layer("hidden").cell
    names = [name for name in ("kernel", "recurrent_kernel", "bias") if getattr(cell, name) is not None]
    return {name: each.numpy() for name, each in zip(names, tape.gradient(loss, [getattr(cell, n) for n in names]))}


def kernels_apart(layer, error, x):
    """[l, k, I, H]: backpropagation of the error of step l alone to a copy of the kernel for each step k."""
    cell, p = layer.cell, layer.cell.parameters()
    copies = [tf.identity(cell.kernel) for _ in range(x.shape[1])]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(copies)
        state, costs = cell.State(*(tf.zeros((B, H)) for _ in cell.State._fields)), []
        for t, copy in enumerate(copies):
            current = x[:, t] @ copy + cell.presynaptic(state) @ cell.recurrent_weights() + cell.bias
            step, state = cell.step(current, state, p)
            costs.append(tf.reduce_sum(step.output * error[:, t]))
    return np.array([tape.gradient(cost, copies, unconnected_gradients="zero") for cost in costs])


def test_lags_are_what_each_error_makes_of_each_steps_kernel():
    network, (x, y) = model(hidden()), (part[:, :4] for part in data())
    layer = network.get_layer("hidden")
    outputs = layer(x)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = tf.reduce_mean((network.get_layer("readout")(outputs) - y) ** 2)
    every = kernels_apart(layer, tape.gradient(loss, outputs), x)
    found = gradient_alignment(network, x, y, ("kernl", "bptt"), windows=4)
    whole = every.sum((0, 1))
    for rule in ("bptt", "kernl"):
        own = found.lags["hidden/kernel"][rule]
        assert own.lag == [0.0, 1.0, 2.0, 3.0]
        for lag, share in enumerate(own.share):
            exact = sum(every[late, late - lag] for late in range(lag, 4))
            np.testing.assert_allclose(share, np.linalg.norm(exact) / np.linalg.norm(whole), rtol=1e-4, atol=1e-6)
    assert found.lags["hidden/kernel"]["bptt"].share[3] > 1e-3
    of_rule, agreement = layer_gradient(network, x, y)["kernel"], found.variables["hidden/kernel"]["kernl"]
    ratio = np.linalg.norm(of_rule) / np.linalg.norm(whole)
    np.testing.assert_allclose(agreement[:2], (cosine(of_rule, whole), ratio), rtol=1e-4)


TURNING = dict(tau_m=[9.0, 30.0] * 3, period=[5.0, 9.0] * 3, recurrent_gain=1.0)
OF_THE_LAYER = {  # rule, settings of a resonator
    "membrane": (KeRNL(), None),
    "exponential": (KeRNL("exponential", reset_gradient=False), None),
    "the last step": (PlainKeRNL(credit="last"), None),
    "e-prop": (EProp(reset_gradient=True), None),
    "membrane that turns": (KeRNL(), TURNING),
}


@pytest.mark.parametrize("name", taking_turns(OF_THE_LAYER))
def test_the_rule_judged_is_the_one_that_trains(name):
    """Its word stands for the layer's own, with its settings."""
    rule, turning = OF_THE_LAYER[name]
    network, (x, y) = model(hidden(rule=rule, cell=turning and kk.ResonatorCell(H, **turning))), data()
    word = name_of(rule)
    found = gradient_alignment(network, x, y, (word, "bptt"), windows=1).variables
    of_rule, exact = layer_gradient(network, x, y), layer_gradient(network, x, y, exact=True)
    for name, mine in of_rule.items():
        whole, agreement = exact[name], found[f"hidden/{name}"][word]
        ratio = np.linalg.norm(mine) / np.linalg.norm(whole)
        np.testing.assert_allclose(agreement[:2], (cosine(mine, whole), ratio), rtol=1e-4)
        np.testing.assert_allclose(found[f"hidden/{name}"]["bptt"][:2], (1.0, 1.0), rtol=1e-4)
        assert np.isnan(agreement.nonlocal_cosine) == (not isinstance(rule, KeRNL))
    assert not turning or found["hidden/kernel"][word].cosine > 0.9


def test_rules_with_settings_of_their_own():
    """Several of one class, by names; words and objects in one list; M is the layer's, whatever the object says."""
    network, (x, y) = model(hidden(rule=EProp())), data()
    rules = {"as published": EProp(), "reset followed": EProp(reset_gradient=True), "RFLO": "rflo"}
    found = gradient_alignment(network, x, y, rules, windows=1)
    assert list(found.variables["hidden"]) == list(found.lags["hidden"]) == list(rules)
    assert len({found.variables["hidden"][name].cosine for name in rules}) == 3
    listed = gradient_alignment(network, x, y, [EProp(reset_gradient=True), RFLO(), "kernl"], windows=1)
    assert list(listed.variables["hidden"]) == ["eprop", "rflo"]  # the layer has no M
    np.testing.assert_array_equal(listed.variables["hidden"]["eprop"], found.variables["hidden"]["reset followed"])


def test_backpropagation_agrees_with_itself_and_readout_only_with_nothing():
    network, (x, y) = model(hidden(rule="rflo")), data()
    found = gradient_alignment(network, x, y, ("bptt", "readout_only", "eprop"), windows=2)
    assert set(found.variables) == {"hidden", "hidden/kernel", "hidden/recurrent_kernel", "hidden/bias"}
    for name, agreements in found.variables.items():
        np.testing.assert_allclose(agreements["bptt"], (1.0, 1.0, 1.0), rtol=1e-5)
        assert np.isnan(agreements["readout_only"].cosine) and agreements["readout_only"].norm_ratio == 0.0
        assert np.isnan(agreements["eprop"].nonlocal_cosine) and 0.0 < agreements["eprop"].cosine < 1.0
        np.testing.assert_allclose(found.lags[name]["bptt"].cosine, (1.0, 1.0), rtol=1e-5)
    assert found.lags["hidden"]["bptt"].lag == [0.0, 3.0]  # five steps in two windows of three


def test_every_rule_agrees_where_it_is_exact():
    cell = kk.LeakyRNNCell(H, tau=4.0, activation="identity", recurrent_initializer="zeros")
    network, (x, y) = model(hidden(cell=cell)), data()
    found = gradient_alignment(network, x, y, ("kernl", "eprop", "rflo"), windows=2)
    for name in ("hidden", "hidden/kernel"):
        for agreement in found.variables[name].values():
            np.testing.assert_allclose(agreement[:2], (1.0, 1.0), rtol=1e-4)
        for lag in found.lags[name].values():
            np.testing.assert_allclose([*lag.cosine, *lag.norm_ratio], np.ones(4), rtol=1e-4)


def test_what_travels_through_other_units():
    """A chain of one hop: M = (1-a) R_m W_rec^T and gamma = 1/tau_m are exact, but for the resetting spike."""
    chain = np.zeros((H, H), "float32")
    chain[0, 1] = chain[2, 3] = 6.0
    cell = kk.LIFCell(H, tau_m=6.0, tau_s=None, tau_ref=0.0, reset="soft", surrogate_damping=1e-3, use_bias=True)
    network, (x, y) = model(hidden(cell=cell)), data()
    cell.recurrent_kernel.assign(chain)
    layer = network.get_layer("hidden")
    layer.sensitivity_tensor.assign(cell.parameters().drive * chain.T)
    found = gradient_alignment(network, x, y, ("kernl", "eprop", "bptt"), windows=1)
    kernl, eprop, bptt = (found.variables["hidden/kernel"][rule] for rule in ("kernl", "eprop", "bptt"))
    assert kernl.nonlocal_cosine > 0.999 and bptt.nonlocal_cosine > 0.999999 and np.isnan(eprop.nonlocal_cosine)
    np.testing.assert_allclose(found.lags["hidden/kernel"]["kernl"].nonlocal_cosine, kernl.nonlocal_cosine)


def test_each_layer_is_judged_by_backpropagations_errors():
    """Whatever rule the layer above has, the errors that come down are the same."""
    (x, y), found = (part[:, :4] for part in data()), []
    for above in ("eprop", "bptt"):
        network = model(hidden("first"), hidden("second", rule=above))
        found.append(gradient_alignment(network, x, y, ("kernl",), windows=1))
    first = [alignment.variables["first/kernel"] for alignment in found]
    np.testing.assert_allclose(first[0]["kernl"], first[1]["kernl"], rtol=1e-5)
    assert "kernl" not in found[0].variables["second"] and set(found[0].explained_variance) == {"first"}


def test_nothing_moves():
    """Nor by an error."""
    network, (x, y) = model(hidden(traces=True)), data()
    network.train_on_batch(x, y)
    layer, before = network.get_layer("hidden"), [variable.numpy() for variable in network.weights]
    rule, expected = layer.rule, [gradient.numpy() for gradient in network.gradients(x, y)]
    measure = Alignments(network, ("kernl",), windows=1)
    first, again = measure(x, y), measure(x, y)
    assert str(first) == str(again) and 0.0 < first.explained_variance["hidden"] < 1.0
    for settings, message in (
        (dict(rules=("rtrl",)), r"rule must be one of \['bptt', .*\]; received 'rtrl'"),
        (dict(windows=10), "windows must be at most the 5 time steps; received 10"),
        (dict(windows=0), "windows must be an integer >= 1; received 0"),
        (dict(y=np.ones((B, T - 2, O + 1), "float32")), "hape|ncompatible|roadcast"),
    ):
        with pytest.raises(Exception, match=message):
            gradient_alignment(network, x, **{"y": y, **settings})
    all_same(before, [variable.numpy() for variable in network.weights])
    all_same(expected, network.gradients(x, y))  # the layer has its rule again
    assert layer.report is None and layer.rule is rule


@pytest.mark.slow
def test_xla_agrees():
    found = []
    for compiled in ({"run_eagerly": True}, {"jit_compile": True}):
        found.append(gradient_alignment(model(hidden(), **compiled), *data(), windows=2))
    all_same(*(alignment.variables for alignment in found), 1e-3, 1e-4)


def test_the_last_output_alone():
    """`return_sequences=False`: the error of the last step is all there is."""
    network, (x, y) = model(hidden(rule="eprop", return_sequences=False)), data()
    found = gradient_alignment(network, x, y[:, 0], ("bptt",), windows=2)
    assert found.variables["hidden"]["bptt"].norm_ratio > 0.99 and found.lags["hidden"]["bptt"].share[1] > 0.0


def test_an_example_without_weight_has_no_say():
    """As in training: not in the gradients, and not in what M explains."""
    (x, y), found = data(), []
    for factor, weight in ((1.0, 0.0), (4.0, 0.0), (4.0, 1.0)):
        of_last = np.array([1.0, 1.0, factor], "float32")[:, None, None]
        network = model(hidden(rule="kernl"))
        network.get_layer("hidden").sensitivity_tensor.assign(np.ones((H, H)))
        settings = dict(windows=2, sample_weight=np.array([[1.0], [1.0], [weight]]))
        found.append(gradient_alignment(network, x * of_last, y, ("eprop",), **settings))
    cosines = [each.variables["hidden"]["eprop"].cosine for each in found]
    for one, same, other in (cosines, [each.explained_variance["hidden"] for each in found]):
        np.testing.assert_allclose(one, same, rtol=1e-5)
        assert abs(one - other) > 1e-3


def test_a_model_without_rule_layers_is_an_error():
    with pytest.raises(ValueError, match="model must have an RNN layer; received <"):
        gradient_alignment(model(keras.layers.SimpleRNN(H, return_sequences=True)), *data())


def test_layers_of_one_name_in_two_models():
    parts = []
    for size in (I, 3):
        inputs = keras.Input((None, size))
        cell = kk.LIFCell(3 if size == I else H, recurrent_gain=1.0)
        parts.append(keras.Model(inputs, kk.RNN(cell, "eprop", name="hidden", seed=3)(inputs), name=f"part_{size}"))
    network, (x, y) = model(*parts), data()
    found = gradient_alignment(network, x, y, ("eprop",), windows=4, sample_weight=np.ones((B, T), "float32"))
    assert {"hidden", "hidden_1", "hidden/kernel", "hidden_1/kernel"} < set(found.variables)
    assert found.lags["hidden"]["eprop"].lag == [0.0, 2.0, 4.0]  # five steps in windows of two


def test_names_of_ones_own_are_names_alone():
    """Whatever a rule is called, it is compared with backpropagation, and its hops are what is its own."""
    network, (x, y) = model(hidden(rule="kernl")), data()
    known = gradient_alignment(network, x, y, ("eprop", "kernl"), windows=1).variables["hidden"]
    names = {"bptt": EProp(), "own": KeRNL(), "local": kk.rules.BPTT()}
    found = gradient_alignment(network, x, y, names, windows=1).variables["hidden"]
    for name, expected in (("bptt", known["eprop"]), ("own", known["kernl"]), ("local", (1.0, 1.0, 1.0))):
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)
    assert known["kernl"].nonlocal_cosine < 0.9999 and known["eprop"].cosine < 0.9999


def test_truncated_backpropagation_is_compared_with_all_of_it():
    network, (x, y) = model(hidden(rule="bptt", window=2)), data()
    found = gradient_alignment(network, x, y, ("bptt", "eprop"), windows=1).variables["hidden"]
    whole = gradient_alignment(model(hidden(rule="bptt")), x, y, ("bptt", "eprop"), windows=1).variables["hidden"]
    assert found["bptt"].cosine < 0.999 and whole["bptt"].cosine == pytest.approx(1.0, abs=1e-5)
    assert found["eprop"].cosine == pytest.approx(whole["eprop"].cosine, abs=1e-5)
