"""Decay factors against hand arithmetic, for every kind of time constant."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.dynamics.decays import DECAYS, decay_euler, decay_exp


@pytest.mark.parametrize("name, factor", [("exponential", 0.951229424500714), ("euler", 0.95)])
def test_of_a_number_and_of_none(name, factor):
    decay = DECAYS[name](20.0, 1.0)
    assert type(decay) is float and decay == pytest.approx(factor, rel=1e-15)
    assert DECAYS[name](None, 1.0) == 0.0  # no memory
    assert DECAYS[name](tf.constant([5.0, 7.0]), 1.0).dtype == tf.float32


@pytest.mark.parametrize("kind", [tf.constant, tf.Variable])
def test_one_value_a_unit(kind):
    tau = kind(np.array([2.0, 20.0, 1000.0]))
    # exp(-0.25), exp(-0.025), exp(-0.0005) and 1 - 0.25, 1 - 0.025, 1 - 0.0005
    np.testing.assert_allclose(decay_exp(tau, 0.5), [0.778800783071405, 0.975309912028333, 0.999500124979169], 1e-14)
    np.testing.assert_allclose(decay_euler(tau, 0.5), [0.75, 0.975, 0.9995], 1e-14)


@pytest.mark.parametrize("tau", [0.5, tf.constant([3.0, 0.5]), tf.Variable([3.0, 0.5])])
def test_euler_needs_a_time_constant_of_at_least_a_step(tau):
    with pytest.raises(ValueError, match=r"tau must be >= dt = 1 ms for discretization='euler'; received .*0\.5"):
        decay_euler(tau, 1.0)
    assert decay_euler(1.0, 1.0) == 0.0  # at the bound all is forgotten
