"""Eq. (24), (4)-(6), (9): resonators and their linearisation (18), unit by unit, in complex numbers."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .spiking import Enters, current, decay, pseudo_derivative

RESONATOR = dict(
    tau_m=300.0, period=30.0, tau_s=None, tau_a=10.0, base_threshold=1.0, adaptation_strength=10.0, dt=1.0,
    surrogate="exponential", surrogate_damping=0.3,
)  # fmt: skip


def resonator_constants(units: int, **settings: Any) -> SimpleNamespace:
    """What one unit's step needs: lambda (complex), p, s (decays), b0, beta, ...

    Args:
        **settings: of `ResonatorCell`; what is left out is as in `RESONATOR` here, with one tau_m (300 ms) and one
            period (30 ms).

    Example:

    >>> bool(np.isclose(resonator_constants(1, tau_m=1e9, period=4.0).turn[0], 1j))  # a quarter of a turn a step
    True
    """
    c = SimpleNamespace(**{**RESONATOR, **settings}, units=units)
    tau_m, period = (np.broadcast_to(np.asarray(value, "float64"), units) for value in (c.tau_m, c.period))
    c.turn = np.exp(c.dt * (-1.0 / tau_m + 2j * np.pi / period))
    c.p, c.s = (decay(tau, c.dt, "exponential", units) for tau in (c.tau_a, c.tau_s))
    c.beta = np.broadcast_to(np.asarray(c.adaptation_strength, "float64"), units)
    c.drive = np.full(units, c.dt)
    return c


def resonator(
    x: np.ndarray,
    w_in: np.ndarray,
    w_rec: np.ndarray,
    bias: np.ndarray,
    c: SimpleNamespace,
    start: np.ndarray | None = None,
    noise: np.ndarray | None = None,
    enters: Enters | None = None,
    smooth: SimpleNamespace | None = None,
    stop_reset: bool = False,
    heard: np.ndarray | None = None,
) -> SimpleNamespace:
    """Eq. (24), (4)-(6), (9), as `ResonatorCell` has them.

    Args:
        smooth, stop_reset, heard: as of `spiking`, and so is the result; the states are Re U, Im U, b, S, and there is
            no reset to stop.

    Example: an input at the first step, and the potential swings with the period of 4 steps.

    >>> x, w, bias = np.array([[[0.1], [0.0], [0.0], [0.0], [0.0]]]), np.ones((1, 1)), np.zeros(1)
    >>> run = resonator(x, w, w, bias, resonator_constants(1, tau_m=1e9, period=4.0))
    >>> (run.potential[0, :, 0].round(3) + 0.0).tolist()
    [0.1, 0.0, -0.1, 0.0, 0.1]
    """
    batch, time, _ = x.shape
    noise = np.zeros((batch, time, c.units)) if noise is None else noise
    fields = ("potential", "threshold", "psi", "z", "quadrature", "b", "s")
    run = SimpleNamespace(**{name: np.zeros((batch, time, c.units)) for name in fields})
    state = np.zeros((4, batch, c.units)) if start is None else np.array(start, "float64")
    for b in range(batch):
        for t in range(time):
            re0, im0, b0, s0 = state[:, b].copy()
            seen = s0.copy()
            if enters == "state":
                s0 = s0 + noise[b, t]
            if enters in ("state", "synapse"):
                seen = seen + noise[b, t]
            for i in range(c.units):
                total = current(x[b, t], seen, w_in, w_rec, bias, i)
                if enters == "current":
                    total += noise[b, t, i]
                u = c.turn[i] * complex(re0[i], im0[i]) + c.dt * total
                threshold = c.base_threshold + c.beta[i] * b0[i]
                psi = pseudo_derivative(u.real, threshold, c)
                if smooth is None:
                    z = 1.0 if u.real >= threshold else 0.0
                else:
                    distance = smooth.potential[b, t, i] - smooth.threshold[b, t, i]
                    z = smooth.z[b, t, i] + smooth.psi[b, t, i] * (u.real - threshold - distance)
                adaptation = c.p[i] * b0[i] + (1.0 - c.p[i]) * z
                trace = c.s[i] * s0[i] + (z if heard is None else heard[b, t, i])
                state[:, b, i] = u.real, u.imag, adaptation, trace
                for name, value in zip(fields, (u.real, threshold, psi, z, u.imag, adaptation, trace)):
                    getattr(run, name)[b, t, i] = value
    run.end = state
    run.output, run.seen = run.z, run.s
    run.v = run.potential
    run.observed = {"voltage": run.potential, "distance": run.potential - run.threshold}
    run.slope, run.gate = run.psi, np.ones_like(run.z)
    run.leak = np.broadcast_to(c.turn, run.z.shape)  # complex: eps of Eq. (20) turns
    run.gain, run.keep, run.threshold_keep = c.dt * np.ones_like(run.z), np.ones_like(run.z), np.zeros_like(run.z)
    run.beta, run.p = c.beta, c.p
    return run


def resonator_tangent(
    xi: np.ndarray, enters: Enters, run: SimpleNamespace, w_rec: np.ndarray, c: SimpleNamespace
) -> dict[str, np.ndarray]:
    """Eq. (18) for infinitely small noise: the change of each observable [B, T, H], by the chain rule.

    Example:

    >>> x, w, bias, xi = np.zeros((1, 3, 1)), np.ones((1, 1)), np.zeros(1), np.array([[[1.0], [0.0], [0.0]]])
    >>> c = resonator_constants(1, tau_m=1e9, period=4.0, surrogate_damping=0.0)
    >>> (resonator_tangent(xi, "current", resonator(x, w, w, bias, c), w, c)["voltage"][0, :, 0].round(3) + 0).tolist()
    [1.0, 0.0, -1.0]
    """
    batch, time, units = xi.shape
    voltage, distance = np.zeros((2, batch, time, units))
    for b in range(batch):
        du, db, ds = np.zeros(units, complex), np.zeros(units), np.zeros(units)
        for t in range(time):
            if enters == "state":
                ds = ds + xi[b, t]
            seen = ds + (xi[b, t] if enters == "synapse" else 0.0)
            u1, b1, s1 = np.zeros(units, complex), np.zeros(units), np.zeros(units)
            for i in range(units):
                change = sum(seen[j] * w_rec[j, i] for j in range(units))
                change += xi[b, t, i] if enters == "current" else 0.0
                u1[i] = c.turn[i] * du[i] + c.dt * change
                voltage[b, t, i], distance[b, t, i] = u1[i].real, u1[i].real - c.beta[i] * db[i]
                dz = run.psi[b, t, i] * distance[b, t, i]
                b1[i] = c.p[i] * db[i] + (1.0 - c.p[i]) * dz
                s1[i] = c.s[i] * ds[i] + dz
            du, db, ds = u1, b1, s1
    return {"voltage": voltage, "distance": distance}
