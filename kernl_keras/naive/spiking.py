"""Eq. (1)-(9), unit by unit."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .loops import Array, Enters, decay, forward

SPIKING = dict(
    tau_m=20.0, tau_s=5.0, tau_a=200.0, tau_ref=1.0, resistance=2.0, base_threshold=1.0, adaptation_strength=0.0,
    reset_potential=0.0, reset="hard", dt=1.0, discretization="exponential", surrogate="triangle",
    surrogate_damping=0.3,
)  # fmt: skip


def constants(units: int, **settings: Any) -> SimpleNamespace:
    """The constants of one unit's step: a, p, s (decays), R_m, b0, beta, tau_ref, V_reset, ...

    Args:
        **settings: of `LIFCell`, those that are not the default; a `surrogate` of your own is called with one number u.

    Example:
        >>> c = constants(2, tau_m=[10.0, 20.0])
        >>> c.a.round(3).tolist(), c.reset
        ([0.905, 0.951], 'hard')
    """
    c = SimpleNamespace(**{**SPIKING, **settings}, units=units)
    c.a, c.p, c.s = (decay(tau, c.dt, c.discretization, units) for tau in (c.tau_m, c.tau_a, c.tau_s))
    c.beta = np.broadcast_to(np.asarray(c.adaptation_strength, "float64"), units)
    c.follows = c.resistance is None  # R_m follows a
    c.resistance = 1.0 / (1.0 - c.a) if c.follows else np.broadcast_to(c.resistance, units)
    c.drive = (1.0 - c.a) * c.resistance
    return c


def pseudo_derivative(v, threshold, c):
    """Eq. (5)."""
    u = (v - threshold) / threshold
    shape = c.surrogate if callable(c.surrogate) else SHAPES[c.surrogate]
    return c.surrogate_damping * float(shape(np.float64(u))) / threshold


def normal(u, mean, std):
    """Density of the normal distribution."""
    return np.exp(-(((u - mean) / std) ** 2) / 2.0) / (std * np.sqrt(2.0 * np.pi))


def yin(u):
    """Yin, Corradi, Bohte, Nature Machine Intelligence 3:905 (2021), with sigma = 1/2, h = 0.15 and s = 6."""
    return 1.15 * normal(u, 0.0, 0.5) - 0.15 * normal(u, 0.5, 3.0) - 0.15 * normal(u, -0.5, 3.0)


SHAPES = {
    "triangle": lambda u: max(0.0, 1.0 - abs(u)),
    "exponential": lambda u: np.exp(-abs(u) / 2.0),
    "fast_sigmoid": lambda u: 1.0 / (1.0 + 10.0 * abs(u)) ** 2,
    "arctan": lambda u: 1.0 / (1.0 + (np.pi * u) ** 2),
    "gaussian": lambda u: normal(u, 0.0, 0.5) / normal(0.0, 0.0, 0.5),
    "multi_gaussian": lambda u: yin(u) / yin(0.0),
    "boxcar": lambda u: 1.0 if abs(u) < 0.5 else 0.0,
}


def fire(potential, threshold, smooth, place):
    """Eq. (4): z, and whether there is a spike; of a smooth run z moves with the distance to the threshold."""
    if smooth is None:
        z = 1.0 if potential >= threshold else 0.0
        return z, z
    moved = potential - threshold - (smooth.potential[place] - smooth.threshold[place])
    return smooth.z[place] + smooth.psi[place] * moved, smooth.z[place]


FIELDS = ("potential", "threshold", "on", "psi", "z", "v", "b", "r", "s")


def spiking(
    x: Array,
    w_in: Array,
    w_rec: Array,
    bias: Array,
    c: SimpleNamespace,
    start: Array | None = None,
    noise: Array | None = None,
    enters: Enters | None = None,
    smooth: SimpleNamespace | None = None,
    stop_reset: bool = False,
    heard: Array | None = None,
) -> SimpleNamespace:
    """Eq. (1)-(9), as `LIFCell` has them.

    Args:
        start: [4, B, H] V, b, r, S before the first step.
        smooth: the result of an earlier run. The run then has that one's events, but a spike moves with the distance
            to threshold: z = z0 + psi0 (V- - B - V0- + B0). At the same weights it is the same run, and its ordinary
            derivative is the surrogate's: what backpropagation through time computes.
        stop_reset: the smooth run resets by the spikes of the run it is made from.
        heard: [B, T, H] spikes that enter S in place of the run's own.

    Returns:
        namespace of [B, T, H] arrays named in `FIELDS`, and `end` [4, B, H].

    Example: a constant current, one unit, which spikes and is reset.

    >>> x, w, bias = np.full((1, 40, 1), 1.0), np.ones((1, 1)), np.zeros(1)
    >>> run = spiking(x, w, 0.0 * w, bias, constants(1))
    >>> np.flatnonzero(run.z[0, :, 0]).tolist()  # every 14 steps, and one refractory step
    [13, 28]
    """

    def step(state, current, place):
        v, b, r, s = state
        i = place[-1]
        threshold = c.base_threshold + c.beta[i] * b
        on = r < c.dt
        potential = v
        if on if smooth is None else smooth.on[place]:
            potential = c.a[i] * v + (1.0 - c.a[i]) * c.resistance[i] * current
        psi = pseudo_derivative(potential, threshold, c) if on else 0.0
        z, event = fire(potential, threshold, smooth, place)
        reset = event if stop_reset else z
        if c.reset == "soft":
            v = potential - threshold * reset
        else:
            v = potential * (1.0 - reset) + c.reset_potential * reset
        b = c.p[i] * b + (1.0 - c.p[i]) * z
        r = max(r - c.dt, 0.0) + c.tau_ref * event
        s = c.s[i] * s + (z if heard is None else heard[place])
        return (potential, threshold, on, psi, z, v, b, r, s), (v, b, r, s)

    start = np.zeros((4, len(x), c.units)) if start is None else start
    run = forward(x, w_in, w_rec, bias, start, FIELDS, step, noise, enters)
    run.output, run.seen = run.z, run.s
    run.observed = {"voltage": run.potential, "distance": run.potential - run.threshold, "reset_voltage": run.v}
    run.slope, run.gate = run.psi, run.on
    return run
