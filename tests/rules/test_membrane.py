"""The membrane's kernel, Eq. (25)-(27): F in every mode, the bound, shared traces, where it is exact."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.initializers import LogUniform
from kernl_keras.rules import KeRNL, Tangent

from ..reference import oracles
from ..reference.cases import B, H, Network, T, taking_turns
from ..reference.expected import ERROR, Expected, compute, in_pieces, kernels, noise, runs_within, same

M = kernels()[0]
CELLS = ("hard adaptive", "soft euler", "resonator", "resonator fixed", "tanh", "swinging tanh")


@pytest.mark.parametrize(
    ("name", "mode", "resync"),
    [
        # every cell in eager mode and in XLA, resonators and rates unrolled, too
        pytest.param(name, mode, 2 if number % 2 else None, marks=() if mode == "eager" else pytest.mark.slow)
        for number, name in enumerate(CELLS)
        for mode in (("eager", "xla", "unroll") if name in ("resonator", "tanh") else ("eager", "xla"))
    ],
)
def test_f_and_its_gradient_are_the_references(name, resync, mode):
    network, rule = Network(name), KeRNL(perturbation=Tangent(1e9, resync))
    layer = network.layer(rule, M, unroll=mode == "unroll")

    def step(x):
        return compute(layer, x)[3] + [layer.report.sensitivity_loss, layer.report.perturbation_variance]

    step = step if mode == "eager" else tf.function(step, jit_compile=mode == "xla")
    of_m, loss, variance = step(network.inputs)
    expected, expected_variance, expected_of_m, _ = Expected(network, rule, M).sensitivity(resync or T)
    same(loss, expected)
    same(variance, expected_variance)
    same(of_m, expected_of_m[0])
    assert np.abs(expected_of_m).max() > 1e-3


def test_an_example_beyond_the_bound_starts_anew():
    """What came before reaches neither F nor its gradient afterwards; the step itself counts as no effect."""
    network, bound = Network("resonator", time=T), 1.2
    layer = network.layer(KeRNL(perturbation=Tangent(bound)), M)
    of_m = compute(layer, network.inputs)[3][0]
    xi = noise(T, 1)
    expected, within = np.zeros((H, H)), 0
    for b, cut, effect in runs_within(network, xi, bound):
        _, part = ref.membrane_sensitivity(effect, xi[b, cut], M[0], network.kernel)
        expected += part * effect.shape[1] / (B * T)
        within += effect.shape[1]
    assert 0 < within < B * T
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
    layer = network.layer(KeRNL(reset_gradient=False))
    same(layer.sensitivity_tensor, network.c.drive[:, None] * network.w_rec.T)  # where M starts
    _, of_weights, _, _ = compute(layer, network.inputs, training=False)
    n = network
    settings = {"stop_reset": True, "forward": n.forward}
    backpropagated, _ = oracles.smooth_gradient(ERROR, n.x, n.w_in, n.w_used, n.bias, n.c, **settings)
    np.testing.assert_allclose(of_weights, network.used(backpropagated), rtol=1e-6, atol=1e-7)
    other = compute(network.layer(KeRNL("exponential", reset_gradient=False)), network.inputs, training=False)[1]
    assert np.abs(other - of_weights).max() > 1e-4


@pytest.mark.parametrize(
    ("settings", "kernels"),
    taking_turns(
        [
            (dict(period=[5.0, 7.0, 5.0, 7.0], tau_m=[20.0, 20.0, 9.0, 20.0]), 3),
            (dict(period=[5.0, 7.0, 5.0, 7.0], tau_m=20.0), 2),
            (dict(period=LogUniform(5.0, 9.0, seed=1)), H),
        ]
    ),
)
def test_units_of_one_kernel_share_a_trace(settings, kernels):
    network = Network("resonator")
    network.settings = {**network.settings, **settings}
    layer = network.layer(KeRNL(), M, traces=True, return_state=True)
    shapes = layer.rule.carry_shapes(layer.cell, traces=True)
    assert [shape for shape in shapes if len(shape) == 2] == [(kernels, H)] * 2
    _, pieces = in_pieces(layer, network.inputs, [slice(0, 2), slice(2, T)])
    same(pieces, compute(network.layer(KeRNL(), M), network.inputs)[1])
