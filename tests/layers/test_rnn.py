"""The gradients of the RNN layer, and F, are the reference's for every setting; what the rules become."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.cells.lif import LIFCell
from kernl_keras.keras_version import keras
from kernl_keras.layers.rnn import RNN

from ..reference import oracles
from ..reference.cases import RATE, SPIKING, B, H, I, J, Network, T, stacked
from ..reference.expected import ERROR, IMPLEMENTATIONS, STD, Expected, compute, kernels, same

SLOW = pytest.mark.slow


def rows():
    """Every form, perturbation, mode, observation, post factor and credit; cells (hard and soft reset, exponential and
    Euler), kernels and implementations take turns. A row is slow where rows before it have each of its pairs."""
    modes, observe, credits = ("tangent", "twin"), ("voltage",), ("all", "last")
    spiking_modes, spiking_observe = (*modes, "replica"), ("voltage", "distance", "reset_voltage")
    spiking, rate = (tuple(SPIKING), tuple(RATE))
    tables = [
        (("network",), ("synapse",), spiking_modes, spiking_observe, ("surrogate",), credits, (0, 1), spiking),
        (
            ("plain",),
            ("current", "synapse"),
            spiking_modes,
            spiking_observe,
            ("gate", "surrogate", "trace"),
            credits,
            (0,),
            spiking,
        ),
        (("network",), ("synapse",), modes, observe, ("surrogate",), ("all",), (0, 1, 2), rate),
        (
            ("plain",),
            ("activity", "current", "synapse"),
            modes,
            observe,
            ("gate", "surrogate"),
            credits,
            (0,),
            rate,
        ),
    ]
    for *axes, turns, cells in tables:
        seen = set()
        for number, indices in enumerate(itertools.product(*map(range, map(len, (*axes, turns))))):
            row = [axis[index] for axis, index in zip(axes, indices)]
            cell, turn = cells[sum(indices) % len(cells)], number + number // 6
            settings = IMPLEMENTATIONS[turn % 3], 1 + turn // 3 % 2
            pairs = set(itertools.combinations(enumerate([*indices, cell, turn % 3, turn // 3 % 2]), 2))
            marks = SLOW if pairs <= seen else ()
            seen |= pairs
            yield pytest.param(*row, cell, *settings, id="-".join((*row, cell, str(number))), marks=marks)


@pytest.mark.parametrize(
    ("form", "perturbation", "mode", "observe", "post_factor", "credit", "cell", "implementation", "count"),
    list(rows()),
)
def test_gradients_are_the_references(
    form, perturbation, mode, observe, post_factor, credit, cell, count, implementation
):
    network, (m, gamma) = Network(cell), kernels(count)
    settings = dict(
        form=form,
        perturbation=perturbation,
        sensitivity_mode=mode,
        observe=observe,
        post_factor=post_factor,
        credit=credit,
    )
    layer = network.layer(
        m, gamma, noise_std=STD, num_kernels=count, max_perturbation=1e9, **implementation, **settings
    )
    expected = Expected(network, m, gamma, **settings)
    outputs, of_weights, of_x, of_sensitivity = compute(layer, network.inputs)
    same(outputs, expected.run.output)
    weights_expected, x_expected = expected.gradients()
    assert np.abs(weights_expected).max() > 1e-3
    same(of_weights, weights_expected)
    same(of_x, x_expected)
    loss, variance, of_m, of_gamma = expected.sensitivity()
    assert variance > 1e-3 and np.abs(of_m).max() > 1e-4
    same(layer.report.sensitivity_loss, loss)
    same(layer.report.perturbation_variance, variance)
    same(tf.reshape(of_sensitivity[0], m.shape), of_m)
    same(tf.reshape(of_sensitivity[1], gamma.shape), of_gamma)


@pytest.mark.parametrize("credit", ["all", "last"])
@pytest.mark.parametrize("size", [1, 2, 4, T - 1, T, T + 1])
def test_blocks_of_any_size_learn_the_same(size, credit, monkeypatch):
    network, (m, gamma) = Network("soft euler"), kernels(2)
    settings = dict(form="network", perturbation="synapse", sensitivity_mode="tangent", observe="distance")
    layer = network.layer(m, gamma, num_kernels=2, max_perturbation=1e9, credit=credit, **settings)
    expected = Expected(network, m, gamma, credit=credit, **settings)
    monkeypatch.setattr("kernl_keras.learning.blocks.BLOCK", size)
    outputs, of_weights, of_x, of_sensitivity = compute(layer, network.inputs)
    same(outputs, expected.run.output)
    for one, other in zip((of_weights, of_x), expected.gradients()):
        same(one, other)
    loss, variance, of_m, of_gamma = expected.sensitivity()
    same(layer.report.sensitivity_loss, loss)
    same(layer.report.perturbation_variance, variance)
    same(of_sensitivity[0], of_m)
    same(of_sensitivity[1], of_gamma)


@pytest.mark.parametrize(
    ("jit_compile", "credit"),
    [(True, "all"), (False, "last"), pytest.param(True, "last", marks=SLOW), pytest.param(False, "all", marks=SLOW)],
)
@pytest.mark.parametrize("settings", [dict(form="network"), dict(form="plain", sensitivity_mode="replica")], ids=str)
def test_a_length_and_a_batch_that_are_known_only_when_it_runs(settings, credit, jit_compile):
    network, (m, gamma) = Network("hard"), kernels(1)
    layers = [network.layer(m, gamma, credit=credit, **settings) for _ in range(2)]
    specification = tf.TensorSpec((None, None, I), tf.float64)
    compiled = tf.function(
        lambda x: (layers[0](x, training=True), layers[0].report), [specification], jit_compile=jit_compile
    )
    for x in (network.inputs, network.inputs[:, :3]):
        outputs, report = compiled(x)
        same(outputs, layers[1](x, training=True))
        for one, other in zip(report, layers[1].report):
            same(one, other)
    assert report.sensitivity_loss > 1e-6


@pytest.mark.parametrize("mode", ["tangent", "twin"])
@pytest.mark.parametrize("resync", [1, 3, T, T + 1])
def test_resynchronisation(resync, mode):
    network, (m, gamma) = Network("hard adaptive"), kernels(1)
    settings = dict(form="network", perturbation="synapse", sensitivity_mode=mode, observe="distance")
    layer = network.layer(m, gamma, noise_std=STD, resync_every=resync, **settings)
    expected = Expected(network, m, gamma, **settings)
    *_, of_sensitivity = compute(layer, network.inputs)
    loss, _, of_m, of_gamma = expected.sensitivity(resync)
    same(layer.report.sensitivity_loss, loss)
    same(of_sensitivity[0], of_m[0])
    same(of_sensitivity[1], of_gamma[0])
    assert (abs(loss - expected.sensitivity()[0]) > 1e-3) == (resync < T)


@pytest.mark.parametrize("settings", [dict(form="network"), dict(rule="eprop"), dict(rule="eprop_alif")], ids=str)
@pytest.mark.parametrize("cell", [*SPIKING, "tanh"])
def test_the_resetting_spikes_derivative(cell, settings):
    network, (m, gamma) = Network(cell), kernels(1)
    given = (m, gamma) if "form" in settings else (None, None)
    followed, stopped = (
        compute(network.layer(*given, reset_gradient=follows, **settings), network.inputs, training=False)[1:3]
        for follows in (True, False)
    )
    expected = Expected(network, m, gamma, reset_gradient=True, **settings).gradients()
    for one, other in zip(followed, expected):
        same(one, other)
    assert (np.abs(followed[0] - stopped[0]).max() > 1e-3) == network.spiking


def test_who_follows_the_resetting_spike():
    for settings, follows in (({}, True), ({"rule": "eprop"}, False), ({"reset_gradient": False}, False)):
        assert RNN(LIFCell(H), **settings).reset_gradient is follows


def test_the_whole_local_derivative_is_backpropagation_without_recurrent_weights():
    """Adaptation, resets, refractory times: nothing is left out."""
    for cell in SPIKING:
        network = Network(cell)
        network.w_rec *= 0.0
        layers = network.layer(rule="eprop_alif", reset_gradient=True), network.layer(rule="bptt")
        (_, ours, of_x, _), (_, exact, x_exact, _) = (compute(layer, network.inputs) for layer in layers)
        inputs = [*range(I), J - 1]  # W_rec = 0 still has a gradient, of one hop
        same(ours.numpy()[inputs], exact.numpy()[inputs])
        same(of_x, x_exact)


@pytest.mark.parametrize("cell", [*SPIKING, *RATE])
@pytest.mark.parametrize(("number", "rule"), list(enumerate(["eprop", "eprop_alif", "rflo"])))
def test_local_rules(number, rule, cell):
    network = Network(cell)
    implementation = IMPLEMENTATIONS[(number + [*SPIKING, *RATE].index(cell)) % 3]
    layer = network.layer(rule=rule, **implementation)
    outputs, of_weights, of_x, _ = compute(layer, network.inputs)
    same(outputs, network.run().output)
    for one, other in zip((of_weights, of_x), Expected(network, *kernels(1), rule=rule).gradients()):
        same(one, other)
    assert layer.sensitivity_weights == [] and layer.report.sensitivity_loss is None and len(layer.weights) == 3


@pytest.mark.parametrize("cell", ["hard adaptive", "soft euler", "tanh"])
@pytest.mark.parametrize("training", [False, True])
def test_bptt_is_keras_own(training, cell):
    network = Network(cell)
    layer = network.layer(rule="bptt")
    outputs, of_weights, of_x, _ = compute(layer, network.inputs, training=training)
    plain = keras.layers.RNN(network.cell(), return_sequences=True, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(x := network.inputs)
        loss = tf.reduce_sum(plain(x) * ERROR)
    *expected, x_expected = tape.gradient(loss, [*plain.trainable_weights, x])
    same(of_weights, stacked(expected))
    same(of_x, x_expected)
    assert layer.report.sensitivity_loss is None and len(layer.weights) == 3


# Section 7: reductions, through the layer with its own initial M and gamma


def test_plain_current_from_its_local_start_is_eprop():
    network = Network("soft free")
    layer = network.layer(form="plain", perturbation="current")
    gradients = [compute(f, network.inputs)[1:3] for f in (layer, network.layer(rule="eprop"))]
    assert network.run().z.mean() > 0.1 and np.abs(gradients[0][0]).max() > 0.01
    for one, other in zip(*gradients):
        same(one, other)


@pytest.mark.parametrize("cell", ["hard adaptive", "soft euler", "tanh"])
def test_network_without_m_is_eprop(cell):
    network = Network(cell)
    layer = network.layer(form="network", sensitivity_initializer="zeros")
    gradients = [compute(f, network.inputs)[1:3] for f in (layer, network.layer(rule="eprop"))]
    assert np.abs(gradients[0][0]).max() > 0.01
    for one, other in zip(*gradients):
        same(one, other)


@pytest.mark.parametrize("cell", ["tanh", "identity euler"])
def test_plain_activity_from_its_local_start_is_rflo(cell):
    """Euler's leak is 1 - dt/tau, which exp(-gamma dt) meets at gamma = -log(1 - dt/tau) / dt."""
    network = Network(cell)
    layer = network.layer(form="plain", perturbation="activity")
    layer.temporal_filter.assign(-np.log(network.c.a) / network.c.dt)
    _, of_weights, *_ = compute(layer, network.inputs)
    np.testing.assert_array_equal(layer.sensitivity_tensor, np.eye(H))
    run, expected = network.run(), np.zeros((J, H))
    s = network.presynaptic(run)
    for b in range(B):
        trace = np.zeros((J, H))
        for t in range(T):
            trace = network.c.a * trace + np.outer(s[b, t], (1.0 - network.c.a) * run.slope[b, t])
            expected += trace * ERROR[b, t]
    same(of_weights, network.used(expected))


@pytest.mark.parametrize(
    "settings", [dict(form="plain"), dict(form="plain", perturbation="current"), dict(rule="eprop")]
)
def test_a_linear_rate_network_without_recurrence_learns_exactly(settings):
    network = Network("identity euler")
    network.w_rec *= 0.0
    layers = [network.layer(**settings), network.layer(rule="bptt")]
    if settings.get("form") == "plain":
        layers[0].sensitivity_tensor.assign(np.eye(H))
        if settings.get("perturbation") == "current":  # h = 1: M knows the gain
            layers[0].sensitivity_tensor.assign(np.diag(1.0 - network.c.a))
        layers[0].temporal_filter.assign(-np.log(network.c.a) / network.c.dt)
    (_, kernl, kernl_x, _), (_, bptt, bptt_x, _) = (compute(layer, network.inputs) for layer in layers)
    assert np.abs(bptt).max() > 0.1
    same(kernl, bptt)
    same(kernl_x, bptt_x)


def test_a_chain_of_two_units_learns_as_by_backpropagation_with_the_resets_derivative_stopped():
    """From its own start: M = (1-a) R_m W_rec^T, gamma = 1/tau_m."""
    network = Network("soft free")
    chain = np.zeros((H, H))
    chain[0, 2] = 0.9
    network.w_rec = chain / network.c.drive
    layer = network.layer()
    _, of_weights, of_x, _ = compute(layer, network.inputs)
    n = network
    expected, x_expected = oracles.smooth_gradient(ERROR, n.x, n.w_in, n.w_used, n.bias, n.c, stop_reset=True)
    assert network.run().z[..., [0, 2]].mean() > 0.1
    same(of_weights, network.used(expected), 1e-6)
    np.testing.assert_allclose(of_x, x_expected, rtol=1e-6, atol=1e-7)
    assert np.abs(of_weights - compute(network.layer(rule="eprop"), network.inputs)[1]).max() > 0.01


# M, gamma, the noise


@pytest.mark.parametrize("cell", ["hard adaptive", "soft euler", "tanh"])
def test_where_m_and_gamma_start(cell):
    network = Network(cell)
    layer = network.layer()
    gain = network.c.drive if network.spiking else 1.0 - network.c.a
    tau = network.settings["tau_m" if network.spiking else "tau"]
    fresh = RNN(layer.cell, num_kernels=2)
    fresh.build((B, T, I))  # the cell's weights are there already
    same(fresh.sensitivity_tensor, [gain[:, None] * network.w_used.T, np.zeros((H, H))])
    same(fresh.temporal_filter, [1.0 / np.broadcast_to(tau, H), 0.25 / np.broadcast_to(tau, H)])
    local = RNN(layer.cell, form="plain", perturbation="current")
    local.build((B, T, I))
    same(local.sensitivity_tensor, np.diag(gain))


def test_m_and_gamma_by_initializers():
    layer = RNN(
        LIFCell(H), num_kernels=3,
        sensitivity_initializer=keras.initializers.Constant(0.25),
        temporal_filter_initializer=keras.initializers.Constant(0.125),
    )  # fmt: skip
    layer.build((None, T, I))
    np.testing.assert_array_equal(layer.sensitivity_tensor, np.full((3, H, H), 0.25))
    np.testing.assert_array_equal(layer.temporal_filter, np.full((3, H), 0.125))
    np.testing.assert_array_equal(layer.temporal_filter.constraint(tf.constant([-1.0, 2.0])), [0.0, 2.0])


def test_the_output_does_not_reach_m_and_gamma_and_f_reaches_nothing_else():
    network = Network("hard adaptive")
    layer = network.layer()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x := network.inputs)
        loss = tf.reduce_sum(layer(x, training=True) * ERROR)
        (added,) = layer.losses
    cell = layer.cell
    assert tape.gradient(loss, layer.sensitivity_weights) == [None, None]
    assert tape.gradient(added, [cell.kernel, cell.recurrent_kernel, cell.bias, x]) == [None] * 4
    assert all(np.abs(g).max() > 0 for g in tape.gradient(added, layer.sensitivity_weights))


def test_noise_is_new_at_every_call_and_the_same_for_a_seed():
    network = Network("hard adaptive")

    def losses(seed):
        layer = network.layer(seed=seed)
        found = []
        for _ in range(3):
            layer(network.inputs, training=True)
            found.append(float(layer.report.sensitivity_loss))
        assert layer._draws.numpy() == 3
        return found

    first = losses(5)
    assert len(set(first)) == 3 and losses(5) == first and losses(6) != first


@pytest.mark.parametrize("settings", [dict(training=False), dict(training=True, train_sensitivity=False), dict()])
def test_no_noise_without_learning(settings):
    network = Network("hard adaptive")
    layer = network.layer(train_sensitivity=settings.get("train_sensitivity", True))
    outputs = layer(network.inputs, **{k: v for k, v in settings.items() if k == "training"})
    same(outputs, network.run().output)
    assert layer._draws.numpy() == 0 and layer.losses == []
    assert layer.report.sensitivity_loss is None and layer.report.perturbation_variance is None
    same(layer.report.firing_rate, network.run().z.mean())


def test_a_frozen_layer_learns_nothing():
    layer = Network("hard adaptive").layer()
    layer.trainable = False
    layer(Network("hard adaptive").inputs, training=True)
    assert layer.losses == [] and layer.trainable_weights == []


def test_the_report_counts_silent_units():
    network = Network("hard")
    network.w_in[:, 1] = network.bias[1] = 0.0
    network.w_rec[:, 1] = 0.0
    layer = network.layer()
    layer(network.inputs)
    run = network.run()
    assert run.z.sum((0, 1))[1] == 0 < run.z.sum()
    same(layer.report.silent_units, (run.z.sum((0, 1)) == 0).mean())
    same(layer.report.firing_rate, run.z.mean())


def test_an_explosion_is_bounded():
    network = Network("soft euler")
    network.w_rec *= 300.0
    layer = network.layer(max_perturbation=2.0)
    *_, of_sensitivity = compute(layer, network.inputs)
    free = network.layer(max_perturbation=1e30)
    compute(free, network.inputs)
    assert float(layer.report.perturbation_variance) < 4.0 < float(free.report.perturbation_variance)
    assert all(np.isfinite(g).all() for g in of_sensitivity)
