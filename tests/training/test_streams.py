"""Training on the pieces of a stream: validation in between takes nothing from it, and begins with new sequences."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.training.state import layer_states

B, T, H = 2, 4, 3
X = np.random.default_rng(0).uniform(size=(6 * B, T, 2)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6 * B, 2)).astype("float32")
HELD_OUT = X[::-1][: 2 * B], Y[: 2 * B]


def network(rule):
    """Every layer that can be stateful; the window of the mean reaches into the piece before."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input(batch_shape=(B, T, 2))
    x = kk.SpikeEncoder(4, "threshold", context_switch=3, stateful=True)(inputs)
    x = kk.RNN(kk.ResonatorCell(H, tau_m=9.0, period=5.0, input_gain=5.0), rule=rule, seed=1, stateful=True)(x)
    x = keras.layers.LSTM(H, return_sequences=True, stateful=True)(x)
    x = kk.Readout(2, stateful=True)(x)
    model = kk.Model(inputs, kk.TimeAverage(T + 2, stateful=True)(x))
    model.compile(keras.optimizers.SGD(0.1), "mse", sensitivity_every=1)
    return model


def states(model):
    return [tf.convert_to_tensor(state).numpy() for _, state in layer_states(model)]


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["kernl", pytest.param("eprop", marks=pytest.mark.slow)])
def test_validation_leaves_a_stream_as_it_was(rule):
    """States and traces of every layer, linear memory and exact traces; and so what is learned from then on."""
    validated, plain = network(rule), network(rule)
    settings = dict(batch_size=B, shuffle=False, verbose=0, epochs=2)
    history = validated.fit(X, Y, validation_data=HELD_OUT, validation_batch_size=B, **settings).history
    plain.fit(X, Y, **settings)
    found = states(validated)
    assert len(found) >= 10 and sum(np.any(state) for state in found) >= len(found) - 2
    for one, other in zip(found, states(plain)):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(validated.get_weights(), plain.get_weights()):
        np.testing.assert_array_equal(one, other)
    gone_on = plain.evaluate(*HELD_OUT, batch_size=B, verbose=0)  # asked by itself it goes on from where training is
    for _, state in layer_states(plain):
        state.assign(tf.zeros_like(state))
    fresh = plain.evaluate(*HELD_OUT, batch_size=B, verbose=0)
    np.testing.assert_allclose(history["val_loss"][-1], fresh, rtol=1e-6)
    assert abs(gone_on - fresh) > 1e-6


def one_layer(steps, seed=0):
    """A network for pieces of some steps, whose weights stand still while M learns."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(batch_shape=(B, steps, 2))
    x = kk.SpikeEncoder(4, seed=1, stateful=True)(inputs)
    x = kk.RNN(kk.LIFCell(H, input_gain=8.0), window=2, seed=1, stateful=True, name="hidden")(x)
    model = kk.Model(inputs, kk.Readout(2, stateful=True)(x))
    sgd = keras.optimizers.SGD
    model.compile(sgd(0.0), "mse", sensitivity_optimizer=sgd(0.1), sensitivity_every=1, jit_compile=False)
    return model


@pytest.mark.parametrize("steps", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_where_nothing_is_asked_m_learns_all_the_same(steps):
    """A weight of a step is none of an example, however short the pieces are."""
    found = []
    for weight in (0.0, 1.0):
        model = one_layer(steps)
        before, measured = tf.convert_to_tensor(model.rule_layers[0].sensitivity_tensor).numpy(), []
        for start in range(0, T, steps):
            x, weights = X[:B, start : start + steps], np.full((B, steps), weight, "float32")
            model.train_on_batch(x, np.zeros((B, steps, 2), "float32"), sample_weight=weights)
            measured.append([model.diagnostics()[name] for name in ("sensitivity_loss", "firing_rate", "silent_units")])
        m = tf.convert_to_tensor(model.rule_layers[0].sensitivity_tensor).numpy()
        assert np.abs(m - before).max() > 1e-4 and max(rate for _, rate, _ in measured) > 0.1
        found.append((m, measured))
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras says so even where it learns the length
def test_a_data_set_that_ends_moves_nothing_more():
    """Keras learns within its compiled step that one of unknown length is over."""
    batches = [(X[start : start + B], np.zeros((B, T, 2), "float32")) for start in range(0, len(X), B)]
    like = tuple(tf.TensorSpec((B, T, 2)) for _ in range(2))
    known = tf.data.Dataset.from_tensor_slices(tuple(np.stack(part) for part in zip(*batches)))
    found = []
    for data in (known, tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=like)):
        model = one_layer(T)
        model.fit(data, shuffle=False, verbose=0)
        model.evaluate(data, verbose=0)
        found.append([*states(model), int(model.rule_layers[0].draws)])
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)
