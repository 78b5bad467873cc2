"""Time constants of every kind, from the constructor's check to the weight."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.cells.constants import check_time_constant, serialize_time_constant, time_constant
from kernl_keras.keras_version import keras

GIVEN = {
    "integer": 20,
    "number": 2.5,
    "numpy number": np.float32(2.5),
    "list": [3, 40.0, 5],
    "array": np.array([3.0, 40.0, 5.0]),
    "tensor": tf.constant([3.0, 40.0, 5.0]),
    "values of a dict": {"a": 3, "b": 40.0, "c": 5}.values(),
    "initializer": kk.LogUniform(10.0, 100.0, seed=1),
    "config": keras.initializers.serialize(kk.LogUniform(10.0, 100.0, seed=1)),
    "keras initializer": keras.initializers.Constant(7.0),
    "class": keras.initializers.Ones,
}


@pytest.mark.parametrize("kind", GIVEN)
def test_round_trip(kind):
    value = check_time_constant("tau", GIVEN[kind], 3)
    stored = serialize_time_constant(value)
    assert serialize_time_constant(check_time_constant("tau", stored, 3)) == stored


def test_the_config_does_not_share_the_list():
    value = check_time_constant("tau", [3.0, 40.0, 5.0], 3)
    serialize_time_constant(value)[0] = -1.0
    assert value == [3.0, 40.0, 5.0]


def test_a_number_stays_a_number():
    layer = keras.layers.Layer()
    assert time_constant(layer, "tau", check_time_constant("tau", 20, 3), 3) == 20.0
    assert time_constant(layer, "tau", None, 3) is None
    assert serialize_time_constant(None) is None
    assert layer.weights == []


def test_a_list_becomes_a_constant_of_the_variable_dtype():
    layer = keras.layers.Layer(dtype="float64")
    tau = time_constant(layer, "tau", [3.0, 0.1], 2)
    assert tau.dtype == tf.float64 and layer.weights == []
    np.testing.assert_array_equal(tau, [3.0, 0.1])


def test_a_list_outlives_the_graph_in_which_the_cell_was_built():
    kept = []
    tf.function(lambda: kept.append(time_constant(keras.layers.Layer(), "tau", [3.0, 40.0], 2)))()
    np.testing.assert_array_equal(kept[0].numpy(), [3.0, 40.0])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_an_initializer_becomes_an_untrained_weight_that_keeps_its_digits(policy):
    class Reader(keras.layers.Layer):
        def build(self, input_shape):
            self.tau = time_constant(self, "tau", kk.LogUniform(10.0, 1000.0, seed=1), 5)
            self.built = True

        def call(self, inputs):
            return tf.convert_to_tensor(self.tau)

    layer = Reader(dtype=policy)
    tau = layer(tf.zeros((1, 2)))
    assert layer.trainable_weights == [] and len(layer.weights) == 1
    assert layer.weights[0].name.split("/")[-1].split(":")[0] == "tau"
    assert tau.dtype == tf.float32
    np.testing.assert_array_equal(tau, kk.LogUniform(10.0, 1000.0, seed=1)((5,)))


@pytest.mark.parametrize(
    "value, message",
    [
        (0, "tau_m must be > 0; received 0"),
        (-3.0, r"tau_m must be > 0; received -3\.0"),
        (float("nan"), "tau_m must be a finite number; received nan"),
        ([1.0, 2.0], r"tau_m must have one value a unit \(3\); received 2 values"),
        ([1.0, 2.0, 0.0], r"tau_m must be > 0; received 0\.0"),
        (None, "tau_m must be a number, a list or an initializer; received None"),
        ("20", "tau_m must be a number, a list or an initializer; received '20'"),
        (True, "tau_m must be a finite number; received True"),
    ],
)
def test_errors(value, message):
    with pytest.raises(ValueError, match=message):
        check_time_constant("tau_m", value, 3)
