"""Kernels of KeRNL's hop: the membrane's, Eq. (25)-(27), and that of the whole unit, Eq. (36): where they are exact."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras
from kernl_keras.rules import KeRNL, Tangent

from ..reference import oracles
from ..reference.cases import B, H, I, Network, T, draw, taking_turns
from ..reference.expected import ERROR, compute, in_pieces, kernels, noise, runs_within, same
from ..reference.units import build_layer

M = kernels()[0]


@pytest.mark.parametrize("kernel, name, bound", [("membrane", "resonator", 1.2), ("whole_unit", "hard adaptive", 0.9)])
def test_an_example_beyond_the_bound_starts_anew(kernel, name, bound):
    """A step beyond the bound counts as no effect; what came before it reaches F and its gradient no more."""
    network = Network(name)
    of_m = compute(network.layer(KeRNL(kernel, Tangent(bound)), M), network.inputs)[3][0]
    (steps, arrival), xi = network.kernel(network.run(), whole=kernel == "whole_unit"), noise(T, 1)
    expected, within = np.zeros((H, H)), 0
    for b, cut, effect in runs_within(network, xi, bound):
        of_kernel = type(steps)(**{name: value[b, cut] for name, value in vars(steps).items()}), arrival[b, cut]
        of_part = ref.kernel_sensitivity(effect, xi[b, cut], M[0], *of_kernel)[1]
        expected += of_part * effect.shape[1] / (B * T)
        within += effect.shape[1]
    assert 0 < within < B * T
    same(of_m, expected)


@pytest.mark.parametrize("kernel", ["membrane", "exponential"])
@pytest.mark.parametrize("name", ["soft free", "soft free, spread", "resonator fixed"])
def test_in_a_chain_of_one_hop_it_is_backpropagation(name, kernel):
    """M = drive W_rec^T, units that feed units that feed nobody, the reset's derivative stopped.

    With the membrane's kernel whatever the time constants; exp(-gamma_i d) is exact only where they are equal.
    """
    spread = {"tau_m": [5.0, 9.0, 14.0, 30.0]} if name == "soft free, spread" else {}
    spread = {"period": [3.0, 5.0, 7.0, 12.0]} if name == "resonator fixed" else spread
    network = Network(name.partition(",")[0], **spread, tau_s=None, self_connections=False)
    network.w_rec = np.zeros((H, H))
    network.w_rec[0, 2], network.w_rec[1, 2], network.w_rec[1, 3] = np.array([0.9, -0.7, 0.8]) / network.c.drive[-3:]
    layer = network.layer(KeRNL(kernel, reset_gradient=False))
    same(layer.sensitivity_tensor, network.c.drive[:, None] * network.w_rec.T)  # where M starts
    _, of_weights, of_x, _ = compute(layer, network.inputs, training=False)
    n = network
    settings = {"stop_reset": True, "forward": n.forward}
    backpropagated, of_inputs = oracles.smooth_gradient(ERROR, n.x, n.w_in, n.w_used, n.bias, n.c, **settings)
    exact = kernel == "membrane" or not spread
    assert n.run().z[..., [0, 2]].mean() > 0.1
    assert np.allclose(of_weights, n.used(backpropagated), rtol=1e-6, atol=1e-7) == exact
    assert np.allclose(of_x, of_inputs, rtol=1e-6, atol=1e-7) == exact


def through_one_other_unit(layer, x):
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
            total += tf.reduce_sum(done.output * ERROR[:, t])
    kernel, recurrent, bias = tape.gradient(total, weights)
    return tf.concat([kernel, recurrent, bias[None]], 0)


@pytest.mark.parametrize("unit", ["hard adaptive", "resonator", "soft free", "current"])
def test_the_whole_unit_is_exact_for_all_paths_through_one_other_unit(unit):
    """Where S = z, with M at its start; the membrane's kernel is not, for it has neither reset nor adaptation."""
    found = []
    for kernel in ("whole_unit", "membrane"):
        if unit == "resonator":  # whose spikes are filtered
            network = Network(unit, tau_s=None)
            layer, x = network.layer(KeRNL(kernel)), network.inputs
        else:
            layer, x = build_layer(unit, KeRNL(kernel), T, learn=False)
            layer.reset_sensitivity()
        found.append(compute(layer, x, training=False)[1])
    expected = through_one_other_unit(layer, x)
    same(found[0], expected)
    assert np.abs(found[1] - expected).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("settings", "count"),
    taking_turns(
        [
            (dict(period=[5.0, 7.0, 5.0, 7.0], tau_m=[20.0, 20.0, 9.0, 20.0]), 3),
            (dict(period=[5.0, 7.0, 5.0, 7.0], tau_m=20.0), 2),
            (dict(period=kk.LogUniform(5.0, 9.0, seed=1)), H),
        ]
    ),
)
def test_units_of_one_kernel_share_a_trace(settings, count):
    network = Network("resonator")
    network.settings = {**network.settings, **settings}
    layer = network.layer(KeRNL(), M, traces=True, return_state=True)
    shapes = layer.rule.carry_shapes(layer.cell, traces=True)
    assert [shape for shape in shapes if len(shape) == 2] == [(count, H)] * 2
    _, pieces = in_pieces(layer, network.inputs, [slice(0, 2), slice(2, T)])
    same(pieces, compute(network.layer(KeRNL(), M), network.inputs)[1])


@pytest.mark.parametrize("cell", taking_turns([kk.ResonatorCell, kk.LeakyRNNCell]))
def test_a_constant_of_all_units_is_that_of_each(cell):
    """In the traces of the whole unit, which tell the unit that is moved from the one that moves it."""
    found = []
    for count in (1, H):
        tau, period = (each if count == 1 else [each] * H for each in (9.0, 7.0))
        constants = {"tau_m" if cell is kk.ResonatorCell else "tau": tau, "period": period}
        keras.utils.set_random_seed(3)
        layer = kk.RNN(cell(H, dtype="float64", **constants), KeRNL("whole_unit"), traces=True, return_state=True)
        found.append(compute(layer, tf.constant(draw(5, B, 3, I)), ERROR[:, :3], training=False)[1])
    same(*found)


@pytest.mark.parametrize(
    "cell", [partial(kk.LIFCell, tau_s=None, surrogate="exponential"), kk.ResonatorCell, kk.AdLIFCell, kk.LeakyRNNCell]
)
def test_a_response_that_is_over_at_once(cell):
    """A kernel of one's own, with as many rows as the unit's own states: an error hops to the step before and no
    farther, which is as if that step had an error of the same size in all units, where M is 1."""

    class Brief(kk.rules.Membrane):
        def response(self, cell, p):
            return tuple(tuple(0.0 for _ in row) for row in cell.free_response(p))

    layer = kk.RNN(cell(H, dtype="float64"), rule=KeRNL(Brief(), reset_gradient=False), dtype="float64")
    x = tf.Variable(np.random.default_rng(0).normal(3.0, 2.0, (B, T, I)))
    layer(x)
    m, before = layer.sensitivity_weights[0], {}
    for strength in (0.0, 1.0):
        m.assign(tf.fill(m.shape, tf.constant(strength, m.dtype)))
        with tf.GradientTape(persistent=True) as tape:
            sums = [tf.reduce_sum(layer(x)[:, step]) for step in (T - 2, T - 1)]
        before[strength] = [tape.gradient(each, x).numpy() for each in sums]
    own, hopped = before[0.0][0], before[1.0][1] - before[0.0][1]
    size = (hopped * own).sum((1, 2)) / (own**2).sum((1, 2))
    assert size.max() > 1e-3
    np.testing.assert_allclose(hopped, size[:, None, None] * own, rtol=1e-9, atol=1e-12 * np.abs(hopped).max())
