"""Gradients of before the rules became objects, at revision 8332b19: the new code makes them again.

`gradients.npz` has, for the networks of `tests.reference.cases` and the rules of `rules.py`, dC/dW [J, H], dC/dx, and
of rules that learn M dF/dM, dF/dgamma, F and mean D^2; the same numbers to the bit in Keras 3 and Keras 2.
"""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ..reference.cases import CELLS, SPIKING, Network
from ..reference.expected import compute, kernels
from .rules import GRADIENTS

RECORDED = np.load(pathlib.Path(__file__).parent / "gradients.npz")
KEYS = {tuple(name.split("/")[:2]) for name in RECORDED.files}
# Of the rules that share their code each is asked over some of the cells; the rest is slow.
OFTEN = {key for number, key in enumerate(sorted(KEYS)) if number % 3 == 0 or key[0] == "hard adaptive"}


@pytest.mark.parametrize(
    ("cell", "label"), [pytest.param(*key, marks=() if key in OFTEN else pytest.mark.slow) for key in sorted(KEYS)]
)
def test_gradients_are_those_of_before(cell, label):
    rule = GRADIENTS[label]
    if label == "reference" and cell not in SPIKING:  # which alone have a voltage after the reset
        pytest.skip("recorded with another observation")
    network = Network(cell)
    m_and_gamma = kernels(rule.kernel.count) if hasattr(rule, "kernel") else ()
    layer = network.layer(rule, *m_and_gamma)
    _, of_weights, of_x, of_sensitivity = compute(layer, network.inputs)
    found = {"weights": of_weights, "inputs": of_x, **dict(zip(("M", "gamma"), of_sensitivity))}
    if of_sensitivity:
        found |= {"F": layer.report.sensitivity_loss, "D2": layer.report.perturbation_variance}
    names = {name.split("/")[2] for name in RECORDED.files if name.startswith(f"{cell}/{label}/")}
    assert set(found) == names - ({"gamma"} if label.startswith("kernl") and "exponential" not in label else set())
    for name, value in found.items():
        expected = RECORDED[f"{cell}/{label}/{name}"]
        value = tf.reshape(value, expected.shape)
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12 * max(np.abs(expected).max(), 1e-3))


def test_every_rule_and_cell_is_there():
    assert {label for _, label in KEYS} == set(GRADIENTS) and {cell for cell, _ in KEYS} == set(CELLS)
