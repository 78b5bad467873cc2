"""Eq. (34), (5), (9): leaky units with an adaptation current, their linearisation and traces, unit by unit."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .loops import Array, Enters, decay, forward, tangent, traces_gradient
from .spiking import pseudo_derivative
from .whole_unit import Step

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


def adlif_tangent(xi: Array, enters: Enters, run: SimpleNamespace, w_rec: Array, c: SimpleNamespace) -> Array:
    """Eq. (18) for infinitely small noise: the change of V- [B, T, H], by the chain rule.

    Example: what is left of a current of 1 at the first step, with a = p = 1/2, A = 1.

    >>> c = adlif_constants(1, tau_m=1.0 / np.log(2.0), tau_a=1.0 / np.log(2.0), coupling=1.0, surrogate_damping=0.0)
    >>> x, w, bias, xi = np.zeros((1, 3, 1)), np.ones((1, 1)), np.zeros(1), np.array([[[1.0], [0.0], [0.0]]])
    >>> adlif_tangent(xi, "current", adlif(x, w, w, bias, c), w, c)[0, :, 0].tolist()
    [0.5, 0.125, -0.03125]
    """
    own = adlif_own_step(run, c, follow_reset=True)

    def step(change, current, place):
        v, w, s = change
        potential, spike, after = own((v, w), c.drive[place[-1]] * current, *place)
        return {"voltage": potential}, (*after, c.s[place[-1]] * s + spike)

    return tangent(xi, enters, w_rec, 3, step)["voltage"]


def adlif_own_step(run: SimpleNamespace, c: SimpleNamespace, follow_reset: bool) -> Step:
    """A step of a change of V and w in a unit, see `whole_unit`.

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
    error: Array, s: Array, run: SimpleNamespace, c: SimpleNamespace, follow_reset: bool, m: Array | None = None
) -> Array:
    """E-prop, and KeRNL with the membrane's kernel: Eq. (20)-(22) with an own state of V and w, dC/dW [J, H].

    Args:
        follow_reset: whether what is left after a spike follows the spike's derivative.
        m: M [H, H] for KeRNL; None for e-prop.

    Example: what an input at the first step does to a spike at the second, with a = p = 1/2, A = 1: 1/2 (1/2 - 1/4).

    >>> c = adlif_constants(1, tau_m=1.0 / np.log(2.0), tau_a=1.0 / np.log(2.0), coupling=1.0, adaptation_strength=0.0)
    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> run = SimpleNamespace(psi=one, z=zero, potential=zero)
    >>> adlif_rule(np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]]), run, c, follow_reset=False).tolist()
    [[0.125]]
    """
    step = adlif_own_step(run, c, follow_reset)

    def own(change, place, j):
        b, t, i = place
        _, spike, change = step(change, c.drive[i] * s[b, t, j], b, t, i)
        return spike, spike, change

    def hop(moved, sent, place):
        """V and w of every unit by what i sent, between spikes."""
        b, t, i = place
        v, w = np.zeros((2, c.units)) if moved is None else moved
        v = c.a * v - (1.0 - c.a) * w + sent
        return run.psi[b, t] * m[:, i] * v, (v, c.p * w + (1.0 - c.p) * c.couples * v)

    return traces_gradient(error, s.shape[-1], own, None if m is None else hop)
