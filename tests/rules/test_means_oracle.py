"""The loops of the memory of means, Eq. (39), (40), (43), (44), against backpropagation and against linear networks."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.naive.means import errors_through_segments, errors_without_end, gram_matrix
from kernl_keras.rules import BPTT

from ..reference.cases import Network, draw
from ..reference.expected import ERROR, compute, same
from . import test_own_states as own

NAMES = "A", "B", "seen_D", "seen_g"
UNITS, CURRENTS, STATES, STEPS = 3, 2, 2, 5
W_REC, STATE, OF_SEEN = draw(80, UNITS, CURRENTS * UNITS), draw(81, UNITS, STATES), draw(82, UNITS)


def units(name):
    """dC/dW by backpropagation in the package, the weights that are used, and what the loops need."""
    if name == "lstm":
        layer, run, x, error, w = own.lstm("bptt"), ref.lstm(own.X, *own.WEIGHTS), own.X, own.ERROR, own.WEIGHTS[1]
        steps, s, used = ref.linear_steps("lstm", run), ref.presynaptic(x, run.h, np.zeros((own.B, own.H))), np.asarray
    elif name in own.SETTINGS:
        layer, run, c, (_, w, _), s = own.adlif(name, "bptt")
        steps, x, error, used = ref.linear_steps("adlif", run, c), own.X, own.ERROR, own.without_diagonal
    else:
        network = Network(name)
        layer, run, x, error, used = network.layer(BPTT()), network.run(), network.inputs, ERROR, network.used
        kind = network.forward.__name__
        steps, s, w = ref.linear_steps(kind, run, network.c), network.presynaptic(run), network.w_used
    return compute(layer, tf.constant(x), error, training=False)[1], used, (error, s, steps, w)


@pytest.mark.parametrize(
    "name",
    ["hard", "hard adaptive", "soft euler", "resonator", "resonator fixed", "tanh", "swinging tanh", *own.SETTINGS]
    + ["lstm"],
)
def test_a_window_as_long_as_the_sequence_is_backpropagation(name):
    expected, used, arguments = units(name)
    time = arguments[0].shape[1]
    same(used(ref.memory_of_means(*arguments, size=time)), expected)
    # Each step has its own "mean": the way back over the border is as exact as inside.
    same(used(ref.memory_of_means(*arguments, size=2, segment=1, ring=None)), expected)


def random_means(seed):
    """One linear step of every unit, for one example."""
    shapes = (STATES, STATES), (STATES, CURRENTS), (STATES,), (CURRENTS,)
    steps = {name: 0.5 * draw(seed + n, 1, UNITS, *shape) for n, (name, shape) in enumerate(zip(NAMES, shapes))}
    return SimpleNamespace(**steps)


def transition(step, damping=1.0):
    """A step of the whole network as one matrix: of all states and what is seen, and what currents add to them."""
    states, d = UNITS * STATES, STATES
    whole, entry = np.zeros((states + UNITS, states + UNITS)), np.zeros((states + UNITS, CURRENTS * UNITS))
    for i in range(UNITS):
        own = slice(i * d, (i + 1) * d)
        whole[own, own], whole[states + i, own] = step.A[0, i], step.seen_D[0, i]
        entry[own, i::UNITS], entry[states + i, i::UNITS] = step.B[0, i], step.seen_g[0, i]
    whole[:, states:] += damping * entry @ W_REC.T  # what was seen a step earlier arrives as currents
    return whole, entry


@pytest.mark.parametrize("damping", [1.0, 0.6])
def test_errors_behind_the_border_are_the_effects_of_currents_run_forward(damping):
    means = [random_means(90 + 4 * n) for n in range(STEPS)]
    found = ref.errors_behind(means, STATE, OF_SEEN, W_REC, 0, damping=damping)[0]
    for n in range(STEPS):
        effect = transition(means[n], damping)[1]
        for later in reversed(range(n)):
            effect = transition(means[later], damping)[0] @ effect
        same(found[n], np.concatenate([STATE.ravel(), damping * OF_SEEN]) @ effect)


@pytest.mark.parametrize("hops", [0, None])
def test_errors_that_do_not_grow_go_through_windows_as_through_steps(hops):
    means = [random_means(90), random_means(94)]
    steps = [mean for mean in means for _ in range(3)]
    found = errors_through_segments([(mean, 3, 1) for mean in means], STATE, OF_SEEN, W_REC, 0, 0.2, hops is None)
    behind = ref.errors_behind(steps, STATE, OF_SEEN, W_REC, 0, hops, 0.2)
    for one, other in zip(found, (behind[0], behind[1].sum(0), behind[2].sum(0))):
        same(one, other)


@pytest.mark.parametrize("m", [1, 2])
def test_errors_that_would_grow_stay_as_long_as_they_were(m):
    step = random_means(90)
    _, state, _ = errors_through_segments([(step, 20, m)], STATE, OF_SEEN, 9.0 * W_REC, 0)
    same(np.linalg.norm(state), np.linalg.norm(STATE))


def test_several_steps_at_once_send_on_what_they_would_one_by_one():
    """Into a network that hears it, but does not answer: the same in sum, only later."""
    step = random_means(90)
    step.seen_D, step.seen_g = 0.0 * step.seen_D, 0.0 * step.seen_g
    found, state, _ = errors_through_segments([(step, 4, 4)], 5.0 * STATE, 0.0 * OF_SEEN, W_REC, 0)
    one_by_one, expected, _ = ref.errors_behind(4 * [step], 5.0 * STATE, 0.0 * OF_SEEN, W_REC, 0)
    same(found, np.repeat(one_by_one.mean(0)[None], 4, 0))
    same(state, expected.sum(0))


def test_damping_counts_the_units_on_a_path():
    means = [random_means(90 + 4 * n) for n in range(STEPS)]
    by_hops = [ref.errors_behind(means, STATE, OF_SEEN, W_REC, 0, hops)[0] for hops in range(STEPS + 1)]
    each = [by_hops[0], *np.diff(by_hops, axis=0)]
    assert all(np.abs(one).max() > 1e-6 for one in each)
    found = ref.errors_behind(means, STATE, OF_SEEN, W_REC, 0, damping=0.3)[0]
    same(found, sum(0.3**hops * one for hops, one in enumerate(each)))


@pytest.mark.parametrize(("hops", "damping"), [(0, 1.0), (2, 0.7), (None, 0.3)])
def test_one_mean_alone_has_a_closed_form(hops, damping):
    step, pole = random_means(90), 0.6 * np.exp(0.7j)
    rest = 2 * [random_means(94)]
    found, *left = ref.errors_behind(rest, STATE, OF_SEEN, W_REC, 0, hops, damping)
    closed = pole**2 * errors_without_end(step, *left, W_REC, 0, pole, hops, damping).sum(0)
    closed += np.array([1.0, pole]) @ found
    all_steps = ref.errors_behind(rest + 100 * [step], STATE, OF_SEEN, W_REC, 0, hops, damping)[0]
    same(pole ** np.arange(102) @ all_steps, closed)


def test_the_gram_matrix_without_end_is_that_of_many_steps():
    poles = [0.9, 0.8 * np.exp(0.7j), 0.5, 0.9 * np.exp(2.0j)]
    same(gram_matrix(poles), gram_matrix(poles, 400))


def test_what_has_no_end_is_what_is_far_enough():
    time, step = 84, random_means(90)
    steps = SimpleNamespace(**{name: np.repeat(0.5 * x[:, None], time, 1) for name, x in vars(step).items()})
    steps.D, steps.g = steps.seen_D, steps.seen_g
    error, s = np.zeros((1, time, UNITS)), draw(83, 1, time, 4)
    error[:, -4:] = draw(84, 1, 4, UNITS)  # of the last window: a border with 80 steps before it
    arguments = error, s, steps, W_REC, 4
    settings = dict(ring=2, poles=[0.7, 0.6 * np.exp(0.7j)], damping=0.5)
    expected = ref.memory_of_means(*arguments, **settings)
    same(ref.memory_of_means(*arguments, **settings, endless=True), expected, 1e-7)
    assert np.abs(ref.memory_of_means(*arguments, **settings, horizon=8) - expected).max() > 1e-5


@pytest.mark.parametrize("name", ["hard adaptive", "resonator", "spread", "lstm"])
def test_as_many_kernels_as_steps_remember_all(name):
    error, *arguments = units(name)[2]
    error = np.concatenate([error[:, :8], 0.0 * error[:, 8:]], 1)  # windows of four steps: there is one border
    settings = dict(size=4, segment=2, ring=1, tau=3.0)
    fourier = [1.0, 1j, -1.0]
    expected = ref.memory_of_means(error, *arguments, **settings)
    same(ref.memory_of_means(error, *arguments, **settings, poles=fourier), expected, 1e-6)
    assert np.abs(ref.memory_of_means(error, *arguments, **settings, poles=fourier[:2]) - expected).max() > 1e-3


def test_what_is_old_has_a_leaky_mean():
    values = draw(70, 2, 7, 1)
    steps = SimpleNamespace(**dict.fromkeys(NAMES, values))
    means = ref.means_before(steps, 7, segment=2, ring=2, tau=3.0)
    weights = np.exp(-np.repeat([2.0, 0.0], 2) / 3.0)  # two segments, of two steps each
    expected = [values[:, 6], *2 * [values[:, 4:6].mean(1)], *4 * [np.average(values[:, :4], 1, weights)]]
    same([mean.A for mean in means], expected)
