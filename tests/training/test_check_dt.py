"""Cells that disagree on the length of a step are named."""

import warnings

import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.training.data_checks import check_dt


def chain(*layers):
    x = inputs = keras.Input((7, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def hidden(dt, name="hidden"):
    return kk.RNN(kk.LIFCell(4, dt=dt), name=name)


def readout(dt):
    return kk.Readout(2, dt=dt, name="readout")


class Subclassed(keras.Model):
    """It is not built."""

    def __init__(self, *layers):
        super().__init__()
        self.parts = list(layers)


DIFFERENT = {
    "functional": lambda: chain(hidden(10.0), readout(1.0)),
    "not built": lambda: keras.Sequential([hidden(10.0), readout(1.0)]),
    "subclassed": lambda: Subclassed(hidden(10.0), readout(1.0)),
    "a model inside": lambda: chain(chain(hidden(10.0)), readout(1.0)),
    "Keras' own layers": lambda: chain(
        keras.layers.RNN(kk.LeakyRNNCell(4, dt=10.0), return_sequences=True, name="hidden"),
        keras.layers.RNN(kk.ReadoutCell(2), name="readout"),
    ),
    "in both directions": lambda: chain(
        keras.layers.Bidirectional(hidden(10.0, "one")), keras.layers.Dense(4), readout(1.0)
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_both_layers_are_named(case):
    with pytest.warns(UserWarning, match=r"received dt = 1 ms in 'readout'; dt = 10 ms in '.*(hidden|one)"):
        check_dt(DIFFERENT[case]())


def test_cells_in_one_layer():
    stack = keras.layers.RNN([kk.LIFCell(4, dt=0.5), kk.ReadoutCell(2)], name="stack")
    with pytest.warns(UserWarning, match="received dt = 0.5 ms in 'stack'; dt = 1 ms in 'stack'"):
        check_dt(chain(stack))


@pytest.mark.parametrize("dt", [0.1, 10.0])
def test_one_dt_is_no_reason_to_warn(dt):
    """Nor are layers that know no dt."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_dt(chain(kk.SpikeEncoder(4), hidden(dt), keras.layers.LSTM(3, return_sequences=True), readout(dt)))
        check_dt(chain(keras.layers.Dense(2)))
