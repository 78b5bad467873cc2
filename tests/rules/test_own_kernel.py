"""A kernel of one's own, made of public names alone: the one on the page of the rules.

That it learns the same in pieces, under masks, in a graph and under XLA is asked of it in `test_forms`, as of the rest.
"""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras
from kernl_keras.rules import Hop, Kernel, KeRNL, PlainKeRNL, Predictor

from ..reference.cases import B, H, I, Network, T, draw
from ..reference.expected import ERROR, compute, in_pieces, kernels, noise, same
from ..reference.own_kernel import Alpha, alpha_hop, alpha_noise

M, TAU = kernels()[0], 7.0


@pytest.mark.parametrize("name", ["hard adaptive", "resonator", "tanh"])
def test_it_is_what_the_loops_say(name):
    """The gradients, F and dF/dM: of whole sequences, and of pieces with traces."""
    network = Network(name)
    layer = network.layer(KeRNL(Alpha(TAU)), M)
    outputs, gradient, _, (m_gradient,) = compute(layer, network.inputs)
    run, k = network.run(), np.exp(-network.c.dt / TAU)
    steps = network.linear(run)
    expected = ref.traces_gradient(ERROR, network.presynaptic(run), steps, alpha_hop(steps, M[0], k))
    same(gradient, network.used(expected))
    same(in_pieces(network.layer(KeRNL(Alpha(TAU)), M, traces=True, return_state=True), network.inputs,
                   [slice(0, 1), slice(1, 4), slice(4, T)])[1], gradient)  # fmt: skip
    xi = noise(T, 1)
    enters, observed = ("state", "distance") if network.spiking else ("synapse", "voltage")
    omega = alpha_noise(xi, k)[:, :, None]
    loss, expected, _ = ref.sensitivity(network.tangent(xi, enters)[observed], omega, omega, M)
    same(layer.report.sensitivity_loss, loss)
    same(m_gradient, expected[0])


def test_as_published_it_stands_for_the_whole_influence():
    """Under the plain form: e_ij(t) = sum_d (d + 1) k^d s_j(t - d), in both forms of the hop."""
    network = Network("soft free")
    run, k = network.run(), np.exp(-network.c.dt / TAU)
    e = alpha_noise(network.presynaptic(run), k)  # h is 1 without a refractory time
    d = np.einsum("btk,ki->bti", ERROR * run.psi, M[0])
    for traces in (False, True):
        layer = network.layer(PlainKeRNL(Alpha(TAU), noise="current"), M, traces=traces, return_state=traces)
        same(compute(layer, network.inputs)[1], network.used(np.einsum("bti,btj->ji", d, e)))


def test_m_learns_and_the_layer_is_saved_with_its_kernel(tmp_path):
    """From the gradient of F, as M is no direct effect of a spike."""
    inputs = keras.Input((T, I))
    hidden = kk.RNN(kk.LIFCell(H, tau_s=None), rule=KeRNL(Alpha(2.0)), seed=1, name="hidden")(inputs)
    model = kk.Model(inputs, kk.Readout(2)(hidden))
    model.compile("sgd", "mse", sensitivity_every=1, run_eagerly=True)
    x, y = np.float32(2.0 * draw(60, 16, T, I)), np.float32(draw(61, 16, T, 2))
    losses = []
    for _ in range(20):
        model.train_on_batch(x, y)
        losses.append(model.diagnostics()["sensitivity_loss"])
    assert isinstance(model.sensitivity_optimizer, keras.optimizers.Adafactor)
    assert losses[-1] < 0.8 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert repr(loaded.get_layer("hidden").rule) == repr(model.get_layer("hidden").rule)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


class TwoHop(Hop):
    """Two kernels of one step each: the effect comes at once, by M_0, or one step later, by M_1."""

    def enter(self, y, own=()):
        return (tf.einsum("...k,rki->...ri", y[0], self.m),)

    def before(self, carry, entered, step):
        (waiting, _), now = tf.split(carry[1], 2, 1), entered[0] + tf.zeros_like(carry[0])
        at_once, late = tf.split(now, 2, 1)
        return tf.concat([at_once, waiting], 1), tf.concat([late, tf.zeros_like(late)], 1)


class TwoPredictor(Predictor):
    """Of `TwoHop`."""

    def step(self, before, noise, step):
        noise = noise[:, None]
        return tf.concat([noise, before[1][:, :1]], 1), tf.concat([noise, noise], 1)


class Two(Kernel):
    """A kernel with two matrices in M."""

    count = 2

    def carry_shapes(self, cell, traces):
        return [(2, cell.units)] * 2

    def hop(self, layer, p, m, traces):
        return TwoHop(m)

    def predictor(self, layer, p, m):
        return TwoPredictor(m)


def test_traces_need_m_first():
    class Forgets(Alpha):
        def hop(self, layer, p, m, traces):
            return super().hop(layer, p, m, traces=False)

    layer = Network("hard").layer(KeRNL(Forgets(TAU)), M, traces=True, return_state=True)
    with pytest.raises(ValueError, match="Forgets.hop must use M first for traces"):
        compute(layer, Network("hard").inputs, training=False)


def test_kernels_that_are_not_told_apart_have_traces_as_well():
    """A hop need not say what one of its kernels does alone."""
    network, m = Network("hard adaptive"), kernels(2)[0]
    whole = compute(network.layer(KeRNL(Two()), m), network.inputs)
    pieces = network.layer(KeRNL(Two()), m, traces=True, return_state=True)
    same(in_pieces(pieces, network.inputs, [slice(0, 2), slice(2, T)])[1], whole[1])
    run = network.run()
    steps = network.linear(run)

    def hop(before, sent, t):
        late = np.zeros_like(sent) if before is None else before
        return np.einsum("bk,rki,rbwi->bwik", steps.psi[:, t], m, np.stack([sent, late])), sent

    same(whole[1], network.used(ref.traces_gradient(ERROR, network.presynaptic(run), steps, hop)))
    assert whole[3][0].shape == (2, H, H) and len(whole[0]) == B
