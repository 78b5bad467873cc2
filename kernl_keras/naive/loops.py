"""Loops over time that units and rules share: a network with noise, its linearisation (18), and traces of weights."""

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


def tangent(xi, enters, w_rec, states, step):
    """Eq. (18) for infinitely small noise, by the chain rule: changes of observables, by name [B, T, H].

    Args:
        states: how many states a unit has.
        step: `(changes of a unit's states, change of I(t), place) -> (changes of observables, of the states after it)`.
    """
    batch, time, units = xi.shape
    effect: dict[str, Array] = {}
    change = np.zeros((states, batch, units))
    for b, t in np.ndindex(batch, time):
        before = change[:, b].copy()
        seen = before[-1] + (xi[b, t] if enters in ("state", "synapse") else 0.0)
        if enters == "state":
            before[-1] = seen
        for i in range(units):
            current = sum(seen[j] * w_rec[j, i] for j in range(units)) + (xi[b, t, i] if enters == "current" else 0.0)
            observed, change[:, b, i] = step(before[:, i], current, (b, t, i))
            for name, value in observed.items():
                effect.setdefault(name, np.zeros(xi.shape))[b, t, i] = value
    return effect


def traces_gradient(error, weights, own, hop=None):
    """dC/dW [weights, H] forward in time: the trace of each weight by itself.

    Args:
        weights: how many of them each unit i has, numbers j.
        own: `(changes of i's states, place, j) -> (change of z_i(t), of what the others receive, of the states)`.
        hop: `(its state or None, what the others received a step ago, place) -> (changes of all z(t) [H], state)`.
    """
    batch, time, units = error.shape
    total = np.zeros((weights, units))
    for b, i, j in np.ndindex(batch, units, weights):
        change, sent, moved = (0.0, 0.0), 0.0, None
        for t in range(time):
            if hop is not None:
                others, moved = hop(moved, sent, (b, t, i))
                total[j, i] += sum(error[b, t, k] * others[k] for k in range(units))
            spike, sent, change = own(change, (b, t, i), j)
            total[j, i] += error[b, t, i] * spike
    return total


def two_steps(**fields):
    """Error, s and run of the examples: a unit of a = 1/2, an input at the first of two steps, an error at the next."""
    one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    run = dict(psi=one, leak=0.5 * one, keep=one, gain=0.5 * one, threshold_keep=zero, beta=[0.0], p=[0.0])
    return np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]]), SimpleNamespace(**{**run, **fields})
