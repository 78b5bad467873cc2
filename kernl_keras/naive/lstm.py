"""Eq. (35): LSTM units, their linearisation, their traces, and a sweep for every window, unit by unit."""

from types import SimpleNamespace

import numpy as np

from .loops import Array, traces_gradient

FIELDS = ("i", "f", "g", "o", "c", "c0", "h")


def lstm(x: Array, w_in: Array, w_rec: Array, bias: Array, noise: Array | None = None) -> SimpleNamespace:
    """Eq. (35), as `LSTMCell` has it. The weights of gate number n into unit i are column n H + i.

    Args:
        noise: on h(t-1) as the recurrent weights see it.

    Returns:
        namespace of [B, T, H] arrays: the gates i, f, g, o; memory c, memory before the step c0, output h.

    Example: gates half open, and a candidate of tanh(1): 0.5 * 0.762.

    >>> run = lstm(np.ones((1, 1, 1)), np.array([[0.0, 0.0, 1.0, 0.0]]), np.zeros((1, 4)), np.zeros(4))
    >>> run.c.ravel().round(3).tolist()
    [0.381]
    """
    batch, time, _ = x.shape
    units = len(bias) // 4
    run = SimpleNamespace(**{name: np.zeros((batch, time, units)) for name in FIELDS})
    for b in range(batch):
        c, h = np.zeros(units), np.zeros(units)
        for t in range(time):
            seen = h if noise is None else h + noise[b, t]
            current = bias + x[b, t] @ w_in + seen @ w_rec
            i, f, g, o = 1.0 / (1.0 + np.exp(-current.reshape(4, units)))
            g = np.tanh(current[2 * units : 3 * units])
            c0, c = c, f * c + i * g
            h = o * np.tanh(c)
            for name, value in zip(FIELDS, (i, f, g, o, c, c0, h)):
                getattr(run, name)[b, t] = value
    return run


def slopes(run, b, t):
    """Derivatives of c(t) by the four currents of its unit [4, H], of h(t) by them at one c(t) [4, H], by c(t) [H]."""
    i, f, g, o, c, c0, _ = (getattr(run, name)[b, t] for name in FIELDS)
    zero = np.zeros_like(c)
    by_memory = np.array([i * (1.0 - i) * g, f * (1.0 - f) * c0, i * (1.0 - g**2), zero])
    by_output = np.array([zero, zero, zero, o * (1.0 - o) * np.tanh(c)])
    return by_memory, by_output, o / np.cosh(c) ** 2


def lstm_tangent(xi: Array, run: SimpleNamespace, w_rec: Array) -> Array:
    """Eq. (18) for infinitely small noise on h(t-1) as the recurrent weights see it: the change of c [B, T, H].

    Example: what the candidate's weight 2 makes of it with an input gate that is half open, and what is left of it.

    >>> run = lstm(np.zeros((1, 2, 1)), np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4))
    >>> lstm_tangent(np.array([[[1.0], [0.0]]]), run, np.array([[0.0, 0.0, 2.0, 0.0]])).ravel().tolist()
    [1.0, 1.0]
    """
    batch, time, units = xi.shape
    change = np.zeros(xi.shape)
    for b in range(batch):
        dc, dh = np.zeros(units), np.zeros(units)
        for t in range(time):
            memory_slopes, output_slopes, seen_memory = slopes(run, b, t)
            currents = ((dh + xi[b, t]) @ w_rec).reshape(4, units)
            dc = run.f[b, t] * dc + (memory_slopes * currents).sum(0)
            dh = seen_memory * dc + (output_slopes * currents).sum(0)
            change[b, t] = dc
    return change


def lstm_rule(
    error: Array, s: Array, run: SimpleNamespace, m: Array | None = None, gamma: Array | None = None, dt: float = 1.0
) -> Array:
    """E-prop of LSTM units, and KeRNL with exponential kernels, by traces: Eq. (20)-(22), dC/dW [J, 4H].

        eps(t) = f(t) eps(t-1) + dc(t)/dW,          zeta(t) = o (1 - tanh(c)^2) eps(t) + tanh(c) do(t)/dW
        e(t)   = exp(-gamma dt) e(t-1) + zeta(t-1),        dC/dW = sum [L_i zeta + (sum_k L_k dh_k/dc_k M_ki) e]

    Args:
        m: M [R, H, H] and gamma [R, H] for KeRNL; None for e-prop.

    Example: the memory of an input at the first step, half of which is forgotten: candidate weight, 0.5 * 0.5 * 0.5.

    >>> x, w = np.array([[[1.0], [0.0]]]), np.zeros((1, 4))
    >>> run = lstm(x, w, w, np.zeros(4))
    >>> lstm_rule(np.array([[[0.0], [1.0]]]), x, run).tolist()
    [[0.0, 0.0, 0.125, 0.0]]
    """
    units = error.shape[-1]

    def own(change, place, weight):
        (b, t, i), (j, gate) = place, divmod(weight, 4)
        memory_slopes, output_slopes, seen_memory = slopes(run, b, t)
        eps = run.f[place] * change[0] + memory_slopes[gate, i] * s[b, t, j]
        sent = seen_memory[i] * eps + output_slopes[gate, i] * s[b, t, j]
        return sent, sent, (eps,)

    def hop(e, sent, place):
        b, t, i = place
        e = np.exp(-gamma[:, i] * dt) * (0.0 if e is None else e) + sent  # [R]
        return slopes(run, b, t)[2] * (e @ m[:, :, i]), e

    total = traces_gradient(error, 4 * s.shape[-1], own, None if m is None else hop)
    return total.reshape(-1, 4 * units)  # [J 4, H] to [J, 4 H]


def lstm_windows(
    error: Array,
    run: SimpleNamespace,
    w_rec: Array,
    size: int,
    crosses: bool = True,
    m: Array | None = None,
    gamma: Array | None = None,
    dt: float = 1.0,
) -> Array:
    """Eq. (28) for LSTM units: dC/dI(t) [B, T, 4H], the errors of each window back to the first step.

    Args:
        size: C, steps of a window.
        crosses: whether the memory crosses a border.
        m: M [R, H, H] and gamma [R, H] of a hop besides; None for none.

    Example: what the candidate's current at the first step does to the output at the second, through the memory.

    >>> run = lstm(np.zeros((1, 2, 1)), np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4))
    >>> error = np.array([[[0.0], [1.0]]])
    >>> [lstm_windows(error, run, np.zeros((1, 4)), 1, crosses)[0, 0].tolist() for crosses in (True, False)]
    [[0.0, 0.0, 0.125, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    batch, time, units = error.shape
    current_error = np.zeros((batch, time, 4 * units))

    def back(output_error, memory_error, b, t):
        """From errors of h(t) and c(t): those of the currents [4H], of c(t) with that of h(t), and of c(t-1)."""
        memory_slopes, output_slopes, seen_memory = slopes(run, b, t)
        whole = memory_error + seen_memory * output_error
        return (memory_slopes * whole + output_slopes * output_error).ravel(), whole, run.f[b, t] * whole

    for b in range(batch):
        for first in range(0, time, size):
            later, memory, whole = np.zeros((3, units))
            for t in reversed(range(first, min(first + size, time))):
                currents, whole, memory = back(error[b, t] + later, memory, b, t)
                current_error[b, t] += currents
                later = w_rec @ currents
            for t in reversed(range(first if crosses else 0)):
                through = np.zeros(units)
                if m is not None and gamma is not None:
                    for r, i, k in np.ndindex(len(m), units, units):
                        through[i] += whole[k] * m[r, k, i] * np.exp(-gamma[r, i] * dt * (first - 1 - t))
                currents, _, memory = back(through, memory, b, t)
                current_error[b, t] += currents
    return current_error
