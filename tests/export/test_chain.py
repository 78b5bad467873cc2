"""Which models are chains, and what is said of the others."""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.export.chain import chain
from kernl_keras.keras_version import keras

T, I, H, O = 9, 3, 4, 2  # noqa: E741


def hidden(**settings):
    return kk.RNN(kk.LIFCell(H), **settings)


def readout(**settings):
    return kk.Readout(O, **settings)


def test_the_parts_in_order():
    inputs = keras.Input((T, I))
    layers = [kk.SpikeEncoder(2), hidden(), kk.RNN(kk.LeakyRNNCell(H)), readout(), kk.TimeAverage()]
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    assert chain(kk.Model(inputs, outputs)) == layers[:4]
    assert chain(keras.Sequential([inputs_like(inputs), *layers])) == layers[:4]


def inputs_like(inputs):
    return keras.Input(inputs.shape[1:])


def test_keras_layers_of_each_step():
    """`chain` takes them on request, and follows the data past a mask."""
    inputs = keras.Input((T, I))
    of_keras = keras.layers
    layers = [of_keras.Masking(), of_keras.Dense(H), kk.SpikeEncoder(2), of_keras.LayerNormalization(), hidden()]
    layers += [of_keras.BatchNormalization(), of_keras.Activation("tanh"), of_keras.Dropout(0.1), readout()]
    layers += [of_keras.TimeDistributed(of_keras.Dense(O)), of_keras.ReLU(), of_keras.ELU(), kk.TimeAverage()]
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    assert chain(model, each_step=True) == layers[:-1]
    with pytest.raises(ValueError, match="made of SpikeEncoder, .* cells, and TimeAverage; received 'masking.*'"):
        chain(model)


def test_encoder_and_average_are_not_needed():
    inputs = keras.Input((T, I))
    last = keras.layers.RNN(kk.ResonatorCell(H))  # which returns the last step alone
    assert chain(keras.Model(inputs, last(inputs))) == [last]


def branches(x):
    return keras.layers.Add()([hidden()(x), hidden()(x)])


def beside(x):
    spikes = hidden()(x)
    return [readout()(spikes), readout()(spikes)]


def around(x):
    spikes = hidden()(x)
    return readout()(keras.layers.Concatenate()([spikes, hidden()(spikes)]))


def spikes_as_well(x):
    spikes = hidden()(x)
    return [spikes, readout()(spikes)]


def states_of_another(x):
    _, *states = hidden(return_state=True, rule="eprop")(x)
    return hidden(rule="eprop")(x, initial_state=states)


def twice(x):
    layer = hidden()
    return layer(layer(keras.layers.RNN(kk.LIFCell(H), return_sequences=True)(x)))


@pytest.mark.parametrize(
    "build, message",
    [
        (branches, "must be a chain of layers; received 'add.*', which has 2 inputs"),
        (around, "must be a chain of layers; received 'concatenate.*', which has 2 inputs"),
        (states_of_another, "must be a chain of layers; received 'rnn.*', which has "),
        (beside, "must be a chain of layers, with one input and one output; received 1 inputs and 2 outputs"),
        (spikes_as_well, "must be a chain of layers, with one input and one output; received 1 inputs and 2 outputs"),
        (twice, "must be a chain of layers; received 'rnn.*' twice"),
        (lambda x: readout()(hidden()(2.0 * x)), "made of SpikeEncoder, .* received .*multiply"),
        (lambda x: readout()(2.0 * hidden()(x)), "made of SpikeEncoder, .* received .*multiply"),
        (lambda x: 2.0 * readout()(hidden()(x)), "made of SpikeEncoder, .* received .*multiply"),
        (lambda x: keras.layers.Dense(H)(x), "made of SpikeEncoder, .* received 'dense.*', a Dense"),
        (lambda x: keras.layers.GRU(H)(x), "made of SpikeEncoder, .* received 'gru.*', a "),
        (
            lambda x: kk.SpikeEncoder(2)(hidden()(x)),
            "made of SpikeEncoder, .* received 'spike_encoder.*', a SpikeEncoder",
        ),
        (lambda x: kk.SpikeEncoder(4)(x), "must have a layer of hidden or readout units; received none"),
        (
            lambda x: hidden(go_backwards=True)(x),
            "go_backwards=False and return_sequences=True; received True and True",
        ),
    ],
)
def test_models_that_are_none(build, message):
    inputs = keras.Input((T, I))
    with pytest.raises(ValueError, match=message):
        chain(keras.Model(inputs, build(inputs)))


NOT_OF_EACH_STEP = {
    "a layer over time": lambda x: readout()(keras.layers.Conv1D(H, 3, padding="same")(x)),
    "an average over time": lambda x: readout()(keras.layers.LayerNormalization(axis=(1, 2))(x)),
    "Keras' own cell": lambda x: readout()(keras.layers.GRU(H, return_sequences=True)(x)),
    "another mask": lambda x: readout()(x, mask=keras.layers.Masking().compute_mask(2.0 * x)),
}


@pytest.mark.parametrize("case", NOT_OF_EACH_STEP)
def test_layers_that_do_not_act_on_each_step_alone(case):
    inputs = keras.Input((T, I))
    with pytest.raises(
        ValueError, match="model must be (made of SpikeEncoder, .*Dense, .*; received|a chain of layers)"
    ):
        chain(keras.Model(inputs, NOT_OF_EACH_STEP[case](inputs)), each_step=True)


def test_a_layer_after_the_average():
    inputs = keras.Input((T, I))
    outputs = keras.layers.Softmax()(kk.TimeAverage(name="average")(readout()(inputs)))
    with pytest.raises(ValueError, match="must not have a layer after TimeAverage; received 'average' before its last"):
        chain(keras.Model(inputs, outputs), each_step=True)


@pytest.mark.parametrize("model", [None, "smnist", keras.layers.Dense(4)], ids=["None", "name", "layer"])
def test_what_is_no_model(model):
    with pytest.raises(ValueError, match="model must be a built Keras model; received"):
        chain(model)


def test_what_is_not_built():
    with pytest.raises(ValueError, match="model must be a built Keras model; received"):
        chain(keras.Sequential([hidden()]))


def test_two_inputs():
    inputs = [keras.Input((T, I)), keras.Input((T, I))]
    with pytest.raises(ValueError, match="with one input and one output; received 2 inputs and 1 outputs"):
        chain(keras.Model(inputs, readout()(keras.layers.Add()(inputs))))


def test_a_subclass_with_a_call_of_its_own():
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.readout = readout()

        def call(self, x):
            return self.readout(x)

    model = Network()
    model(np.ones((2, T, I), "float32"))
    with pytest.raises(ValueError, match="must be a functional or sequential one; received <"):
        chain(model)
