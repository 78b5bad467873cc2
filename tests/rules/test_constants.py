"""Constants that learn: their gradients by every rule, window and form, against automatic differentiation and loops."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, PlainKeRNL, ReadoutOnly

from ..reference.cases import CELLS, KINDS, RATE, RESONATOR, SPIKING, B, H, Network, draw, pairs, taking_turns
from ..reference.expected import Expected, compute, kernels, same

T = 9
ERROR = draw(53, B, T, H)
LEARNS = {  # every constant that a cell has in use
    **{name: ("tau_m", "base_threshold") for name in SPIKING},
    **{name: ("tau_m", "period", "base_threshold") for name in RESONATOR},
    **{name: ("tau",) for name in RATE if RATE[name]["tau"] is not None},
}
for name, cell in CELLS.items():
    if name in LEARNS:
        LEARNS[name] += ("period",) * (name in RATE and "period" in cell)
        LEARNS[name] += ("tau_s",) * (name not in RATE and KINDS["spiking" if name in SPIKING else "resonator"][0](
            4, **cell).tau_s is not None)  # fmt: skip
        LEARNS[name] += ("tau_a", "adaptation_strength") * bool(np.any(cell.get("adaptation_strength", 0.0)))
ONLINE = {
    "kernl": KeRNL(),
    "kernl, potential alone": KeRNL(adaptation=False, reset_gradient=False),
    "e-prop": EProp(),
    "e-prop, reset": EProp(reset_gradient=True),
}


def made(cell, rule, **settings):
    network = Network(cell, time=T, learn=LEARNS[cell])
    m = kernels(rule.kernel.count) if hasattr(rule, "kernel") else ()
    return network, m, network.layer(rule, *m, **settings)


def gradients(layer, x, error=ERROR, calls=None, **arguments):
    """Of the logarithm of each constant, by name; 0 where nothing reaches it."""
    weights = layer.cell.learned_weights()
    with tf.GradientTape() as tape:
        outputs = layer(x, **arguments)
        loss = tf.reduce_sum((outputs[0] if isinstance(outputs, (list, tuple)) else outputs) * error)
    found = tape.gradient(loss, list(weights.values()), unconnected_gradients="zero")
    return {name: each.numpy() for name, each in zip(weights, found)}


def alike(one, other, **tolerance):
    assert one.keys() == other.keys() and one
    for name in one:
        same(one[name], other[name], **tolerance)


@pytest.mark.parametrize("cell", taking_turns(LEARNS, every=2))
def test_backpropagation_is_that_of_automatic_differentiation(cell):
    """And so is every rule with a window of the whole sequence."""
    network, _, tape = made(cell, BPTT(tape=True))
    expected = gradients(tape, network.inputs)
    assert all(np.abs(each).max() > 1e-4 for each in expected.values())
    plain = keras.layers.RNN(network.cell(), return_sequences=True, dtype="float64")
    plain.build((B, T, 3))
    for name in network.learn:
        with tf.GradientTape() as watched:
            loss = tf.reduce_sum(plain(network.inputs) * ERROR)
        same(watched.gradient(loss, plain.cell.learned_weights()[name]), expected[name])
    alike(gradients(made(cell, BPTT())[2], network.inputs), expected)
    for rule, settings in (("kernl", {}), ("kernl", {"traces": "linear"}), ("e-prop, reset", {})):
        alike(gradients(made(cell, ONLINE[rule], window=T, **settings)[2], network.inputs), expected)


@pytest.mark.parametrize(("name", "cell"), taking_turns(pairs(ONLINE, LEARNS)))
def test_the_rules_are_their_loops(name, cell):
    rule = ONLINE[name]
    network, m, layer = made(cell, rule)
    run = network.run()
    if network.resets and rule.reset_gradient:
        run = ref.follow_reset(run, network.c)
    if not rule.adaptation:
        run.beta = np.zeros(H)
    heard = None if network.spiking else run.slope
    hop = (np.reshape(m[0], (H, H)), np.broadcast_to(network.kernel, H), heard) if m else ()
    expected = {}
    for constant in network.learn:
        kick = ref.kicks(constant, run, network.c, network.start)
        if not rule.adaptation:
            kick.adaptation = np.zeros_like(kick.adaptation)
        expected[constant] = ref.constant(ERROR, run, kick, *hop)
        if constant == "adaptation_strength" and not rule.adaptation:
            kick = ref.kicks(constant, network.run(), network.c, network.start)
            expected[constant] = ref.constant(ERROR, run, kick, *hop)
    alike(gradients(layer, network.inputs), expected)


@pytest.mark.parametrize("base", ["hard adaptive", "soft euler"])
@pytest.mark.parametrize("name", ONLINE)
def test_the_rules_are_their_loops_where_the_resistance_follows(name, base, monkeypatch):
    cell = {**SPIKING[base], "resistance": None}
    for table, row in ((SPIKING, cell), (CELLS, cell), (LEARNS, LEARNS[base])):
        monkeypatch.setitem(table, "follows", row)
    test_the_rules_are_their_loops(name, "follows")


CUTS = {"windows": [slice(t, t + 2) for t in range(0, T, 2)], "two": [slice(0, 6), slice(6, T)]}


@pytest.mark.parametrize(
    ("name", "cell", "cuts", "traces"),
    taking_turns(pairs([*ONLINE, "exponential"], LEARNS, CUTS, (True, "linear")), every=25),
)
def test_pieces_are_the_whole(name, cell, cuts, traces):
    rule = ONLINE.get(name) or KeRNL(Exponential(2))
    if traces == "linear" and name == "exponential":
        pytest.skip("linear memory goes with the membrane's kernel")
    network, _, layer = made(cell, rule, window=2, traces=traces)
    whole = gradients(layer, network.inputs)
    _, _, layer = made(cell, rule, window=2, traces=traces, return_state=True)
    states, total = None, dict.fromkeys(whole, 0.0)
    for cut in CUTS[cuts]:
        arguments = {} if states is None else {"initial_state": states}
        found = gradients(layer, network.inputs[:, cut], ERROR[:, cut], **arguments)
        states = layer(network.inputs[:, cut], **arguments)[1:]
        total = {each: total[each] + found[each] for each in total}
    alike(total, whole, tolerance=1e-8)


@pytest.mark.parametrize(
    ("name", "traces"),
    [("kernl", False), pytest.param("e-prop", "linear", marks=pytest.mark.slow), ("kernl", True)],
)
def test_masks_and_resets(name, traces):
    """A padded batch learns what its sequences would, and a reset makes two sequences of one."""
    lengths, whole = (5, 8), {}
    for row, length in enumerate(lengths):
        network, _, layer = made("soft euler", ONLINE[name], window=3, traces=traces)
        found = gradients(layer, network.inputs[row : row + 1, :length], ERROR[row : row + 1, :length])
        whole = {each: whole.get(each, 0.0) + found[each] for each in found}
    mask = tf.sequence_mask(lengths, T)
    alike(gradients(layer, network.inputs, ERROR * mask.numpy()[..., None], mask=mask), whole, tolerance=1e-8)
    parts = [gradients(layer, network.inputs[:, cut], ERROR[:, cut]) for cut in (slice(0, 6), slice(6, T))]
    reset = tf.one_hot([6, 6], T) > 0.5
    both = gradients(layer, network.inputs, reset=reset)
    alike(both, {each: parts[0][each] + parts[1][each] for each in both}, tolerance=1e-8)


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.slow
def test_every_mode_agrees(window):
    network, _, layer = made("resonator", KeRNL(), window=window)
    expected = gradients(layer, network.inputs)
    alike(gradients(made("resonator", KeRNL(), window=window, unroll=True)[2], network.inputs), expected)
    weights = list(layer.cell.learned_weights().values())
    for jit in (False, True):

        @tf.function(jit_compile=jit)
        def step(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x) * ERROR)
            return tape.gradient(loss, weights)

        alike(dict(zip(expected, step(network.inputs))), expected)


def test_rflo_is_e_prop_on_rate_units():
    """It returns the errors of the currents alone: a constant gets the credit of a current."""
    network, _, layer = made("tanh", RFLO())
    alike(gradients(layer, network.inputs), gradients(made("tanh", EProp())[2], network.inputs))


@pytest.mark.parametrize("rule", [PlainKeRNL(), ReadoutOnly()])
def test_other_rules_give_finite_gradients(rule):
    network, _, layer = made("hard adaptive", rule)
    found = gradients(layer, network.inputs)
    assert all(np.isfinite(each).all() for each in found.values())
    assert np.any(found["tau_m"]) == isinstance(rule, PlainKeRNL)


def test_m_has_no_part_in_it():
    """F teaches M and gamma, and no constant."""
    network, _, layer = made("resonator", KeRNL())
    alike(gradients(layer, network.inputs, training=True), gradients(layer, network.inputs, training=False))
    layer(network.inputs, training=True)
    with tf.GradientTape() as tape:
        layer(network.inputs, training=True)
        loss = tf.add_n(layer.losses)
    weights = list(layer.cell.learned_weights().values())
    assert all(each is None or not np.any(each) for each in tape.gradient(loss, weights))


ALIKE = {
    "leaky": dict(tau_m=12.0, tau_s=None, tau_a=12.0, adaptation_strength=1.3, base_threshold=0.5),
    "resonating": dict(tau_m=12.0, period=7.0, tau_a=12.0, adaptation_strength=1.3, base_threshold=0.5),
}


@pytest.mark.parametrize(("window", "rule"), [(1, KeRNL()), (2, KeRNL()), (2, EProp())])
@pytest.mark.parametrize("cell", ALIKE)
def test_units_that_begin_alike(cell, window, rule, monkeypatch):
    """Each has a filter of its own in linear memory, and the poles of all are equal; so is that of the threshold."""
    for table in (CELLS, SPIKING if cell == "leaky" else RESONATOR):
        monkeypatch.setitem(table, cell, ALIKE[cell])
    network = Network(cell, time=T, learn=("tau_m",))
    m = kernels() if rule.hops else ()
    layer = network.layer(rule, *m, window=window, traces="linear")
    gradient = compute(layer, network.inputs, ERROR, training=False)[1]
    expected = Expected(network, rule, *m, error=ERROR, window=window, linear=True)
    same(gradient, network.used(expected.weight_gradient(expected.s)), tolerance=1e-8)
