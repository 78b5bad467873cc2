"""R_m of each unit: only a scale of its weights. Constants learn beside one that follows them: see `test_forms`."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.rules import KeRNL

from ..reference.cases import draw
from ..reference.expected import same

B, T, I, H = 2, 12, 3, 4  # noqa: E741
X, ERROR = draw(71, B, T, I) + 0.5, draw(72, B, T, H)
TAU_M = [3.0, 6.0, 40.0, 12.0]
LIF = dict(tau_m=TAU_M, tau_s=3.0, tau_a=8.0, tau_ref=1.5, adaptation_strength=0.4)
CELLS = {
    "hard": (kk.LIFCell, LIF),
    "soft": (kk.LIFCell, {**LIF, "reset": "soft", "tau_ref": 0.0}),
    "euler": (kk.LIFCell, {**LIF, "discretization": "euler"}),
    "current": (kk.AdLIFCell, dict(tau_m=TAU_M, tau_a=30.0, coupling=20.0, adaptation_strength=40.0)),
}
FORMS = {
    "bptt": dict(rule="bptt"),
    "e-prop": dict(rule="eprop"),
    "kernl": dict(rule="kernl"),
    "kernl, window": dict(rule="kernl", window=5),
    "kernl, linear": dict(rule="kernl", window=5, traces="linear"),
    "rflo": dict(rule="rflo"),
}


def build(cell, resistance, scale=1.0, **form):
    """A layer whose weights are drawn for a resistance of 1, and divided by `scale`."""
    kind, settings = CELLS[cell]
    layer = kk.RNN(kind(H, use_bias=True, resistance=resistance, dtype="float64", **settings), **form, seed=5)
    layer.build((B, T, I))
    for number, weight in enumerate((layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias)):
        weight.assign(2.5 * draw(73 + number, *weight.shape) / leaks(cell) ** 0.5 / scale)
    if isinstance(layer.rule, KeRNL):
        layer.reset_sensitivity()  # from these weights
    return layer


def leaks(cell):
    """1-a of each unit."""
    shares = np.reciprocal(TAU_M)
    return shares if cell == "euler" else -np.expm1(-shares)


def gradients(layer):
    with tf.GradientTape() as tape:
        outputs = layer(X)
        loss = tf.reduce_sum(outputs * ERROR)
    return outputs, tape.gradient(loss, layer.cell.trainable_weights)


@pytest.mark.sampled(7)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cell", CELLS)
def test_it_is_a_scale_of_the_weights(cell, form):
    if cell == "current" and form == "kernl, linear":
        pytest.skip("AdLIF units have no linear memory")
    ones, found = gradients(build(cell, 1.0, **FORMS[form]))
    assert 0.05 < np.mean(ones) < 0.7 and all(np.abs(each).max() > 1e-3 for each in found[:2])
    for resistance, scale in (([0.5, 3.0, 2.0, 8.0], np.array([0.5, 3.0, 2.0, 8.0])), (None, 1.0 / leaks(cell))):
        outputs, scaled = gradients(build(cell, resistance, scale, **FORMS[form]))
        np.testing.assert_array_equal(outputs, ones)
        for one, other in zip(found, scaled):
            same(other, one * scale)


@pytest.mark.parametrize("cell", CELLS)
def test_initial_weights_allow_for_it(cell):
    kind, settings = CELLS[cell]
    one, other = (kind(H, resistance=resistance, **settings) for resistance in (1.0, None))
    for each in (one, other):
        keras.utils.set_random_seed(3)
        each.build((None, I))
    np.testing.assert_allclose(other.kernel, one.kernel * leaks(cell), rtol=1e-5)


@pytest.mark.parametrize("kind", [kk.LIFCell, kk.AdLIFCell])
@pytest.mark.parametrize("resistance", [None, 3.0, [1.0, 2.0, 3.0, 4.0]])
def test_saved_and_loaded(kind, resistance):
    assert kind.from_config(kind(4, resistance=resistance).get_config()).resistance == resistance
