"""The adjoint of backpropagation through time is what automatic differentiation of the loop gives."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.layers.rnn import RNN

from ..reference.cases import CELLS, Network
from ..reference.expected import compute, same


@pytest.mark.parametrize("settings", [{}, {"go_backwards": True}], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_it_is_automatic_differentiation(name, settings):
    network = Network(name)
    layers = [network.layer(rule=rule, reset_gradient=None, **settings) for rule in ("bptt", "bptt_adjoint")]
    (_, expected, of_x, _), (_, gradient, of_inputs, _) = (compute(each, network.inputs) for each in layers)
    assert np.abs(expected).max() > 0.01
    same(gradient, expected)
    same(of_inputs, of_x)


def test_in_xla_and_unrolled():
    network = Network("resonator")
    expected = compute(network.layer(rule="bptt", reset_gradient=None), network.inputs)[1]
    for unroll in (False, True):
        layer = network.layer(rule="bptt_adjoint", reset_gradient=None, unroll=unroll)
        same(tf.function(lambda x, f=layer: compute(f, x)[1], jit_compile=True)(network.inputs), expected)


def test_it_has_no_form_that_goes_forward():
    with pytest.raises(ValueError, match="implementation must be 'factored' for rule='bptt_adjoint'"):
        RNN(Network("resonator").cell(), rule="bptt_adjoint", implementation="online")
