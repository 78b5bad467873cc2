"""Eq. (35): LSTM units, unit by unit."""

from types import SimpleNamespace

import numpy as np

from .units import Array, forward

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

    def step(state, place, *currents):
        c0, _ = state
        i, f, _, o = 1.0 / (1.0 + np.exp(-np.array(currents)))
        g = np.tanh(currents[2])
        c = f * c0 + i * g
        h = o * np.tanh(c)
        return (i, f, g, o, c, c0, h), (c, h)

    run = forward(x, w_in, w_rec, bias, 2, FIELDS, step, noise=noise, enters="synapse")
    run.output = run.h
    return run
