"""What tests of every kind need: modes of TensorFlow, lists of arrays, chains of layers, gradients, steps, files."""

import contextlib
import wave

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

MODES = {"eager": lambda f: f, "graph": tf.function, "xla": lambda f: tf.function(f, jit_compile=True)}


def all_same(one, other, rtol=0.0, atol=None):
    """Two lists of arrays are the same: to the bit, or within `rtol`, and `atol`, which is a thousandth of it if None.

    Also of variables, numbers, and other structures that TensorFlow flattens.
    """
    for mine, theirs in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        if rtol or atol:
            np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=1e-3 * rtol if atol is None else atol)
        else:
            np.testing.assert_array_equal(mine, theirs)


def through(layers, x):
    """What the last of the layers makes of x."""
    for layer in layers:
        x = layer(x)
    return x


def outputs_and_gradients(function, error, sources):
    """The outputs of `function()`, and the gradients of their product with `error` by each of the sources, a list."""
    with tf.GradientTape() as tape:
        tape.watch([each for each in sources if isinstance(each, tf.Tensor)])
        outputs = function()
        loss = tf.reduce_sum(outputs * tf.cast(error, outputs.dtype))
    return outputs, tape.gradient(loss, sources)


def digits(batch, steps, dtype="float32"):
    """Real digits [batch, steps, 29], a row a step, and steps to answer in."""
    data = kk.data.sequential_mnist("sample", layout="rows", context_steps=2, batch_size=batch)
    return next(iter(data.test))[0].numpy()[:, -steps:].astype(dtype)


def run_by_steps(step, x):
    """The outputs of a model of one step at every step of x [B, T, O], and the states after the last."""
    states = {name: np.zeros((len(x), each.shape[-1]), "float32") for name, each in step.input.items() if name != "x"}
    call, outputs = tf.function(lambda received: step(received)), []
    for now in np.moveaxis(x, 1, 0):
        states = call({"x": now, **states})
        outputs.append(states.pop("outputs"))
    return np.stack(outputs, 1), states


def operations(loaded):
    """The names of all operations of a LiteRT interpreter; those of TensorFlow itself start with Flex."""
    return {operation["op_name"] for operation in loaded._get_ops_details()}


def write_wav(path, data, width=2, channels=1, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(bytes(data))
    return path


@contextlib.contextmanager
def policy(name):
    """Within, layers are made under this dtype policy."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
