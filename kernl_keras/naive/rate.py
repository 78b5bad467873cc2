"""Leaky rate units, unit by unit; those with a period in complex numbers."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .loops import Array, Enters, decay, forward

RATE = dict(tau=None, period=None, activation="tanh", dt=1.0, discretization="exponential")
ACTIVATIONS = {  # f(g), f'(g)
    "tanh": lambda g: (np.tanh(g), 1.0 / np.cosh(g) ** 2),
    "relu": lambda g: (max(g, 0.0), float(g > 0.0)),
    "identity": lambda g: (g, 1.0),
}


def rate_constants(units: int, **settings: Any) -> SimpleNamespace:
    """The constants of one unit's step: a, the complex factor of a unit with a period, f, dt.

    Args:
        **settings: of `LeakyRNNCell`, those that are not the default.

    Example:
        >>> rate_constants(2, tau=[10.0, 20.0]).a.round(3).tolist()
        [0.905, 0.951]
    """
    c = SimpleNamespace(**{**RATE, **settings}, units=units)
    c.a = decay(c.tau, c.dt, c.discretization, units)
    c.turn = c.a if c.period is None else c.a * np.exp(2j * np.pi * c.dt / np.asarray(c.period))
    c.drive = 1.0 - c.a if c.period is None else np.sqrt(1.0 - c.a**2)
    return c


def rate(
    x: Array,
    w_in: Array,
    w_rec: Array,
    bias: Array,
    c: SimpleNamespace,
    start: Array | None = None,
    noise: Array | None = None,
    enters: Enters | None = None,
) -> SimpleNamespace:
    """Leaky rate units, as `LeakyRNNCell` has them; `enters` "state" is noise on h(t-1) itself.

        h(t) = a h(t-1) + (1-a) f(g(t)),        g(t) = x(t) W_in + h(t-1) W_rec + bias

    Example:
        >>> x, w, bias = np.ones((1, 3, 1)), np.ones((1, 1)), np.zeros(1)
        >>> c = rate_constants(1, tau=1.0 / np.log(2.0), activation="identity")  # a = 1/2
        >>> rate(x, w, 0.0 * w, bias, c).output[0, :, 0].round(3).tolist()
        [0.5, 0.75, 0.875]
    """

    def step(state, g, place):
        i = place[-1]
        value, slope = ACTIVATIONS[c.activation](g)
        before = state[0] if c.period is None else complex(state[1], state[0])
        u = c.turn[i] * before + c.drive[i] * value
        return (u.real, slope, u.imag), (u,) if c.period is None else (u.imag, u.real)

    start = np.zeros((1 if c.period is None else 2, len(x), c.units)) if start is None else start
    run = forward(x, w_in, w_rec, bias, start, ("output", "slope", "quadrature"), step, noise, enters)
    run.seen, run.observed = run.output, {"voltage": run.output}
    run.gain = c.drive * run.slope
    run.gate = run.psi = np.ones_like(run.output)
    return run
