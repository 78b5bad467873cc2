"""Constants that learn, Eq. (30): what each does to its unit, forward in time and unit by unit.

Derivatives are by the logarithm of a constant, which is what learns.
"""

from types import SimpleNamespace

import numpy as np


def kicks(name: str, run: SimpleNamespace, c: SimpleNamespace, start: np.ndarray | None = None) -> SimpleNamespace:
    """What a constant's logarithm adds to the states of its unit in every step, at once.

    Args:
        name: "tau_m", "period", "tau_a", "tau_s", "base_threshold" or "adaptation_strength"; of rate units "tau" or
            "period".

    Returns:
        namespace of arrays [B, T, H]: `potential` (complex where units oscillate), `threshold`,
        `adaptation` and `synapse`.

    Example: a potential of 1 decays by exp(-1/2) in a step, so the logarithm of tau_m adds exp(-1/2) / 2.

    >>> from .spiking import constants
    >>> one, start = np.ones((1, 1, 1)), np.zeros((4, 1, 1))
    >>> start[0] = 1.0
    >>> c = constants(1, tau_m=2.0)
    >>> run = SimpleNamespace(output=0 * one, potential=c.a * one, v=c.a * one, on=one, s=0 * one, b=0 * one)
    >>> kicks("tau_m", run, c, start).potential.round(3).tolist()
    [[[0.303]]]
    """
    shape, rate, swings = run.output.shape, not hasattr(run, "potential"), getattr(c, "period", None) is not None
    kick = SimpleNamespace(**{each: np.zeros(shape) for each in ("potential", "threshold", "adaptation", "synapse")})
    potential, v = (run.output, run.output) if rate else (run.potential, run.v)
    first = np.zeros((4, *shape[::2])) if start is None else start
    for b, t, i in np.ndindex(*shape):
        v0 = v[b, t - 1, i] if t else first[-1 if rate else 0][b, i]
        if swings:
            q0 = run.quadrature[b, t - 1, i] if t else first[0 if rate else 1][b, i]
        if not rate:
            b0, s0 = (each[b, t - 1, i] if t else first[k][b, i] for k, each in ((-2, run.b), (-1, run.s)))
        if name in ("tau_m", "tau", "period"):
            tau = of_unit(c.tau if rate else c.tau_m, c, i)
            if swings:
                u0 = complex(v0, q0)
                by = c.dt / tau if name != "period" else -2j * np.pi * c.dt / of_unit(c.period, c, i)
                kick.potential = kick.potential.astype(complex)
                kick.potential[b, t, i] = by * c.turn[i] * u0
                if rate and name == "tau":  # the input's factor sqrt(1 - a^2) as well
                    f = (potential[b, t, i] - (c.turn[i] * u0).real) / c.drive[i]
                    kick.potential[b, t, i] -= c.a[i] ** 2 * c.dt / tau / c.drive[i] * f
                continue
            of_decay = c.dt / tau * (c.a[i] if c.discretization == "exponential" else 1.0)
            if rate or run.on[b, t, i]:
                arrived = (potential[b, t, i] - c.a[i] * v0) / (1.0 - c.a[i])
                kick.potential[b, t, i] = of_decay * (v0 - (0.0 if getattr(c, "follows", False) else arrived))
        elif name in ("tau_a", "tau_s"):
            decay = (c.p if name == "tau_a" else c.s)[i]
            tau = of_unit(getattr(c, name), c, i)
            of_decay = c.dt / tau * (decay if getattr(c, "discretization", "exponential") == "exponential" else 1.0)
            if name == "tau_a":
                kick.adaptation[b, t, i] = of_decay * (b0 - run.z[b, t, i])
            else:
                kick.synapse[b, t, i] = of_decay * s0
        else:
            kick.threshold[b, t, i] = c.base_threshold if name == "base_threshold" else c.beta[i] * b0
    return kick


def of_unit(value, c, i):
    """A unit's entry of one number for all or of a list."""
    return np.broadcast_to(np.asarray(value, "float64"), c.units)[i]


def constant(
    error: np.ndarray,
    run: SimpleNamespace,
    kick: SimpleNamespace,
    m: np.ndarray | None = None,
    lam: np.ndarray | None = None,
    heard: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of a constant's logarithm by e-prop, or by KeRNL with the membrane's kernel: Eq. (20), (21), (30).

    Args:
        kick: what `kicks` returns.
        m: M [H, H], for KeRNL; None for e-prop.
        lam: lambda of each unit [H].
        heard: f' of the unit that is moved [B, T, H], by which what arrives counts; 1 where None.

    Returns:
        [H].

    Example: a threshold that is higher by 1 at the first of two steps takes psi from the spike there.

    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> run = SimpleNamespace(psi=0.3 * one, leak=0.5 * one, keep=one, threshold_keep=zero, beta=[0.0], p=[0.0])
    >>> kick = SimpleNamespace(potential=zero, threshold=np.array([[[1.0], [0.0]]]), adaptation=zero, synapse=zero)
    >>> constant(one, run, kick).tolist()
    [-0.3]
    """
    batch, time, units = error.shape
    gradient = np.zeros(units)
    for b, i in np.ndindex(batch, units):
        u, c, sent, e = 0.0, 0.0, 0.0, np.zeros(units, complex)
        for t in range(time):
            if m is not None and lam is not None:
                for k in range(units):
                    e[k] = lam[k] * e[k] + (1.0 if heard is None else heard[b, t, k]) * sent
                    gradient[i] += error[b, t, k] * run.psi[b, t, k] * m[k, i] * e[k].real
            threshold = run.beta[i] * c + kick.threshold[b, t, i]
            potential = run.leak[b, t, i] * u + kick.potential[b, t, i]
            spike = run.psi[b, t, i] * (np.real(potential) - threshold)
            u = run.keep[b, t, i] * potential - run.threshold_keep[b, t, i] * threshold
            c = run.p[i] * c + (1.0 - run.p[i]) * spike + kick.adaptation[b, t, i]
            sent = spike + kick.synapse[b, t, i]
            gradient[i] += error[b, t, i] * spike
    return gradient
