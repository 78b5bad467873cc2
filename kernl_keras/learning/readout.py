"""No learning below the readout: the floor that a rule has to rise above. dC/dW = 0, and nothing to the layer below."""

from typing import Any, NamedTuple

import tensorflow as tf

TRACES = ()


class Signals(NamedTuple):
    """The error L(t) [T, B, H], of which nothing comes."""

    error: Any


def signals(error, factors, m, post_factor):
    """`Signals` from the output's error."""
    return Signals(error)


def reverse_step(carry, now, decay):
    """No carry, and no error of the current [B, H]."""
    return (), (tf.zeros_like(now.error),)


def trace_step(traces, now, presynaptic, decay):
    """No trace, and no gradient [H, J]."""
    return (), tf.zeros((now.error.shape[-1], presynaptic.shape[-1]), presynaptic.dtype)
