"""Eq. (34), (5), (9): leaky units with an adaptation current, their linearisation and traces, unit by unit."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .spiking import Enters, current, decay, pseudo_derivative
from .whole_unit import Step

ADLIF = dict(
    tau_m=10.0, tau_a=100.0, tau_s=None, coupling=60.0, adaptation_strength=120.0, base_threshold=1.0, resistance=1.0,
    dt=1.0, surrogate="gaussian", surrogate_damping=0.3,
)  # fmt: skip


def adlif_constants(units: int, **settings: Any) -> SimpleNamespace:
    """What one unit's step needs: a, p, s (decays), A, b, b0, ...

    Args:
        **settings: of `AdLIFCell`; what is left out is as in `ADLIF` here, with tau_m = 10 ms and tau_a = 100 ms for
            all units.

    Example:

    >>> c = adlif_constants(2, tau_m=[10.0, 20.0])
    >>> c.a.round(3).tolist(), c.drive.round(3).tolist()
    ([0.905, 0.951], [0.095, 0.049])
    """
    c = SimpleNamespace(**{**ADLIF, **settings}, units=units)
    c.a, c.p, c.s = (decay(tau, c.dt, "exponential", units) for tau in (c.tau_m, c.tau_a, c.tau_s))
    c.couples, c.beta = (np.broadcast_to(np.asarray(x, "float64"), units) for x in (c.coupling, c.adaptation_strength))
    c.resistance = 1.0 / (1.0 - c.a) if c.resistance is None else np.broadcast_to(c.resistance, units)
    c.drive = (1.0 - c.a) * c.resistance
    return c


def adlif(
    x: np.ndarray,
    w_in: np.ndarray,
    w_rec: np.ndarray,
    bias: np.ndarray,
    c: SimpleNamespace,
    noise: np.ndarray | None = None,
    enters: Enters | None = None,
) -> SimpleNamespace:
    """Eq. (34), as `AdLIFCell` has it.

    Returns:
        namespace of [B, T, H] arrays: potential, psi, z, v, w, s.

    Example: an input at the first step; the potential swings below 0 and comes back.

    >>> x, w, bias = np.array([[[1.0]] + 40 * [[0.0]]]), np.ones((1, 1)), np.zeros(1)
    >>> run = adlif(x, w, 0.0 * w, bias, adlif_constants(1))
    >>> np.sign(run.potential[0, ::8, 0]).tolist()
    [1.0, -1.0, -1.0, 1.0, -1.0, -1.0]
    """
    batch, time, _ = x.shape
    noise = np.zeros((batch, time, c.units)) if noise is None else noise
    fields = ("potential", "psi", "z", "v", "w", "s")
    run = SimpleNamespace(**{name: np.zeros((batch, time, c.units)) for name in fields})
    for b in range(batch):
        v, w, s = np.zeros((3, c.units))
        for t in range(time):
            seen = s.copy()
            if enters in ("state", "synapse"):
                seen = seen + noise[b, t]
            s = s + noise[b, t] if enters == "state" else s
            for i in range(c.units):
                total = current(x[b, t], seen, w_in, w_rec, bias, i) + (noise[b, t, i] if enters == "current" else 0.0)
                potential = c.a[i] * v[i] + (1.0 - c.a[i]) * (c.resistance[i] * total - w[i])
                z = 1.0 if potential >= c.base_threshold else 0.0
                v[i] = 0.0 if z else potential
                w[i] = c.p[i] * w[i] + (1.0 - c.p[i]) * (c.couples[i] * v[i] + c.beta[i] * z)
                s[i] = c.s[i] * s[i] + z
                psi = pseudo_derivative(potential, c.base_threshold, c)
                for name, value in zip(fields, (potential, psi, z, v[i], w[i], s[i])):
                    getattr(run, name)[b, t, i] = value
    run.output, run.seen = run.z, run.s
    return run


def adlif_tangent(
    xi: np.ndarray, enters: Enters, run: SimpleNamespace, w_rec: np.ndarray, c: SimpleNamespace
) -> np.ndarray:
    """Eq. (18) for infinitely small noise: the change of V- [B, T, H], by the chain rule.

    Example: what is left of a current of 1 at the first step, with a = p = 1/2, A = 1.

    >>> c = adlif_constants(1, tau_m=1.0 / np.log(2.0), tau_a=1.0 / np.log(2.0), coupling=1.0, surrogate_damping=0.0)
    >>> x, w, bias, xi = np.zeros((1, 3, 1)), np.ones((1, 1)), np.zeros(1), np.array([[[1.0], [0.0], [0.0]]])
    >>> adlif_tangent(xi, "current", adlif(x, w, w, bias, c), w, c)[0, :, 0].tolist()
    [0.5, 0.125, -0.03125]
    """
    batch, time, units = xi.shape
    change = np.zeros((batch, time, units))
    for b in range(batch):
        dv, dw, ds = np.zeros((3, units))
        for t in range(time):
            ds = ds + xi[b, t] if enters == "state" else ds
            seen = ds + (xi[b, t] if enters == "synapse" else 0.0)
            new = np.zeros((3, units))
            for i in range(units):
                of_current = sum(seen[j] * w_rec[j, i] for j in range(units))
                of_current += xi[b, t, i] if enters == "current" else 0.0
                potential = c.a[i] * dv[i] + (1.0 - c.a[i]) * (c.resistance[i] * of_current - dw[i])
                spike = run.psi[b, t, i] * potential
                v = potential * (1.0 - run.z[b, t, i]) - run.potential[b, t, i] * spike
                w = c.p[i] * dw[i] + (1.0 - c.p[i]) * (c.couples[i] * v + c.beta[i] * spike)
                new[:, i] = v, w, c.s[i] * ds[i] + spike
                change[b, t, i] = potential
            dv, dw, ds = new
    return change


def adlif_own_step(run: SimpleNamespace, c: SimpleNamespace, follow_reset: bool) -> Step:
    """How a change of V and w goes on in a unit, see `whole_unit`.

    Args:
        follow_reset: as of `adlif_rule`.

    Example: with a = p = 1/2, A = 1 a change of 1 leaves 1/2 - 1/4.

    >>> c = adlif_constants(1, tau_m=1.0 / np.log(2.0), tau_a=1.0 / np.log(2.0), coupling=1.0)
    >>> zero = np.zeros((1, 2, 1))
    >>> step = adlif_own_step(SimpleNamespace(psi=zero, z=zero, potential=zero), c, follow_reset=False)
    >>> _, _, change = step((0.0, 0.0), 1.0, 0, 0, 0)
    >>> round(float(step(change, 0.0, 0, 1, 0)[0]), 6)
    0.25
    """

    def step(change, arrived, b, t, k):
        v, w = change
        potential = c.a[k] * v - (1.0 - c.a[k]) * w + arrived
        spike = run.psi[b, t, k] * potential
        v = potential * (1.0 - run.z[b, t, k]) - (run.potential[b, t, k] * spike if follow_reset else 0.0)
        return potential, spike, (v, c.p[k] * w + (1.0 - c.p[k]) * (c.couples[k] * v + c.beta[k] * spike))

    return step


def adlif_rule(
    error: np.ndarray,
    s: np.ndarray,
    run: SimpleNamespace,
    c: SimpleNamespace,
    follow_reset: bool,
    m: np.ndarray | None = None,
) -> np.ndarray:
    """E-prop, and KeRNL with the membrane's kernel: Eq. (20)-(22) with an own state of V and w.

    Args:
        follow_reset: whether what is left after a spike follows the spike's derivative.
        m: M [H, H] for KeRNL; None for e-prop.

    Returns:
        dC/dW [J, H].

    Example: what an input at the first step does to a spike at the second, with a = p = 1/2, A = 1: 1/2 (1/2 - 1/4).

    >>> c = adlif_constants(1, tau_m=1.0 / np.log(2.0), tau_a=1.0 / np.log(2.0), coupling=1.0, adaptation_strength=0.0)
    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> run = SimpleNamespace(psi=one, z=zero, potential=zero)
    >>> adlif_rule(np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]]), run, c, follow_reset=False).tolist()
    [[0.125]]
    """
    batch, time, units = error.shape
    gradient = np.zeros((s.shape[-1], units))
    for b, i, j in np.ndindex(batch, units, s.shape[-1]):
        v, w, sent = 0.0, 0.0, 0.0
        moved = np.zeros((2, units))  # V and w of every unit, by the spikes of i, M apart
        for t in range(time):
            if m is not None:
                for k in range(units):
                    of_k = c.a[k] * moved[0, k] - (1.0 - c.a[k]) * moved[1, k] + sent
                    moved[1, k] = c.p[k] * moved[1, k] + (1.0 - c.p[k]) * c.couples[k] * of_k
                    moved[0, k] = of_k
                    gradient[j, i] += error[b, t, k] * run.psi[b, t, k] * m[k, i] * of_k
            potential = c.a[i] * v + (1.0 - c.a[i]) * (c.resistance[i] * s[b, t, j] - w)
            sent = run.psi[b, t, i] * potential
            v = potential * (1.0 - run.z[b, t, i]) - (run.potential[b, t, i] * sent if follow_reset else 0.0)
            w = c.p[i] * w + (1.0 - c.p[i]) * (c.couples[i] * v + c.beta[i] * sent)
            gradient[j, i] += error[b, t, i] * sent
    return gradient
