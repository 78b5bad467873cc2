"""Eq. (35): LSTM units, their linearisation, their traces, and a sweep for every window, unit by unit."""

from types import SimpleNamespace

import numpy as np

from .network import Array, gradient

GATES = "ifgo"


def sigmoid(x: float) -> float:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


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
    run = SimpleNamespace(**{name: np.zeros((batch, time, units)) for name in (*GATES, "c", "c0", "h")})
    for b in range(batch):
        c, h = np.zeros(units), np.zeros(units)
        for t in range(time):
            seen = h if noise is None else h + noise[b, t]
            for i in range(units):
                run.c0[b, t, i] = c[i]
                for number, name in enumerate(GATES):
                    column = number * units + i
                    total = bias[column]
                    total += sum(x[b, t, j] * w_in[j, column] for j in range(x.shape[-1]))
                    total += sum(seen[j] * w_rec[j, column] for j in range(units))
                    getattr(run, name)[b, t, i] = np.tanh(total) if name == "g" else sigmoid(total)
            c = run.f[b, t] * c + run.i[b, t] * run.g[b, t]
            h = run.o[b, t] * np.tanh(c)
            run.c[b, t], run.h[b, t] = c, h
    return run


def gate_slopes(run: SimpleNamespace, b: int, t: int, i: int) -> tuple[Array, Array]:
    """The derivatives of c(t) by the four currents, and of h(t) by them where c(t) stands still, each [4]."""
    gate, forget, candidate, output = (getattr(run, name)[b, t, i] for name in GATES)
    of_memory = [
        gate * (1.0 - gate) * candidate,
        forget * (1.0 - forget) * run.c0[b, t, i],
        gate * (1.0 - candidate**2),
        0.0,
    ]
    return np.array(of_memory), np.array([0.0, 0.0, 0.0, output * (1.0 - output) * np.tanh(run.c[b, t, i])])


def seen_memory(run: SimpleNamespace, b: int, t: int, i: int) -> float:
    """The derivative of h(t) by c(t)."""
    return run.o[b, t, i] / np.cosh(run.c[b, t, i]) ** 2


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
            seen, before = dh + xi[b, t], dc.copy()
            for i in range(units):
                of_memory, of_output = gate_slopes(run, b, t, i)
                of_currents = [sum(seen[j] * w_rec[j, number * units + i] for j in range(units)) for number in range(4)]
                dc[i] = run.f[b, t, i] * before[i] + of_memory @ of_currents
                dh[i] = seen_memory(run, b, t, i) * dc[i] + of_output @ of_currents
            change[b, t] = dc
    return change


def lstm_rule(
    error: Array, s: Array, run: SimpleNamespace, m: Array | None = None, gamma: Array | None = None, dt: float = 1.0
) -> Array:
    """E-prop of LSTM units, and KeRNL with exponential kernels, by traces: Eq. (20)-(22) with the memory as own state.

        eps(t) = f(t) eps(t-1) + dc(t)/dW,          zeta(t) = o (1 - tanh(c)^2) eps(t) + tanh(c) do(t)/dW
        e(t)   = exp(-gamma dt) e(t-1) + zeta(t-1),        dC/dW = sum [L_i zeta + (sum_k L_k dh_k/dc_k M_ki) e]

    Args:
        m: M [R, H, H] and gamma [R, H] for KeRNL; None for e-prop.

    Returns:
        dC/dW [J, 4H].

    Example: the memory of an input at the first step, half of which is forgotten: candidate weight, 0.5 * 0.5 * 0.5.

    >>> x, w = np.array([[[1.0], [0.0]]]), np.zeros((1, 4))
    >>> run = lstm(x, w, w, np.zeros(4))
    >>> lstm_rule(np.array([[[0.0], [1.0]]]), x, run).tolist()
    [[0.0, 0.0, 0.125, 0.0]]
    """
    units = error.shape[-1]

    def own(change, place, weight):
        j, number = divmod(weight, 4)
        of_memory, of_output = gate_slopes(run, *place)
        arrived = s[(*place[:2], j)]
        eps = run.f[place] * change[0] + of_memory[number] * arrived
        sent = seen_memory(run, *place) * eps + of_output[number] * arrived
        return sent, sent, (eps,)

    def hop(e, sent, place):
        b, t, i = place
        e = np.exp(-gamma[:, i] * dt) * (0.0 if e is None else e) + sent  # [R]
        return [seen_memory(run, b, t, k) * (m[:, k, i] @ e) for k in range(units)], e

    total = gradient(error, 4 * s.shape[-1], own, None if m is None else hop)
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
    """Eq. (28) for LSTM units: the errors of each window by themselves, back to the first step of the sequence.

    Args:
        size: C, steps of a window.
        crosses: whether the memory crosses a border.
        m: M [R, H, H] and gamma [R, H] of a hop besides; None for none.

    Returns:
        dC/dI(t) [B, T, 4H].

    Example: what the candidate's current at the first step does to the output at the second, through the memory.

    >>> run = lstm(np.zeros((1, 2, 1)), np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4))
    >>> error = np.array([[[0.0], [1.0]]])
    >>> [lstm_windows(error, run, np.zeros((1, 4)), 1, crosses)[0, 0].tolist() for crosses in (True, False)]
    [[0.0, 0.0, 0.125, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    batch, time, units = error.shape
    of_current = np.zeros((batch, time, 4 * units))

    def back(of_output, of_memory, b, t):
        """From errors of h(t) and c(t): those of the currents [4H], of c(t) with that of h(t), and of c(t-1)."""
        currents, whole = np.zeros(4 * units), np.zeros(units)
        for i in range(units):
            whole[i] = of_memory[i] + seen_memory(run, b, t, i) * of_output[i]
            by_memory, by_output = gate_slopes(run, b, t, i)
            currents[i::units] = by_memory * whole[i] + by_output * of_output[i]
        return currents, whole, run.f[b, t] * whole

    for b in range(batch):
        for first in range(0, time, size):
            later, memory, whole = np.zeros(units), np.zeros(units), np.zeros(units)
            for t in reversed(range(first, min(first + size, time))):
                currents, whole, memory = back(error[b, t] + later, memory, b, t)
                of_current[b, t] += currents
                later = np.array([sum(w_rec[j, n] * currents[n] for n in range(4 * units)) for j in range(units)])
            if not crosses:
                continue
            for t in reversed(range(first)):
                through = np.zeros(units)
                if m is not None and gamma is not None:
                    for r, i, k in np.ndindex(len(m), units, units):
                        through[i] += whole[k] * m[r, k, i] * np.exp(-gamma[r, i] * dt * (first - 1 - t))
                currents, _, memory = back(through, memory, b, t)
                of_current[b, t] += currents
    return of_current
