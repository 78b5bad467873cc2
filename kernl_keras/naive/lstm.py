"""Eq. (35): LSTM units, their linearisation, their traces, and a sweep for every window, unit by unit."""

from types import SimpleNamespace

import numpy as np

GATES = "ifgo"


def sigmoid(x: float) -> float:
    """The logistic function.

    Example:

    >>> float(sigmoid(0.0))
    0.5
    """
    return 1.0 / (1.0 + np.exp(-x))


def lstm(
    x: np.ndarray, w_in: np.ndarray, w_rec: np.ndarray, bias: np.ndarray, noise: np.ndarray | None = None
) -> SimpleNamespace:
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


def gate_slopes(run: SimpleNamespace, b: int, t: int, i: int) -> tuple[np.ndarray, np.ndarray]:
    """The derivatives of c(t) by the four currents, and of h(t) by them where c(t) stands still, each [4].

    Example: of closed gates nothing passes, and a memory that is kept counts by the slope of its gate, 1/4.

    >>> one, half = np.ones((1, 1, 1)), np.full((1, 1, 1), 0.5)
    >>> run = SimpleNamespace(i=0 * one, f=half, g=one, o=0 * one, c=one, c0=one)
    >>> [part.tolist() for part in gate_slopes(run, 0, 0, 0)]
    [[0.0, 0.25, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    gates = {name: getattr(run, name)[b, t, i] for name in GATES}
    of_memory = [
        gates["i"] * (1.0 - gates["i"]) * gates["g"],
        gates["f"] * (1.0 - gates["f"]) * run.c0[b, t, i],
        gates["i"] * (1.0 - gates["g"] ** 2),
        0.0,
    ]
    of_output = [0.0, 0.0, 0.0, gates["o"] * (1.0 - gates["o"]) * np.tanh(run.c[b, t, i])]
    return np.array(of_memory), np.array(of_output)


def seen_memory(run: SimpleNamespace, b: int, t: int, i: int) -> float:
    """The derivative of h(t) by c(t).

    Example:

    >>> float(seen_memory(SimpleNamespace(o=np.full((1, 1, 1), 0.5), c=np.zeros((1, 1, 1))), 0, 0, 0))
    0.5
    """
    return run.o[b, t, i] / np.cosh(run.c[b, t, i]) ** 2


def lstm_tangent(xi: np.ndarray, run: SimpleNamespace, w_rec: np.ndarray) -> np.ndarray:
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
    error: np.ndarray,
    s: np.ndarray,
    run: SimpleNamespace,
    m: np.ndarray | None = None,
    gamma: np.ndarray | None = None,
    dt: float = 1.0,
) -> np.ndarray:
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
    batch, time, units = error.shape
    gradient = np.zeros((s.shape[-1], 4 * units))
    for b, i, j, number in np.ndindex(batch, units, s.shape[-1], 4):
        eps, sent = 0.0, 0.0
        e, total = np.zeros(0 if m is None else len(m)), 0.0
        for t in range(time):
            if m is not None and gamma is not None:
                e = np.exp(-gamma[:, i] * dt) * e + sent
                for k in range(units):
                    total += error[b, t, k] * seen_memory(run, b, t, k) * (m[:, k, i] @ e)
            of_memory, of_output = gate_slopes(run, b, t, i)
            eps = run.f[b, t, i] * eps + of_memory[number] * s[b, t, j]
            sent = seen_memory(run, b, t, i) * eps + of_output[number] * s[b, t, j]
            total += error[b, t, i] * sent
        gradient[j, number * units + i] += total
    return gradient


def lstm_windows(
    error: np.ndarray,
    run: SimpleNamespace,
    w_rec: np.ndarray,
    size: int,
    crosses: bool = True,
    m: np.ndarray | None = None,
    gamma: np.ndarray | None = None,
    dt: float = 1.0,
) -> np.ndarray:
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
