"""Eq. (24), (4)-(6), (9): resonators, unit by unit, in complex numbers."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .loops import Array, Enters, decay, forward
from .spiking import fire, pseudo_derivative

RESONATOR = dict(
    tau_m=300.0, period=30.0, tau_s=None, tau_a=10.0, base_threshold=1.0, adaptation_strength=10.0, dt=1.0,
    surrogate="exponential", surrogate_damping=0.3,
)  # fmt: skip


def resonator_constants(units: int, **settings: Any) -> SimpleNamespace:
    """The constants of one unit's step: lambda (complex), p, s (decays), b0, beta, ...

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

    def step(state, current, place):
        real, imaginary, b, s = state
        i = place[-1]
        u = c.turn[i] * complex(real, imaginary) + c.dt * current
        threshold = c.base_threshold + c.beta[i] * b
        z, _ = fire(u.real, threshold, smooth, place)
        b = c.p[i] * b + (1.0 - c.p[i]) * z
        s = c.s[i] * s + (z if heard is None else heard[place])
        return (u.real, threshold, pseudo_derivative(u.real, threshold, c), z, u.imag, b, s), (u.real, u.imag, b, s)

    start = np.zeros((4, len(x), c.units)) if start is None else start
    fields = ("potential", "threshold", "psi", "z", "quadrature", "b", "s")
    run = forward(x, w_in, w_rec, bias, start, fields, step, noise, enters)
    run.output, run.seen = run.z, run.s
    run.v = run.potential
    run.observed = {"voltage": run.potential, "distance": run.potential - run.threshold}
    run.slope, run.gate = run.psi, np.ones_like(run.z)
    return run
