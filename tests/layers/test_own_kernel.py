"""The unit's own kernel, Eq. (25)-(27): gradients, F, what it becomes where it is exact, what it refuses."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.initializers import LogUniform
from kernl_keras.layers.rnn import RNN

from ..reference import oracles
from ..reference.cases import B, H, Network, T, draw
from ..reference.expected import ERROR, IMPLEMENTATIONS, compute, noise, same

M = 0.5 * draw(51, H, H)
CELLS = ("hard adaptive", "soft euler", "resonator", "resonator fixed", "tanh", "swinging tanh")


def constants(network):
    """lambda [H], complex for resonators."""
    return network.c.turn if hasattr(network.c, "turn") else network.c.a


def layer_of(network, **settings):
    return network.layer(M, np.zeros(H), temporal_kernel="own", **settings)


def loop(x):
    """XLA, as training runs it."""
    return tf.function(x, jit_compile=True)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=lambda each: each["implementation"])
@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_the_references(name, implementation):
    network = Network(name)
    _, of_weights, of_x, _ = compute(layer_of(network, **implementation), network.inputs)
    run = network.run()
    expected = ref.own_kernel(ERROR, network.presynaptic(run), run, M, constants(network))
    same(of_weights, network.used(expected))
    local = ref.eprop(ERROR, network.presynaptic(run), run)
    assert np.abs(expected - local).max() > 0.01  # the path matters
    of_current = oracles.current_error(lambda s: ref.own_kernel(ERROR, s, run, M, constants(network)), ERROR.shape)
    same(of_x, ref.input_gradient(of_current, network.w_in))


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        # Every cell in one of them, spikes and rates in all; the rest is slow.
        pytest.param(name, mode, marks=() if mode == "eager" or name in ("resonator", "tanh") else pytest.mark.slow)
        for name in CELLS
        for mode in ("eager", "xla", "unroll")
    ],
)
@pytest.mark.parametrize("resync", [None, 2])
def test_f_and_its_gradient_are_the_references(name, resync, mode):
    network = Network(name)
    layer = layer_of(network, resync_every=resync, max_perturbation=1e9, unroll=mode == "unroll")
    step = loop(lambda x: compute(layer, x)[3] + [layer.report.sensitivity_loss, layer.report.perturbation_variance])
    if mode != "xla":
        step = step.python_function
    of_m, loss, variance = step(network.inputs)
    xi, starts = noise(T, 1), range(0, T, resync or T)
    enters = "state" if network.spiking else "synapse"  # rate units have no S of their own
    pieces = []
    for start in starts:  # what is left of earlier noise is forgotten
        heard = xi.copy()
        heard[:, :start] = 0.0
        pieces.append(network.tangent(heard, enters)[layer.observe][:, start : start + (resync or T)])
    effect = np.concatenate(pieces, 1)
    expected, expected_of_m = ref.own_kernel_sensitivity(effect, xi, M, constants(network), starts)
    same(loss, expected)
    same(variance, np.mean(effect**2))
    same(of_m, expected_of_m)
    assert np.abs(expected_of_m).max() > 1e-3


def test_an_example_beyond_the_bound_starts_anew():
    """Whatever came before reaches neither F nor its gradient after; the step itself counts as no effect."""
    network, bound = Network("resonator", time=T), 1.2
    layer = layer_of(network, max_perturbation=bound)
    of_m = compute(layer, network.inputs)[3][0]
    loss = layer.report = None
    xi, lam = noise(T, 1), constants(network)
    expected, count = np.zeros((H, H)), 0
    for b in range(B):
        start = 0
        while start < T:
            heard = np.zeros_like(xi)
            heard[b, start:] = xi[b, start:]
            effect = network.tangent(heard, "state")["distance"][b : b + 1, start:]
            beyond = np.abs(effect[0]).max(-1) > bound
            end = int(np.argmax(beyond)) if beyond.any() else T - start
            piece = slice(start, start + end)
            if end:
                _, part = ref.own_kernel_sensitivity(effect[:, :end], xi[b : b + 1, piece], M, lam)
                expected += part * end / (B * T)
            count += bool(beyond.any())
            start += end + 1
    assert loss is None and 0 < count < B * T
    same(of_m, expected)


@pytest.mark.parametrize("name", ["soft free", "resonator fixed"])
def test_in_a_chain_of_one_hop_it_is_backpropagation_whatever_the_time_constants(name):
    """M = drive W_rec^T, units that feed units that feed nobody; the kernel exp(-gamma_i d) is not exact here."""
    network = Network(name)
    network.settings = {
        **network.settings,
        **({"tau_m": [5.0, 9.0, 14.0, 30.0]} if name == "soft free" else {"period": [3.0, 5.0, 7.0, 12.0]}),
        "tau_s": None,
        "self_connections": False,
    }
    known = {key: value for key, value in network.settings.items() if key != "self_connections"}
    network.c, network.self_connections = network.constants(H, **known), False
    network.w_rec = np.zeros((H, H))
    network.w_rec[0, 2], network.w_rec[1, 2], network.w_rec[1, 3] = np.array([0.9, -0.7, 0.8]) / network.c.drive[:3]
    layer = network.layer(temporal_kernel="own")
    same(layer.sensitivity_tensor, network.c.drive[:, None] * network.w_rec.T)  # where M starts
    _, of_weights, _, _ = compute(layer, network.inputs, training=False)
    n = network
    settings = {"stop_reset": True, "forward": n.forward}
    backpropagated, _ = oracles.smooth_gradient(ERROR, n.x, n.w_in, n.w_used, n.bias, n.c, **settings)
    np.testing.assert_allclose(of_weights, network.used(backpropagated), rtol=1e-6, atol=1e-7)
    learned = network.layer(temporal_kernel="learned")
    _, other, _, _ = compute(learned, network.inputs, training=False)
    assert np.abs(other - of_weights).max() > 1e-4


def test_gamma_stands_still_and_m_learns():
    network = Network("resonator")
    layer = layer_of(network)
    assert [weight is layer.sensitivity_tensor for weight in layer.sensitivity_weights] == [True]
    assert not layer.temporal_filter.trainable


@pytest.mark.parametrize(
    ("settings", "kernels"),
    [
        (dict(period=[5.0, 7.0, 5.0, 7.0], tau_m=20.0), 2),
        (dict(period=[5.0, 7.0, 5.0, 7.0], tau_m=[20.0, 20.0, 9.0, 20.0]), 3),
        (dict(period=LogUniform(5.0, 9.0, seed=1)), H),
    ],
)
def test_units_of_one_kernel_share_a_trace(settings, kernels):
    network = Network("resonator")
    network.settings = {**network.settings, **settings}
    layer = layer_of(network, implementation="online")
    shapes = [shape for shape in layer._trace_shapes if len(shape) == 3]
    assert [shape[0] for shape in shapes] == [kernels] * 2
    factored = layer_of(network)
    same(compute(layer, network.inputs)[1], compute(factored, network.inputs)[1])


@pytest.mark.parametrize("settings", [dict(form="plain"), dict(num_kernels=2), dict(credit="last")])
def test_what_it_refuses(settings):
    with pytest.raises(ValueError, match="temporal_kernel='own' needs form='network', num_kernels=1 and credit='all'"):
        RNN(Network("resonator").cell(), temporal_kernel="own", **settings)
    with pytest.raises(ValueError, match=r"temporal_kernel must be one of \['learned', 'own'\]; received 'mine'"):
        RNN(Network("resonator").cell(), temporal_kernel="mine")
