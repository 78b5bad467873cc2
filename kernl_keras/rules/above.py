"""Errors that layers above send to outputs z(t0-1-n) of a layer before the border of a window, t0. Eq. (42).

A layer above has states of its own, so its errors at a border reach outputs of this layer that are no longer there.
They are sums of sequences f(n) that are known beforehand, so that only the weights of these go from layer to layer:

    (42) L(t0-1-n) = sum_q w_q f_q(n)
         f(n) = d^n,   w = (1-d) gain W_out dC/dv(t0-1)      of a readout v with the decay d
         f = Re p^n, Im p^n,   W_in w                         of a layer with filters and their weights w, Eq. (40)

Where several layers read the same outputs, each sends the weights of this layer's own filters that come closest.
The weights are found as a gradient, so that the layers take their turns by themselves. Besides its outputs a layer has
two scalars of value 0, in `Earlier`, which change no result. The layer above returns w as the "gradient" by them.
TensorFlow takes any shape there, and nothing is computed where no layer above does so.
"""

from typing import Any, NamedTuple

import tensorflow as tf

SHORTEST = 16
"""Windows of fewer steps pass on no errors inside a call, for w at all of their borders would fill the memory."""


class Above(NamedTuple):
    """Errors from the layers above, of one call."""

    sequences: Any = None  # f: `filters.Filters` or `filters.Decays`
    at_start: Any = None  # w at the start of the call [count, B, H]; None where there are none
    inside: Any = None  # and at the borders inside [W-1, count, B, H]


NOTHING_ABOVE = Above()


class Earlier:
    """The outputs of a layer before its windows, as the layers above see them, for one call.

    `filters` are the layer's `Filters`, `window` is C, or None for one window, and `marks` the call's `masks.Marks`.
    """

    def __init__(self, filters, window, marks, dtype):
        self.filters, self.window, self.marks = filters, window, marks
        self.outputs = None  # of the call, which the layer above receives
        # The scalars for w at the start of the call and at the borders inside; and whether a layer above gives them.
        self.tokens, self.read = [tf.zeros((), dtype)] * 2, [False, False]
        self.sequences = None  # f

    def read_by(self, sequences, inside=False):
        """A layer above will give w for its own `sequences` f, with `inside` at the borders inside the call too."""
        alone = self.sequences is None or self.sequences is sequences
        self.sequences = sequences if alone else self.filters
        self.read = [True, self.read[1] or inside]

    def weights(self, sequences, weights):
        """w [count, B, H] of these `sequences`, as this layer takes them."""
        if sequences is self.sequences:
            return weights
        return self.filters.weights(sequences.sums(self.filters.poles, weights).parts(2))

    def given(self, errors):
        """`Above`, from the gradients by the tokens."""
        return Above(self.sequences, *(error if read else None for error, read in zip(errors, self.read)))

    def fits(self, marks):
        """True if a layer above, with the `Marks` of its own call, counts the steps in the same way."""
        return all(own is other for own, other in zip(self.marks, marks))
