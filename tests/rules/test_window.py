"""Windows: one sweep is a sweep for every window. Masks, pieces and whole sequences are in `test_forms`."""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.rules import BPTT, EProp, Exponential, KeRNL

from ..reference.cases import CELLS, B, H, Network, draw, pairs, taking_turns
from ..reference.expected import Expected, compute, kernels, same

T = 9
ERROR = draw(53, B, T, H)
RULES = {
    "kernl": KeRNL(),
    "kernl, potential alone": KeRNL(adaptation=False, reset_gradient=False),
    "kernl, 2 exponentials": KeRNL(Exponential(2)),
    "kernl, whole unit": KeRNL("whole_unit"),
    "e-prop": EProp(),
    "e-prop, reset": EProp(reset_gradient=True),
    "bptt": BPTT(),
}


def build(cell, rule, **settings):
    network = Network(cell, time=T)
    m_and_gamma = kernels(rule.kernel.count) if hasattr(rule, "kernel") else ()
    return network, m_and_gamma, network.layer(rule, *m_and_gamma, **settings)


@pytest.mark.parametrize(
    ("name", "cell", "window"),
    taking_turns([*pairs(RULES, CELLS, (2, 7, T - 1)), *(("bptt", cell, 1) for cell in CELLS)], every=9),
)
def test_one_sweep_is_a_sweep_for_every_window(name, cell, window):
    """C that divides T or not; C = 1 of the other rules is in `test_gradients`."""
    network, m_and_gamma, layer = build(cell, RULES[name], window=window)
    _, of_weights, of_x, _ = compute(layer, network.inputs, ERROR, training=False)
    expected = Expected(network, RULES[name], *m_and_gamma, error=ERROR, window=window)
    for one, other in zip((of_weights, of_x), expected.gradients()):
        same(one, other)


def test_a_shorter_window_is_not_backpropagation():
    network, _, layer = build("resonator", BPTT())
    exact = compute(layer, network.inputs, ERROR, training=False)[1]
    for rule in RULES.values():
        _, _, layer = build("resonator", rule, window=T - 1)
        assert np.abs(compute(layer, network.inputs, ERROR, training=False)[1] - exact).max() > 1e-3


def test_the_window_is_saved():
    layer = kk.RNN(Network("tanh").cell(), window=64)
    assert kk.RNN.from_config(layer.get_config()).window == 64
