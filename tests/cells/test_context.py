"""ContextCell: the step at which it switches on."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

MODES = {"graph": tf.function, "xla": lambda f: tf.function(f, jit_compile=True)}


@pytest.mark.parametrize("mode", MODES)
def test_on_from_step_785(mode):
    layer = keras.layers.RNN(kk.ContextCell(), return_sequences=True)
    outputs = MODES[mode](lambda x: layer(x))(tf.ones((2, 838, 1)))
    np.testing.assert_array_equal(outputs[..., 0], [[0] * 784 + [1] * 54] * 2)


@pytest.mark.parametrize("switch, expected", [(0, [0, 1, 1, 1, 1]), (1, [0, 0, 0, 1, 1]), (2, [0, 0, 0, 0, 1])])
def test_counts_its_input_in_every_example(switch, expected):
    layer = keras.layers.RNN(kk.ContextCell(switch), return_sequences=True, return_state=True)
    outputs, count = layer(tf.constant([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], tf.float32)[..., None])
    np.testing.assert_array_equal(outputs[..., 0], [expected, [0] * 5])
    np.testing.assert_array_equal(count, [[3], [0]])


def test_counts_beyond_256_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        outputs = keras.layers.RNN(kk.ContextCell(300), return_sequences=True)(tf.ones((1, 302, 1)))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_array_equal(tf.cast(outputs, tf.float32)[0, :, 0], [0] * 300 + [1] * 2)


def test_errors():
    with pytest.raises(ValueError, match=r"context_switch must be an integer >= 0; received -1"):
        kk.ContextCell(-1)
    with pytest.raises(ValueError, match=r"dtype must compute in float32 or more; received 'bfloat16'"):
        kk.ContextCell(dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match=r"inputs must have 1 channel, which is counted; received shape \(2, 3\)"):
        keras.layers.RNN(kk.ContextCell())(tf.ones((2, 5, 3)))
