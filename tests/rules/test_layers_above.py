"""Errors go over a border through the layers above: a readout and its traces, and stacks of layers in linear memory."""

import functools
import itertools
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras
from kernl_keras.layers.step import Step, running
from kernl_keras.naive import means
from kernl_keras.rules import KeRNL, LinearTraces
from kernl_keras.rules.filters import RIDGE

from ..reference.cases import B, H, I, Network, draw, stacked, taking_turns
from ..reference.expected import same

O, T = 2, 20  # noqa: E741
X, ERROR = draw(80, B, T, I), draw(81, B, T, O)
POLES = [(tau,) for tau in np.geomspace(1.0, 30.0, 8)]
POLES += itertools.product((3.0, 8.0, 12.0), np.geomspace(5.0, 13.0, 8))
READOUTS = {
    "shared": {},
    "own": {"tau_out": [4.0, 15.0]},
    "learned": {"learn": "tau_out"},
    "sum": {"gain": None, "learn": "tau_out"},
    "euler": {"discretization": "euler", "use_bias": False},
    "at once": {"tau_out": None},
    "random": {"feedback": "random"},
}


def trained(model):
    """The weights, without M."""
    return [v for v in model.trainable_variables if "sensitivity" not in getattr(v, "path", v.name)]


def gradients(model, x, error, **settings):
    """Gradients of the weights that the loss reaches, for the errors of the outputs."""
    weights = trained(model)
    with tf.GradientTape() as tape, running(Step()):
        loss = tf.reduce_sum(model(x, training=True, **settings) * error)
    return tape.gradient(loss, weights, unconnected_gradients="zero")


def sum_of_pieces(model, cuts, x=X, error=ERROR):
    return [sum(parts) for parts in zip(*(gradients(model, x[:, cut], error[:, cut]) for cut in cuts))]


def cuts(size):
    return [slice(start, start + size) for start in range(0, T, size)]


def network(length, rules, readout, cells, **settings):
    """Layers, and a readout. A rule "bptt" has no memory."""
    keras.utils.set_random_seed(3)
    inputs = x = keras.Input(batch_shape=(B, length, I), dtype="float64")
    stateful = settings.pop("stateful", length != T)
    for rule, cell in zip(rules, cells):
        traces = {} if rule == "bptt" else {"traces": LinearTraces(POLES, hops=12, damping=1.0, segments=2)}
        x = kk.RNN(cell(), rule=rule, stateful=stateful, **{**traces, **settings})(x)
    outputs = kk.Readout(O, **{"tau_out": 10.0, "dtype": "float64", "stateful": stateful, **readout})(x)
    return kk.Model(inputs, outputs)


def linear(tau, **settings):
    noise = keras.initializers.RandomNormal(stddev=0.15, seed=int(tau))
    settings = {"activation": "identity", "recurrent_initializer": noise, "dtype": "float64", **settings}
    return lambda: kk.LeakyRNNCell(H, tau=tau, **settings)


def same_weights(model, other):
    """Copies the weights, but M, which starts at the direct effect."""
    for variable, value in zip(*map(trained, (model, other))):
        variable.assign(value)
    for layer in model.layers:
        if isinstance(layer, kk.RNN):
            layer.reset_sensitivity()
    return model


@pytest.mark.sampled(3)
@pytest.mark.parametrize("readout", READOUTS)
def test_the_gradients_of_a_readout_in_pieces_add_up_to_that_of_the_whole(readout):
    readout, cells = READOUTS[readout], [linear(8.0)]
    whole = network(T, ["bptt"], readout, cells)
    pieces = same_weights(network(5, ["bptt"], readout, cells), whole)
    expected = gradients(whole, X, ERROR)[3:]
    found = sum_of_pieces(pieces, cuts(5))[3:]
    for one, other in zip(found, expected):
        same(one, other, tolerance=1e-9)
    without = sum_of_pieces(same_weights(network(5, ["bptt"], {**readout, "traces": False}, cells), whole), cuts(5))[3:]
    for one, other in zip(without, expected):
        assert readout.get("tau_out", 0.0) is None or np.linalg.norm(one - other) > 0.1 * np.linalg.norm(other)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("readout", ["shared", "learned", "own"])
def test_a_mask_and_new_sequences_are_the_readouts_as_well(readout):
    """Steps that do not count, and the starts of sequences, in pieces and in the whole; a start at a border too."""
    mask, reset = draw(82, B, T) > -0.8, np.zeros((B, T), bool)
    reset[0, 10] = reset[1, 17] = True
    z = tf.constant(draw(83, B, T, I))
    layer = kk.Readout(O, **READOUTS[readout], dtype="float64", traces=True, return_state=True)
    layer.build((B, T, I))

    def gradient(cuts):
        states, total = None, 0.0
        for cut in cuts:
            with tf.GradientTape() as tape:
                arguments = {"mask": tf.constant(mask[:, cut]), "reset": tf.constant(reset[:, cut])}
                outputs, *states = layer(z[:, cut], initial_state=states, **arguments)
                loss = tf.reduce_sum(tf.where(mask[:, cut, None], outputs * ERROR[:, cut], 0.0))
            total += np.concatenate([np.ravel(g) for g in tape.gradient(loss, layer.trainable_variables)])
        return total

    same(gradient(cuts(5)), gradient([slice(0, T)]), tolerance=1e-9)


STACKS = {"two rules": ["kernl", "eprop"], "kernl": ["kernl", "kernl"], "one": ["kernl"]}


ABOVE = ("one", "random"), *itertools.product(STACKS, ("shared", "own"))


@pytest.mark.parametrize(("rules", "readout"), taking_turns(ABOVE, every=7))
def test_of_linear_layers_nothing_is_lost(rules, readout):
    """Where the means are what they are means of, the pieces have the gradient of the whole by backpropagation."""
    cells = [linear(8.0), linear(12.0, period=[6.0, 7.0, 9.0, 11.0])]
    if "two" in rules:  # e-prop knows no other units
        cells[1] = linear(12.0, recurrent_initializer="zeros")
    kinds, readout = STACKS[rules], READOUTS[readout]
    whole = network(T, ["bptt"] * len(kinds), readout, cells)
    expected = gradients(whole, X, ERROR)
    pieces = same_weights(network(5, kinds, readout, cells), whole)
    for layer, (one, other) in enumerate(zip(sum_of_pieces(pieces, cuts(5)), expected)):
        assert np.linalg.norm(one - other) < 0.03 * np.linalg.norm(other), layer


def test_two_layers_above_add_up():
    """They send the weights of the layer's own filters, as the sequences of their errors are not the same."""

    def model(length):
        keras.utils.set_random_seed(3)
        inputs = keras.Input(batch_shape=(B, length, I), dtype="float64")
        stateful = length != T
        traces = LinearTraces(POLES, hops=12, damping=1.0, segments=2) if stateful else None
        z = kk.RNN(linear(8.0)(), rule="kernl" if stateful else "bptt", stateful=stateful, traces=traces)(inputs)
        readouts = [kk.Readout(O, tau_out=tau, dtype="float64", stateful=stateful)(z) for tau in (4.0, 15.0)]
        return kk.Model(inputs, keras.layers.Add(dtype="float64")(readouts))

    whole = model(T)
    expected = gradients(whole, X, ERROR)
    for one, other in zip(sum_of_pieces(same_weights(model(5), whole), cuts(5)), expected):
        assert np.linalg.norm(one - other) < 0.03 * np.linalg.norm(other)


class Border(NamedTuple):
    """The oracle's errors at the border, and behind it: L(t0-1-n)."""

    inside: np.ndarray  # [C, n]
    behind: np.ndarray  # [N, n]


def readout_errors(error, decay, scale, w_out, steps):
    """Errors of a readout's inputs, from those of v [C, O]."""
    later, inside = np.zeros(O), np.zeros(error.shape)
    for t in reversed(range(len(error))):
        later = error[t] + decay * later
        inside[t] = later
    behind = np.array([later * decay ** (n + 1) for n in range(steps)])
    return Border(scale * inside @ w_out.T, scale * behind @ w_out.T)


def layer_errors(layer, net, m, above, b, first):
    """dC/dW of one layer with linear memory, and the errors of its inputs, step by step and unit by unit."""
    run, settings = net.run(), layer.memory.settings
    exact, followed = (ref.linear_steps(net.forward.__name__, run, net.c, reset) for reset in (True, True))
    s, state, seen = net.presynaptic(run), np.zeros((H, exact.A.shape[-1])), np.zeros(H)
    inside, gradient = np.zeros((T - first, net.w_rec.shape[1])), 0.0
    for t in reversed(range(first, T)):
        now = type(exact)(**{name: x[:, t] for name, x in vars(exact).items()})
        inside[t - first], state = means.back(now, state, above.inside[t - first], seen, b)
        seen = net.w_used @ inside[t - first]
        gradient = gradient + np.outer(s[b, t], inside[t - first])
    mean = ref.means_before(followed, first, 1, 0, settings.average)[-1]
    drive = np.broadcast_to(layer.cell.parameters().drive, H)
    again = (m / drive[:, None]).T
    seen, damping, recent = again @ inside[0], settings.damping, np.zeros((0, inside.shape[1]))
    if settings.segments:
        grow = layer.cell.time_scales()[1] is None
        segments = means.recent_segments(followed, first, first, settings.segment_steps, settings.segments, grow)
        start = segments, state, seen, again, b, damping
        recent, state, seen = means.errors_through_segments(*start, output_errors=above.behind)
        seen = seen / damping
    later, poles = above.behind[len(recent) :], layer.memory.filters.poles
    start = [mean] * len(later), state, seen, again, b
    sums = [ref.errors_behind(*start, hops, damping, later)[0] for hops in range(settings.hops + 1)]
    powers = np.array([[complex(pole) ** n for n in range(len(above.behind))] for pole in poles])
    every_hop = powers[:, len(recent) :] @ np.diff(sums, axis=0, prepend=0.0)  # [hops + 1, G, n H]
    products = means.bounded(every_hop.swapaxes(0, 1)) + powers[:, : len(recent)] @ recent
    responses = means.kernels(poles, len(above.behind))
    weights = means.projected(
        means.gram_matrix(poles), means.in_parts(poles, products), np.eye(responses.shape[1]), RIDGE
    )
    gradient = gradient + means.filtered_inputs(poles, s[b, :first]).T @ weights
    return gradient, Border(inside @ net.w_in.T, responses @ weights @ net.w_in.T)


def same_as_the_oracle(nets, traces, tolerance):
    """One window behind another: the first piece fills the memories, the errors are those of the second."""
    every_m, first, tau, gain = [0.3 * draw(92 + n, H, H) for n in range(len(nets))], T - 6, 7.0, 3.0
    inputs = x = keras.Input(batch_shape=(B, None, I), dtype="float64")
    layers, weights = [], []
    for net in nets:
        cell = net.kind(H, use_bias=True, dtype="float64", **net.settings)
        layers.append(kk.RNN(cell, KeRNL(), traces=traces, stateful=True, seed=5))
        x = layers[-1](x)
        weights += [cell.kernel, cell.recurrent_kernel, cell.bias, layers[-1].sensitivity_tensor]
    readout = kk.Readout(O, tau_out=tau, gain=gain, dtype="float64", stateful=True)
    model = kk.Model(inputs, readout(x))
    values = [value for net, m in zip(nets, every_m) for value in (net.w_in, net.w_rec, net.bias, m)]
    for variable, value in zip(weights, values, strict=True):
        variable.assign(value)
    gradients(model, nets[0].x[:, :first], np.zeros((B, first, O)))
    found = gradients(model, nets[0].x[:, first:], ERROR[:, first:])
    decay, expected, steps = np.exp(-1.0 / tau), [0.0] * len(nets), 800 if len(nets) == 1 else 2400
    for b in range(B):
        errors = readout_errors(ERROR[b, first:], decay, gain * (1.0 - decay), readout.cell.kernel.numpy(), steps)
        for place in reversed(range(len(nets))):
            gradient, errors = layer_errors(layers[place], nets[place], every_m[place], errors, b, first)
            expected[place] = expected[place] + gradient
    for place, net in enumerate(nets):
        one, other = net.used(stacked(found[3 * place :])), net.used(expected[place])
        assert np.linalg.norm(one - other) < tolerance * np.linalg.norm(other), place


BELOW_ABOVE = ("resonator", "hard adaptive"), ("soft free", "resonator"), ("tanh", "swinging tanh"), ("hard", "hard")


@pytest.mark.parametrize(("below", "above"), taking_turns(BELOW_ABOVE, every=4))
def test_two_layers_and_a_readout_are_the_oracles(below, above):
    lower, upper = Network(below, time=T), Network(above, seed=90, time=T)
    upper.x = lower.run().output
    upper.w_in = draw(91, H, H) * (1.0 if not upper.spiking else 1.0 / upper.c.drive)
    same_as_the_oracle([lower, upper], LinearTraces(5, hops=2, damping=0.7, average=6.0, segments=0), 1e-7)


@pytest.mark.parametrize("name", taking_turns(["resonator", "hard adaptive", "soft free", "swinging tanh", "relu"], 4))
def test_errors_of_a_readout_go_through_the_segments(name):
    poles = [(2.0, 5.0), (20.0, 9.0), (30.0, 15.0)]
    traces = LinearTraces(poles, damping=0.7, average=6.0, segments=4, segment_steps=2)
    same_as_the_oracle([Network(name, time=T)], traces, 1e-7)


@pytest.mark.parametrize(
    ("length", "poles"),
    [
        *(pytest.param(length, POLES, marks=pytest.mark.slow) for length in (3, 6)),
        (6, [(2.0,), (6.0,), (15.0,)]),
    ],
    ids=["3", "6", "few filters"],
)
def test_windows_of_one_call_are_pieces(length, poles, monkeypatch):
    """What goes from one layer to the other at the borders inside a call, and at its start, too."""
    monkeypatch.setattr("kernl_keras.layers.rnn.SHORTEST", 3)
    resonators = functools.partial(kk.ResonatorCell, H, period=[5.0, 9.0, 7.0, 12.0], dtype="float64")
    cells = [resonators, functools.partial(kk.LIFCell, H, dtype="float64")]
    at_once = {"tau_out": None}
    settings = {"window": 3, "traces": LinearTraces(poles, segments=2, segment_steps=1)}
    whole = network(12, ["kernl", "kernl"], at_once, cells, stateful=False, **settings)
    pieces = same_weights(network(length, ["kernl", "kernl"], at_once, cells, **settings), whole)
    x, error = X[:, :12] + 0.5, ERROR[:, :12]
    expected = gradients(same_weights(whole, whole), x, error)
    for one, other in zip(sum_of_pieces(pieces, cuts(length)[: 12 // length], x, error), expected):
        same(one, other, tolerance=1e-8)


@pytest.mark.parametrize("window, joined", taking_turns([((6, 6), True), ((5, 5), False), ((6, 8), False)], 2))
def test_nothing_goes_on_where_the_layers_count_otherwise(window, joined, monkeypatch):
    """Another window, short windows inside a call, or a layer between: each layer then does its own part alone."""
    monkeypatch.setattr("kernl_keras.layers.rnn.SHORTEST", 6)
    cells, few = [linear(8.0), linear(12.0)], LinearTraces(3, segments=1)

    def gradient(between):
        keras.utils.set_random_seed(3)
        inputs = keras.Input(batch_shape=(B, 10, I), dtype="float64")
        x = kk.RNN(cells[0](), window=window[0], traces=few, seed=0)(inputs)
        x = kk.RNN(cells[1](), window=window[1], traces=few, seed=0)(between(x))
        return gradients(kk.Model(inputs, kk.Readout(O, dtype="float64")(x)), X[:, :10], ERROR[:, :10])[0]

    apart = keras.layers.Rescaling(1.0, dtype="float64")
    assert np.allclose(gradient(lambda x: x), gradient(apart)) != joined


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
def test_a_stack_learns_from_a_stream(jit):
    cells = [lambda: kk.ResonatorCell(H, period=[5.0, 9.0, 7.0, 12.0]), lambda: kk.LIFCell(H)]
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input(batch_shape=(B, 5, I))
    for cell in cells:
        x = kk.RNN(cell(), stateful=True, seed=0)(x)
    model = kk.Model(inputs, kk.Readout(O, stateful=True)(x))
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=jit)
    pieces = itertools.cycle([(X[:, cut].astype("float32"), ERROR[:, cut].astype("float32")) for cut in cuts(5)])
    losses = [float(tf.nest.flatten(model.train_on_batch(*next(pieces)))[0]) for _ in range(40)]
    assert np.isfinite(losses).all() and np.mean(losses[-8:]) < np.mean(losses[:8])
