"""Constants that learn, Eq. (30): the effect of each on its unit, forward in time.

Derivatives are by the logarithm of a constant, which is what learns.
"""

from types import SimpleNamespace

import numpy as np

from .rules import Hop, follow
from .units import Array


def kicks(name: str, run: SimpleNamespace, c: SimpleNamespace, start: Array | None = None) -> SimpleNamespace:
    """The change of the states of a unit in every step, at once, by the logarithm of one of its constants.

    Args:
        name: "tau_m", "period", "tau_a", "tau_s", "base_threshold" or "adaptation_strength"; of rate units "tau" or
            "period".

    Returns:
        namespace of arrays [B, T, H]: `potential` (complex where units oscillate), `threshold`, `taken` (what a soft
        reset takes of the potential besides), `adaptation` and `synapse`.

    Example: a potential of 1 decays by exp(-1/2) in a step, so the logarithm of tau_m adds exp(-1/2) / 2.

    >>> from .units import constants
    >>> one, start = np.ones((1, 1, 1)), np.zeros((4, 1, 1))
    >>> start[0] = 1.0
    >>> c = constants(1, tau_m=2.0)
    >>> run = SimpleNamespace(output=0 * one, potential=c.a * one, v=c.a * one, on=one, s=0 * one, b=0 * one)
    >>> kicks("tau_m", run, c, start).potential.round(3).tolist()
    [[[0.303]]]
    """
    shape, rate, swings = run.output.shape, not hasattr(run, "potential"), getattr(c, "period", None) is not None
    names = ("potential", "threshold", "taken", "adaptation", "synapse")
    kick = SimpleNamespace(**{each: np.zeros(shape) for each in names})
    potential, v = (run.output, run.output) if rate else (run.potential, run.v)
    first = np.zeros((4, *shape[::2])) if start is None else start
    exponential = getattr(c, "discretization", "exponential") == "exponential"

    def before(sequence, number):
        """A state [B, T, H] of the step before each, by its number among the first states."""
        return np.concatenate([first[number][:, None], sequence[:, :-1]], 1)

    def decay_slope(tau, factor):
        """A decay factor's derivative by log tau."""
        return c.dt / np.asarray(tau) * (factor if exponential else 1.0)

    if name in ("tau_m", "tau", "period") and swings:
        tau, period = np.asarray(c.tau if rate else c.tau_m), np.asarray(c.period)
        u0 = before(v, -1 if rate else 0) + 1j * before(run.quadrature, 0 if rate else 1)
        kick.potential = (c.dt / tau if name != "period" else -2j * np.pi * c.dt / period) * c.turn * u0
        if rate and name == "tau":  # the input's factor sqrt(1 - a^2) as well
            f = (potential - (c.turn * u0).real) / c.drive
            kick.potential = kick.potential - c.a**2 * c.dt / tau / c.drive * f
    elif name in ("tau_m", "tau"):
        v0 = before(v, -1 if rate else 0)
        arrived = 0.0 if getattr(c, "follows", False) else (potential - c.a * v0) / (1.0 - c.a)
        kick.potential = (1.0 if rate else run.on) * decay_slope(c.tau if rate else c.tau_m, c.a) * (v0 - arrived)
    elif name == "tau_a":
        kick.adaptation = decay_slope(c.tau_a, c.p) * (before(run.b, -2) - run.z)
    elif name == "tau_s":
        kick.synapse = decay_slope(c.tau_s, c.s) * before(run.s, -1)
    elif name == "base_threshold":
        kick.threshold += c.base_threshold
    else:
        kick.threshold = c.beta * before(run.b, -2)
    if getattr(c, "reset", None) == "soft":
        kick.taken = run.z * kick.threshold
    return kick


def constant(error: Array, steps: SimpleNamespace, kick: SimpleNamespace, hop: Hop | None = None) -> Array:
    """The gradient [H] of a constant's logarithm by e-prop, or with a hop by KeRNL: Eq. (20), (21), (30).

    Args:
        kick: what `kicks` returns.

    Example: a threshold that is higher by 1 at the first of two steps takes psi from the spike there.

    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> half = 0.5 * one[..., None, None]
    >>> steps = SimpleNamespace(psi=0.3 * one, P=half, r=one[..., None], K=2 * half, s=zero[..., None])
    >>> higher = np.array([[[1.0], [0.0]]])
    >>> kick = SimpleNamespace(potential=zero, threshold=higher, taken=zero, adaptation=zero, synapse=zero)
    >>> constant(one, steps, kick).tolist()
    [-0.3]
    """
    added = np.zeros((*error.shape[:2], 1, *steps.P.shape[2:4]))
    after = added.copy()
    added[:, :, 0, :, 0] = np.real(kick.potential)
    if np.iscomplexobj(kick.potential):
        added[:, :, 0, :, 1] = np.imag(kick.potential)
    after[:, :, 0, :, 0] -= kick.taken
    after[:, :, 0, :, -1] += kick.adaptation
    one = (slice(None), slice(None), None)  # a weight alone
    return follow(error, steps, added, kick.threshold[one], after, sent=kick.synapse[one], hop=hop)[0]
