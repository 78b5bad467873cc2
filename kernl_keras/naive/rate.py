"""Leaky rate units and their linearisation (18), unit by unit; those with a period in complex numbers."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .spiking import Enters, current, decay

RATE = dict(tau=None, period=None, activation="tanh", dt=1.0, discretization="exponential")


def rate_constants(units: int, **settings: Any) -> SimpleNamespace:
    """What one unit's step needs: a, the complex factor of a unit with a period, f, dt.

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
    x: np.ndarray,
    w_in: np.ndarray,
    w_rec: np.ndarray,
    bias: np.ndarray,
    c: SimpleNamespace,
    start: np.ndarray | None = None,
    noise: np.ndarray | None = None,
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
    batch, time, _ = x.shape
    noise = np.zeros((batch, time, c.units)) if noise is None else noise
    run = SimpleNamespace(**{name: np.zeros((batch, time, c.units)) for name in ("output", "slope", "quadrature")})
    u = np.zeros((batch, c.units), c.turn.dtype)
    if start is not None:  # [h], or [Im U, h]
        u = u + start[-1] + (1j * start[0] if len(start) > 1 else 0.0)
    for b in range(batch):
        for t in range(time):
            u0 = u[b] + (noise[b, t] if enters == "state" else 0.0)
            seen = u0.real + (noise[b, t] if enters == "synapse" else 0.0)
            for i in range(c.units):
                g = current(x[b, t], seen, w_in, w_rec, bias, i)
                if enters == "current":
                    g += noise[b, t, i]
                value, slope = {
                    "tanh": (np.tanh(g), 1.0 / np.cosh(g) ** 2),
                    "relu": (max(g, 0.0), float(g > 0.0)),
                    "identity": (g, 1.0),
                }[c.activation]
                u[b, i] = c.turn[i] * u0[i] + c.drive[i] * value
                run.output[b, t, i], run.slope[b, t, i], run.quadrature[b, t, i] = u[b, i].real, slope, u[b, i].imag
    run.end = np.stack([u.real] if c.period is None else [u.imag, u.real])
    run.seen, run.observed = run.output, {"voltage": run.output}
    run.gain = c.drive * run.slope
    run.leak = np.broadcast_to(c.turn, run.output.shape)
    run.gate = run.keep = run.psi = np.ones_like(run.output)
    run.threshold_keep, run.beta, run.p = np.zeros_like(run.output), np.zeros(c.units), np.zeros(c.units)
    return run


def rate_tangent(
    xi: np.ndarray, enters: Enters, run: SimpleNamespace, w_rec: np.ndarray, c: SimpleNamespace
) -> dict[str, np.ndarray]:
    """Eq. (18) for infinitely small noise: the change of h [B, T, H].

    Example:

    >>> x, w, bias, xi = np.zeros((1, 3, 1)), np.ones((1, 1)), np.zeros(1), np.array([[[1.0], [0.0], [0.0]]])
    >>> c = rate_constants(1, tau=1.0 / np.log(2.0))  # a = 1/2, f = tanh
    >>> rate_tangent(xi, "current", rate(x, w, 0.0 * w, bias, c), 0.0 * w, c)["voltage"][0, :, 0].round(3).tolist()
    [0.5, 0.25, 0.125]
    """
    batch, time, units = xi.shape
    effect = np.zeros((batch, time, units))
    for b in range(batch):
        du = np.zeros(units, c.turn.dtype)
        for t in range(time):
            du = du + (xi[b, t] if enters == "state" else 0.0)
            seen = du.real + (xi[b, t] if enters == "synapse" else 0.0)
            new = np.zeros(units, c.turn.dtype)
            for i in range(units):
                change = sum(seen[j] * w_rec[j, i] for j in range(units))
                change += xi[b, t, i] if enters == "current" else 0.0
                new[i] = c.turn[i] * du[i] + c.drive[i] * run.slope[b, t, i] * change
            effect[b, t], du = new.real, new
    return {"voltage": effect}
