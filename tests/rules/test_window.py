"""Windows: one sweep is a sweep for every window, and its traces; a window of the whole sequence is backpropagation."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.layers.rnn import RNN
from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, PlainKeRNL, ReadoutOnly

from ..reference.cases import CELLS, B, H, I, Network, draw, pairs, taking_turns
from ..reference.expected import Expected, compute, in_pieces, kernels, same

T = 9
ERROR = draw(53, B, T, H)
RULES = {
    "kernl": KeRNL(),
    "kernl, potential alone": KeRNL(adaptation=False, reset_gradient=False),
    "kernl, 2 exponentials": KeRNL(Exponential(2)),
    "e-prop": EProp(),
    "e-prop, reset": EProp(reset_gradient=True),
    "bptt": BPTT(),
}


def made(cell, rule, **settings):
    network = Network(cell, time=T)
    m_and_gamma = kernels(rule.kernel.count) if hasattr(rule, "kernel") else ()
    return network, m_and_gamma, network.layer(rule, *m_and_gamma, **settings)


@pytest.mark.parametrize(
    ("name", "cell", "window"),
    taking_turns([*pairs(RULES, CELLS, (2, 7, T - 1)), *(("bptt", cell, 1) for cell in CELLS)], every=6),
)
def test_one_sweep_is_a_sweep_for_every_window(name, cell, window):
    """C that divides T or not; C = 1 of the other rules is in `test_gradients`."""
    network, m_and_gamma, layer = made(cell, RULES[name], window=window)
    _, of_weights, of_x, _ = compute(layer, network.inputs, ERROR, training=False)
    expected = Expected(network, RULES[name], *m_and_gamma, error=ERROR, window=window)
    for one, other in zip((of_weights, of_x), expected.gradients()):
        same(one, other)


@pytest.mark.parametrize("cell", taking_turns(CELLS))
def test_a_window_of_the_whole_sequence_is_backpropagation(cell):
    network, _, layer = made(cell, BPTT())
    exact = compute(layer, network.inputs, ERROR)[1:3]
    assert np.abs(exact[0]).max() > 1e-3
    for name, window in (("kernl", T), ("e-prop", 5 * T), ("bptt", T)):
        _, _, layer = made(cell, RULES[name], window=window)
        for one, other in zip(compute(layer, network.inputs, ERROR, training=False)[1:3], exact):
            same(one, other)


@pytest.mark.parametrize("name", RULES)
def test_a_shorter_window_is_not(name):
    network, _, layer = made("resonator", BPTT())
    exact = compute(layer, network.inputs, ERROR)[1]
    _, _, layer = made("resonator", RULES[name], window=T - 1)
    assert np.abs(compute(layer, network.inputs, ERROR, training=False)[1] - exact).max() > 1e-3


CUTS = {"windows": [slice(t, t + 2) for t in range(0, T, 2)], "two": [slice(0, 6), slice(6, T)]}


@pytest.mark.parametrize(
    ("name", "cell", "cuts"), taking_turns(pairs([name for name in RULES if name != "bptt"], CELLS, CUTS), every=6)
)
def test_pieces_of_whole_windows_with_traces_are_the_whole(name, cell, cuts):
    rule = RULES[name]
    network, _, layer = made(cell, rule, window=2)
    outputs, whole, *_ = compute(layer, network.inputs, ERROR, training=False)
    _, _, layer = made(cell, rule, window=2, traces=True, return_state=True)
    found, gradient = in_pieces(layer, network.inputs, CUTS[cuts], ERROR)
    same(found, outputs)
    same(gradient, whole)


@pytest.mark.parametrize("name", RULES)
def test_a_padded_batch_learns_what_its_sequences_would(name):
    """Windows are counted from the beginning of each sequence."""
    lengths, whole = (5, 8), 0.0
    for row, length in enumerate(lengths):
        network, _, layer = made("hard adaptive", RULES[name], window=3)
        x, error = network.inputs[row : row + 1, :length], ERROR[row : row + 1, :length]
        whole += compute(layer, x, error, training=False)[1]
    mask = tf.sequence_mask(lengths, T)
    with tf.GradientTape() as tape:
        outputs = layer(network.inputs, mask=mask)
        loss = tf.reduce_sum(tf.where(mask[..., None], outputs * ERROR, 0.0))
    cell = layer.cell
    found = tape.gradient(loss, [cell.kernel, cell.recurrent_kernel, cell.bias])
    same(tf.concat([*found[:2], found[2][None]], 0), whole)


@pytest.mark.parametrize("name", ["kernl", "kernl, 2 exponentials", "bptt"])
@pytest.mark.slow
def test_every_mode_agrees(name):
    network, _, layer = made("resonator", RULES[name], window=4)
    expected = compute(layer, network.inputs, ERROR, training=False)
    _, _, unrolled = made("resonator", RULES[name], window=4, unroll=True)
    found = {"unrolled": compute(unrolled, network.inputs, ERROR, training=False)}
    for jit in (False, True):
        step = tf.function(
            lambda x, error: compute(layer, x, error, training=False)[:3],
            jit_compile=jit,
            input_signature=[tf.TensorSpec((None, None, size), "float64") for size in (I, H)],
            reduce_retracing=True,
        )
        found[jit] = step(network.inputs, tf.constant(ERROR))
    for each in found.values():
        for one, other in zip(each[:3], expected):
            same(one, other)


@pytest.mark.parametrize("rule", [RFLO(), ReadoutOnly(), PlainKeRNL()])
def test_rules_without_windows_say_so(rule):
    with pytest.raises(ValueError, match="window must be None or 1 for .*, which has no windows; received 2"):
        RNN(Network("tanh").cell(), rule=rule, window=2)
    RNN(Network("tanh").cell(), rule=rule, window=1)


@pytest.mark.parametrize("window", [1, 2])
def test_the_tape_has_no_windows(window):
    with pytest.raises(ValueError, match=f"window must be None for BPTT.*; received {window}"):
        RNN(Network("tanh").cell(), rule=BPTT(tape=True), window=window)


@pytest.mark.parametrize("window", [0, -3, 1.5, "all", True])
def test_a_window_is_a_number_of_steps(window):
    with pytest.raises(ValueError, match="window must be an integer >= 1"):
        RNN(Network("tanh").cell(), window=window)


def test_the_window_is_saved():
    layer = RNN(Network("tanh").cell(), window=64)
    assert RNN.from_config(layer.get_config()).window == 64
