"""Constants that learn: their gradients are those of loops; more of them in `test_forms`."""

import itertools

import numpy as np
import pytest

from kernl_keras import naive as ref
from kernl_keras.rules import RFLO, EProp, KeRNL, PlainKeRNL, ReadoutOnly

from ..reference.cases import CELLS, B, H, Network, draw, pairs, taking_turns
from ..reference.expected import kernels, layer_of, learn
from ..reference.units import constants_in_use, same_gradients

T = 9
ERROR = draw(53, B, T, H)
LEARNS = {name: learned for name in CELLS if (learned := constants_in_use(Network(name).kind, CELLS[name]))}
ONLINE = {
    "kernl": KeRNL(),
    "kernl, potential alone": KeRNL(adaptation=False, reset_gradient=False),
    "e-prop": EProp(),
    "e-prop, reset": EProp(reset_gradient=True),
}


def gradients(cell, rule, **settings):
    """Of the logarithm of each constant, by name, in training, in which M learns as well; and the network."""
    network = Network(cell, time=T, learn=LEARNS[cell], **settings)
    found = learn(layer_of(network, rule), network.inputs, ERROR, training=True)
    return {name: found.gradients[f"log_{name}"] for name in network.learn}, network


FOLLOWS = itertools.product(ONLINE, ("hard adaptive", "soft euler"), [{"resistance": None}])
ROWS = [*((*row, {}) for row in pairs(ONLINE, LEARNS)), *FOLLOWS]


@pytest.mark.parametrize(("name", "cell", "settings"), taking_turns(ROWS, every=4))
def test_the_rules_are_their_loops(name, cell, settings):
    """Also where the resistance follows the time constant."""
    rule = ONLINE[name]
    found, network = gradients(cell, rule, **settings)
    run = network.run()
    steps = network.linear(run, reset_gradient=rule.reset_gradient, adaptation=rule.adaptation)
    hop = ref.unit_hop(*network.kernel(run), kernels()[0][0]) if rule.hops else None
    kicks = {name: ref.kicks(name, run, network.c, network.start) for name in network.learn}
    expected = {name: ref.constant(ERROR, steps, kick, hop) for name, kick in kicks.items()}
    same_gradients(found, expected, 1e-9)


def test_rflo_is_e_prop_on_rate_units():
    """It returns the errors of the currents alone: a constant gets the credit of a current."""
    same_gradients(gradients("tanh", RFLO())[0], gradients("tanh", EProp())[0], 1e-9)


@pytest.mark.parametrize("rule", [PlainKeRNL(), RFLO(), ReadoutOnly()])
def test_other_rules_give_finite_gradients(rule):
    cell = "resonator" if isinstance(rule, RFLO) else "hard adaptive"
    found = gradients(cell, rule)[0]
    assert all(np.isfinite(each).all() for each in found.values())
    assert np.any(found["tau_m"]) == rule.learns
