"""No learning below the readout: the floor that a rule has to rise above. dC/dW = 0, and nothing to the layer below."""

from typing import Any, NamedTuple

import tensorflow as tf


class NoLearning:
    """The rule; neither traces nor own dynamics have a part in it."""

    TRACES = ()

    class Signals(NamedTuple):
        """The error L(t) [T, B, H], of which nothing comes."""

        error: Any

    def __init__(self, own):
        pass

    def signals(self, error, factors, m, post_factor):
        """`Signals` from the output's error."""
        return self.Signals(error)

    def reverse_step(self, carry, now, decay):
        """No carry, and no error of the current [B, H]."""
        return (), (tf.zeros_like(now.error),)

    def trace_step(self, traces, now, presynaptic, decay):
        """No trace, and no gradient [H, J]."""
        return (), tf.zeros((now.error.shape[-1], presynaptic.shape[-1]), presynaptic.dtype)
