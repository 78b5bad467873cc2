"""What callbacks are shown of a call of `fit`."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.training.data_checks import check_data, show_data
from kernl_keras.training.model import Model

X, Y = np.arange(30.0).reshape(10, 3), np.arange(10)
DATA = (X[:2], Y[:2])


class Watcher(keras.callbacks.Callback):
    def set_validation_data(self, data):
        self.data = data


def shown(x, y=None, **given):
    watcher = Watcher()
    show_data({"x": x, "y": y, **given, "callbacks": [keras.callbacks.Callback(), watcher]})
    return watcher.data


def test_validation_data_is_shown_as_it_is():
    assert shown(X, Y, validation_data=DATA) is DATA
    dataset = tf.data.Dataset.from_tensor_slices(DATA).batch(2)
    assert shown(dataset, validation_data=dataset) is dataset
    assert shown(X, Y, validation_data=DATA, validation_split=0.5) is DATA  # as in Keras, the data come first


def test_training_data_are_shown_as_they_are():
    class Listener(keras.callbacks.Callback):
        def set_training_data(self, x):
            self.x = x

    listener = Listener()
    show_data({"x": X, "callbacks": listener})
    assert listener.x is X


def test_positional_arguments_are_understood():
    watcher = Watcher()
    show_data(check_data(keras.Sequential(), keras.Model().fit, (X, Y, 4, 1, 0, [watcher], 0.0, DATA), {}))
    assert watcher.data is DATA


@pytest.mark.parametrize("share, held_out", [(0.3, 3), (0.25, 3), (0.5, 5)])  # Keras rounds the rest down
def test_validation_split_holds_out_the_last_examples(share, held_out):
    x, y = shown(X, Y, validation_split=share)
    np.testing.assert_array_equal(x, X[-held_out:])
    np.testing.assert_array_equal(y, Y[-held_out:])
    (x, _), y = shown((X, X), validation_split=share)
    assert len(x) == held_out and y is None


@pytest.mark.parametrize("of", ["dataset", "generator", "asked for", "array"])
def test_only_who_asks_to_shuffle_what_has_an_order_is_warned(of):
    """A warning is an error in the tests. Arrays are shuffled, as ever."""
    x, y = np.zeros((8, 3), np.float32), np.arange(8.0, dtype=np.float32)[:, None]
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(1)
    seen = []
    inputs = keras.Input((3,))
    model = Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", lambda y, _: (seen.append(float(y[0, 0])), tf.reduce_sum(y, -1))[1], run_eagerly=True)
    given = {"generator": ((x[n : n + 1], y[n : n + 1]) for n in range(8)), "array": x}.get(of, data)
    asked = {"shuffle": True} if of == "asked for" else {"steps_per_epoch": 8} if of == "generator" else {}
    warned = IS_KERAS_3 and of == "asked for"
    with pytest.warns(UserWarning, match="will be ignored") if warned else contextlib.nullcontext():
        model.fit(given, y if of == "array" else None, batch_size=1 if of == "array" else None, verbose=0, **asked)
    assert sorted(seen) == list(range(8)) and (seen == sorted(seen)) == (of != "array")


def test_without_validation_nothing_is_shown():
    assert shown(X, Y) is None


@pytest.mark.parametrize("callbacks", [None, [], [keras.callbacks.Callback()]])
def test_callbacks_that_do_not_ask_are_left_alone(callbacks):
    show_data({"x": X, "callbacks": callbacks, "validation_data": DATA})


def test_a_list_of_callbacks_that_is_keras_own():
    watcher = Watcher()
    callbacks = keras.callbacks.CallbackList([watcher])
    show_data({"x": X, "callbacks": callbacks, "validation_data": DATA})
    assert watcher.data is DATA
