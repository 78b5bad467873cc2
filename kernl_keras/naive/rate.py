"""Leaky rate units and their linearisation (18), unit by unit."""

from types import SimpleNamespace

import numpy as np

from .spiking import current, decay

RATE = dict(tau=None, activation="tanh", dt=1.0, discretization="exponential")


def rate_constants(units, **settings):
    """What one unit's step needs: a, f, dt."""
    c = SimpleNamespace(**{**RATE, **settings}, units=units)
    c.a = decay(c.tau, c.dt, c.discretization, units)
    return c


def rate(x, w_in, w_rec, bias, c, start=None, noise=None, enters=None):
    """h(t) = a h(t-1) + (1-a) f(g(t)); `enters` "state" is noise on h(t-1) itself."""
    batch, time, _ = x.shape
    run = SimpleNamespace(output=np.zeros((batch, time, c.units)), slope=np.zeros((batch, time, c.units)))
    state = np.zeros((batch, c.units)) if start is None else np.array(start, "float64")[0]
    for b in range(batch):
        for t in range(time):
            h0 = state[b] + (noise[b, t] if enters == "state" else 0.0)
            seen = h0 + (noise[b, t] if enters == "synapse" else 0.0)
            for i in range(c.units):
                g = current(x[b, t], seen, w_in, w_rec, bias, i)
                if enters == "current":
                    g += noise[b, t, i]
                value, slope = {
                    "tanh": (np.tanh(g), 1.0 / np.cosh(g) ** 2),
                    "relu": (max(g, 0.0), float(g > 0.0)),
                    "identity": (g, 1.0),
                }[c.activation]
                state[b, i] = c.a[i] * h0[i] + (1.0 - c.a[i]) * value
                run.output[b, t, i], run.slope[b, t, i] = state[b, i], slope
    run.end = state[None]
    run.seen, run.observed = run.output, {"voltage": run.output}
    run.gain = (1.0 - c.a) * run.slope
    run.leak = np.broadcast_to(c.a, run.output.shape)
    run.gate = run.keep = run.psi = np.ones_like(run.output)
    run.threshold_keep, run.beta, run.p = np.zeros_like(run.output), np.zeros(c.units), np.zeros(c.units)
    return run


def rate_tangent(xi, enters, run, w_rec, c):
    """The change of h [B, T, H] by infinitely small noise."""
    batch, time, units = xi.shape
    effect = np.zeros((batch, time, units))
    for b in range(batch):
        dh = np.zeros(units)
        for t in range(time):
            dh = dh + (xi[b, t] if enters == "state" else 0.0)
            seen = dh + (xi[b, t] if enters == "synapse" else 0.0)
            new = np.zeros(units)
            for i in range(units):
                change = sum(seen[j] * w_rec[j, i] for j in range(units))
                change += xi[b, t, i] if enters == "current" else 0.0
                new[i] = c.a[i] * dh[i] + (1.0 - c.a[i]) * run.slope[b, t, i] * change
            effect[b, t] = dh = new
    return {"voltage": effect}
