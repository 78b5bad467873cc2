"""The kernel of the whole unit that is moved, Eq. (36): its gradient, F, windows, modes, and where it is exact."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.layers.rnn import RNN
from kernl_keras.rules import BPTT, KeRNL, Tangent, Twin

from ..reference.cases import B, H, Network, T, stacked, taking_turns
from ..reference.expected import ERROR, Expected, compute, kernels, noise, runs_within, same
from . import test_adlif as adlif

M = kernels()[0]
CELLS = ("hard adaptive", "soft euler", "resonator", "resonator fixed", "tanh", "swinging tanh")


def rule(**settings):
    return KeRNL("whole_unit", **settings)


@pytest.mark.parametrize(
    ("name", "reset_gradient"), taking_turns([(name, reset) for name in CELLS for reset in (True, False)])
)
def test_the_sweep_back_is_the_traces_forward(name, reset_gradient):
    network, made = Network(name), rule(reset_gradient=reset_gradient)
    _, of_weights, of_x, _ = compute(network.layer(made, M), network.inputs, training=False)
    expected = Expected(network, made, M)
    same(of_weights, network.used(ref.whole_unit(ERROR, expected.s, expected.run, M[0])))
    same(of_x, expected.gradients()[1])
    membrane = compute(network.layer(KeRNL(reset_gradient=reset_gradient), M), network.inputs, training=False)[1]
    assert (np.abs(of_weights - membrane).max() > 1e-3) == ("tanh" not in name and name != "resonator fixed")


@pytest.mark.parametrize(
    ("name", "follow_reset"), taking_turns([("equal", True), ("equal", False), ("spread", True), ("spread", False)])
)
def test_units_with_an_adaptation_current(name, follow_reset):
    layer, c, weights = adlif.network(name, rule(reset_gradient=follow_reset), M[0])
    run, x = ref.adlif(adlif.X, *weights, c), tf.constant(adlif.X)
    s = ref.presynaptic(adlif.X, run.seen, np.zeros((B, H)))
    step = ref.adlif_own_step(run, c, follow_reset)
    drive = np.broadcast_to(c.drive, run.z.shape)
    expected = ref.whole_unit(adlif.ERROR, s, run, M[0], step, drive)
    same(compute(layer, x, adlif.ERROR, training=False)[1], adlif.used(expected))

    layer = adlif.network(name, rule(reset_gradient=follow_reset, perturbation=Tangent(1e9)), M[0])[0]
    of_m = compute(layer, x, adlif.ERROR)[3][0]
    xi = noise(adlif.T, 1)
    effect = ref.adlif_tangent(xi, "state", run, weights[1], c)
    loss, expected = ref.whole_unit_sensitivity(effect, xi, M[0], step)
    same(layer.report.sensitivity_loss, loss)
    same(of_m, expected)
    assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "mode", "resync"),
    [
        pytest.param(
            name, mode, 2 if n % 2 else T, marks=() if mode == "eager" and n in (0, 3, 5) else pytest.mark.slow
        )
        for n, name in enumerate(CELLS)
        for mode in ("eager", "xla", "unroll")
    ],
)
def test_f_and_its_gradient_are_the_references(name, mode, resync):
    network, made = Network(name), rule(perturbation=Tangent(1e9, resync))
    layer = network.layer(made, M, unroll=mode == "unroll")

    def step(x):
        return compute(layer, x)[3] + [layer.report.sensitivity_loss, layer.report.perturbation_variance]

    of_m, loss, variance = (tf.function(step, jit_compile=True) if mode == "xla" else step)(network.inputs)
    expected, xi, starts = Expected(network, made, M), noise(T, 1), range(0, T, resync)
    cuts = [slice(start, min(start + resync, T)) for start in starts]
    effect = np.concatenate([expected.effect(xi, cut) for cut in cuts], 1)
    expected_loss, expected_of_m = ref.whole_unit_sensitivity(effect, xi, M[0], ref.own_step(expected.run), starts)
    same(loss, expected_loss)
    same(variance, np.mean(effect**2))
    same(of_m, expected_of_m)
    assert np.abs(expected_of_m).max() > 1e-3


def test_an_example_beyond_the_bound_starts_anew():
    """A step beyond the bound is itself no effect; before it and after it all is as in pieces."""
    network, bound = Network("hard adaptive"), 0.9
    of_m = compute(network.layer(rule(perturbation=Tangent(bound)), M), network.inputs)[3][0]
    run, xi = ref.follow_reset(network.run(), network.c), noise(T, 1)
    expected, within = np.zeros((H, H)), 0
    for b, cut, effect in runs_within(network, xi, bound):
        steps = {k: v[b, cut] for k, v in vars(run).items() if np.ndim(v) == 3}
        step = ref.own_step(type(run)(**{**vars(run), **steps}))
        expected += ref.whole_unit_sensitivity(effect, xi[b, cut], M[0], step)[1] * effect.shape[1] / (B * T)
        within += effect.shape[1]
    assert 0 < within < B * T
    same(of_m, expected)


@pytest.mark.parametrize(
    ("name", "window"), taking_turns([(name, window) for name in CELLS for window in (2, 4, T - 1, T)], 5)
)
def test_one_sweep_is_a_sweep_for_every_window(name, window):
    network, made = Network(name), rule()
    _, of_weights, of_x, _ = compute(network.layer(made, M, window=window), network.inputs, training=False)
    expected = Expected(network, made, M, window=window).gradients()
    if window == T:  # backpropagation
        expected = compute(network.layer(BPTT()), network.inputs, training=False)[1:3]
    for one, other in zip((of_weights, of_x), expected):
        same(one, other)


def through_one_other_unit(layer, x, error):
    """dC/dW by automatic differentiation of the cell's own step, where a spike moves no more than one other unit.

    Two copies of the network see the spikes of a run. The second hears, besides, how the first one's would differ.
    """
    cell = layer.cell
    weights = [cell.kernel, cell.recurrent_kernel, cell.bias]
    p, recurrent = cell.parameters(), tf.stop_gradient(cell.recurrent_weights())

    with tf.GradientTape() as tape:
        total, used = 0.0, cell.recurrent_weights()
        state = first = second = cell.State(*(tf.zeros((len(x), H), x.dtype) for _ in cell.state_size))
        for t in range(x.shape[1]):
            heard = tf.stop_gradient(cell.presynaptic(state))
            changes = cell.presynaptic(first) - heard  # 0, with the gradient of the first copy
            current = cell.input_current(x[:, t]) + heard @ used
            step, state = cell.step(tf.stop_gradient(current), tf.nest.map_structure(tf.stop_gradient, state), p)
            _, first = cell.step(current, first, p)
            done, second = cell.step(current + changes @ recurrent, second, p)
            np.testing.assert_array_equal(done.output, step.output)
            total += tf.reduce_sum(done.output * error[:, t])
    return tape.gradient(total, weights)


@pytest.mark.parametrize("name", ["hard adaptive", "resonator", "soft free", "adlif"])
def test_it_is_exact_for_all_paths_through_one_other_unit(name):
    """Where S = z, with M at W_rec^T; the membrane's kernel is not, for it has neither reset nor adaptation."""
    found = []
    for kernel in ("whole_unit", "membrane"):
        if name == "adlif":
            layer, x = adlif.network("equal", KeRNL(kernel))[0], tf.constant(adlif.X[:, :T])
        else:
            network = Network(name)
            network.settings = {**network.settings, "tau_s": None}
            layer, x = network.layer(KeRNL(kernel)), network.inputs
        found.append(compute(layer, x, training=False)[1])
    kernel, recurrent, bias = through_one_other_unit(layer, x, ERROR)
    expected = tf.concat([kernel, recurrent, bias[None]], 0)
    same(found[0], expected)
    assert np.abs(found[1] - expected).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "reset_gradient"), [("hard adaptive", True), ("resonator", False), ("swinging tanh", True)]
)
def test_pieces_teach_what_the_whole_sequence_does(name, reset_gradient):
    """By exact traces, also with windows; units with an adaptation current are in `test_adlif`."""
    network, states, found = Network(name), {}, 0.0
    settings = {"rule": rule(reset_gradient=reset_gradient), "m": M, "window": 2 if name == "resonator" else None}
    whole = compute(network.layer(**settings), network.inputs, training=False)[1]
    layer = network.layer(**settings, traces=True, return_state=True)
    for cut in (slice(0, 2), slice(2, 4), slice(4, T)):
        with tf.GradientTape() as tape:
            outputs, *after = layer(network.inputs[:, cut], **states)
            loss = tf.reduce_sum(outputs * ERROR[:, cut])
        found += stacked(tape.gradient(loss, [layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias]))
        states = {"initial_state": after}
    same(found, whole)


def test_a_padded_batch_learns_what_its_sequences_would():
    lengths, whole = (3, 5), 0.0
    for row, length in enumerate(lengths):
        network = Network("hard adaptive")
        x, error = network.inputs[row : row + 1, :length], ERROR[row : row + 1, :length]
        whole += compute(network.layer(rule(), M), x, error, training=False)[1]
    mask, layer = tf.sequence_mask(lengths, T), network.layer(rule(), M)
    with tf.GradientTape() as tape:
        outputs = layer(network.inputs, mask=mask)
        loss = tf.reduce_sum(tf.where(mask[..., None], outputs * ERROR, 0.0))
    found = tape.gradient(loss, [layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias])
    same(tf.concat([*found[:2], found[2][None]], 0), whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hard adaptive", "resonator"])
def test_xla_and_unrolled_are_the_same(name):
    network = Network(name)
    expected = compute(network.layer(rule(), M), network.inputs, training=False)[1:3]
    layer = network.layer(rule(), M)
    found = [
        compute(network.layer(rule(), M, unroll=True), network.inputs, training=False)[1:3],
        tf.function(lambda x: compute(layer, x, training=False)[1:3], jit_compile=True)(network.inputs),
    ]
    for each in found:
        for one, other in zip(each, expected):
            same(one, other)


def test_constants_that_learn_have_its_credit():
    """In a window of the whole sequence it is that of backpropagation; in shorter ones it is another."""
    found = {}
    for name, made, window in (("exact", BPTT(), None), ("whole", rule(), T), ("one step", rule(), 1)):
        layer = Network("resonator", learn=("tau_m", "period", "tau_a")).layer(made, window=window)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(Network("resonator").inputs) * ERROR)
        found[name] = tf.concat([tf.reshape(x, -1) for x in tape.gradient(loss, layer.cell.trainable_weights)], 0)
    same(found["whole"], found["exact"])
    assert np.abs(found["one step"] - found["exact"]).max() > 1e-3


def test_what_it_has_not():
    cell = kk.LIFCell(3)
    with pytest.raises(ValueError, match="traces must be True or False for a kernel that is not the membrane's"):
        RNN(cell, rule=rule(), traces="linear")
    with pytest.raises(ValueError, match="observe must be None or 'distance' for kernel 'whole_unit'"):
        RNN(cell, rule=rule(perturbation=Twin(observe="voltage")))
    with pytest.raises(ValueError, match="kernel must be .exponential. for LSTMCell"):
        RNN(kk.LSTMCell(3), rule=rule())
    assert RNN(cell, rule=rule(), stateful=True).carries_traces is True
