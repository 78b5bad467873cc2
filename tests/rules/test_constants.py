"""Constants that learn: their gradients are those of loops; more of them in `test_forms`."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.rules import RFLO, EProp, KeRNL, PlainKeRNL, ReadoutOnly

from ..reference.cases import CELLS, SPIKING, B, H, Network, draw, pairs, taking_turns
from ..reference.expected import kernels, same
from ..reference.units import constants_in_use

T = 9
ERROR = draw(53, B, T, H)
LEARNS = {name: learned for name in CELLS if (learned := constants_in_use(Network(name).kind, CELLS[name]))}
ONLINE = {
    "kernl": KeRNL(),
    "kernl, potential alone": KeRNL(adaptation=False, reset_gradient=False),
    "e-prop": EProp(),
    "e-prop, reset": EProp(reset_gradient=True),
}


def build(cell, rule, **settings):
    network = Network(cell, time=T, learn=LEARNS[cell])
    m = kernels(rule.kernel.count) if hasattr(rule, "kernel") else ()
    return network, m, network.layer(rule, *m, **settings)


def gradients(layer, x, error=ERROR, **arguments):
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


@pytest.mark.parametrize(("name", "cell"), taking_turns(pairs(ONLINE, LEARNS), every=5))
def test_the_rules_are_their_loops(name, cell):
    rule = ONLINE[name]
    network, m, layer = build(cell, rule)
    run = network.run()
    steps = network.linear(run, reset_gradient=rule.reset_gradient, adaptation=rule.adaptation)
    hop = ref.unit_hop(*network.kernel(run), np.reshape(m[0], (H, H))) if m else None
    expected = {
        name: ref.constant(ERROR, steps, ref.kicks(name, run, network.c, network.start), hop) for name in network.learn
    }
    alike(gradients(layer, network.inputs), expected)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("base", ["hard adaptive", "soft euler"])
@pytest.mark.parametrize("name", ONLINE)
def test_the_rules_are_their_loops_where_the_resistance_follows(name, base, monkeypatch):
    cell = {**SPIKING[base], "resistance": None}
    for table, row in ((SPIKING, cell), (CELLS, cell), (LEARNS, LEARNS[base])):
        monkeypatch.setitem(table, "follows", row)
    test_the_rules_are_their_loops(name, "follows")


def test_rflo_is_e_prop_on_rate_units():
    """It returns the errors of the currents alone: a constant gets the credit of a current."""
    network, _, layer = build("tanh", RFLO())
    alike(gradients(layer, network.inputs), gradients(build("tanh", EProp())[2], network.inputs))


@pytest.mark.parametrize("rule", [PlainKeRNL(), ReadoutOnly()])
def test_other_rules_give_finite_gradients(rule):
    network, _, layer = build("hard adaptive", rule)
    found = gradients(layer, network.inputs)
    assert all(np.isfinite(each).all() for each in found.values())
    assert np.any(found["tau_m"]) == isinstance(rule, PlainKeRNL)


def test_m_has_no_part_in_it():
    """F teaches M and gamma, and no constant."""
    network, _, layer = build("resonator", KeRNL())
    alike(gradients(layer, network.inputs, training=True), gradients(layer, network.inputs, training=False))
    layer(network.inputs, training=True)
    with tf.GradientTape() as tape:
        layer(network.inputs, training=True)
        loss = tf.add_n(layer.losses)
    weights = list(layer.cell.learned_weights().values())
    assert all(each is None or not np.any(each) for each in tape.gradient(loss, weights))
