"""Gradients that the code before the redesign gave: 10 cells, 19 settings of the rules.

`gradients.npz` was recorded at revision 8332b19, where the rules were arguments of the layer, with this file's loop. It
holds the outputs of each cell as "CELL/outputs"; and as "CELL/RULE", one after the other, the gradients of the weights
and of the inputs and, where M learns, dF/dM, dF/dgamma, F and mean D^2, each rounded to 36 bits. Keras 2 and Keras 3
gave the same.
"""

import pathlib

import numpy as np
import pytest

from kernl_keras import rules
from kernl_keras.archives import read_arrays
from kernl_keras.rules import BPTT, EProp, Exponential, KeRNL, PlainKeRNL, Replica, Tangent, Twin

from ..reference.cases import CELLS, SPIKING, Network
from ..reference.expected import STD, compute, layer_of

RECORDED = read_arrays(pathlib.Path(__file__).parent / "gradients.npz")
ALONE = rules.Membrane(arrival=False)  # when what arrives at a rate unit did not count by its slope
RULES = {
    "kernl": lambda: KeRNL(ALONE, adaptation=False),
    "kernl, reset not followed": lambda: KeRNL(ALONE, reset_gradient=False, adaptation=False),
    "kernl, twin": lambda: KeRNL(ALONE, Twin(STD), adaptation=False),
    "kernl, replica": lambda: KeRNL(ALONE, Replica(STD), adaptation=False),
    "kernl, voltage, resync 3": lambda: KeRNL(ALONE, Tangent(observe="voltage", resync_every=3), adaptation=False),
    "kernl, exponential": lambda: KeRNL("exponential", adaptation=False),
    "kernl, 2 exponentials": lambda: KeRNL(Exponential(2), adaptation=False),
    "plain, current": lambda: PlainKeRNL(noise="current"),
    "plain, synapse": lambda: PlainKeRNL(noise="synapse"),
    "plain, activity, 2 kernels": lambda: PlainKeRNL(Exponential(2), noise="activity"),
    "plain, synapse, trace, last": lambda: PlainKeRNL(noise="synapse", post_factor="trace", credit="last"),
    "reference": lambda: PlainKeRNL.reference(time_steps=50),
    "eprop": EProp,
    "eprop, no adaptation": lambda: EProp(adaptation=False),
    "eprop, reset": lambda: EProp(reset_gradient=True),
    "rflo": rules.RFLO,
    "readout_only": rules.ReadoutOnly,
    "bptt": BPTT,
    "bptt, tape": lambda: BPTT(tape=True),
}


def found(cell, label):
    """`{what: array}` as it is now."""
    network, rule = Network(cell), RULES[label]()
    if label == "reference" and cell not in SPIKING:
        rule.perturbation.observe = "voltage"
    layer = layer_of(network, rule)
    outputs, of_weights, of_inputs, of_sensitivity = compute(layer, network.inputs)
    values = {"outputs": outputs, "weights": of_weights, "inputs": of_inputs}
    values |= dict(zip(("M", "gamma"), of_sensitivity))
    if of_sensitivity:
        values |= {"F": layer.report.sensitivity_loss, "D2": layer.report.perturbation_variance}
    return {what: np.ravel(value) for what, value in values.items()}


ROWS = [(cell, label) for cell in CELLS for label in RULES if f"{cell}/{label}" in RECORDED]
# Where time is short each rule is asked over one of the cells: that which has had the fewest rules so far.
OFTEN = []
for label in RULES:
    cells = [cell for cell, other in ROWS if other == label]
    OFTEN.append((min(cells, key=[cell for cell, _ in OFTEN].count), label))


@pytest.mark.parametrize(
    ("cell", "label"), [pytest.param(*row, marks=() if row in OFTEN else pytest.mark.slow) for row in ROWS]
)
def test_as_recorded(cell, label):
    values, recorded = found(cell, label), RECORDED[f"{cell}/{label}"]
    same(values.pop("outputs"), RECORDED[f"{cell}/outputs"], "outputs")
    for what, value in values.items():
        part, recorded = np.split(recorded, [len(value)])
        same(value, part, what)
    assert not len(recorded)


def same(value, recorded, what):
    np.testing.assert_allclose(value, recorded, rtol=1e-9, atol=1e-9 * np.abs(recorded).max(), err_msg=what)


def test_every_row_is_looked_at():
    cells = {name.split("/")[0] for name in RECORDED}
    assert len(ROWS) == 172 == len(RECORDED) - len(cells)
    assert {label for _, label in OFTEN} == set(RULES) and {cell for cell, _ in OFTEN} == cells
