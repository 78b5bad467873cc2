"""Eq. (37), (38): one step of any unit, linearised; noise through it (18), and the two kernels of a hop that are units.

Axes of the sums: b example, k and i units, d and e own states of a unit, n currents of a unit.
"""

from types import SimpleNamespace

import numpy as np

from . import means
from .units import Array, Enters


def linear(
    kind: means.Kind,
    run: SimpleNamespace,
    c: SimpleNamespace | None = None,
    reset_gradient: bool = True,
    adaptation: bool = True,
) -> SimpleNamespace:
    """The linear step of every unit at every step, in its parts: of its d own states, where n currents move them.

        y(t) = P x(t-1) + Q I(t),    u(t) = r . y(t),    z(t) = psi u(t) + past . I(t),    x(t) = K y(t) + s psi u(t)

    Args:
        reset_gradient: whether what a reset takes follows the derivative of the spike, Eq. (8).
        adaptation: whether an adapting threshold is a part of the state.

    Returns:
        namespace of psi [B, T, H], P and K [B, T, H, d, d], Q [.., d, n], r and s [.., d], past [.., n].

    Example: half of the potential is left, and the threshold is half of a spike higher after it.

    >>> one = np.ones((1, 1, 1))
    >>> run = SimpleNamespace(z=0 * one, on=one, psi=one, potential=one, threshold=one)
    >>> c = SimpleNamespace(a=[0.5], p=[0.5], beta=[2.0], drive=[1.0], reset="hard", reset_potential=0.0)
    >>> steps = linear("spiking", run, c)
    >>> [getattr(steps, name).ravel().tolist() for name in "PrKs"]
    [[0.5, 0.0, 0.0, 1.0], [1.0, -2.0], [1.0, 0.0, 0.0, 0.5], [-1.0, 0.5]]
    """
    adapts = kind in ("spiking", "resonator")
    if adapts and not adaptation and c is not None:
        c = SimpleNamespace(**{**vars(c), "beta": 0.0 * np.asarray(c.beta)})
    shape = (run.h if kind == "lstm" else run.output if hasattr(run, "output") else run.z).shape
    rows = [getattr(means, f"_{kind}")(run, c, *place) for place in np.ndindex(*shape)]
    psi, P, Q, r, K, s, reset, past = (np.array(part, float).reshape(*shape, *np.shape(part[0])) for part in zip(*rows))
    s = s + reset if reset_gradient else s
    if adapts and not adaptation:
        s[..., -1] = 0.0
    past = past if past.ndim > 3 else past[..., None]
    return SimpleNamespace(psi=psi, P=P, Q=Q, r=r, K=K, s=s, past=past)


def resting(kind: means.Kind, run: SimpleNamespace, c: SimpleNamespace, by_slope: bool = True) -> SimpleNamespace:
    """`linear` with the membrane's kernel, Eq. (25): units that neither spike, reset, adapt nor rest after a spike.

    Args:
        by_slope: whether what arrives at a rate unit counts by its slope f'.

    Example: K(d) = Re lambda^d of a unit that turns by a quarter in each step.

    >>> one = np.ones((1, 1, 1))
    >>> c = SimpleNamespace(turn=[1j], p=[0.0], beta=[1.0], dt=1.0, drive=np.ones(1))
    >>> resting("resonator", SimpleNamespace(z=one, psi=one), c).P[0, 0, 0, :2, :2].tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    one = np.ones((run.output if hasattr(run, "output") else run.z).shape)
    quiet = {"on": one, "z": 0.0 * one, **({} if by_slope else {"slope": one})}
    steps = linear(kind, SimpleNamespace(**{**vars(run), **quiet}), c, reset_gradient=False, adaptation=False)
    steps.s = 0.0 * steps.s
    return steps


def arrivals(steps: SimpleNamespace, c: SimpleNamespace) -> Array:
    """What the effect of 1 of another unit, which stands for its weight and the drive, does to y [B, T, H, d].

    Example: nothing in a refractory unit, which no current moves.

    >>> steps = SimpleNamespace(Q=np.array([0.5, 0.0]).reshape(1, 2, 1, 1, 1))
    >>> arrivals(steps, SimpleNamespace(drive=np.array([0.5]))).ravel().tolist()
    [1.0, 0.0]
    """
    return steps.Q[..., 0] / c.drive[:, None]


def advance(steps, t, x, added, raised=0.0):
    """One step of changes x [B, .., H, d]: those of y, of the distance u, of z = psi u, and of x after the step."""
    y = np.einsum("bkde,b...ke->b...kd", steps.P[:, t], x) + added
    u = np.einsum("bkd,b...kd->b...k", steps.r[:, t], y) - raised
    z = np.einsum("bk,b...k->b...k", steps.psi[:, t], u)
    x = np.einsum("bkde,b...ke->b...kd", steps.K[:, t], y) + np.einsum("bkd,b...k->b...kd", steps.s[:, t], z)
    return y, u, z, x


def back(steps, t, of_z, of_x):
    """One step back (38): from errors of z [B, H] and x [B, H, d] those of y, the currents [B, n, H], and x before."""
    whole = of_z + np.einsum("bkd,bkd->bk", steps.s[:, t], of_x)
    of_y = np.einsum("bkde,bkd->bke", steps.K[:, t], of_x)
    of_y = of_y + np.einsum("bkd,bk,bk->bkd", steps.r[:, t], steps.psi[:, t], whole)
    of_current = np.einsum("bkdn,bkd->bnk", steps.Q[:, t], of_y) + np.einsum("bkn,bk->bnk", steps.past[:, t], of_z)
    return of_y, of_current, np.einsum("bkde,bkd->bke", steps.P[:, t], of_y)


def tangent(
    xi: Array, enters: Enters, steps: SimpleNamespace, w_rec: Array, synapse: Array | None = None
) -> dict[str, Array]:
    """Eq. (18) for infinitely small noise, by the chain rule: the change of each observable [B, T, H].

    Args:
        synapse: decay of S in one step [H]; None where the recurrent weights see the output itself.

    Returns:
        dict of "voltage", V- or the first state; "distance", V- - B; and "reset_voltage", V after the spike.

    Example: what is left of a current of 1 at the first step.

    >>> one = np.ones((1, 3, 1))
    >>> steps = linear("rate", SimpleNamespace(slope=one, output=one),
    ...     SimpleNamespace(turn=[0.5], drive=[0.5], period=None))
    >>> xi = np.array([[[1.0], [0.0], [0.0]]])
    >>> tangent(xi, "current", steps, np.zeros((1, 1)))["voltage"].ravel().tolist()
    [0.5, 0.25, 0.125]
    """
    batch, time, units = xi.shape
    found: dict[str, list] = {"voltage": [], "distance": [], "reset_voltage": []}
    x, seen = np.zeros((batch, units, steps.P.shape[-1])), np.zeros((batch, units))
    for t in range(time):
        if enters == "state":
            seen = seen + xi[:, t]
            if synapse is None:
                x[..., 0] += xi[:, t]
        current = (seen + (xi[:, t] if enters == "synapse" else 0.0)) @ w_rec
        current = (current + (xi[:, t] if enters == "current" else 0.0)).reshape(batch, -1, units)
        y, u, z, x = advance(steps, t, x, np.einsum("bkdn,bnk->bkd", steps.Q[:, t], current))
        sent = z + np.einsum("bkn,bnk->bk", steps.past[:, t], current)
        seen = sent if synapse is None else synapse * seen + sent
        for name, value in zip(found, (y[..., 0], u, x[..., 0])):
            found[name].append(value)
    return {name: np.stack(values, 1) for name, values in found.items()}
