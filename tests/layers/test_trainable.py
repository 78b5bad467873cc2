"""Frozen layers: whichever way they were frozen, they stay as they are, saved and copied too."""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras

LAYERS = {
    "Readout": lambda **settings: kk.Readout(3, **settings),
    "RNN": lambda **settings: kk.RNN(kk.LeakyRNNCell(3, tau=5.0), **settings),
}


@pytest.mark.parametrize(("kind", "how"), [("RNN", "constructor"), ("Readout", "constructor"), ("RNN", "attribute")])
def test_a_frozen_layer_stays_as_it_is_until_it_thaws(kind, how, tmp_path):
    inputs = keras.Input((4, 2))
    layer = LAYERS[kind](**({"trainable": False} if how == "constructor" else {}))
    hidden = layer(inputs)
    if how == "attribute":
        layer.trainable = False
    model = kk.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile("sgd", "mse", sensitivity_every=1, run_eagerly=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded, keras.models.clone_model(model)):
        assert len(each.trainable_variables) == 2  # of the Dense layer
    for each in (model, loaded):
        kept, other = each.get_layer(layer.name).get_weights(), each.layers[-1].get_weights()
        each.train_on_batch(np.ones((2, 4, 2)), np.ones((2, 4, 1)))
        for one, another in zip(kept, each.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, another)
        assert np.any(other[0] != each.layers[-1].get_weights()[0])
    layer.trainable = True
    assert len(model.trainable_variables) > 2 and layer.cell.trainable
