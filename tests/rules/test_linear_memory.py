"""Linear memory: filters of the inputs give what a sweep with mean slopes gives, whole and in pieces."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.cells.lif import LIFCell
from kernl_keras.cells.resonator import ResonatorCell
from kernl_keras.initializers import LogSpaced
from kernl_keras.layers.rnn import RNN
from kernl_keras.rules import BPTT, RFLO, EProp, KeRNL, LinearTraces, PlainKeRNL
from kernl_keras.rules.poles import closest
from kernl_keras.rules.reset_filters import GROUPS, SECOND

from ..reference.cases import CELLS, B, H, I, Network, draw, pairs, taking_turns
from ..reference.expected import Expected, compute, in_pieces, kernels, same

T = 9
ERROR = draw(53, B, T, H)
RULES = {
    "kernl": KeRNL(),
    "kernl, potential alone": KeRNL(adaptation=False, reset_gradient=False),
    "e-prop": EProp(),
    "e-prop, reset": EProp(reset_gradient=True),
}


def made(cell, rule, **settings):
    network = Network(cell, time=T)
    m = kernels() if hasattr(rule, "kernel") else ()
    return network, m, network.layer(rule, *m, **{"traces": "linear", **settings})


@pytest.mark.parametrize(
    ("name", "cell", "window"), [*taking_turns(pairs(RULES, CELLS, (1, 2, 7))), ("kernl", "soft euler", 3)]
)
def test_filters_are_the_sweep_with_mean_slopes(name, cell, window):
    network, m, layer = made(cell, RULES[name], window=window)
    gradient = compute(layer, network.inputs, ERROR, training=False)[1]
    expected = Expected(network, RULES[name], *m, error=ERROR, window=window, linear=True)
    same(gradient, network.used(expected.weight_gradient(expected.s)), tolerance=1e-8)


CUTS = {"windows": [slice(t, t + 2) for t in range(0, T, 2)], "two": [slice(0, 6), slice(6, T)]}


@pytest.mark.parametrize(("name", "cell", "cuts"), taking_turns(pairs(RULES, CELLS, CUTS), every=6))
def test_pieces_of_whole_windows_are_the_whole(name, cell, cuts):
    network, _, layer = made(cell, RULES[name], window=2)
    outputs, whole, *_ = compute(layer, network.inputs, ERROR, training=False)
    _, _, layer = made(cell, RULES[name], window=2, return_state=True)
    found, gradient = in_pieces(layer, network.inputs, CUTS[cuts], ERROR)
    same(found, outputs)
    same(gradient, whole, tolerance=1e-8)


def test_without_a_window_each_piece_is_one():
    """Backpropagation inside the pieces, and linear memory of the pieces before: how a stream learns by default."""
    network, _, layer = made("resonator", KeRNL(), return_state=True)
    _, _, windows = made("resonator", KeRNL(), window=3)
    gradient = in_pieces(layer, network.inputs, [slice(t, t + 3) for t in range(0, T, 3)], ERROR)[1]
    same(gradient, compute(windows, network.inputs, ERROR, training=False)[1])
    exact = compute(network.layer(BPTT()), network.inputs, ERROR)
    whole = compute(layer, network.inputs, ERROR, training=False)
    same(whole[1], exact[1])
    same(whole[2], exact[2])


@pytest.mark.parametrize("cell", ["hard adaptive", "resonator", "tanh"])
def test_a_padded_batch_learns_and_remembers_what_its_sequences_would(cell):
    lengths, whole, states = (5, 8), 0.0, []
    for row, length in enumerate(lengths):
        network, _, layer = made(cell, KeRNL(), window=3, return_state=True)
        x, error = network.inputs[row : row + 1, :length], ERROR[row : row + 1, :length]
        found = compute(layer, x, error, training=False)
        whole += found[1]
        states.append(found[4])
    mask = tf.sequence_mask(lengths, T)
    with tf.GradientTape() as tape:
        outputs, *padded = layer(network.inputs, mask=mask)
        loss = tf.reduce_sum(tf.where(mask[..., None], outputs * ERROR, 0.0))
    cell = layer.cell
    found = tape.gradient(loss, [cell.kernel, cell.recurrent_kernel, cell.bias])
    same(tf.concat([*found[:2], found[2][None]], 0), whole)
    for state, *of_rows in zip(padded, *states):
        same(state, tf.concat(of_rows, 0))


@pytest.mark.slow
def test_every_mode_agrees():
    network, _, layer = made("resonator", KeRNL(), window=4)
    expected = compute(layer, network.inputs, ERROR, training=False)
    _, _, unrolled = made("resonator", KeRNL(), window=4, unroll=True)
    found = {"unrolled": compute(unrolled, network.inputs, ERROR, training=False)}
    for jit in (False, True):
        step = tf.function(
            lambda x, error: compute(layer, x, error, training=False)[:3],
            jit_compile=jit,
            input_signature=[tf.TensorSpec((None, None, size), "float64") for size in (I, H)],
        )
        found[jit] = step(network.inputs, tf.constant(ERROR))
    for each in found.values():
        for one, other in zip(each[:3], expected):
            same(one, other)


@pytest.mark.parametrize("cell", ["resonator", "soft euler"])
def test_fewer_poles_than_time_constants(cell):
    """Neighbours share the pole in their middle: one a unit changes nothing, fewer change the gradient."""
    network, _, layer = made(cell, KeRNL(), window=2)
    exact = compute(layer, network.inputs, ERROR, training=False)[1]
    for poles, alike in ((H, True), (H - 2, False)):
        _, _, layer = made(cell, KeRNL(), window=2, traces=LinearTraces(poles=poles))
        found = compute(layer, network.inputs, ERROR, training=False)[1]
        assert np.allclose(found, exact, rtol=1e-9) == alike
        assert float(np.sum(found * exact) / np.linalg.norm(found) / np.linalg.norm(exact)) > 0.9
        shapes = layer.memory.shapes
        filters, *_ = shapes.v_reset if network.resets else shapes.x_real
        assert filters == poles


def test_many_units_that_reset_share_few_filters():
    """As many as `reset_filters` allows, whatever the number of time constants."""
    cell = LIFCell(60, tau_m=list(np.geomspace(5.0, 80.0, 60)), tau_a=list(np.geomspace(9.0, 900.0, 60)),
                   adaptation_strength=1.0)  # fmt: skip
    layer = RNN(cell, window=3, traces="linear")
    layer.build((1, T, I))
    assert layer.memory.shapes.v_reset == (GROUPS, I + 60 + 1)
    assert layer.memory.shapes.z_reset == (2 * SECOND * GROUPS, I + 60 + 1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(3.0 * draw(54, 1, T, I)))
    assert np.all(np.isfinite(tape.gradient(loss, cell.kernel)))


@pytest.mark.parametrize("rule", [RFLO(), PlainKeRNL(), KeRNL("exponential")])
def test_rules_without_it_say_so(rule):
    with pytest.raises(ValueError, match="traces must be True or False for .*; received LinearTraces"):
        RNN(Network("tanh").cell(), rule=rule, traces="linear")


@pytest.mark.parametrize("traces", ["exact", 3, {}, LinearTraces])
def test_what_traces_may_be(traces):
    with pytest.raises(ValueError, match="traces must be"):
        RNN(Network("tanh").cell(), traces=traces)
    with pytest.raises(ValueError, match="poles must be an integer >= 1; received 0"):
        LinearTraces(poles=0)


def test_it_is_saved():
    layer = RNN(Network("tanh").cell(), window=64, traces=LinearTraces(poles=8))
    again = RNN.from_config(layer.get_config())
    assert again.traces.poles == 8 and again.window == 64


def test_the_mean_of_a_stream_without_end_still_moves():
    """Units that reset count their steps, and single precision would stop at 16,777,216 of them."""
    _, _, layer = made("hard", KeRNL(), stateful=True)
    count = layer.states[-1]
    count.assign(tf.cast(tf.fill(count.shape, 2.0**24), count.dtype))
    layer(tf.zeros((B, T, I), "float64"))
    np.testing.assert_array_equal(count, 1e6 + T)


def test_what_traces_cost():
    """Filters of 20 time constants against the exact traces of the same layer, and a warning of millions of them."""
    cell = ResonatorCell(200, period=LogSpaced(12.0, 42.0))
    sizes = {}
    for traces in ("linear", True):
        layer = RNN(cell, window=64, traces=traces)
        layer.build((1, 100, 81))
        sizes[traces] = layer.trace_size
    inputs = 81 + 200 + 1
    assert sizes[True] == (3 + 2 * 20) * 200 * inputs
    assert sizes["linear"] == (4 * 20 + 1) * inputs + 3 * 200 < 0.05 * sizes[True]
    layer = RNN(ResonatorCell(200, period=LogSpaced(12.0, 42.0, count=200)), traces=True)
    with pytest.warns(UserWarning, match=r'keep 22,729,200 numbers for each example.* traces="linear"'):
        layer.build((1, 100, 81))


@pytest.mark.parametrize(
    "settings, advice",
    [
        (dict(rule="eprop", traces=True), 'traces="linear" keeps a few'),
        (dict(rule="eprop", traces="linear"), r"LinearTraces\(poles=n\) with a smaller n"),
        (dict(rule="rflo", traces=True), "Fewer units have fewer"),  # none in linear memory
        (dict(rule=KeRNL("exponential"), traces=True), 'rule="eprop" has fewer, and with any kernel but'),
    ],
)
def test_a_layer_advises_only_what_it_takes(settings, advice, monkeypatch):
    monkeypatch.setattr("kernl_keras.layers.rnn.MOST_NUMBERS", 10)
    with pytest.warns(UserWarning, match=advice):
        RNN(ResonatorCell(3, period=30.0), **settings).build((1, 5, 2))


def test_few_poles_come_as_close_as_least_squares():
    """Of kernels that decay and swing: the squares over 3,000 steps, by NumPy's own solver."""
    tau, period = np.full(9, 80.0), 12.0 * 1.1 ** np.arange(9)
    own = np.exp(-1.0 / tau + 2j * np.pi / period)
    values = own[[1, 4, 7]]
    steps = np.arange(3000)[:, None]
    best = np.linalg.lstsq(values**steps, own**steps)[0].T
    found = closest(tf.constant(own), tf.constant(values)).numpy()

    def missed(weights):
        return np.sum(np.abs(own**steps - values**steps @ weights.T) ** 2)

    nearest = np.abs(own[:, None] - values).argmin(1)
    assert missed(best) <= missed(found) < 1.001 * missed(best) < missed(np.eye(3)[nearest])
    np.testing.assert_allclose(found[[1, 4, 7]], np.eye(3), atol=1e-4)
