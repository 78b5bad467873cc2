"""Names of weights, written out: both Kerases must give them."""

import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.layers.names import rule_layers, weight_names
from kernl_keras.rules import KeRNL


def hidden(name, kernel="exponential", units=4):
    return kk.RNN(kk.LIFCell(units, use_bias=False), rule=KeRNL(kernel), name=name)


def functional(*layers):
    x = inputs = keras.Input((7, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x, name="outer")


HIDDEN = ["hidden/kernel", "hidden/recurrent_kernel", "hidden/sensitivity_tensor", "hidden/temporal_filter"]
TABLE = {
    "readout": (
        lambda: functional(
            hidden("hidden"), keras.layers.RNN(kk.ReadoutCell(2, use_bias=True), return_sequences=True, name="readout")
        ),
        [*HIDDEN, "readout/kernel", "readout/bias"],
        ["hidden"],
    ),
    "two layers": (
        lambda: functional(hidden("hidden"), hidden("upper", "membrane", units=5)),
        [*HIDDEN, *(name.replace("hidden", "upper") for name in HIDDEN[:-1])],
        ["hidden", "upper"],
    ),
    "rate cell, fixed M": (
        lambda: functional(kk.RNN(kk.LeakyRNNCell(4, use_bias=True), KeRNL(learn_sensitivity=False), name="hidden")),
        ["hidden/kernel", "hidden/recurrent_kernel", "hidden/bias"],
        ["hidden"],
    ),
    "cells in one layer": (
        lambda: functional(
            keras.layers.RNN([kk.LIFCell(4, use_bias=False), kk.ReadoutCell(2, use_bias=False)], name="stack")
        ),
        ["stack/kernel", "stack/recurrent_kernel", "stack/kernel_1"],
        [],
    ),
    "model inside": (
        lambda: functional(functional(hidden("hidden")), keras.layers.Dense(2, name="readout")),
        [*HIDDEN, "readout/kernel", "readout/bias"],
        ["hidden"],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_names(case):
    make, names, layers = TABLE[case]
    model = make()
    assert sorted(weight_names(model)) == sorted(names)
    assert [layer.name for layer in rule_layers(model)] == layers


def test_a_name_belongs_to_its_variable():
    model = TABLE["readout"][0]()
    layer = model.get_layer("hidden")
    named = dict(zip(weight_names(model), model.trainable_variables))
    assert named["hidden/sensitivity_tensor"] is layer.sensitivity_tensor
    assert named["hidden/temporal_filter"] is layer.temporal_filter
    assert named["hidden/recurrent_kernel"] is layer.cell.recurrent_kernel
    assert named["readout/kernel"] is model.get_layer("readout").cell.kernel


def test_a_weight_inside_a_wrapper_is_named_by_its_layer():
    wrapper = keras.layers.TimeDistributed(keras.layers.Dense(2), name="each")
    subclassed = type("Subclassed", (keras.Model,), {"call": lambda self, x: self.last(self.first(x))})(name="own")
    subclassed.first, subclassed.last = hidden("hidden"), wrapper
    subclassed(tf.zeros((1, 7, 3)))
    assert sorted(weight_names(subclassed)) == sorted([*HIDDEN, "each/kernel", "each/bias"])


AUTOMATIC = {
    "rnn": lambda: kk.RNN(kk.LIFCell(4)),
    "readout": lambda: kk.Readout(2),
    "time_average": kk.TimeAverage,
    "spike_encoder": lambda: kk.SpikeEncoder(2),
    "audio_encoder": lambda: kk.AudioEncoder(2),
    "lif_cell": lambda: kk.LIFCell(4),
    "resonator_cell": lambda: kk.ResonatorCell(4),
    "leaky_rnn_cell": lambda: kk.LeakyRNNCell(4),
    "readout_cell": lambda: kk.ReadoutCell(2),
    "input_spike_cell": kk.InputSpikeCell,
    "context_cell": kk.ContextCell,
}


def test_automatic_names():
    """Keras derives them from the name of the class."""
    keras.backend.clear_session()
    cells_first = sorted(AUTOMATIC, key=lambda name: "cell" not in name)  # layers have such, which count
    assert [AUTOMATIC[name]().name for name in cells_first] == cells_first
