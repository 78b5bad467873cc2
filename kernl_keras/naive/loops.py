"""The loop over time of all units but LSTM: a network with noise, unit by unit."""

from types import SimpleNamespace
from typing import Literal, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Enters: TypeAlias = Literal["current", "synapse", "state"]  # where the noise does


def decay(tau, dt, discretization, units):
    """[H] decay factors of one step; tau=None has no memory."""
    if tau is None:
        return np.zeros(units)
    tau = np.broadcast_to(np.asarray(tau, "float64"), units)
    return np.exp(-dt / tau) if discretization == "exponential" else 1.0 - dt / tau


def forward(x, w_in, w_rec, bias, start, fields, step, noise, enters):
    """The run of a network: arrays [B, T, H] of the names in `fields`, and `end`, the states after the last step.

    Args:
        start: the states before the first step [states, B, H]. The last of them is what recurrent weights see.
        step: `(states of a unit, I(t), place (b, t, i)) -> (values of the fields, states after the step)`.
    """
    batch, time, inputs = x.shape
    units = len(bias)
    run = SimpleNamespace(**{name: np.zeros((batch, time, units)) for name in fields})
    state = np.array(start, "float64")
    for b, t in np.ndindex(batch, time):
        before = state[:, b].copy()
        seen = before[-1].copy()
        if noise is not None and enters in ("state", "synapse"):
            seen += noise[b, t]
        if enters == "state":
            before[-1] = seen
        for i in range(units):
            current = bias[i]  # Eq. (1)
            for j in range(inputs):
                current += x[b, t, j] * w_in[j, i]
            for j in range(units):
                current += seen[j] * w_rec[j, i]
            if noise is not None and enters == "current":
                current += noise[b, t, i]
            values, state[:, b, i] = step(before[:, i], current, (b, t, i))
            for name, value in zip(fields, values):
                getattr(run, name)[b, t, i] = value
    run.end = state
    return run
