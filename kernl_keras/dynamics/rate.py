"""One time step of leaky rate units, and its tangent.

    g(t) = I(t);    h(t) = a h(t-1) + (1-a) f(g(t)),    a = exp(-dt / tau), or 0 for a unit without memory of its own.

Pure functions of [B, H] tensors; times in ms.
Source: Roth, Kanitscheider, Fiete, ICLR 2019 (a = 0); Murray, eLife 8:e43299 (2019) (leak).
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
    """Constants of a step: `decay` is a number or [H], `activation` a key of `ACTIVATIONS`."""

    decay: Any
    activation: str

    @property
    def drive(self):
        """1 - a: what a unit of f(g) adds to the activity in one step."""
        return 1.0 - self.decay


class RateState(NamedTuple):
    """h, or a small change of it [B, H]."""

    activity: Any


class RateStep(NamedTuple):
    """What happened in one step. Each [B, H]."""

    output: Any  # h(t)
    slope: Any  # f'(g(t))


def rate_step(current, state, p):
    """`RateStep` of t and `RateState` at t, from the current g(t) [B, H] and the `RateState` at t-1."""
    function, derivative = ACTIVATIONS[p.activation]
    activity = p.decay * state.activity + p.drive * function(current)
    return RateStep(activity, derivative(current)), RateState(activity)


def rate_tangent(current_change, change, step, p):
    """Change of h(t) [B, H] and `RateState` of changes, from the changes of g(t) and h(t-1) along the clean `step`."""
    activity = p.decay * change.activity + p.drive * step.slope * current_change
    return activity, RateState(activity)
