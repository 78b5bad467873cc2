"""Linear memory is the oracle's memory of means, whole and in pieces, for every unit; M learns the direct effect."""

import math
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.cells.resonator import ResonatorCell
from kernl_keras.initializers import LogSpaced
from kernl_keras.layers.rnn import RNN
from kernl_keras.rules import BPTT, EProp, KeRNL, LinearTraces
from kernl_keras.rules.filters import RIDGE, Filters, poles_of
from kernl_keras.rules.memory import suited

from ..reference.cases import CELLS, B, H, I, Network, draw, pairs, taking_turns
from ..reference.expected import compute, in_pieces, kernels, layer_of, same
from . import test_own_states as own

T = 9
ERROR = draw(53, B, T, H)
TRACES = {  # by K; those of an even number of steps stay within their windows
    count: LinearTraces(5, hops=hops, damping=0.7, average=6.0, segments=count, segment_steps=steps)
    for count, hops, steps in ((0, 3, None), (1, 2, None), (2, 2, 16), (3, 2, 1), (5, 2, 2))
}
RULES = {"kernl": KeRNL(reset_gradient=False), "kernl, reset": KeRNL()}
RULES |= {"e-prop": EProp(), "e-prop, reset": EProp(True, True)}


def made(cell, rule, **settings):
    network = Network(cell, time=T)
    return network, layer_of(network, rule, **{"traces": TRACES[0], **settings})


def memory_of_means(layer, error, s, exact, followed, w_rec, m=None):
    """The oracle's gradient; `followed` is the linear step that the rule follows behind the border."""
    settings, arguments = layer.memory.settings, {"hops": 0}
    if m is not None:  # M stands for the weights, times the drive
        drive = np.broadcast_to(layer.cell.parameters().drive, len(m))
        arguments = {"hops": settings.hops, "damping": settings.damping, "behind": (m / drive[:, None]).T}
    arguments |= {"tau": settings.average, "poles": layer.memory.filters.poles, "ridge": RIDGE, "followed": followed}
    segment = min(settings.segment_steps or layer.window, layer.window)
    arguments |= {"ring": settings.segments, "segment": segment, "grow": layer.cell.time_scales()[1] is None}
    return ref.memory_of_means(error, s, exact, w_rec, layer.window, endless=True, **arguments)


@pytest.mark.parametrize(
    ("name", "cell", "window", "segments"),
    [
        *taking_turns(pairs(RULES, CELLS, (1, 2, 7), (0,)), every=8),
        *taking_turns(pairs(RULES, CELLS, (1, 2, 4), (1, 2, 3, 5)), every=14),
        ("e-prop", "relu", 2, 0),
        ("e-prop, reset", "hard adaptive", 2, 3),
    ],
)
def test_it_is_the_memory_of_means(name, cell, window, segments):
    rule = RULES[name]
    network, layer = made(cell, rule, window=window, traces=TRACES[segments])
    if not rule.hops and network.settings.get("tau_s", 5.0) is not None and network.spiking:
        pytest.skip("the oracle has S as an own state, e-prop has not")
    gradient = compute(layer, network.inputs, ERROR, training=False)[1]
    run, kind = network.run(), network.forward.__name__
    exact, behind = (ref.linear_steps(kind, run, network.c, follow) for follow in (True, rule.reset_gradient))
    m = kernels()[0][0] if rule.hops else None
    expected = memory_of_means(layer, ERROR, network.presynaptic(run), exact, behind, network.w_used, m)
    expected = network.used(expected)  # with a ridge of 1e-8, least squares keep 8 digits of the largest entry
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())


ADLIF = [("equal", KeRNL("whole_unit")), ("spread", KeRNL("whole_unit")), ("equal", EProp())]


@pytest.mark.parametrize(
    ("name", "rule", "segments"),
    taking_turns([(*row, segments) for row in ADLIF for segments in (0, 1, 3)], every=4),  # each of both once
)
def test_adlif_units_have_it(name, rule, segments):
    layer, run, c, (_, w_rec, _), s = own.adlif(name, rule, window=2, traces=TRACES[segments])
    found = compute(layer, tf.constant(own.X), own.ERROR, training=False)[1]
    steps, followed = (ref.linear_steps("adlif", run, c, follow) for follow in (True, rule.reset_gradient))
    m = layer.sensitivity_tensor.numpy() if rule.hops else None
    expected = memory_of_means(layer, own.ERROR, s, steps, followed, w_rec, m)
    same(*map(own.without_diagonal, (found, expected)), tolerance=1e-5)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("segments", [0, 1, 3])
def test_lstm_units_have_it_under_eprop(segments):
    layer, run = own.lstm(EProp(), window=2, traces=TRACES[segments]), ref.lstm(own.X, *own.WEIGHTS)
    s = ref.presynaptic(own.X, run.h, np.zeros((B, H)))
    expected = memory_of_means(layer, own.ERROR, s, ref.linear_steps("lstm", run), None, own.WEIGHTS[1])
    same(compute(layer, tf.constant(own.X), own.ERROR, training=False)[1], expected, tolerance=1e-7)


@pytest.mark.parametrize("period", taking_turns([[[6.0, 7.0, 9.0, 11.0]], None]))
def test_of_linear_units_nothing_is_lost(period):
    """Where the means are what they are means of, enough filters and hops give backpropagation."""
    cell = kk.LeakyRNNCell(4, tau=8.0, period=period, activation="identity", dtype="float64",
                           recurrent_initializer=tf.keras.initializers.RandomNormal(stddev=0.15, seed=1))  # fmt: skip
    x, error = tf.constant(draw(60, B, 21, I)), draw(61, B, 21, 4)
    traces = LinearTraces(poles=24, hops=12, damping=1.0, segments=0)
    found = compute(RNN(cell, window=3, traces=traces), x, error, training=False)[1]
    exact = compute(RNN(cell, rule="bptt"), x, error)[1]
    fewer = compute(RNN(cell, window=3, traces=LinearTraces(poles=24, hops=1, segments=0)), x, error, training=False)[1]
    distances = [float(np.linalg.norm(each - exact) / np.linalg.norm(exact)) for each in (found, fewer)]
    assert distances[0] < 0.02 < distances[1]


def test_without_a_window_each_piece_is_one():
    """Backpropagation inside the pieces, and linear memory of the pieces before: how a stream learns by default."""
    network, layer = made("resonator", KeRNL(), return_state=True, traces=TRACES[2])
    _, windows = made("resonator", KeRNL(), window=3, traces=TRACES[2])
    gradient = in_pieces(layer, network.inputs, [slice(t, t + 3) for t in range(0, T, 3)], ERROR)[1]
    same(gradient, compute(windows, network.inputs, ERROR, training=False)[1])
    exact = compute(network.layer(BPTT()), network.inputs, ERROR)
    whole = compute(layer, network.inputs, ERROR, training=False)
    same(whole[1], exact[1])
    same(whole[2], exact[2])


@pytest.mark.sampled(12)
@pytest.mark.parametrize("segments", [0, 2, 3, 5])
@pytest.mark.parametrize("cell", ["hard adaptive", "resonator", "tanh"])
def test_a_padded_batch_learns_and_remembers_what_its_sequences_would(cell, segments):
    lengths, whole, states = (5, 8), 0.0, []
    for row, length in enumerate(lengths):
        network, layer = made(cell, KeRNL(), window=3, return_state=True, traces=TRACES[segments])
        found = compute(layer, network.inputs[row : row + 1, :length], ERROR[row : row + 1, :length], training=False)
        whole += found[1]
        states.append(found[4])
    mask = tf.sequence_mask(lengths, T)
    error = tf.where(mask[..., None], ERROR, 0.0)
    _, gradient, *_, padded = compute(layer, network.inputs, error, training=False, mask=mask)
    same(gradient, whole)
    for state, *of_rows in zip(padded, *states):
        same(state, tf.concat(of_rows, 0))


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


def test_what_traces_cost():
    """40 filters that swing against the exact traces of the same layer, and a warning of millions of them."""
    cell = ResonatorCell(200, period=LogSpaced(12.0, 42.0))
    sizes = {}
    for traces in ("linear", True):
        layer = RNN(cell, window=64, traces=traces)
        layer.build((1, 100, 81))
        sizes[traces] = layer.trace_size
    inputs = 81 + 200 + 1
    assert sizes[True] == (3 + 2 * 20) * 200 * inputs
    assert sizes["linear"] == 2 * 40 * inputs + (1 + 1) * (200 + 1) < 0.05 * sizes[True]
    layer = RNN(ResonatorCell(200, period=LogSpaced(12.0, 42.0, count=200)), traces=True)
    with pytest.warns(UserWarning, match=r'keep 22,729,200 numbers for each example.* traces="linear"'):
        layer.build((1, 100, 81))


def multiplications(equation, operands, result):
    """How many multiplications a product of two tensors takes: each entry of the result sums over what it lacks."""
    inputs, output = equation.split("->")
    sizes = {}
    for labels, operand in zip(inputs.split(","), operands):
        sizes |= dict(zip(reversed(labels.replace(".", "")), reversed(operand.shape)))
    return int(tf.size(result)) * math.prod(size for label, size in sizes.items() if label not in output)


@pytest.mark.parametrize("rule", ["eprop", "kernl"])
@pytest.mark.parametrize(
    ("cell", "window", "settings"),
    [
        (lambda: ResonatorCell(30, period=LogSpaced(12.0, 42.0)), 16, {"poles": 6}),
        (lambda: ResonatorCell(30, period=LogSpaced(12.0, 42.0)), 16, {"poles": 6, "segments": 0, "hops": 2}),
        (lambda: kk.LIFCell(30), 16, {}),
        (lambda: kk.LIFCell(30), 12, {"hops": 0, "segment_steps": 20, "segments": 2}),
    ],
)
def test_the_multiplications_of_a_window_are_as_many_as_are_made(cell, window, settings, rule, monkeypatch):
    """The products in the files of linear memory are counted as they run."""
    counted, files = [0], ("memory.py", "filters.py", "segments.py")

    def counting(product, equation=None):
        def run(*operands, **more):
            result, frame = product(*operands, **more), sys._getframe(1)
            places = [pathlib.Path(f.f_code.co_filename).name for f in (frame, frame.f_back)]
            if any(place in files for place in places):
                name, parts = (equation, operands) if equation else (operands[0], operands[1:])
                counted[0] += multiplications(name, parts, result)
            return result

        return run

    monkeypatch.setattr(tf, "einsum", counting(tf.einsum))
    monkeypatch.setattr(tf, "matmul", counting(tf.matmul, "...ij,...jk->...ik"))
    layer = RNN(cell(), rule, traces=LinearTraces(**settings), unroll=True)  # loops count more while they are traced
    with tf.GradientTape() as tape:
        y = layer(tf.zeros((1, window, 40)))
    counted[0] = 0
    tape.gradient(y, layer.cell.kernel)
    assert counted[0] == pytest.approx(layer.trace_operations, rel=0.02)
    without = RNN(cell(), rule, traces=LinearTraces())
    without.build((1, None, 40))
    assert without.trace_operations is None


@pytest.mark.parametrize(
    ("cell", "poles", "expected"),
    [
        (kk.LIFCell(2, tau_a=700.0), None, np.exp(-1.0 / np.geomspace(3.0, 1050.0, 8))),
        (kk.LIFCell(2), [5.0, 50.0], np.exp([-0.2, -0.02])),
        (kk.LIFCell(2, tau_m=1e8, dt=0.5), None, np.exp(-1.0 / np.geomspace(3.0, 1.5e5, 8))),
        (kk.LIFCell(2), [1e8, 50.0], np.exp([-1e-5, -0.02])),
        (kk.ResonatorCell(2, tau_m=100.0, period=[10.0, 20.0], tau_a=50.0), 4,
         np.exp(np.array([[-0.01], [-0.1]]) + 2j * np.pi / np.array([10.0, 20.0])).ravel()),
        (kk.LeakyRNNCell(2, dt=0.5), [(8.0, 4.0)], [np.exp(-0.5 / 8.0 + 1j * np.pi / 4.0)]),
    ],
)  # fmt: skip
def test_the_poles_are_those_of_the_units_or_as_given(cell, poles, expected):
    same(poles_of(cell, LinearTraces(poles=poles).poles), expected)


@pytest.mark.parametrize(
    ("settings", "oscillates"),
    [({}, True), ({"tau_m": 20.0, "tau_a": 100.0, "coupling": 0.0}, False),
     ({"tau_m": [5.0, 20.0, 30.0], "tau_a": 80.0, "coupling": [30.0, 1.0, 90.0], "dt": 0.5}, True)],
)  # fmt: skip
def test_the_poles_of_units_with_an_adaptation_current_have_the_periods_of_their_states(settings, oscillates):
    """The periods are those of the eigenvalues of V and w, found by a step of the cell from each of them alone."""
    cell = kk.AdLIFCell(3, **settings, base_threshold=1e9)  # no unit fires
    cell.build((None, 1))
    v, w = cell.parameters(), np.zeros(3)
    steps = [cell.step(w, cell.State(*x, w), v)[1] for x in ((w + 1.0, w), (w, w + 1.0))]
    values = np.linalg.eigvals(np.array([[step.v, step.w] for step in steps]).T)  # of each unit
    fade, turn = -np.log(np.abs(values[:, 0])), np.abs(np.angle(values[:, 0]))
    found = poles_of(cell, None)
    if not oscillates:
        assert not np.any(found.imag)
        return
    assert len(found) == 10
    periods, own = 2.0 * np.pi / np.angle(found), 2.0 * np.pi / turn[turn > fade]
    if settings:  # else the time constants are drawn, and other draws tell the range
        same([periods.min(), periods.max()], [own.min(), own.max()], tolerance=1e-5)
    else:
        assert 0.9 * periods.min() < own.min() <= own.max() < 1.1 * periods.max()


def test_the_weights_of_filters_are_those_of_least_squares():
    """A response of two poles that there are is found again; of others, over 3,000 steps, as NumPy's solver has it."""
    poles = np.exp(-1.0 / 30.0 + 2j * np.pi / np.array([8.0, 11.0, 15.0]))
    n = np.arange(3000)[:, None]
    basis = np.concatenate([(poles**n).real, (poles**n).imag], 1)
    other = np.exp(-n[:, 0] / 25.0) * np.cos(2 * np.pi * n[:, 0] / 10.0)
    same(Filters(poles).inverse @ (basis.T @ other), np.linalg.lstsq(basis, other)[0], tolerance=1e-3)


def f_and_gradient(network, m, perturbation="tangent"):
    """F of one step and dF/dM [H, H]; the noise of a fresh layer is the same."""
    layer = network.layer(KeRNL(perturbation=perturbation), m=m, traces=LinearTraces(3, hops=0, segments=0), window=2)
    with tf.GradientTape() as tape:
        layer(network.inputs, training=True)
    gradient = tape.gradient(layer.losses, layer.sensitivity_tensor)
    return float(layer.report.sensitivity_loss), np.reshape(gradient, (H, H))


@pytest.mark.sampled(5)
@pytest.mark.parametrize("cell", ["hard", "hard adaptive", "resonator", "swinging tanh", "relu"])
def test_m_learns_the_direct_effect_from_one_step(cell):
    """F is 0 for M = drive W_rec^T under the tangent, and its gradient leads there from zero."""
    network = Network(cell, time=T)
    direct = np.transpose(network.w_used * network.cell().parameters().drive)
    assert np.abs(f_and_gradient(network, direct)[1]).max() < 1e-12
    for m in (0.0 * direct, 1.5 * direct):
        assert np.sum(f_and_gradient(network, m)[1] * (m - direct)) > 1e-6


REFRACTORY, SLOPES = "hard adaptive", "swinging tanh"  # units that hear nothing, and by slopes that differ
NOISY = (REFRACTORY, "tangent"), (SLOPES, "tangent"), (REFRACTORY, "replica"), (REFRACTORY, "twin"), (SLOPES, "twin")


@pytest.mark.parametrize(("cell", "perturbation"), taking_turns(NOISY, every=4))
def test_dfdm_of_one_step_is_the_difference_of_f(cell, perturbation):
    """F is quadratic in M, so a difference of two values is exact."""
    network, m, direction = Network(cell, time=T), draw(71, H, H), draw(72, H, H)
    above, below = (f_and_gradient(network, m + sign * direction, perturbation)[0] for sign in (0.5, -0.5))
    same(np.sum(f_and_gradient(network, m, perturbation)[1] * direction), above - below, tolerance=1e-8)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (kk.ResonatorCell(2, period=30.0), (4, 1, None)),
        (kk.LIFCell(2, tau_m=20.0), (1, 12, 4)),
        (kk.LeakyRNNCell(2, tau=None, activation="relu"), (1, 4, 4)),
        (kk.LeakyRNNCell(2, tau=30.0, period=9.0), (4, 1, None)),
        (kk.AdLIFCell(2), (1, 12, 4)),
    ],
)
def test_hops_and_segments_suit_the_units(cell, expected):
    names = ("hops", "segments", "segment_steps")
    found = suited(LinearTraces(3, damping=0.5), cell).get_config()
    assert (*(found[name] for name in names), found["poles"], found["damping"]) == (*expected, 3, 0.5)
    given = LinearTraces(hops=0, segments=3, segment_steps=8)
    assert suited(given, cell).get_config() == given.get_config()
