"""Decay factors from time constants.

The factor d in x(t) = d x(t - dt) for tau dx/dt = -x: exp(-dt / tau), which is exact, or Euler's 1 - dt / tau, its
first-order approximation for tau >= dt. `tau` > 0, in ms, is a number or a tensor, and so is the factor;
`tau=None` stands for no memory, d = 0.
"""

import math
from numbers import Real

import numpy as np
import tensorflow as tf


def decay_exp(tau, dt, name="tau"):
    """The exact decay factor of a step of `dt` ms, exp(-dt / tau)."""
    if tau is None:
        return 0.0
    return math.exp(-dt / tau) if isinstance(tau, Real) else tf.exp(-dt / tf.convert_to_tensor(tau))


def decay_euler(tau, dt, name="tau"):
    """The decay factor of the Euler method, 1 - dt / tau; a ValueError for a `tau` < `dt`, where it would be negative.

    A tensor without a value, as in a traced graph, is not checked.
    """
    if tau is None:
        return 0.0
    tau = tau if isinstance(tau, Real) else tf.convert_to_tensor(tau)
    known = tf.get_static_value(tau)
    if known is not None and np.any(known < dt):
        raise ValueError(f"{name} must be >= dt = {dt:g} ms for discretization='euler'; received {known}.")
    return 1.0 - dt / tau


DECAYS = {"exponential": decay_exp, "euler": decay_euler}
