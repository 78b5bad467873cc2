"""Which models are chains, and what is said of the others."""

import pytest

import kernl_keras as kk
from kernl_keras.interchange.chain import chain
from kernl_keras.keras_version import keras

T, I, H, O = 9, 3, 4, 2  # noqa: E741


def hidden(**settings):
    return kk.KeRNL(kk.KeRNLSpikingCell(H), **settings)


def readout(**settings):
    return kk.Readout(kk.ReadoutCell(O), **settings)


def test_the_parts_in_order():
    inputs = keras.Input((T, I))
    layers = [kk.SpikeEncoder(2), hidden(), kk.KeRNL(kk.KeRNLRNNCell(H)), readout(), kk.WindowMean()]
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    assert chain(kk.KeRNLModel(inputs, outputs)) == (layers[0], layers[1:4], layers[4])
    assert chain(keras.Sequential([inputs_like(inputs), *layers])) == (layers[0], layers[1:4], layers[4])


def inputs_like(inputs):
    return keras.Input(inputs.shape[1:])


def test_encoder_and_window_are_not_needed():
    inputs = keras.Input((T, I))
    last = keras.layers.RNN(kk.KeRNLResonatorCell(H))  # which returns the last step alone
    assert chain(keras.Model(inputs, last(inputs))) == (None, [last], None)


def branches(x):
    return keras.layers.Add()([hidden()(x), hidden()(x)])


def states_of_another(x):
    _, *states = hidden(return_state=True, rule="eprop")(x)
    return hidden(rule="eprop")(x, initial_state=states)


@pytest.mark.parametrize(
    "build, message",
    [
        (branches, "must be a chain of layers; received .*, which does not hear"),
        (states_of_another, "must be a chain of layers; received .*, which does not hear"),
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


@pytest.mark.parametrize("model", [None, "smnist", keras.layers.Dense(4)], ids=str)
def test_what_is_no_model(model):
    with pytest.raises(ValueError, match="model must be a built Keras model; received"):
        chain(model)


def test_what_is_not_built():
    with pytest.raises(ValueError, match="model must be a built Keras model; received"):
        chain(keras.Sequential([hidden()]))
