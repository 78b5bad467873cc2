"""Gradients, and F, are the reference's for every rule; special cases in which rules are others, or backpropagation."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import rules
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, PlainKeRNL, ReadoutOnly, Replica, Tangent, Twin

from ..reference.cases import CELLS, RATE, RESONATOR, SPIKING, B, H, Network, T, draw, pairs, taking_turns
from ..reference.expected import ERROR, STD, Expected, compute, kernels_of, layer_of, learn, same
from ..reference.units import build_layer

PERTURBATIONS = {
    "tangent": lambda **settings: Tangent(1e9, **settings),
    "twin": lambda **settings: Twin(STD, **settings),
    "replica": lambda **settings: Replica(STD, **settings),
}
LOCAL = {
    "e-prop": EProp(),
    "e-prop, no adaptation": EProp(adaptation=False),
    "e-prop, reset": EProp(reset_gradient=True),
    "RFLO": RFLO(),
}


def expected_of(network, rule, **settings):
    """The reference's word on it."""
    return Expected(network, rule, *kernels_of(rule), **settings)


def rows():
    """Kernel, perturbation, observed value, where the noise enters, h and credit, over cells of every kind."""
    noisy, observed = tuple(PERTURBATIONS), (None, "voltage")
    spiking, rates = [*SPIKING, *RESONATOR], tuple(RATE)
    for cells, names in ((spiking, noisy), (rates, noisy[:2])):
        of_own = (False, False), (False, True), (True, False), (True, True)  # adaptation, reset_gradient
        for kernel, name, observe, own, cell in pairs(("membrane", 1, 2), names, observed, of_own, cells):
            made = kernel if kernel == "membrane" else Exponential(kernel)
            yield cell, KeRNL(made, PERTURBATIONS[name](observe=observe), *own)
        for name, reset_gradient, cell in pairs(names, (False, True), cells):
            yield cell, KeRNL("whole_unit", PERTURBATIONS[name](), True, reset_gradient)
        cells = [cell for cell in cells if cell != "resonator fixed"]  # psi is 0 at its last step
        noises = ("current", "synapse") if cells[0] in SPIKING else ("current", "synapse", "activity")
        factors = ("gate", "surrogate", "trace") if cells[0] in SPIKING else ("gate", "surrogate")
        for noise, factor, credit, name, count, cell in pairs(noises, factors, ("all", "last"), names, (1, 2), cells):
            observe = "reset_voltage" if cell in SPIKING else None
            yield cell, PlainKeRNL(Exponential(count), noise, factor, credit, PERTURBATIONS[name](observe=observe))


ROWS = list(rows())


@pytest.mark.parametrize(("cell", "rule"), taking_turns(ROWS, every=7))
def test_gradients_and_f_are_the_references(cell, rule):
    network = Network(cell)
    layer = layer_of(network, rule)
    expected = expected_of(network, rule)
    outputs, of_weights, of_x, of_sensitivity = compute(layer, network.inputs)
    same(outputs, expected.run.output)
    weights_expected, x_expected = expected.gradients()
    assert np.abs(weights_expected).max() > 1e-3
    same(of_weights, weights_expected)
    same(of_x, x_expected)
    loss, variance, of_m, of_gamma = expected.sensitivity()
    assert variance > 1e-3 and np.abs(of_m).max() > 1e-4
    same(layer.report.sensitivity_loss, loss)
    same(layer.report.perturbation_variance, variance)
    same(tf.reshape(of_sensitivity[0], of_m.shape), of_m)
    if of_gamma is not None:
        same(tf.reshape(of_sensitivity[1], of_gamma.shape), of_gamma)
    assert len(of_sensitivity) == 1 + (of_gamma is not None)


LONG = draw(53, B, 9, H)  # errors of 9 steps
WINDOWED = {
    "kernl": KeRNL(),
    "kernl, potential alone": KeRNL(adaptation=False, reset_gradient=False),
    "kernl, 2 exponentials": KeRNL(Exponential(2)),
    "kernl, whole unit": KeRNL("whole_unit"),
    "e-prop": EProp(),
    "e-prop, reset": EProp(reset_gradient=True),
    "bptt": BPTT(),
}


@pytest.mark.parametrize(
    ("name", "cell", "window"),
    [
        *taking_turns([(name, cell, 1) for name in LOCAL for cell in CELLS], every=7),
        *taking_turns([*pairs(WINDOWED, CELLS, (2, 7, 8)), *(("bptt", cell, 1) for cell in CELLS)], every=8),
    ],
)
def test_gradients_are_the_references(name, cell, window):
    """A sweep for every window, which divides T or not. Masks, pieces and whole sequences are in `test_forms`."""
    network, rule = Network(cell, time=9), {**LOCAL, **WINDOWED}[name]
    layer = layer_of(network, rule, window=window)
    outputs, *found, _ = compute(layer, network.inputs, LONG, training=name in LOCAL)
    same(outputs, network.run().output)
    for one, other in zip(found, expected_of(network, rule, error=LONG, window=window).gradients()):
        same(one, other)
    if name in LOCAL:
        assert layer.sensitivity_weights == [] and layer.report.sensitivity_loss is None and len(layer.weights) == 3


def test_a_shorter_window_is_not_backpropagation():
    network = Network("resonator", time=9)
    exact = compute(network.layer(BPTT()), network.inputs, LONG, training=False)[1]
    for rule in WINDOWED.values():
        found = compute(layer_of(network, rule, window=8), network.inputs, LONG, training=False)[1]
        assert np.abs(found - exact).max() > 1e-3


@pytest.mark.sampled(3)
@pytest.mark.parametrize("mode, resync", [("tangent", 3), ("twin", 1), ("twin", T), ("replica", 4), ("tangent", T + 1)])
@pytest.mark.parametrize("kernel", ["membrane", "exponential", "whole_unit"])
def test_resynchronisation(resync, mode, kernel):
    network, rule = Network("hard adaptive"), KeRNL(kernel, PERTURBATIONS[mode](resync_every=resync))
    layer, expected = layer_of(network, rule), expected_of(network, rule)
    *_, of_sensitivity = compute(layer, network.inputs)
    loss, _, of_m, of_gamma = expected.sensitivity(resync)
    same(layer.report.sensitivity_loss, loss)
    same(of_sensitivity[0], of_m[0])
    if of_gamma is not None:
        same(of_sensitivity[1], of_gamma[0])
    assert (abs(loss - expected.sensitivity()[0]) > 1e-3) == (resync < T)


@pytest.mark.parametrize("unit", ["hard", "LSTM"])
def test_readout_only_learns_nothing_in_the_layer_and_below(unit):
    layer, x = build_layer(unit, "readout_only", T)
    found = learn(layer, x, ERROR, training=True)
    assert found.x_gradient.shape == x.shape and not np.any(found.x_gradient)
    for weight, gradient in zip(layer.cell.trainable_weights, found.gradients.values(), strict=True):
        assert gradient.shape == weight.shape and not np.any(gradient)


# What the rules become in special cases (section 7 of the mathematics)


KERNELS = "membrane", "exponential"
WITHOUT_M = [KeRNL(kernel, reset_gradient=False, sensitivity_initializer="zeros") for kernel in KERNELS]


@pytest.mark.parametrize(
    ("cell", "rule", "other"),
    [
        # No effect of the reset (soft) and no refractory time: M = (1-a) R_m I, gamma = 1/tau_m, h = 1.
        ("soft free", PlainKeRNL(), EProp(adaptation=False)),
        *taking_turns([(cell, WITHOUT_M[number % 2], EProp()) for number, cell in enumerate(CELLS)], every=5),
        *taking_turns([(cell, LOCAL["e-prop"], rule) for cell in RATE for rule in list(LOCAL.values())[1:]], every=5),
    ],
)
def test_rules_that_are_one(cell, rule, other):
    network = Network(cell)
    gradients = [compute(network.layer(each), network.inputs)[1:3] for each in (rule, other)]
    assert np.abs(gradients[0][0]).max() > 0.01
    for one, another in zip(*gradients):
        same(one, another)


@pytest.mark.parametrize("cell", ["tanh", "identity euler"])
def test_plain_activity_from_its_local_start_is_rflo(cell):
    """Murray (2019) without random feedback. Euler's 1 - dt/tau is exp(-gamma dt) at gamma = -log(1 - dt/tau) / dt."""
    network = Network(cell)
    layer = network.layer(PlainKeRNL(noise="activity"))
    layer.temporal_filter.assign(-np.log(network.c.a) / network.c.dt)
    np.testing.assert_array_equal(layer.sensitivity_tensor, np.eye(H))
    found, expected = (compute(each, network.inputs)[1] for each in (layer, network.layer(RFLO())))
    assert np.abs(expected).max() > 0.01
    same(found, expected)


@pytest.mark.parametrize(
    ("rule", "m"),
    [(PlainKeRNL(), lambda a: np.eye(H)), (PlainKeRNL(noise="current"), lambda a: np.diag(1.0 - a)), (EProp(), None)],
    ids=["plain", "plain, current", "e-prop"],
)
def test_a_linear_rate_network_without_recurrence_learns_exactly(rule, m):
    network = Network("identity euler")
    network.w_rec *= 0.0
    layers = [network.layer(rule), network.layer(BPTT(tape=True))]
    if m is not None:  # with noise on the current h = 1, and M knows the gain
        layers[0].sensitivity_tensor.assign(m(network.c.a))
        layers[0].temporal_filter.assign(-np.log(network.c.a) / network.c.dt)
    (_, found, found_x, _), (_, exact, exact_x, _) = (compute(layer, network.inputs) for layer in layers)
    assert np.abs(exact).max() > 0.1
    same(found, exact)
    same(found_x, exact_x)


# M, gamma, the noise


@pytest.mark.parametrize("cell", ["hard adaptive", "soft euler", "tanh"])
def test_where_m_and_gamma_start(cell):
    network = Network(cell)
    gain = network.c.drive if network.spiking else 1.0 - network.c.a
    tau = np.broadcast_to(network.settings["tau_m" if network.spiking else "tau"], H)
    layer = network.layer(KeRNL(Exponential(2)))
    same(layer.sensitivity_tensor, [gain[:, None] * network.w_used.T, np.zeros((H, H))])
    same(layer.temporal_filter, [1.0 / tau, 0.25 / tau])
    same(network.layer(PlainKeRNL(noise="current")).sensitivity_tensor, np.diag(gain))
    layer.sensitivity_tensor.assign(draw(1, 2, H, H))
    layer.temporal_filter.assign(draw(2, 2, H) ** 2)
    layer.cell.recurrent_kernel.assign(2.0 * network.w_rec)
    layer.reset_sensitivity()  # from the weights as they are now
    same(layer.sensitivity_tensor, [2.0 * gain[:, None] * network.w_used.T, np.zeros((H, H))])
    same(layer.temporal_filter, [1.0 / tau, 0.25 / tau])


def test_m_and_gamma_by_initializers():
    constant = keras.initializers.Constant
    rule = KeRNL(Exponential(3, initializer=constant(0.125)), sensitivity_initializer=constant(0.25))
    layer = Network("hard").layer(rule)
    np.testing.assert_array_equal(layer.sensitivity_tensor, np.full((3, H, H), 0.25))
    np.testing.assert_array_equal(layer.temporal_filter, np.full((3, H), 0.125))
    np.testing.assert_array_equal(layer.temporal_filter.constraint(tf.constant([-1.0, 2.0])), [0.0, 2.0])


@pytest.mark.parametrize(("kernel", "count"), [("membrane", 1), ("exponential", 2)])
def test_the_output_does_not_reach_m_and_gamma_and_f_reaches_nothing_else(kernel, count):
    network = Network("hard adaptive", learn=("tau_m", "tau_a", "base_threshold", "adaptation_strength"))
    layer = layer_of(network, KeRNL(kernel))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x := network.inputs)
        loss = tf.reduce_sum(layer(x, training=True) * ERROR)
        (added,) = layer.losses
    assert len(layer.sensitivity_weights) == count
    assert tape.gradient(loss, layer.sensitivity_weights) == [None] * count
    assert tape.gradient(added, [*layer.cell.trainable_weights, x]) == [None] * 8
    assert all(np.abs(g).max() > 0 for g in tape.gradient(added, layer.sensitivity_weights))


def test_noise_is_new_at_every_call_and_the_same_for_a_seed():
    network = Network("hard adaptive")

    def losses(seed):
        layer = layer_of(network, KeRNL(), seed=seed)
        found = []
        for _ in range(3):
            layer(network.inputs, training=True)
            found.append(float(layer.report.sensitivity_loss))
        assert layer.draws.numpy() == 3
        return found

    first = losses(5)
    assert len(set(first)) == 3 and losses(5) == first and losses(6) != first


@pytest.mark.parametrize(("training", "learns"), [(False, True), (True, False)])
def test_no_noise_without_learning(training, learns):
    network = Network("hard adaptive")
    layer = layer_of(network, KeRNL(learn_sensitivity=learns))
    same(layer(network.inputs, training=training), network.run().output)
    assert layer.draws.numpy() == 0 and layer.losses == []
    assert layer.report.sensitivity_loss is None and layer.report.perturbation_variance is None
    same(layer.report.firing_rate, network.run().z.mean())


def test_every_rule_is_in_these_tables():
    tested = {type(rule) for rule in (*LOCAL.values(), *WINDOWED.values(), *(rule for _, rule in ROWS), ReadoutOnly())}
    assert tested == set(rules.NAMES.values())
