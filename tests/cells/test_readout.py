"""ReadoutCell against a NumPy loop, and its gradient against the reverse filter."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.cases import pairs
from ..reference.tools import MODES, outputs_and_gradients

B, T, H, O = 2, 7, 5, 3  # noqa: E741
DRAWN = kk.LogUniform(2.0, 50.0, seed=1)
TAU = {"number": 10.0, "list": [2.0, 30.0, 7.0], "initializer": DRAWN, "none": None}


def spikes():
    return np.random.default_rng(0).uniform(size=(B, T, H)).round()


def layer(seed=2, **settings):
    initializer = keras.initializers.GlorotUniform(seed=seed)
    cell = kk.ReadoutCell(O, kernel_initializer=initializer, **settings)
    return keras.layers.RNN(cell, return_sequences=True, dtype=cell.dtype_policy)


def decay_of(kind, discretization, dt):
    if TAU[kind] is None:
        return 0.0
    tau = DRAWN((O,)).numpy() if kind == "initializer" else np.array(TAU[kind])
    return np.exp(-dt / tau.astype("float64")) if discretization == "exponential" else 1.0 - dt / tau


def reference(z, kernel, bias, decay, gain=10.0):
    v, voltages = np.zeros((len(z), kernel.shape[1])), []
    for t in range(z.shape[1]):
        if gain is None:
            v = decay * v + z[:, t] @ kernel + bias
        else:
            v = decay * v + (1.0 - decay) * (gain * (z[:, t] @ kernel) + bias)
        voltages.append(v)
    return np.stack(voltages, 1)


@pytest.mark.parametrize("kind, discretization, gain", [*pairs(TAU, ["exponential", "euler"], [None, 4.0])])
def test_leaky_integration(kind, discretization, gain):
    """In double precision; in single precision see the gradient, below."""
    settings = dict(gain=gain, dt=0.5, discretization=discretization, bias_initializer="ones", dtype="float64")
    readout = layer(tau_out=TAU[kind], **settings)
    outputs = readout(tf.constant(spikes()))
    expected = reference(spikes(), readout.cell.kernel.numpy(), 1.0, decay_of(kind, discretization, 0.5), gain)
    digits = 1e-5 if kind == "initializer" else 1e-12  # what is drawn is drawn in single precision
    np.testing.assert_allclose(outputs, expected, rtol=digits, atol=digits)


@pytest.mark.parametrize("kind, mode", [*pairs(TAU, ["eager"]), ("list", "graph"), ("list", "xla"), ("none", "xla")])
def test_modes_agree_and_the_gradient_is_the_reverse_filter(kind, mode):
    readout, error = layer(tau_out=TAU[kind], use_bias=False), np.random.default_rng(1).normal(size=(B, T, O))
    z = tf.constant(spikes(), tf.float32)
    readout.build(z.shape)

    run = MODES[mode](lambda z: outputs_and_gradients(lambda: readout(z), error, readout.trainable_weights))
    voltage, (gradient,) = run(z)
    decay = decay_of(kind, "exponential", 1.0)
    expected = reference(spikes(), readout.cell.kernel.numpy(), 0.0, decay)
    np.testing.assert_allclose(voltage, expected, rtol=1e-5, atol=1e-6)
    # dC/dW = gain (1 - d) sum_t z(t)^T r(t), r(t) = error(t) + d r(t+1)
    r, expected = 0.0, 0.0
    for t in reversed(range(T)):
        r = error[:, t] + decay * r
        expected = expected + 10.0 * (1.0 - decay) * (spikes()[:, t].T @ r)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gain", [None, 8.0])
def test_the_gain_does_not_change_where_the_readout_begins(gain):
    cell = kk.ReadoutCell(O, gain=gain)
    cell.build((B, H))
    limit = (6 / (H + O)) ** 0.5  # of "glorot_uniform"
    assert 0.5 * limit < (gain or 1.0) * np.abs(cell.kernel).max() <= limit


def test_regularizers_and_constraints_are_used():
    of_bias = dict(bias_initializer="ones", bias_regularizer=keras.regularizers.L2(0.5))
    readout = layer(kernel_regularizer=keras.regularizers.L1(1.0), kernel_constraint="non_neg", **of_bias)
    readout.build((B, T, H))
    expected = [np.abs(readout.cell.kernel.numpy()).sum(), 0.5 * O]
    np.testing.assert_allclose(readout.losses, expected, rtol=1e-6)
    assert isinstance(readout.cell.kernel.constraint, keras.constraints.NonNeg)


def test_euler_with_a_step_longer_than_a_time_constant():
    with pytest.raises(ValueError, match="tau_out must be >= dt = 1 ms for discretization='euler'; received"):
        layer(tau_out=[0.5, 2.0, 3.0], discretization="euler")(tf.zeros((B, T, H)))
