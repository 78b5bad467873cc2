"""`Model.gradients` is what training follows, and moves nothing."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.cells.input import InputSpikeCell
from kernl_keras.cells.lif import LIFCell
from kernl_keras.cells.readout import ReadoutCell
from kernl_keras.keras_version import keras
from kernl_keras.layers.rnn import RNN
from kernl_keras.training.model import Model

MODES = {"eager": lambda f: f, "graph": tf.function, "xla": lambda f: tf.function(f, jit_compile=True)}
B, T, I, H, O = 4, 6, 3, 5, 2  # noqa: E741


def build(learning_rate, sensitivity_learning_rate, **settings):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((T, I))
    x = keras.layers.RNN(InputSpikeCell(seed=5), return_sequences=True)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = RNN(LIFCell(H), name="hidden", seed=1)(x)
    model = Model(inputs, keras.layers.RNN(ReadoutCell(O), name="readout")(x))
    model.compile(
        keras.optimizers.SGD(learning_rate),
        "mse",
        sensitivity_optimizer=keras.optimizers.SGD(sensitivity_learning_rate),
        run_eagerly=True,
        **settings,
    )
    return model


def batch():
    draws = np.random.default_rng(0)
    return tf.constant(draws.uniform(size=(B, T, I)), tf.float32), tf.constant(draws.normal(size=(B, O)), tf.float32)


def everything(model):
    return [v.numpy() for v in (*model.variables, *(v for metric in model.metrics for v in metric.variables))]


@pytest.mark.parametrize("group", ["sensitivity", "weights"])
def test_a_step_of_plain_descent_follows_the_gradients(group):
    """With M and gamma held the weights move by their gradient, and the other way round."""
    rate = 1e-3
    model = build(*((0.0, rate) if group == "sensitivity" else (rate, 0.0)))
    x, y = batch()
    gradients, before = model.gradients(x, y), [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(x, y)
    learning = {id(v) for v in model.get_layer("hidden").sensitivity_weights}
    for variable, start, gradient in zip(model.trainable_variables, before, gradients):
        moves = (id(variable) in learning) == (group == "sensitivity")
        assert np.abs(gradient).max() > 0.0
        expected = start - rate * gradient.numpy() if moves else start
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6 * moves)
        assert (variable.numpy() != start).any() == moves


@pytest.mark.parametrize("mode", ["graph", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("eager", "xla"))])
def test_nothing_moves_and_the_modes_agree(mode):
    model = build(1e-3, 1e-3)
    x, y = batch()
    model.train_on_batch(x, y)
    before, gradients = everything(model), MODES[mode](model.gradients)
    first, second = gradients(x, y), gradients(x, y)
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)
    for variable, one, two, eager in zip(model.trainable_variables, first, second, model.gradients(x, y), strict=True):
        assert one.shape == variable.shape
        np.testing.assert_array_equal(one, two)  # the same noise
        np.testing.assert_allclose(one, eager, rtol=1e-3, atol=1e-5)


def test_a_rule_without_sensitivity_has_gradients_too():
    inputs = keras.Input((T, I))
    model = Model(inputs, RNN(LIFCell(O), rule="eprop", return_sequences=False)(inputs))
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    gradients = model.gradients(*batch())
    assert [gradient.shape for gradient in gradients] == [(I, O), (O, O)]
