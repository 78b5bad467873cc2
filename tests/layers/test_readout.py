"""The Readout layer is Keras' RNN over its cell: outputs, states, gradients, masks, modes."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.tools import outputs_and_gradients, policy
from ..signatures import constructor_arguments

B, T, H, O = 2, 5, 3, 4  # noqa: E741
X = np.random.default_rng(0).normal(size=(B, T, H))
ERROR = np.random.default_rng(1).normal(size=(B, T, O))
START = np.random.default_rng(2).normal(size=(B, O))
MASK = np.array([[True, True, False, True, False], [False, True, True, True, True]])
CELLS = {
    "number": dict(tau_out=3.0),
    "list": dict(tau_out=[2.0, 3.0, 9.0, 4.0], discretization="euler", dt=0.5),
    "bias": dict(tau_out=5.0, gain=2.0, bias_initializer="ones"),
    "sum": dict(tau_out=5.0, gain=None),
    "random feedback": dict(tau_out=5.0, feedback="random"),
    "no memory": dict(tau_out=None),
    "learns": dict(tau_out=[2.0, 5.0, 9.0, 30.0], learn="tau_out"),  # here in closed form, there by the tape
    "initializer": dict(tau_out=keras.initializers.RandomUniform(2.0, 9.0, seed=1)),
}


def both(cell, dtype="float64", **settings):
    """The layer and Keras' own over cells of the same weights."""
    theirs = keras.layers.RNN(kk.ReadoutCell(O, dtype=dtype, **cell), dtype=dtype, return_sequences=True, **settings)
    layers = [kk.Readout(O, dtype=dtype, **cell, **settings), theirs]
    for layer in layers:
        layer.build((B, T, H))
    layers[0].set_weights(layers[1].get_weights())
    return layers


def run(layer, x, **arguments):
    """Outputs, and gradients by x and the weights."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, **arguments)
        first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        loss = tf.reduce_sum(first * ERROR) + sum(tf.reduce_sum(state**2) for state in tf.nest.flatten(outputs)[1:])
    return [*tf.nest.flatten(outputs), *tape.gradient(loss, [x, *layer.trainable_weights])]


def same(one, other):
    assert len(one) == len(other) >= 3
    for left, right in zip(one, other):
        assert np.abs(right).max() > 1e-3
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_it_is_keras_rnn(cell):
    backwards = cell == "bias"
    one, other = both(CELLS[cell], return_state=True, go_backwards=backwards)
    same(run(one, tf.constant(X)), run(other, tf.constant(X)))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_modes(jit_compile):
    layer, other = both(CELLS["list"])
    specification = tf.TensorSpec((None, None, H), tf.float64)
    compiled = tf.function(lambda x: run(layer, x), [specification], jit_compile=jit_compile)
    same(compiled(tf.constant(X)), run(other, tf.constant(X)))


def test_an_initial_state_has_a_gradient():
    results = []
    start = tf.constant(START)
    for layer in both(CELLS["number"]):
        run = functools.partial(layer, tf.constant(X), initial_state=[start])
        outputs, (gradient,) = outputs_and_gradients(run, ERROR, [start])
        results.append([outputs, outputs, gradient])
    same(*results)


@pytest.mark.parametrize(("cell", "zero"), [("bias", True), ("learns", False)])
def test_gradients_under_a_mask(cell, zero):
    """Of the layer it may be of numbers, too, as some layers pass it on."""
    one, other = both(CELLS[cell], zero_output_for_mask=zero)
    mask = tf.constant(MASK.astype("int32"))
    same(run(one, tf.constant(X), mask=mask), run(other, tf.constant(X), mask=tf.constant(MASK)))


SETTINGS = dict(
    units=3, tau_out=[2.0, 30.0, 7.0], gain=3.0, dt=0.5, discretization="euler", learn=["tau_out"], traces=False,
    return_sequences=False, use_bias=False, kernel_initializer=keras.initializers.HeNormal(seed=1),
    bias_initializer="ones", kernel_regularizer=keras.regularizers.L1(0.25),
    bias_regularizer=keras.regularizers.L2(0.5), kernel_constraint=keras.constraints.MaxNorm(2),
    bias_constraint="non_neg", feedback="random", feedback_initializer=keras.initializers.HeNormal(seed=2),
)  # fmt: skip


def test_the_config_covers_the_arguments_of_the_layer_and_of_its_cell():
    assert set(SETTINGS) == {*constructor_arguments(kk.Readout), *constructor_arguments(kk.ReadoutCell)} - {"cell"}
    layer = kk.Readout(**SETTINGS, return_state=True, name="voltage", dtype="float64")
    config, default = layer.get_config(), kk.Readout(4).get_config()
    assert all(config[name] != default[name] for name in SETTINGS) and "cell" not in config
    again = kk.Readout.from_config(config)
    assert again.get_config() == config and again.name == "voltage" and again.compute_dtype == "float64"
    assert again.cell.get_config() == {**layer.cell.get_config(), "name": again.cell.name}


def test_defaults_are_those_of_the_cell():
    cell, layer = constructor_arguments(kk.ReadoutCell), constructor_arguments(kk.Readout)
    assert {"units", "tau_out", "gain", "dt", "discretization", "learn", "feedback"} == set(layer) & set(cell)
    assert all(layer[name].default == cell[name].default for name in set(layer) & set(cell))


@pytest.mark.parametrize("of_x, of_state", [(None, B), (B, None), (None, None)])
def test_a_batch_size_that_one_side_alone_knows(of_x, of_state):
    layer = kk.Readout(O, dtype="float64")
    signature = [tf.TensorSpec((of_x, None, H), tf.float64), tf.TensorSpec((of_state, O), tf.float64)]
    run = tf.function(lambda x, start: layer(x, initial_state=[start]), signature)
    np.testing.assert_allclose(run(X, START), layer(tf.constant(X), initial_state=[tf.constant(START)]), rtol=1e-12)


def test_one_example_of_any_length_and_of_whole_numbers():
    """In a model. With one example Keras knows the batch size while it does not know the number of steps."""
    inputs = keras.Input((None, H), dtype="int64")
    model = keras.Model(inputs, kk.Readout(O)(inputs))
    model.compile("sgd", "mse", jit_compile=False)
    for steps in (5, 3):
        x = np.int64(np.resize(X > 0.0, (1, steps, H)))
        np.testing.assert_allclose(model.predict(x, verbose=0), model.layers[-1](np.float32(x)), rtol=1e-5, atol=1e-6)
        assert np.isfinite(model.train_on_batch(x, np.ones((1, steps, O))))


@pytest.mark.parametrize("half", ["mixed_float16", "mixed_bfloat16"])
def test_a_readout_and_its_means_are_float32_around_half_precision(half):
    with policy(half):
        layer = kk.Readout(O)
        voltage = layer(np.float32(X))
        means = kk.TimeAverage()(voltage)
    assert voltage.dtype == means.dtype == layer.cell.compute_dtype == "float32"
