"""Eq. (37), (38): one step of any unit, linearised; noise through it (18), and the two kernels of a hop that are units.

Axes of the sums: b example, t step, k and i units, d and e own states of a unit, n currents of a unit.
"""

from types import SimpleNamespace
from typing import Literal, TypeAlias

import numpy as np

from .units import Array, Enters, adapts_by

Kind: TypeAlias = Literal["spiking", "resonator", "adlif", "rate", "lstm"]

# What happens to a unit at a step: psi, P, Q, r, K, s, the reset's part of s, and what passes the state by.


def _spiking(run, c, b, t, i):
    on, z, p, beta = run.on[b, t, i], run.z[b, t, i], c.p[i], c.beta[i]
    P, Q = [[c.a[i] if on else 1.0, 0.0], [0.0, 1.0]], [[on * c.drive[i]], [0.0]]
    if c.reset == "soft":
        K, taken = [[1.0, -beta * z], [0.0, p]], run.threshold[b, t, i]
    else:
        K, taken = [[1.0 - z, 0.0], [0.0, p]], run.potential[b, t, i] - c.reset_potential
    return run.psi[b, t, i], P, Q, [1.0, -beta], K, [0.0, adapts_by(c, i, run.psi[b, t, i])], [-taken, 0.0], [0.0]


def _resonator(run, c, b, t, i):
    turn, p = c.turn[i], c.p[i]
    P = [[turn.real, -turn.imag, 0.0], [turn.imag, turn.real, 0.0], [0.0, 0.0, 1.0]]
    Q, r, K = [[c.dt], [0.0], [0.0]], [1.0, 0.0, -c.beta[i]], np.diag([1.0, 1.0, p])
    return run.psi[b, t, i], P, Q, r, K, [0.0, 0.0, adapts_by(c, i, run.psi[b, t, i])], [0.0, 0.0, 0.0], [0.0]


def _adlif(run, c, b, t, i):
    z, v, a, p, coupling = run.z[b, t, i], run.potential[b, t, i], c.a[i], c.p[i], (1.0 - c.p[i]) * c.couples[i]
    P, Q = [[a, -(1.0 - a)], [0.0, 1.0]], [[c.drive[i]], [0.0]]
    K = [[1.0 - z, 0.0], [coupling * (1.0 - z), p]]
    return run.psi[b, t, i], P, Q, [1.0, 0.0], K, [0.0, (1.0 - p) * c.beta[i]], [-v, -coupling * v], [0.0]


def _rate(run, c, b, t, i):
    turn, f = c.turn[i], run.slope[b, t, i]
    if c.period is None:
        return 1.0, [[turn]], [[c.drive[i] * f]], [1.0], [[1.0]], [0.0], [0.0], [0.0]
    P = [[turn.real, -turn.imag], [turn.imag, turn.real]]
    return 1.0, P, [[c.drive[i] * f], [0.0]], [1.0, 0.0], np.eye(2), [0.0, 0.0], [0.0, 0.0], [0.0]


def _lstm(run, c, b, t, n):
    i, f, g, o, memory, before = (getattr(run, name)[b, t, n] for name in ("i", "f", "g", "o", "c", "c0"))
    Q, past = [i * (1.0 - i) * g, f * (1.0 - f) * before, i * (1.0 - g**2), 0.0], o * (1.0 - o) * np.tanh(memory)
    return o / np.cosh(memory) ** 2, [[f]], [Q], [1.0], [[1.0]], [0.0], [0.0], [0.0, 0.0, 0.0, past]


STEPS = {"spiking": _spiking, "resonator": _resonator, "adlif": _adlif, "rate": _rate, "lstm": _lstm}


def linear(
    kind: Kind,
    run: SimpleNamespace,
    c: SimpleNamespace | None = None,
    reset_gradient: bool = True,
    adaptation: bool = True,
) -> SimpleNamespace:
    """The linear step of every unit at every step, in its parts: of its d own states, where n currents move them.

        y(t) = P x(t-1) + Q I(t),    u(t) = r . y(t),    z(t) = psi u(t) + past . I(t),    x(t) = K y(t) + s psi u(t)

    Args:
        kind: its states are V and b of "spiking", Re U, Im U and b of "resonator", V and w of "adlif", h, or Re U and
            Im U, of "rate", and c of "lstm", the only one with four currents.
        adaptation: whether an adapting threshold is a part of the state.

    Returns:
        namespace of psi [B, T, H], P and K [B, T, H, d, d], Q [.., d, n], r and s [.., d], past [.., n].

    Example: half of the potential is left, and the threshold is half of a spike higher after it.

    >>> one = np.ones((1, 1, 1))
    >>> run = SimpleNamespace(output=0 * one, z=0 * one, on=one, psi=one, potential=one, threshold=one)
    >>> c = SimpleNamespace(a=[0.5], p=[0.5], beta=[2.0], drive=[1.0], reset="hard", reset_potential=0.0)
    >>> steps = linear("spiking", run, c)
    >>> [getattr(steps, name).ravel().tolist() for name in "PrKs"]
    [[0.5, 0.0, 0.0, 1.0], [1.0, -2.0], [1.0, 0.0, 0.0, 0.5], [-1.0, 0.5]]
    """
    adapts = kind in ("spiking", "resonator")
    if adapts and not adaptation and c is not None:
        c = SimpleNamespace(**{**vars(c), "beta": 0.0 * np.asarray(c.beta)})
    shape = run.output.shape
    rows = zip(*(STEPS[kind](run, c, *place) for place in np.ndindex(*shape)))
    psi, P, Q, r, K, s, reset, past = (np.array(part, float).reshape(*shape, *np.shape(part[0])) for part in rows)
    s = s + reset if reset_gradient else s
    if adapts and not adaptation:
        s[..., -1] = 0.0
    return SimpleNamespace(psi=psi, P=P, Q=Q, r=r, K=K, s=s, past=past)


def linear_steps(
    kind: Kind, run: SimpleNamespace, c: SimpleNamespace | None = None, reset_gradient: bool = True
) -> SimpleNamespace:
    """`linear` in one piece for all own states, of which a synaptic trace S is one more, the last.

        (43) x(t) = A x(t-1) + B I(t),        z(t) = D . x(t-1) + g . I(t)
             A = S P,  B = S Q,  D = psi P^T r,  g = psi Q^T r + past,  S = K + psi s r^T

    Returns:
        namespace of A [B, T, H, d, d], B [.., d, n], D [.., d], g [.., n], and `seen_D`, `seen_g`: D and g of what the
        recurrent weights see, S where there is a synaptic trace.

    Example: half of a potential of 1 is left, and a slope of 1 passes it on.

    >>> one = np.ones((1, 1, 1))
    >>> run = SimpleNamespace(slope=one, output=one)
    >>> steps = linear_steps("rate", run, SimpleNamespace(turn=[0.5], drive=[0.5], period=None))
    >>> steps.A.ravel().tolist(), steps.B.ravel().tolist(), steps.D.ravel().tolist()
    ([0.5], [0.5], [0.5])
    """
    one = linear(kind, run, c, reset_gradient)
    P, Q, r, K, s = one.P, one.Q, one.r, one.K, one.s
    trace = getattr(c, "tau_s", None) is not None
    if c is not None and trace:  # S(t) = exp(-dt/tau_s) S(t-1) + z(t)
        places = 3 * [(0, 0)]
        P, K = (np.pad(matrix, [*places, (0, 1), (0, 1)]) for matrix in (P, K))
        Q, r = np.pad(Q, [*places, (0, 1), (0, 0)]), np.pad(r, [*places, (0, 1)])
        s = np.pad(s, [*places, (0, 1)], constant_values=1.0)
        P[..., -1, -1], K[..., -1, -1] = c.s, 1.0
    S = K + one.psi[..., None, None] * s[..., :, None] * r[..., None, :]
    D = one.psi[..., None] * np.einsum("btkde,btkd->btke", P, r)
    g = one.psi[..., None] * np.einsum("btkdn,btkd->btkn", Q, r) + one.past
    A, B = S @ P, S @ Q
    seen_D, seen_g = (A[..., -1, :], B[..., -1, :]) if trace else (D, g)
    return SimpleNamespace(A=A, B=B, D=D, g=g, seen_D=seen_D, seen_g=seen_g)


def resting(kind: Kind, run: SimpleNamespace, c: SimpleNamespace, by_slope: bool = True) -> SimpleNamespace:
    """`linear` with the membrane's kernel, Eq. (25): units that neither spike, reset, adapt nor rest after a spike.

    Args:
        by_slope: whether what arrives at a rate unit counts by its slope f'.

    Example: K(d) = Re lambda^d of a unit that turns by a quarter in each step.

    >>> one = np.ones((1, 1, 1))
    >>> c = SimpleNamespace(turn=[1j], p=[0.0], beta=[1.0], dt=1.0, drive=np.ones(1))
    >>> resting("resonator", SimpleNamespace(output=one, psi=one), c).P[0, 0, 0, :2, :2].tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    one = np.ones(run.output.shape)
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


def back(steps, t, z_error, x_error):
    """One step back (38): from errors of z [B, H] and x [B, H, d] those of y, the currents [B, n, H], and x before."""
    whole = z_error + np.einsum("bkd,bkd->bk", steps.s[:, t], x_error)
    y_error = np.einsum("bkde,bkd->bke", steps.K[:, t], x_error)
    y_error = y_error + np.einsum("bkd,bk,bk->bkd", steps.r[:, t], steps.psi[:, t], whole)
    current_error = np.einsum("bkdn,bkd->bnk", steps.Q[:, t], y_error)
    current_error = current_error + np.einsum("bkn,bk->bnk", steps.past[:, t], z_error)
    return y_error, current_error, np.einsum("bkde,bkd->bke", steps.P[:, t], y_error)


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
    observed: dict[str, list] = {"voltage": [], "distance": [], "reset_voltage": []}
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
        for name, value in zip(observed, (y[..., 0], u, x[..., 0])):
            observed[name].append(value)
    return {name: np.stack(values, 1) for name, values in observed.items()}
