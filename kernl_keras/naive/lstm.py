"""Eq. (35): LSTM units, unit by unit, and the derivatives of their step."""

from types import SimpleNamespace

import numpy as np

from .units import Array

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
