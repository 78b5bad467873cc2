"""What is looked at before `fit` begins: cells that disagree on the length of a step, and what callbacks are shown."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.training.data_checks import check_data, check_dt, check_stateful, show_data

from ..reference.tools import through


def chain(*layers):
    inputs = keras.Input((7, 3))
    return keras.Model(inputs, through(layers, inputs))


def hidden(dt, name="hidden"):
    return kk.RNN(kk.LIFCell(4, dt=dt), name=name)


def readout(dt):
    return kk.Readout(2, dt=dt, name="readout")


class Subclassed(keras.Model):
    """It is not built."""

    def __init__(self, *layers):
        super().__init__()
        self.parts = list(layers)


NAMED = "dt = 1 ms in 'readout'; dt = 10 ms in '.*(hidden|one)"
STACK = kk.LIFCell(4, dt=0.5), kk.ReadoutCell(2)
DIFFERENT = {  # a model, and what is received
    "functional": (lambda: chain(hidden(10.0), readout(1.0)), NAMED),
    "not built": (lambda: keras.Sequential([hidden(10.0), readout(1.0)]), NAMED),
    "subclassed": (lambda: Subclassed(hidden(10.0), readout(1.0)), NAMED),
    "a model inside": (lambda: chain(chain(hidden(10.0)), readout(1.0)), NAMED),
    "Keras' own layers": (lambda: chain(
        keras.layers.RNN(kk.LeakyRNNCell(4, dt=10.0), return_sequences=True, name="hidden"),
        keras.layers.RNN(kk.ReadoutCell(2), name="readout"),
    ), NAMED),
    "in both directions": (lambda: chain(
        keras.layers.Bidirectional(hidden(10.0, "one")), keras.layers.Dense(4), readout(1.0)
    ), NAMED),
    "in one layer": (lambda: chain(keras.layers.RNN(STACK, name="stack")),
                     "dt = 0.5 ms in 'stack'; dt = 1 ms in 'stack'"),
}  # fmt: skip


STREAM = kk.data.stream(np.zeros((2, 3, 1)), [0, 1], batch_size=2, piece=7)
FORGETFUL = {  # stateful of the hidden layer and the readout, x, what is received
    "the readout": (True, False, None, "'readout'"),
    "the hidden layer": (False, True, None, "'hidden'"),
    "both, on a stream": (False, False, STREAM, "'hidden', 'readout'"),
    "none": (False, False, np.zeros((2, 7, 3)), None),
    "none, on a stream": (True, True, STREAM, None),
}


@pytest.mark.parametrize("case", FORGETFUL)
def test_layers_that_forget_where_others_continue(case):
    *stateful, x, received = FORGETFUL[case]
    inputs = keras.Input(batch_shape=(2, 7, 3))
    hidden = kk.RNN(kk.LIFCell(4), stateful=stateful[0], name="hidden")
    layers = hidden, kk.Readout(2, stateful=stateful[1], name="readout"), kk.TimeAverage(3)
    message = f"stateful=True where .*; received stateful=False in {received}, which"
    with pytest.warns(UserWarning, match=message) if received else contextlib.nullcontext():
        check_stateful(keras.Model(inputs, through(layers, inputs)), {"x": x})


def test_fit_warns_of_layers_that_forget():
    inputs = keras.Input(batch_shape=(2, 7, 3))
    model = kk.Model(inputs, kk.Readout(2)(kk.RNN(kk.LIFCell(20), rule="eprop", stateful=True)(inputs)))
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.warns(UserWarning, match="received stateful=False in 'readout"):
        model.fit(np.ones((2, 7, 3)), np.zeros((2, 7, 2)), batch_size=2, verbose=0)


@pytest.mark.parametrize("shuffle", [None, True, False])
def test_fit_warns_of_pieces_that_are_shuffled(shuffle):
    """Not where there is one batch, which continues itself."""
    inputs = keras.Input(batch_shape=(2, 7, 3))
    model = keras.Model(inputs, kk.Readout(2, stateful=True)(inputs))
    given = {} if shuffle is None else {"shuffle": shuffle}
    message = "shuffle should be False where .* Example n \\+ 2 should continue example n"
    with contextlib.nullcontext() if shuffle is False else pytest.warns(UserWarning, match=message):
        check_stateful(model, {"x": np.zeros((4, 7, 3)), **given})
    check_stateful(model, {"x": np.zeros((2, 7, 3)), **given})


@pytest.mark.parametrize("case", DIFFERENT)
def test_cells_that_disagree_are_named(case):
    make, received = DIFFERENT[case]
    with pytest.warns(UserWarning, match=f"received {received}"):
        check_dt(make())


def test_one_dt_is_no_reason_to_warn():
    """Nor are layers that know no dt. A warning is an error in the tests."""
    for dt in (0.1, 10.0):
        check_dt(chain(kk.SpikeEncoder(4), hidden(dt), keras.layers.LSTM(3, return_sequences=True), readout(dt)))
    check_dt(chain(keras.layers.Dense(2)))


# What callbacks are shown

X, Y = np.arange(30.0).reshape(10, 3), np.arange(10)
DATA = (X[:2], Y[:2])


class Listener(keras.callbacks.Callback):
    def set_validation_data(self, data):
        self.data = data

    def set_training_data(self, x):
        self.x = x


DATASET = tf.data.Dataset.from_tensor_slices(DATA).batch(2)


@pytest.mark.parametrize(
    "given, expected",
    [
        (dict(x=X, y=Y, validation_data=DATA), DATA),
        (dict(x=DATASET, validation_data=DATASET), DATASET),
        (dict(x=X, y=Y, validation_data=DATA, validation_split=0.5), DATA),  # as in Keras, the data come first
        (dict(x=X, y=Y), None),
    ],
)
@pytest.mark.parametrize("wrap", [list, keras.callbacks.CallbackList], ids=["list", "Keras' own list"])
def test_data_are_shown_as_they_are(given, expected, wrap):
    """To callbacks that ask; the others are left alone."""
    listener = Listener()
    show_data({**given, "callbacks": wrap([keras.callbacks.Callback(), listener])})
    assert listener.data is expected and listener.x is given["x"]
    for callbacks in (None, [], [keras.callbacks.Callback()]):
        show_data({**given, "callbacks": callbacks})
    positional = X, Y, 4, 1, 0, [listener], 0.0, DATA
    show_data(check_data(keras.Sequential(), keras.Model().fit, positional, {}))
    assert listener.data is DATA


@pytest.mark.parametrize("share, held_out", [(0.3, 3), (0.25, 3), (0.5, 5)])  # Keras rounds the rest down
def test_validation_split_holds_out_the_last_examples(share, held_out):
    for x, y in ((X, Y), ((X, X), None)):
        listener = Listener()
        show_data({"x": x, "y": y, "validation_split": share, "callbacks": listener})
        right = tf.nest.map_structure(lambda part: None if part is None else part[-held_out:], (x, y))
        tf.nest.map_structure(np.testing.assert_array_equal, listener.data, right)


@pytest.mark.parametrize("of", ["dataset", "generator", "asked for", "array"])
def test_only_who_asks_to_shuffle_what_has_an_order_is_warned(of):
    """A warning is an error in the tests. Arrays are shuffled, as ever."""
    x, y = np.zeros((8, 3), np.float32), np.arange(8.0, dtype=np.float32)[:, None]
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(1)
    seen = []
    inputs = keras.Input((3,))
    model = kk.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", lambda y, z: (seen.append(float(y[0, 0])), tf.reduce_sum(y + z, -1))[1], run_eagerly=True)
    given = {"generator": ((x[n : n + 1], y[n : n + 1]) for n in range(8)), "array": x}.get(of, data)
    asked = {"shuffle": True} if of == "asked for" else {"steps_per_epoch": 8} if of == "generator" else {}
    warned = IS_KERAS_3 and of == "asked for" and not keras.__version__.startswith("3.12.")
    with pytest.warns(UserWarning, match="will be ignored") if warned else contextlib.nullcontext():
        model.fit(given, y if of == "array" else None, batch_size=1 if of == "array" else None, verbose=0, **asked)
    assert sorted(seen) == list(range(8)) and (seen == sorted(seen)) == (of != "array")


def test_words_of_another_length_are_no_other_features():
    layers = keras.layers.Embedding(5, 3, mask_zero=True), kk.RNN(kk.LIFCell(4), rule="eprop"), kk.Readout(2)
    model = kk.Model([*layers, kk.TimeAverage(2)])
    model.compile("sgd", "mse")
    model(np.array([[1, 2, 0, 3, 0]]))  # built on five steps
    short = np.array([[1, 2, 3], [4, 1, 2]])
    np.testing.assert_allclose(model.predict_on_batch(short), model(short), rtol=1e-6)


def test_a_data_set_is_not_split():
    inputs = keras.Input((3,))
    model = kk.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", run_eagerly=True)
    data = tf.data.Dataset.from_tensor_slices((np.ones((4, 3)), np.ones((4, 1)))).batch(2)
    with pytest.raises(ValueError, match="validation_split. is only supported for"):  # Keras' words
        model.fit(data, validation_split=0.5, verbose=0)
