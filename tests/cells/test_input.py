"""InputSpikeCell: the statistics of its spikes, and that its draws can be repeated; ContextCell: when it switches."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.tools import MODES, policy


def layer(units=4, seed=3, **settings):
    return keras.layers.RNN(kk.InputSpikeCell(units, seed=seed), return_sequences=True, **settings)


def half(batch=5, steps=7, channels=1):
    return tf.fill((batch, steps, channels), 0.5)


@pytest.mark.parametrize(("units", "channels"), [(3, 1), (None, 3)])
def test_spikes_as_often_as_the_input_says(units, channels):
    """In all units, or, without a number of units, in those of each channel."""
    expected = np.array([0.1, 0.7, 0.0, 1.0])[np.add.outer(range(4), range(channels)) % 4]
    spikes = layer(units=units)(np.tile(np.float32(expected), (1500, 1, 1))).numpy()
    assert spikes.shape == (1500, 4, 3) and set(np.unique(spikes)) == {0.0, 1.0}
    missing = spikes.mean(0) - expected
    assert np.abs(missing).max() < 0.06  # 5 standard deviations of 1500 draws are 0.039 and 0.059
    assert not missing[np.broadcast_to(expected % 1.0 == 0.0, (4, 3))].any()


def test_draws_are_independent_in_examples_steps_units_and_calls():
    encode = layer(units=20)
    spikes, later = (encode(half(60, 9)).numpy() * 2 - 1 for _ in range(2))
    other = layer(units=20, seed=4)(half(60, 9)).numpy() * 2 - 1
    pairs = [[np.delete(spikes, place, axis) for place in (0, -1)] for axis in range(3)]
    pairs += [(spikes, later), (spikes[:, 1:], later[:, :-1]), (spikes, other), (later, other)]
    for one, another in pairs:
        assert abs((one * another).mean()) < 5 / np.sqrt(one.size)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("mode", [*MODES, "unroll"])
def test_one_seed_gives_the_same_bits_in_every_mode(mode):
    eager, other = layer(), layer(unroll=mode == "unroll")
    first, second = eager(half()), eager(half())
    encode = MODES.get(mode, tf.function)(lambda x: other(x))
    np.testing.assert_array_equal(encode(half()), first)
    np.testing.assert_array_equal(encode(half()), second)
    assert np.any(first != second)


def test_states_are_the_number_of_the_call_and_of_the_steps():
    encode = layer(return_state=True)
    for call in (1, 2, 3):
        np.testing.assert_array_equal(encode(half())[1], [[call, 7]] * 5)
    assert int(encode.weights[0]) == 3


def test_masked_examples_do_not_make_the_others_repeat_their_draws():
    mask = tf.constant([[True] * 8 + [False] * 4, [False] * 4 + [True] * 8])
    encode = layer(units=100)
    spikes = encode(half(2, 12), mask=mask).numpy()
    assert all(np.any(spikes[1, t] != spikes[1, u]) for t in range(4, 12) for u in range(4, t))


def test_a_loaded_model_goes_on_where_the_saved_one_stopped(tmp_path):
    for seed in (3, None):
        model = keras.Sequential([keras.Input((7, 1)), layer(seed=seed)])
        model(half())
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(model(half()), again(half()))


def test_spikes_are_data():
    x, encode = half(), layer()
    with tf.GradientTape() as tape:
        tape.watch(x)
        spikes = encode(x)
    assert tape.gradient(spikes, x) is None


def test_counts_are_exact_under_mixed_precision():
    """bfloat16 counts no further than 256."""
    with policy("mixed_bfloat16"):
        spikes = tf.cast(tf.function(layer(units=100))(half(1, 300)), tf.float32).numpy()
    assert np.all(np.any(spikes[0, 257:] != spikes[0, 256:-1], axis=-1))
    np.testing.assert_array_equal(spikes, tf.function(layer(units=100))(half(1, 300)))


@pytest.mark.parametrize("switch, expected", [(0, [0, 1, 1, 1, 1]), (1, [0, 0, 0, 1, 1]), (2, [0, 0, 0, 0, 1])])
def test_the_context_counts_its_input_in_every_example(switch, expected):
    context = keras.layers.RNN(kk.ContextCell(switch), return_sequences=True, return_state=True)
    outputs, count = context(tf.constant([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], tf.float32)[..., None])
    np.testing.assert_array_equal(outputs[..., 0], [expected, [0] * 5])
    np.testing.assert_array_equal(count, [[3], [0]])


def test_the_context_counts_beyond_256_under_mixed_precision():
    with policy("mixed_bfloat16"):
        context = tf.function(keras.layers.RNN(kk.ContextCell(300), return_sequences=True), jit_compile=True)
        found = tf.cast(context(tf.ones((1, 302, 1))), tf.float32)
    np.testing.assert_array_equal(found[0, :, 0], [0] * 300 + [1] * 2)
