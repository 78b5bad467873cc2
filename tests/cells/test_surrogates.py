"""The argument `surrogate`: gradients with each word and with a function, saving, errors."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.dynamics.surrogate import SURROGATES
from kernl_keras.keras_version import keras

from ..reference import oracles
from ..reference.cases import B, H, I, Network, T, draw, taking_turns
from ..reference.expected import compute
from ..reference.tools import MODES, all_same

KINDS = {"spiking": kk.LIFCell, "resonator": kk.ResonatorCell}


@keras.saving.register_keras_serializable("surrogates of the tests")
def cauchy(u):
    return 1.0 / (1.0 + 4.0 * u**2)


@keras.saving.register_keras_serializable("surrogates of the tests")
class Narrow:
    """An object with settings of its own."""

    def __init__(self, width):
        self.width = width

    def __call__(self, u):
        return tf.exp(-tf.abs(u) / self.width)

    def get_config(self):
        return {"width": self.width}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def name_of(surrogate):
    """The same in every process of the tests."""
    return surrogate if isinstance(surrogate, str) else getattr(surrogate, "__name__", type(surrogate).__name__)


EVERY = [*SURROGATES, cauchy, Narrow(0.2)]


@pytest.mark.parametrize("name", ["hard adaptive", pytest.param("resonator", marks=pytest.mark.slow)])
@pytest.mark.sampled(3)
@pytest.mark.parametrize("surrogate", EVERY, ids=name_of)
def test_the_gradient_is_that_of_the_smooth_run(surrogate, name):
    """Of the plain loop, by its tape, and of the written adjoint, against differences of the oracle's smooth run."""
    n, error = Network(name, surrogate=surrogate), draw(9, B, T, H)
    expected, of_x_expected = oracles.smooth_gradient(error, n.x, n.w_in, n.w_used, n.bias, n.c, forward=n.forward)
    assert np.abs(expected).max() > 1e-3
    for layer in (keras.layers.RNN(n.cell(), return_sequences=True, dtype=n.dtype), n.layer("bptt")):
        _, weights, of_x, _ = compute(layer, n.inputs, error, training=False)
        np.testing.assert_allclose(weights, n.used(expected), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(of_x, of_x_expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("mode", taking_turns(["graph", "xla"], every=2))
@pytest.mark.parametrize("surrogate", taking_turns(["multi_gaussian", "boxcar", cauchy]), ids=name_of)
def test_modes_agree(surrogate, mode):
    n = Network("hard adaptive", surrogate=surrogate)
    found = functools.partial(compute, n.layer("eprop"), n.inputs, draw(9, B, T, H), training=False)
    all_same(MODES[mode](found)()[1:3], found()[1:3], rtol=1e-9)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("surrogate", ["boxcar", cauchy, Narrow(0.2)], ids=name_of)
def test_a_model_is_saved_and_loaded(surrogate, kind, tmp_path):
    inputs = keras.Input((T, I))
    layer = kk.RNN(KINDS[kind](H, surrogate=surrogate), rule="eprop", name="hidden")
    model = keras.Model(inputs, layer(inputs))
    config = json.loads(json.dumps(layer.cell.get_config()))
    assert KINDS[kind].from_config(config).get_config() == config
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True).get_layer("hidden").cell.surrogate
    u = tf.linspace(-1.0, 1.0, 7)
    one, other = (SURROGATES.get(each, each) if isinstance(each, str) else each for each in (surrogate, loaded))
    np.testing.assert_array_equal(one(u), other(u))
