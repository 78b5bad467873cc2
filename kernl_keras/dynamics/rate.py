"""One time step of leaky rate units.

    g(t) = I(t);    h(t) = a h(t-1) + (1-a) f(g(t)),    a = exp(-dt / tau), or 0 for a unit without memory of its own.

A unit with a period swings as it leaks: U(t) = a exp(2 pi i dt/period) U(t-1) + sqrt(1-a^2) f(g(t)), h = Re U, so that
U has the power of f(g) where that is white noise.

Pure functions of [B, H] tensors; times in ms.
Source: Roth, Kanitscheider, Fiete, ICLR 2019 (a = 0); Murray, eLife 8:e43299 (2019) (leak); Orvieto et al.,
Resurrecting Recurrent Neural Networks for Long Sequences, ICML 2023 (complex leak and its normalisation).
"""

from typing import Any, NamedTuple

import tensorflow as tf

ACTIVATIONS = {
    "tanh": (tf.tanh, lambda g: 1.0 - tf.tanh(g) ** 2),
    "relu": (tf.nn.relu, lambda g: tf.cast(g > 0.0, g.dtype)),
    "identity": (tf.identity, tf.ones_like),
}
"""Name -> (f, f')."""


class RateParameters(NamedTuple):
    """Constants of a step, numbers or [H]."""

    activation: str  # a key of `ACTIVATIONS`
    leak: Any  # a, or Re a exp(2 pi i dt/period)
    turn: Any  # Im of the same; 0 without a period
    drive: Any  # what a unit of f(g) adds to the activity in one step: 1 - a, with a period sqrt(1 - a^2)


class RateState(NamedTuple):
    """h, or a small change of it [B, H]."""

    activity: Any


class OscillatingState(NamedTuple):
    """The same of units with a period."""

    quadrature: Any  # Im U
    activity: Any


class RateStep(NamedTuple):
    """What happened in one step. Each [B, H]."""

    output: Any  # h(t)
    slope: Any  # f'(g(t))


def advance(state, added, p):
    """The state, or a change of it, one step later; what it becomes by itself and what is added to h."""
    if isinstance(state, RateState):
        return RateState(p.leak * state.activity + added)
    activity, quadrature = state.activity, state.quadrature
    return OscillatingState(
        quadrature=p.turn * activity + p.leak * quadrature, activity=p.leak * activity - p.turn * quadrature + added
    )


def rate_step(current, state, p):
    """`RateStep` of t and the state at t, from the current g(t) [B, H] and the state at t-1."""
    function, derivative = ACTIVATIONS[p.activation]
    state = advance(state, p.drive * function(current), p)
    return RateStep(state.activity, derivative(current)), state
