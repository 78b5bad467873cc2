"""Constants that learn: their gradients are those of loops; more of them in `test_forms`."""

import itertools
import re
import warnings

import numpy as np
import pytest

from kernl_keras import naive as ref
from kernl_keras.rules import BPTT, RFLO, EProp, KeRNL, PlainKeRNL, ReadoutOnly

from ..reference.cases import CELLS, B, H, Network, draw, pairs, taking_turns
from ..reference.expected import kernels, layer_of, learn
from ..reference.units import NO_GRADIENT, build_layer, constants_in_use, same_gradients

pytestmark = pytest.mark.filterwarnings(NO_GRADIENT)

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


ADAPTS = ("tau_a", "base_threshold", "adaptation_strength")
UNMOVED = {  # unit: rule or rules, and the constants to which they give no gradient, of those that learn
    "soft euler": {"bptt": (), "e-prop": ("tau_s",), "e-prop, no adaptation": ("tau_s", "tau_a"), "kernl": (),
                   "kernl, no adaptation": ("tau_a",), "RFLO": ("tau_s", *ADAPTS), "plain": ("tau_s", *ADAPTS)},
    "resonator": {"bptt": (), "e-prop": (), "e-prop, no adaptation": ("tau_a",), "kernl": (),
                  "kernl, no adaptation": ("tau_a",), "RFLO": ADAPTS, "plain": ADAPTS},
    "current": {"bptt": (), "e-prop": (), "e-prop, no adaptation": (), "kernl": (), "kernl, no adaptation": (),
                "RFLO": (*ADAPTS, "coupling"), "plain": (*ADAPTS, "coupling")},
    "swinging tanh": dict.fromkeys(("bptt", "e-prop", "kernl", "RFLO", "plain"), ()),
    "own": {"bptt": (), "e-prop": (), "e-prop, no adaptation": (), "kernl": (), "kernl, no adaptation": (),
            "RFLO": ("tau_w",), "plain": ("tau_w",)},
}  # fmt: skip
RULES = {
    "bptt": BPTT(),
    "e-prop": EProp(),
    "e-prop, no adaptation": EProp(adaptation=False),
    "kernl": KeRNL("exponential"),  # which goes with every unit
    "kernl, no adaptation": KeRNL("exponential", adaptation=False),
    "RFLO": RFLO(),
    "plain": PlainKeRNL(),
}


@pytest.mark.parametrize(("unit", "rule"), [(unit, rule) for unit, rules in UNMOVED.items() for rule in rules])
def test_constants_that_a_rule_never_moves_are_named_where_a_layer_is_built(unit, rule):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer, x = build_layer(unit, RULES[rule], T)
    gradients = learn(layer, x, ERROR).gradients
    unmoved = {name for name in layer.cell.learn if not np.any(gradients[f"log_{name}"])}
    assert unmoved == set(UNMOVED[unit][rule])
    messages = [str(each.message) for each in caught if "learn should name" in str(each.message)]
    named = {name for each in messages for name in re.findall(r"'(\w+)'", each.partition("received")[2])}
    assert named == unmoved and len(messages) == bool(unmoved)


@pytest.mark.parametrize("settings", [{"window": 3}, {"traces": "linear"}])
def test_inside_a_window_every_constant_is_moved(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer, x = build_layer("soft euler", EProp(), T, **settings)
    gradients = learn(layer, x, ERROR).gradients
    assert all(np.any(gradients[f"log_{name}"]) for name in layer.cell.learn)
