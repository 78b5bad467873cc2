"""A sequence that arrives in pieces, through a stateful network: what a layer above cuts, and pieces in `fit`."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.tools import all_same

pytestmark = pytest.mark.slow

B, T, I, H, O = 2, 160, 3, 6, 4  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (B, T, I))
TARGET = np.random.default_rng(1).normal(0.0, 1.0, (B, T, O))
TAU_OUT = 10.0  # ms


def network(steps, tau_out):
    """A stateful network for pieces of `steps` steps, with exact traces; its weights are always the same."""
    keras.utils.set_random_seed(5)
    cell = kk.LIFCell(H, tau_m=12.0, adaptation_strength=0.5, recurrent_gain=1.0, dtype="float64")
    hidden = kk.RNN(cell, traces=True, stateful=True, seed=3, name="hidden")
    readout = kk.Readout(O, tau_out=tau_out, dtype="float64", stateful=True, name="readout")
    inputs = keras.Input(batch_shape=(B, steps, I), dtype="float64")
    return kk.Model(inputs, readout(hidden(inputs)))


def gradient(steps, tau_out):
    """Of the hidden weights by the squared errors of all steps, the sequence fed in pieces: the sum over the pieces."""
    model = network(steps, tau_out)
    weights = model.get_layer("hidden").cell.trainable_weights

    @tf.function
    def of_piece(x, target):
        with tf.GradientTape() as tape:
            cost = 0.5 * tf.reduce_sum((model(x) - target) ** 2)
        return tape.gradient(cost, weights)

    cuts = [slice(start, start + steps) for start in range(0, T, steps)]
    pieces = [of_piece(tf.constant(X[:, cut]), tf.constant(TARGET[:, cut])) for cut in cuts]
    return np.concatenate([np.sum(parts, 0).ravel() for parts in zip(*pieces)])


def test_what_a_leaky_readout_cuts_fades_with_the_length_of_the_pieces():
    """The errors that v would send back over a border: those of the first tau_out or so of every piece."""
    whole = gradient(T, TAU_OUT)
    found = {steps: gradient(steps, TAU_OUT) for steps in (10, 20, 40, 80)}
    lost = {steps: np.linalg.norm(each - whole) / np.linalg.norm(whole) for steps, each in found.items()}
    print("share of the gradient that is cut:", {f"{s / TAU_OUT:g} tau_out": f"{x:.4f}" for s, x in lost.items()})
    assert lost[10] > lost[20] > lost[40] > lost[80]
    assert 1e-6 < lost[80] < 0.5 * lost[10]
    assert lost[80] < 0.1


def test_pieces_through_fit():
    """An epoch of pieces in order, states carried: as `train_on_batch` piece by piece."""
    fitted, stepped, start = (network(40, TAU_OUT) for _ in range(3))
    for model in (fitted, stepped):
        model.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=False)
    x, y = (np.split(np.float32(part), T // 40, axis=1) for part in (X, TARGET))  # float32, as `fit` makes them
    fitted.fit(np.concatenate(x), np.concatenate(y), batch_size=B, shuffle=False, verbose=0)
    for piece, target in zip(x, y):
        stepped.train_on_batch(piece, target)
    all_same(fitted.trainable_variables, stepped.trainable_variables, rtol=1e-9, atol=1e-12)
    moved = [np.subtract(*both) for both in zip(fitted.trainable_variables, start.trainable_variables)]
    assert max(np.abs(each).max() for each in moved) > 1e-4
