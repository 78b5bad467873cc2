"""Eq. (34), (5), (9): leaky units with an adaptation current, unit by unit."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .loops import Array, Enters, decay, forward
from .spiking import pseudo_derivative

ADLIF = dict(
    tau_m=10.0, tau_a=100.0, tau_s=None, coupling=60.0, adaptation_strength=120.0, base_threshold=1.0, resistance=1.0,
    dt=1.0, surrogate="gaussian", surrogate_damping=0.3,
)  # fmt: skip


def adlif_constants(units: int, **settings: Any) -> SimpleNamespace:
    """The constants of one unit's step: a, p, s (decays), A, b, b0, ...

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
    x: Array,
    w_in: Array,
    w_rec: Array,
    bias: Array,
    c: SimpleNamespace,
    noise: Array | None = None,
    enters: Enters | None = None,
) -> SimpleNamespace:
    """Eq. (34), as `AdLIFCell` has it: a namespace of arrays [B, T, H], potential, psi, z, v, w, s.

    Example: an input at the first step; the potential swings below 0 and comes back.

    >>> x, w, bias = np.array([[[1.0]] + 40 * [[0.0]]]), np.ones((1, 1)), np.zeros(1)
    >>> run = adlif(x, w, 0.0 * w, bias, adlif_constants(1))
    >>> np.sign(run.potential[0, ::8, 0]).tolist()
    [1.0, -1.0, -1.0, 1.0, -1.0, -1.0]
    """

    def step(state, current, place):
        v, w, s = state
        i = place[-1]
        potential = c.a[i] * v + (1.0 - c.a[i]) * (c.resistance[i] * current - w)
        z = 1.0 if potential >= c.base_threshold else 0.0
        v = 0.0 if z else potential
        w = c.p[i] * w + (1.0 - c.p[i]) * (c.couples[i] * v + c.beta[i] * z)
        s = c.s[i] * s + z
        return (potential, pseudo_derivative(potential, c.base_threshold, c), z, v, w, s), (v, w, s)

    start, fields = np.zeros((3, len(x), c.units)), ("potential", "psi", "z", "v", "w", "s")
    run = forward(x, w_in, w_rec, bias, start, fields, step, noise, enters)
    run.output, run.seen = run.z, run.s
    return run
