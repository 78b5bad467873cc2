"""Errors that layers above send to outputs z(t0-1-n) of a layer before the border of a window, t0. Eq. (42).

A layer above has states of its own, so its errors at a border reach outputs of this layer that are no longer there.
Linear memory needs their sums at the poles p of its filters, and these have a closed form:

    (42) E(p) = sum_n p^n L(t0-1-n)
         E(p) = (1-d) gain W_out [dC/dv(t0-1) / (1 - p d)]      of a readout v with the decay d
         E(p) = W_in r(p)                                        of a layer of units with the response r of Eq. (39)

Through the segments of the last steps the errors come one by one, from the weights of the filters that E(p) gives.
E(p) is found as a gradient, so that the layers take their turns by themselves. Besides its outputs a layer has two
scalars of value 0, in `Earlier`, which change no result. The layer above returns E as the "gradient" by them.
TensorFlow takes any shape there, and nothing is computed where no layer above does so.
"""

import numpy as np
import tensorflow as tf

SHORTEST = 16
"""Windows of fewer steps pass on no errors inside a call, for E at all of their borders would fill the memory."""


class Earlier:
    """The outputs of a layer before its windows, as the layers above see them, for one call.

    Args:
        poles: P poles p at which E is needed, NumPy, complex.
        window: C, or None for one window.
        marks: `masks.Marks` of the call, or None.
    """

    def __init__(self, poles, window, marks, dtype):
        self.poles, self.window, self.marks = poles, window, marks
        self.parts = 1 + bool(np.any(poles.imag))  # the real part, or real and imaginary part
        self.outputs = None  # of the call, which the layer above receives
        # The scalars for E at the start of the call [parts, P, B, H], and at the borders inside [W-1, parts, P, B, H];
        # and whether a layer above gives them.
        self.tokens, self.read = [tf.zeros((), dtype)] * 2, [False, False]

    def given(self, errors):
        """E in its two parts, from the gradients by the tokens; None where no layer above gives it."""
        return tuple(error if read else None for error, read in zip(errors, self.read))

    def fits(self, marks):
        """True if a layer above, with the `Marks` of its own call, counts the steps in the same way."""
        own, other = ((None, None) if each is None else each for each in (self.marks, marks))
        return all(one is another for one, another in zip(own, other))
