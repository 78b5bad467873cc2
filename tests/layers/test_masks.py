"""Masks in wrappers, against Keras' own layer, and over steps that hold anything.

That a masked sequence learns what it would by itself is asked in `test_marks`, also of models.
"""

import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.dynamics.encoding import CODES
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT
from kernl_keras.sequences.masks import ValidSteps

from ..reference.cases import Network
from ..reference.expected import compute, same
from ..reference.tools import all_same

MASKS = {
    "before": [[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1]],
    "within": [[0, 1, 1, 0, 1, 0], [1, 0, 0, 1, 0, 1]],
    "whole": [[0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 1, 0]],
}
MASKS = {name: np.array(mask, bool) for name, mask in MASKS.items()}


@pytest.mark.parametrize(
    ("cell", "tape", "mask"),
    [
        ("hard adaptive", False, "within"),
        ("hard adaptive", True, "whole"),
        ("resonator", False, "whole"),
        ("tanh", True, "within"),
        ("tanh", False, "before"),
    ],
)
def test_backpropagation_is_that_of_keras_own_layer(cell, tape, mask):
    network, zeros = Network(cell), mask == "whole"
    layer = network.layer(BPTT(tape), zero_output_for_mask=zeros)
    plain = keras.layers.RNN(network.cell(), return_sequences=True, zero_output_for_mask=zeros, dtype="float64")
    mask = tf.constant(MASKS[mask])
    all_same(*(compute(each, network.inputs, mask=mask)[:3] for each in (layer, plain)), 1e-9)


SMALL_AUDIO = dict(bands=2, sampling_rate=1000.0, frame=8.0, hop=4.0)
RESONATING = dict(tau_m=9.0, period=5.0)
EVERY = {  # every layer, and `RNN` over every cell
    "LIF, kernl": lambda **more: kk.RNN(kk.LIFCell(4, input_gain=9.0, use_bias=True, learn="tau_m"), seed=1, **more),
    "LIF, bptt": lambda **more: kk.RNN(kk.LIFCell(4, input_gain=9.0), "bptt", seed=1, **more),
    "AdLIF, eprop": lambda **more: kk.RNN(kk.AdLIFCell(4, input_gain=9.0), "eprop", **more),
    "resonator, kernl": lambda **more: kk.RNN(kk.ResonatorCell(4, **RESONATING, input_gain=9.0), seed=1, **more),
    "rate, by the tape": lambda **more: kk.RNN(kk.LeakyRNNCell(4, tau=5.0), BPTT(tape=True), **more),
    "LSTM, kernl": lambda **more: kk.RNN(kk.LSTMCell(4), seed=1, **more),
    "readout": lambda **more: kk.Readout(2, tau_out=5.0, use_bias=True, learn="tau_out", **more),
    "backwards": lambda **more: kk.Readout(2, tau_out=5.0, go_backwards=True, **more),
    "mean of the last": lambda **more: kk.TimeAverage(2, **more),
    "mean of all": lambda **more: kk.TimeAverage(**more),
    **{code: functools.partial(kk.SpikeEncoder, 2, code, context_switch=1, seed=1) for code in CODES},
    "sound": lambda **more: kk.AudioEncoder(**SMALL_AUDIO, **more),
    "sound, log": lambda **more: kk.AudioEncoder(**SMALL_AUDIO, compression="log", **more),
    "sound, threshold": lambda **more: kk.AudioEncoder(**SMALL_AUDIO, code="threshold", units=4, gain=2.0, **more),
}


def heard(name, x, mask, **more):
    """What a new layer makes of a masked sequence: outputs that count, states, gradients of x and of the weights."""
    keras.utils.set_random_seed(2)
    layer = EVERY[name](**more)
    more = {"training": True} if "training" in inspect.signature(layer.call).parameters else {}
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, mask=tf.constant(mask), **more)
        loss = tf.add_n([tf.reduce_sum(tf.sin(outputs)), *layer.losses])
    counts = layer.compute_mask(x, tf.constant(mask))
    shown = outputs if counts is None else tf.boolean_mask(outputs, counts)
    gradients = tape.gradient(loss, [x, *layer.trainable_weights], unconnected_gradients="zero")
    return [shown, *tf.nest.flatten(getattr(layer, "states", None) or []), *gradients]


@pytest.mark.sampled(5)  # stateful layers have a turn, too
@pytest.mark.parametrize(
    ("name", "stateful"),
    [(name, stateful) for name in EVERY for stateful in (False, True) if not (stateful and name.startswith("sound"))],
)
def test_a_masked_step_may_hold_anything(name, stateful):
    """NaN and huge numbers there are zeros there: in outputs, states, and gradients, also of the layers below."""
    rng = np.random.default_rng(4)
    steps, features = (24, 1) if name.startswith("sound") else (6, 3)
    x, mask = rng.uniform(0.1, 1.0, (2, steps, features)).astype("float32"), np.ones((2, steps), bool)
    mask[0, -(steps // 3) :] = mask[1, : steps // 4] = mask[1, steps // 2] = False
    zeros, *others = (
        heard(name, tf.constant(np.where(mask[..., None], x, np.float32(value))), mask, stateful=stateful)
        for value in (0.0, np.nan, 1e30)
    )
    assert np.any(zeros[0])
    for other in others:
        for one, expected in zip(other, zeros, strict=True):
            if one is not None:  # a state that Keras 2 has not made
                np.testing.assert_array_equal(one, expected)
                assert np.isfinite(expected).all()


@pytest.mark.parametrize("training", [False, True])
def test_go_backwards(training):
    network, mask = Network("soft euler"), tf.constant(MASKS["within"])
    backward, forward = network.layer(go_backwards=True), network.layer()
    expected = forward(tf.reverse(network.inputs, [1]), mask=tf.reverse(mask, [1]), training=training)
    same(backward(network.inputs, mask=mask, training=training), expected)
    last = network.layer(return_sequences=False)(network.inputs, mask=mask)
    whole = forward(network.inputs, mask=mask)
    same(last, whole[:, -1])
    same(last[0], whole[0, 4])  # the last step that counts


def test_steps_of_no_example():
    steps = ValidSteps(tf.zeros((2, 3), tf.bool))
    assert not steps.valid.numpy().any() and not steps.last.numpy().any()
    assert not steps.scatter(steps.gather(tf.ones((2, 3, 1)))).numpy().any()
    steps = ValidSteps([[False, False]], tf.constant([[True, False]]))
    assert not steps.starts.numpy().any() and steps.over.numpy().all()


@pytest.mark.parametrize("first", [0, 2])
def test_a_layer_above_one_that_goes_backwards(first):
    """Three steps, padded to five, are the three by themselves: the mask follows the outputs, which are reversed."""
    x, error = (np.random.default_rng(seed).normal(size=(2, 3, count)) for seed, count in ((0, 2), (1, 1)))
    hidden = kk.RNN(kk.LeakyRNNCell(4, tau=5.0, dtype="float64"), "eprop", go_backwards=True)
    masking, readout = keras.layers.Masking(0.0, dtype="float64"), kk.Readout(1, dtype="float64")
    padded = np.zeros((2, 5, 2))
    padded[:, first : first + 3] = x
    found = []
    for inputs, shown in ((x, slice(0, 3)), (padded, slice(2 - first, 5 - first))):  # in the order of reading
        with tf.GradientTape() as tape:
            outputs = readout(hidden(masking(inputs)))[:, shown]
            loss = tf.reduce_sum(outputs * error)
        found.append([outputs, *tape.gradient(loss, [hidden.cell.kernel, readout.cell.kernel])])
    all_same(*found, 1e-9)
    assert all(map(np.any, found[0]))


def test_both_directions_under_a_mask():
    x = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")
    both = keras.layers.Bidirectional(kk.RNN(kk.LeakyRNNCell(4, tau=5.0), "eprop"))
    above = kk.Readout(1)
    alone = above(both(x))
    padded = above(both(keras.layers.Masking(0.0)(np.concatenate([x, np.zeros((2, 2, 2), "float32")], 1))))
    np.testing.assert_allclose(padded[:, :3], alone, rtol=1e-5)
