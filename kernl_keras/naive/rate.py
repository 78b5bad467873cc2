"""Leaky rate units and their linearisation (18), unit by unit; those with a period in complex numbers."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .loops import Array, Enters, decay, forward, tangent

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
        u = c.turn[i] * _potential(state) + c.drive[i] * value
        return (u.real, slope, u.imag), _states(u, c)

    start = np.zeros((1 if c.period is None else 2, len(x), c.units)) if start is None else start
    run = forward(x, w_in, w_rec, bias, start, ("output", "slope", "quadrature"), step, noise, enters)
    run.seen, run.observed = run.output, {"voltage": run.output}
    run.gain = c.drive * run.slope
    run.leak = np.broadcast_to(c.turn, run.output.shape)
    run.gate = run.keep = run.psi = np.ones_like(run.output)
    run.threshold_keep, run.beta, run.p = np.zeros_like(run.output), np.zeros(c.units), np.zeros(c.units)
    return run


def _potential(state):
    """U of the states h, or Im U and h."""
    return state[-1] if len(state) == 1 else complex(state[1], state[0])


def _states(u, c):
    return (u,) if c.period is None else (u.imag, u.real)


def rate_tangent(xi: Array, enters: Enters, run: SimpleNamespace, w_rec: Array, c: SimpleNamespace) -> dict[str, Array]:
    """Eq. (18) for infinitely small noise: the change of h [B, T, H].

    Example:
        >>> x, w, bias, xi = np.zeros((1, 3, 1)), np.ones((1, 1)), np.zeros(1), np.array([[[1.0], [0.0], [0.0]]])
        >>> c = rate_constants(1, tau=1.0 / np.log(2.0))  # a = 1/2, f = tanh
        >>> rate_tangent(xi, "current", rate(x, w, 0.0 * w, bias, c), 0.0 * w, c)["voltage"][0, :, 0].round(3).tolist()
        [0.5, 0.25, 0.125]
    """

    def step(change, g, place):
        u = c.turn[place[-1]] * _potential(change) + c.drive[place[-1]] * run.slope[place] * g
        return {"voltage": u.real}, _states(u, c)

    return tangent(xi, enters, w_rec, 1 if c.period is None else 2, step)
