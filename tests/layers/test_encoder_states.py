"""The codes "delta" and "latency" of the encoder: resets, masks and pieces, against sequences by themselves."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

SETTINGS = {"delta": dict(units=2, code="delta", delta=0.2), "latency": dict(units=1, code="latency", period=4)}
B, T, F = 2, 12, 3
X = np.float32(np.random.default_rng(0).uniform(-0.2, 1.2, (B, T, F)))
MASK = np.array([[1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0]], bool)
codes = pytest.mark.parametrize("code", SETTINGS)


def alone(code, x):
    """Of one sequence [T, F], by itself."""
    return kk.SpikeEncoder(**SETTINGS[code])(x[None]).numpy()[0]


@codes
def test_a_reset_begins_a_new_sequence(code):
    reset = np.zeros((B, T), bool)
    reset[0, [5, 6]] = reset[1, 9] = True
    found = kk.SpikeEncoder(**SETTINGS[code])(X, reset=tf.constant(reset)).numpy()
    for b, cuts in enumerate(([0, 5, 6, T], [0, 9, T])):
        expected = np.concatenate([alone(code, X[b, one:other]) for one, other in zip(cuts, cuts[1:])])
        np.testing.assert_array_equal(found[b], expected)
    assert np.any(found != kk.SpikeEncoder(**SETTINGS[code])(X))


@codes
@pytest.mark.parametrize("cuts", [(), (4,), (1, 2, 7)])
def test_masked_steps_are_no_steps_and_pieces_are_the_whole(code, cuts):
    """A masked step sends nothing; the others are those of the sequence without it."""
    layer = kk.SpikeEncoder(**SETTINGS[code], stateful=True)
    layer.build((B, T, F))
    for _ in range(2):  # the second time after a reset
        borders = [0, *cuts, T]
        pieces = [
            layer(tf.constant(X[:, one:other]), mask=tf.constant(MASK[:, one:other]))
            for one, other in zip(borders, borders[1:])
        ]
        found = np.concatenate(pieces, 1)
        for b in range(B):
            np.testing.assert_array_equal(found[b, MASK[b]], alone(code, X[b, MASK[b]]))
        np.testing.assert_array_equal(found[~MASK], 0.0)
        layer.reset_state()


@codes
def test_a_reset_in_a_later_piece(code):
    """Also where it stands at a masked step, and where nothing follows it in its piece."""
    layer = kk.SpikeEncoder(**SETTINGS[code], stateful=True)
    layer.build((B, T, F))
    mask, reset = np.ones((B, T), bool), np.zeros((B, T), bool)
    mask[0, 5], reset[0, 5] = False, True  # the last of the first piece
    reset[1, 8] = True
    pieces = [
        layer(tf.constant(X[:, cut]), mask=tf.constant(mask[:, cut]), reset=tf.constant(reset[:, cut]))
        for cut in (slice(0, 6), slice(6, T))
    ]
    found = np.concatenate(pieces, 1)
    np.testing.assert_array_equal(found[0, :5], alone(code, X[0, :5]))
    np.testing.assert_array_equal(found[0, 6:], alone(code, X[0, 6:]))
    np.testing.assert_array_equal(found[1], np.concatenate([alone(code, X[1, :8]), alone(code, X[1, 8:])]))


def test_population_and_bernoulli_make_spikes():
    x = np.tile(np.float32([[[0.0]], [[0.5]]]), (1, 400, 1))
    spikes = kk.SpikeEncoder(1, "bernoulli", seed=1)(kk.SpikeEncoder(3, "population")(x)).numpy()
    expected = np.exp(-0.5 * (np.array([[0.0, -0.5, -1.0], [0.5, 0.0, -0.5]]) * 3.0) ** 2)
    assert set(np.unique(spikes)) == {0.0, 1.0}
    np.testing.assert_allclose(spikes.mean(1), expected, atol=0.13)


@codes
def test_a_network_of_one_step_says_that_it_cannot_have_them(code):
    inputs = keras.Input((T, F))
    encoded = kk.SpikeEncoder(**SETTINGS[code])(inputs)
    model = keras.Model(inputs, kk.Readout(2)(encoded))
    with pytest.raises(ValueError, match=f"code 'threshold', 'current' or 'population'; received code='{code}'"):
        kk.one_step(model)
