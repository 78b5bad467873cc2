"""Names of weights, written out: both Kerases must give them."""

import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.layers.names import rule_layers, weight_names
from kernl_keras.rules import KeRNL

from ..reference.tools import through


def hidden(name="hidden", kernel="exponential", units=4):
    return kk.RNN(kk.LIFCell(units, use_bias=False), rule=KeRNL(kernel), name=name)


def functional(*layers):
    inputs = keras.Input((7, 3))
    return keras.Model(inputs, through(layers, inputs), name="outer")


def subclassed():
    """A model with a call of its own, and a weight inside a wrapper."""
    model = type("Subclassed", (keras.Model,), {"call": lambda self, x: self.last(self.first(x))})(name="own")
    model.first, model.last = hidden("hidden"), keras.layers.TimeDistributed(keras.layers.Dense(2), name="each")
    model(tf.zeros((1, 7, 3)))
    return model


NO_BIAS = {"use_bias": False}
HIDDEN = ["hidden/kernel", "hidden/recurrent_kernel", "hidden/sensitivity_tensor", "hidden/temporal_filter"]
TABLE = {
    "readout": (
        lambda: functional(hidden(), keras.layers.RNN(kk.ReadoutCell(2), return_sequences=True, name="readout")),
        [*HIDDEN, "readout/kernel", "readout/bias"],
    ),
    "two layers": (
        lambda: functional(hidden("hidden"), hidden("upper", "membrane", units=5)),
        [*HIDDEN, *(name.replace("hidden", "upper") for name in HIDDEN[:-1])],
    ),
    "rate cell, fixed M": (
        lambda: functional(kk.RNN(kk.LeakyRNNCell(4, use_bias=True), KeRNL(learn_sensitivity=False), name="hidden")),
        ["hidden/kernel", "hidden/recurrent_kernel", "hidden/bias"],
    ),
    "cells in one layer": (
        lambda: functional(keras.layers.RNN([kk.LIFCell(4, **NO_BIAS), kk.ReadoutCell(2, **NO_BIAS)], name="stack")),
        ["stack/kernel", "stack/recurrent_kernel", "stack/kernel_1"],
    ),
    "model inside": (
        lambda: functional(functional(hidden("hidden")), keras.layers.Dense(2, name="readout")),
        [*HIDDEN, "readout/kernel", "readout/bias"],
    ),
    "one name inside and outside": (
        lambda: functional(functional(hidden("hidden")), hidden("hidden", "membrane", units=5)),
        [*HIDDEN, *(name.replace("hidden", "hidden_1") for name in HIDDEN[:-1])],
    ),
    "subclassed, a wrapper": (subclassed, [*HIDDEN, "each/kernel", "each/bias"]),
}
LAYERS = {
    "two layers": ["hidden", "upper"],
    "one name inside and outside": ["hidden", "hidden"],
    "cells in one layer": [],
}  # and "hidden" of the others


@pytest.mark.parametrize("case", TABLE)
def test_names(case):
    make, names = TABLE[case]
    model = make()
    assert sorted(weight_names(model)) == sorted(names)
    assert [layer.name for layer in rule_layers(model)] == LAYERS.get(case, ["hidden"])
    if case == "readout":  # a name belongs to its variable
        layer, named = model.get_layer("hidden"), dict(zip(weight_names(model), model.trainable_variables))
        assert named["hidden/sensitivity_tensor"] is layer.sensitivity_tensor
        assert named["hidden/temporal_filter"] is layer.temporal_filter
        assert named["hidden/recurrent_kernel"] is layer.cell.recurrent_kernel
        assert named["readout/kernel"] is model.get_layer("readout").cell.kernel


def test_automatic_names():
    """Keras derives them from the name of the class."""
    keras.backend.clear_session()
    cells = {
        "lif_cell": kk.LIFCell, "resonator_cell": kk.ResonatorCell, "leaky_rnn_cell": kk.LeakyRNNCell,
        "readout_cell": kk.ReadoutCell, "input_spike_cell": kk.InputSpikeCell, "context_cell": kk.ContextCell,
    }  # fmt: skip
    layers = {
        "readout": kk.Readout, "time_average": kk.TimeAverage, "spike_encoder": kk.SpikeEncoder,
        "audio_encoder": kk.AudioEncoder, "rnn": lambda units: kk.RNN(kk.LIFCell(units)),
    }  # fmt: skip
    for name, make in {**cells, **layers}.items():  # layers have cells, which count
        assert make(2).name == name
