"""Which models are chains, and what is said of the others."""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.export.chain import chain
from kernl_keras.keras_version import keras

from ..reference.tools import through

T, I, H, O = 9, 3, 4, 2  # noqa: E741
of_keras = keras.layers


def hidden(**settings):
    return kk.RNN(kk.LIFCell(H), **settings)


def readout(**settings):
    return kk.Readout(O, **settings)


def test_the_parts_in_order():
    inputs = keras.Input((T, I))
    layers = [kk.SpikeEncoder(2), hidden(), kk.RNN(kk.LeakyRNNCell(H)), readout(), kk.TimeAverage()]
    assert chain(kk.Model(inputs, through(layers, inputs))) == layers[:4]
    assert chain(keras.Sequential([keras.Input((T, I)), *layers])) == layers[:4]
    last = of_keras.RNN(kk.ResonatorCell(H))  # which returns the last step alone; neither encoder nor average is needed
    assert chain(keras.Model(inputs, last(inputs))) == [last]


def test_keras_layers_of_each_step():
    """`chain` takes them on request, and follows the data past a mask."""
    inputs = keras.Input((T, I))
    layers = [of_keras.Masking(), of_keras.Dense(H), kk.SpikeEncoder(2, "current"), of_keras.LayerNormalization()]
    layers += [hidden(), of_keras.BatchNormalization(), of_keras.Activation("tanh"), of_keras.Dropout(0.1), readout()]
    layers += [of_keras.TimeDistributed(of_keras.Dense(O)), of_keras.ReLU(), of_keras.ELU(), kk.TimeAverage()]
    model = keras.Model(inputs, through([of_keras.GaussianNoise(0.1), *layers], inputs))
    in_training = layers.pop(7)  # Dropout, which is left out as noise is
    assert isinstance(in_training, of_keras.Dropout) and chain(model, each_step=True) == layers[:-1]
    with pytest.raises(ValueError, match="made of SpikeEncoder, .* cells, and TimeAverage; received 'masking.*'"):
        chain(model)


def around(x):
    spikes = hidden()(x)
    return readout()(of_keras.Concatenate()([spikes, hidden()(spikes)]))


def spikes_as_well(x):
    spikes = hidden()(x)
    return [spikes, readout()(spikes)]


def states_of_another(x):
    _, *states = hidden(return_state=True, rule="eprop")(x)
    return hidden(rule="eprop")(x, initial_state=states)


def twice(x):
    layer = hidden()
    return layer(layer(of_keras.RNN(kk.LIFCell(H), return_sequences=True)(x)))


NO_CHAIN = "must be a chain of layers"
SEVERAL = f"{NO_CHAIN}, with one input and one output; received 1 inputs and 2 outputs"
MADE_OF, EACH_STEP = "made of SpikeEncoder, .* received ", "made of SpikeEncoder, .*Dense, .*; received"
NONE = {  # what is said; and of a chain that may have Keras layers of each step
    False: [
        (lambda x: of_keras.Add()([hidden()(x), hidden()(x)]), f"{NO_CHAIN}; received 'add.*', which has 2 inputs"),
        (around, f"{NO_CHAIN}; received 'concatenate.*', which has 2 inputs"),
        (states_of_another, f"{NO_CHAIN}; received 'rnn.*', which has "),
        (spikes_as_well, SEVERAL),
        (twice, f"{NO_CHAIN}; received 'rnn.*' twice"),
        (lambda x: readout()(hidden()(2.0 * x)), f"{MADE_OF}.*multiply"),
        (lambda x: readout()(2.0 * hidden()(x)), f"{MADE_OF}.*multiply"),
        (lambda x: 2.0 * readout()(hidden()(x)), f"{MADE_OF}.*multiply"),
        (lambda x: of_keras.Dense(H)(x), f"{MADE_OF}'dense.*', a Dense"),
        (lambda x: of_keras.GRU(H)(x), f"{MADE_OF}'gru.*', a GRU"),
        (lambda x: kk.SpikeEncoder(2)(hidden()(x)), f"{MADE_OF}'spike_encoder.*', a SpikeEncoder"),
        (lambda x: kk.SpikeEncoder(4)(x), "must have a layer of hidden or readout units; received none"),
        (lambda x: hidden(go_backwards=True)(x), "go_backwards=False and return_sequences=True; received True and"),
    ],
    True: [
        (lambda x: of_keras.Dense(2)(x), "must have a layer of hidden or readout units; received none"),
        (lambda x: readout()(of_keras.Conv1D(H, 3, padding="same")(x)), EACH_STEP),
        (lambda x: readout()(of_keras.LayerNormalization(axis=(1, 2))(x)), EACH_STEP),
        (lambda x: readout()(of_keras.GRU(H, return_sequences=True)(x)), EACH_STEP),
        (lambda x: readout()(x, mask=of_keras.Masking().compute_mask(2.0 * x)), f"{NO_CHAIN}|{EACH_STEP}"),
        (
            lambda x: of_keras.Softmax()(kk.TimeAverage(name="average")(readout()(x))),
            "must not have a layer after TimeAverage; received 'average' before its last",
        ),
    ],
}


@pytest.mark.parametrize("each_step, build, message", [(kind, *row) for kind, rows in NONE.items() for row in rows])
def test_models_that_are_none(each_step, build, message):
    inputs = keras.Input((T, I))
    with pytest.raises(ValueError, match=message):
        chain(keras.Model(inputs, build(inputs)), each_step=each_step)


def test_what_is_no_model_of_one_input():
    inputs = [keras.Input((T, I)), keras.Input((T, I))]
    with pytest.raises(ValueError, match="with one input and one output; received 2 inputs and 1 outputs"):
        chain(keras.Model(inputs, readout()(of_keras.Add()(inputs))))
    model = type("Network", (keras.Model,), {"call": lambda self, x: self.readout(x)})()
    model.readout = readout()
    model(np.ones((2, T, I), "float32"))
    with pytest.raises(ValueError, match="must be a functional or sequential one; received <"):
        chain(model)
