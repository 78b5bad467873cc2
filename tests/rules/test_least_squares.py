"""M by the least squares of each batch, Eq. (45)."""

import math

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import rules
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.rules import SensitivitySums
from kernl_keras.rules.sensitivity_loss import LEAST_HEARD, RIDGE, least_squares, sensitivity_loss
from kernl_keras.training.optimizers import LeastSquares

from ..reference.units import PotentialFirst, Synaptic

B, T, I, H = 8, 12, 3, 6  # noqa: E741
CELLS = {  # and how near M comes in three batches; rate units hear by their slope, which differs from step to step
    "lif": (lambda: kk.LIFCell(H), 0.02),
    "adaptive lif": (lambda: kk.LIFCell(H, adaptation_strength=1.8, tau_s=None), 0.02),
    "adlif": (lambda: kk.AdLIFCell(H), 0.001),
    "resonator": (lambda: kk.ResonatorCell(H, period=kk.LogSpaced(4, 30)), 0.001),
    "rate": (lambda: kk.LeakyRNNCell(H), 0.2),
    "synapse": (lambda: Synaptic(H), 0.001),
    "potential before the synapse": (lambda: PotentialFirst(H), 0.001),
}
FEW = {"traces": rules.LinearTraces(3, hops=0, segments=0)}  # the least that M learns beside
OTHERS = {  # than in linear memory, where the state has rows for another prediction of D
    "whole sequences": ("rate", dict(stateful=False)),
    "pieces without traces": ("adaptive lif", dict(traces=False)),
    "exact traces": ("adlif", dict(traces=True)),
    "exact traces of a synapse": ("synapse", dict(traces=True)),
    "windows": ("resonator", dict(traces=True, window=4)),
    "a rule with a kernel": ("resonator", dict(rule=rules.KeRNL(kernel="membrane"), stateful=False)),
}


def build(cell, *compiled, rule="kernl", size=B, time=T, stateful=True, eager=True, every=1, masks=False, **settings):
    inputs = keras.Input(batch_shape=(size, time, I))
    x = keras.layers.Masking()(inputs) if masks else inputs
    hidden = kk.RNN(cell, rule, stateful=stateful, seed=0, name="hidden", **settings)(x)
    model = kk.Model(inputs, kk.Readout(2, stateful=stateful)(hidden))
    model.compile(
        keras.optimizers.SGD(0.0), "mse", *compiled, sensitivity_every=every, run_eagerly=eager, jit_compile=False
    )
    return model


def batch(seed=0, size=B):
    x = np.random.default_rng(seed).normal(1.0, 2.0, (size, T, I)).astype("float32")
    return x, np.zeros((size, T, 2), "float32")


def direct_effect(cell):
    """drive_k W_rec[i, k], in NumPy."""
    return np.asarray(cell.parameters().drive * np.ones(H))[:, None] * cell.recurrent_weights().numpy().T


def distance(m, expected):
    return np.linalg.norm(m - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(("samples", "ridge"), [(1e6, RIDGE), (H, 1.0)])
def test_it_solves_the_equations(samples, ridge):
    """Of correlated changes that differ by orders of magnitude, and shares of what a unit hears.

    Of as many samples as there are units the ridge is 1: what they say of orthogonal changes is halved, and a unit's
    changes count beside those of the others.
    """
    draw = np.random.default_rng(1)
    sent = (draw.normal(size=(40, H)) + draw.normal(size=(40, 1))) * np.logspace(-3, 3, H)
    residuals, changes = draw.normal(size=(H, 40)) @ sent, sent.T @ sent
    own = np.diag(changes) + (ridge - RIDGE) * np.mean(np.diag(changes))
    expected = np.linalg.solve(changes + ridge * np.diag(own), residuals.T).T
    for share, divided in ((1.0, 1.0), (0.7, 0.7), (0.2, LEAST_HEARD)):
        heard = np.full((H, 1), share * np.trace(changes))
        found = least_squares(*map(tf.constant, (residuals, changes, heard)), tf.constant(samples, "float64"))
        np.testing.assert_allclose(found, expected / divided, rtol=1e-6)


def test_it_solves_them_in_the_steps_in_which_m_learns():
    model, moves = build(kk.LIFCell(H), every=2), []
    m = model.get_layer("hidden").sensitivity_tensor
    m.assign(tf.zeros_like(m))
    for seed in range(4):
        before = m.numpy()
        model.train_on_batch(*batch(seed))
        moves.append(bool(np.any(m.numpy() != before)))
    assert moves == [True, False, True, False]


def test_a_gamma_stays_where_it_is():
    """That of a kernel of one's own whose M is the direct effect."""
    m, gamma, one = tf.ones((1, H, H)), tf.ones((1, H)), tf.ones(())
    sums = SensitivitySums(one, one, tf.ones((H, H)), None, (tf.eye(H), tf.ones((H, 1))))
    with tf.GradientTape() as tape:
        tape.watch((m, gamma))
        loss, _ = sensitivity_loss(m, gamma, sums, 8.0, tf.constant(8.0))
    of_m, of_gamma = tape.gradient(loss, (m, gamma))
    assert np.all(of_m < 0.0) and not np.any(of_gamma)


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("name", "settings"), [*((name, FEW) for name in CELLS), *OTHERS.values()], ids=[*CELLS, *OTHERS]
)
def test_m_is_the_direct_effect_after_a_few_batches(name, settings):
    """From a start that has nothing to do with it."""
    cell, near = CELLS[name]
    model = build(cell(), **settings)
    layer = model.get_layer("hidden")
    m, expected = layer.sensitivity_weights[0], direct_effect(layer.cell)
    m.assign(np.random.default_rng(1).normal(0.0, expected.std(), m.shape))
    assert distance(m.numpy(), expected) > 1.0
    for seed in range(3):
        model.train_on_batch(*batch(seed))
    assert distance(m.numpy(), expected) < near


@pytest.mark.parametrize(
    ("known", "stateful"),
    [(True, True), (True, False), pytest.param(False, False, marks=pytest.mark.slow)],
    ids=["a stream", "sequences", "any number of sequences"],
)
def test_m_learns_from_as_many_examples_as_it_can_use(known, stateful):
    """Six units can use 200 steps, those of 17 examples. The others have no say in M and F, but in all the rest."""
    enough, more = math.ceil(H / RIDGE / T), 20
    (x, y), reports = batch(size=more), []
    for size, factor in ((more, 1.0), (more, 2.0), (enough, 1.0)):
        keras.utils.set_random_seed(0)
        sizes = dict(size=size) if known else dict(size=None, time=None)
        model = build(kk.LIFCell(H), stateful=stateful, traces=False, eager=False, **sizes)
        layer = model.get_layer("hidden")
        layer.sensitivity_weights[0].assign(np.ones((H, H)))
        scale = np.where(np.arange(size) < enough, 1.0, factor)[:, None, None].astype("float32")
        logs = model.train_on_batch(x[:size] * scale, y[:size], return_dict=True)
        m_and_f = layer.sensitivity_weights[0].numpy(), layer.diagnostics.result()["sensitivity_loss"]
        reports.append((*m_and_f, logs["loss"]))
        if stateful:
            noisy = [np.any(state.numpy() != 0.0, -1) for state in layer.states[len(layer.cell.state_size) :]]
            assert np.any(noisy, 0).tolist() == [row < enough for row in range(size)]
    for of_all, of_enough in zip(reports[0][:2], reports[2][:2]):
        np.testing.assert_allclose(of_all, of_enough, rtol=1e-5, atol=1e-7)
    for of_all, of_others in zip(reports[0][:2], reports[1][:2]):
        np.testing.assert_array_equal(of_all, of_others)
    assert reports[0][2] != reports[1][2]


@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2 has no setter for it")
def test_m_alone_may_stand_still():
    model = build(kk.LIFCell(H), stateful=False)
    layer = model.get_layer("hidden")
    m, weights = layer.sensitivity_tensor, layer.cell.recurrent_kernel
    m.assign(np.zeros((H, H)))
    m.trainable = False
    model.compile(keras.optimizers.SGD(0.1), "mse", sensitivity_every=1, jit_compile=False)
    before = weights.numpy()
    model.train_on_batch(*batch())
    assert not np.any(m.numpy()) and np.any(weights.numpy() != before)


@pytest.mark.parametrize("without", ["weight", "steps"])
def test_m_learns_from_all_examples_where_some_steps_do_not_count(without):
    """The first ones, which would be enough, have no weight, or nearly no steps."""
    enough = math.ceil(H / RIDGE / T)
    model = build(kk.LIFCell(H), size=3 * enough, stateful=False, masks=without == "steps")
    layer = model.get_layer("hidden")
    (m,), expected = layer.sensitivity_weights, direct_effect(layer.cell)
    m.assign(np.zeros((H, H)))
    x, y = batch(size=3 * enough)
    counts = (np.arange(len(x)) >= enough).astype("float32")[:, None]
    if without == "steps":
        x[:enough, 1:], counts = 0.0, None
    model.train_on_batch(x, y, counts)
    assert distance(m.numpy(), expected) < 0.2


def test_a_few_samples_do_not_make_it_too_long():
    """One example of twelve steps says little: M comes nearer with each, and no step is too long."""
    model = build(kk.LIFCell(H), size=1, stateful=False)
    layer = model.get_layer("hidden")
    m, expected, before = layer.sensitivity_weights[0], direct_effect(layer.cell), [np.inf]
    m.assign(np.random.default_rng(1).normal(0.0, expected.std(), m.shape))
    for seed in range(4):
        model.train_on_batch(*batch(seed, size=1))
        before.append(distance(m.numpy(), expected))
        assert before[-1] < before[-2] * 1.01


@pytest.mark.parametrize("size", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_batches_of_fewer_steps_than_units_do_not_drive_m_away(size):
    """The steps of many small batches did add up once: M grew by orders of magnitude."""
    units, steps = 60, 10
    keras.utils.set_random_seed(0)
    inputs = keras.Input(batch_shape=(size, steps, I))
    layer = kk.RNN(kk.LIFCell(units), seed=1)
    model = kk.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse", sensitivity_every=1)
    m, expected = layer.sensitivity_weights[0], layer.cell.direct_effect().numpy()
    m.assign(2.0 * expected)
    draw = np.random.default_rng(0)
    for _ in range(60):
        model.train_on_batch(3.0 * draw.random((size, steps, I)), np.zeros((size, steps, units)))
    assert distance(m.numpy(), expected) < 0.3


def test_pieces_of_one_step_do_not_drive_m_away():
    """Nor where a unit has hardly changed by chance: beside its own square alone, steps grew without end."""
    model = build(kk.LIFCell(H), size=1, time=1, eager=False, **FEW)
    layer = model.get_layer("hidden")
    m, expected, draw = layer.sensitivity_weights[0], direct_effect(layer.cell), np.random.default_rng(0)
    m.assign(2.0 * expected)
    for _ in range(100):
        model.train_on_batch(draw.normal(1.0, 2.0, (1, 1, I)), np.zeros((1, 1, 2)))
    assert distance(m.numpy(), expected) < 0.3


@pytest.mark.parametrize("theta", [pytest.param(5.0, marks=pytest.mark.slow), 0.2])
def test_m_of_a_unit_is_the_effect_on_its_potential(theta):
    """In whatever units its distance to the threshold is, in a graph too."""

    class Relative(kk.Unit):
        states = ("v",)
        unit_constants = {"tau": 20.0, "theta": 5.0}  # noqa: RUF012  # as a user writes it

        def integrate(self, state, current, p):
            return (state.v - p.dt / p.tau * state.v + current,)

        def distance(self, before, p):
            return (before.v - p.theta) / p.theta

        def recover(self, before, spike, p):
            return (before.v * (1.0 - spike),)

    model = build(Relative(H, theta=theta, recurrent_gain=1.0), eager=theta == 5.0, **FEW)
    layer = model.get_layer("hidden")
    m, expected = layer.sensitivity_weights[0], direct_effect(layer.cell)
    m.assign(np.zeros((H, H)))
    for seed in range(3):
        model.train_on_batch(*batch(seed))
    assert distance(m.numpy(), expected) < 0.02


def test_a_layer_that_is_called_three_times_takes_one_step():
    """Three whole steps together would be twice too long."""
    inputs = keras.Input(batch_shape=(B, T, I))
    layer = kk.RNN(kk.LIFCell(H), seed=0)
    outputs = keras.layers.Add()([layer(keras.layers.Rescaling(factor)(inputs)) for factor in (1.0, 0.7, 1.3)])
    model = kk.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.0), "mse", sensitivity_every=1, run_eagerly=True)
    m, expected = layer.sensitivity_weights[0], direct_effect(layer.cell)
    m.assign(np.zeros((H, H)))
    for seed in range(2):
        model.train_on_batch(batch(seed)[0], np.zeros((B, T, H)))
    assert distance(m.numpy(), expected) < 0.02


def test_a_frozen_layer_has_no_say():
    inputs = keras.Input((T, I))
    frozen = kk.RNN(kk.LIFCell(H), rules.KeRNL(kernel="exponential"))
    model = kk.Model(inputs, kk.RNN(kk.LIFCell(H))(frozen(inputs)))
    frozen.trainable = False
    model.compile("sgd", "mse")
    assert type(model.sensitivity_optimizer) is LeastSquares


def test_without_steps_that_count_m_stays():
    model = build(kk.LIFCell(H), **FEW)
    m = model.get_layer("hidden").sensitivity_weights[0]
    m.assign(np.ones(m.shape))
    model.train_on_batch(*batch(), sample_weight=np.zeros((B, 1)))
    np.testing.assert_array_equal(m, 1.0)


AFTER_RESET = rules.KeRNL(perturbation=rules.Tangent(observe="reset_voltage"))
DEFAULTS = {
    "linear memory": (dict(), LeastSquares),
    "with settings": (dict(traces=rules.LinearTraces(poles=3)), LeastSquares),
    "exact traces": (dict(traces=True), LeastSquares),
    "whole sequences": (dict(stateful=False), LeastSquares),
    "another kernel": (dict(rule=rules.KeRNL(kernel="exponential")), keras.optimizers.Adafactor),
    "the plain form": (dict(rule="plain_kernl"), keras.optimizers.Adafactor),
    "noise": (dict(rule=rules.KeRNL(perturbation="twin")), keras.optimizers.Adafactor),
    "what arrives is seen after a reset": (dict(rule=AFTER_RESET), keras.optimizers.Adafactor),
    "without M": (dict(rule="eprop"), keras.optimizers.Adafactor),
    "M stands still": (dict(rule=rules.KeRNL(learn_sensitivity=False)), keras.optimizers.Adafactor),
}


@pytest.mark.parametrize(("settings", "expected"), DEFAULTS.values(), ids=DEFAULTS)
def test_the_default_goes_with_the_rule(settings, expected):
    assert type(build(kk.LIFCell(H), **settings).sensitivity_optimizer) is expected


@pytest.mark.parametrize(
    ("kernel", "cell", "expected"),
    [
        (rules.Membrane(arrival=False), kk.LIFCell, LeastSquares),
        (rules.Membrane(arrival=False), kk.LeakyRNNCell, keras.optimizers.Adafactor),
        (rules.Membrane(), kk.ResonatorCell, LeastSquares),
        (rules.Membrane(), kk.AdLIFCell, keras.optimizers.Adafactor),  # whose current is part of the effect
    ],
)
def test_of_a_mean_least_squares_know_nothing(kernel, cell, expected):
    """In linear memory, where the kernel plays no part, M is no mean."""
    for stateful in (False, True):
        model = build(cell(H), rule=rules.KeRNL(kernel=kernel), stateful=stateful)
        assert type(model.sensitivity_optimizer) is (LeastSquares if stateful else expected)


def test_a_model_with_both_kinds_of_kernels_has_the_other_default():
    """There M of the first layer learns by the gradient of F, too, unless least squares are asked for."""
    inputs = keras.Input((T, I))
    first = kk.RNN(kk.LIFCell(H), seed=0, name="hidden")
    model = kk.Model(inputs, kk.RNN(kk.LIFCell(H), rules.KeRNL(kernel="exponential"), seed=1)(first(inputs)))
    model.compile(keras.optimizers.SGD(0.0), "mse", sensitivity_every=1, run_eagerly=True)
    assert type(model.sensitivity_optimizer) is keras.optimizers.Adafactor
    first.sensitivity_weights[0].assign(np.zeros((H, H)))
    x, y = batch()[0], np.zeros((B, T, H), "float32")
    model.train_on_batch(x, y)
    after_f = distance(first.sensitivity_weights[0].numpy(), direct_effect(first.cell))
    model.compile(keras.optimizers.SGD(0.0), "mse", LeastSquares(1.0), sensitivity_every=1, run_eagerly=True)
    for _ in range(2):
        model.train_on_batch(x, y)
    assert distance(first.sensitivity_weights[0].numpy(), direct_effect(first.cell)) < 0.05 < 0.5 < after_f


def test_an_optimizer_that_is_given_has_the_gradient_of_f():
    """In linear memory, too: plain SGD moves M by -rate dF/dM, and F falls by rate |dF/dM|^2 to first order."""
    model = build(kk.ResonatorCell(H), keras.optimizers.SGD(1e-4))
    m, losses, start = model.get_layer("hidden").sensitivity_weights[0], [], None
    m.assign(np.random.default_rng(1).normal(0.0, 1.0, m.shape))
    for _ in range(2):
        model.reset_state()
        model.get_layer("hidden").draws.assign(tf.zeros_like(model.get_layer("hidden").draws))
        start, before = m.numpy(), start
        model.train_on_batch(*batch())
        losses.append(model.diagnostics()["sensitivity_loss"])
    gradient = (before - start) / 1e-4
    assert (losses[0] - losses[1]) / (1e-4 * np.sum(gradient**2)) == pytest.approx(1.0, abs=0.01)


def test_it_is_loaded_with_the_model(tmp_path):
    model = build(kk.LIFCell(H), **FEW)
    model.train_on_batch(*batch())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.sensitivity_optimizer) is LeastSquares and int(loaded.sensitivity_optimizer.iterations) == 1
