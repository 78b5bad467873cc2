"""Traces of a readout: by them the errors of a piece of a sequence reach the spikes of earlier pieces.

v(t0-1) is the state between two pieces. It depends on the weights through all spikes before, by traces that are exact:

    Z(t) = d Z(t-1) + z(t),                          dC/dW_out += (1-d) gain Z(t0-1)^T R,     R = dC/dv(t0-1)
    Y(t) = d Y(t-1) + v(t-1) - (gain z(t) W_out + bias),        dC/dd += Y(t0-1) R

Z [B, H+1, O or 1] has one more row for the bias, whose input is 1, and O columns where units have time constants of
their own. Y [B, O] is there where tau_out learns.
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from ..rules.filters import Decays


class Traces(NamedTuple):
    """Shapes of the traces without the batch axis; None where a readout has none."""

    inputs: Any  # Z
    decay: Any  # Y


class ReadoutTraces:
    """The traces of a built `ReadoutCell`: `shapes`, `Traces`, and `sizes`, how many numbers each of them is."""

    def __init__(self, cell):
        self.cell = cell
        inputs, units = cell.kernel.shape
        own = cell.decay.shape.rank == 1
        self.shapes = Traces((inputs + 1, units if own else 1), (units,) if cell.learn else None)
        self.sizes = [math.prod(shape) for shape in self.shapes if shape is not None]

    def unpack(self, traces):
        """The traces [B, ..] from tensors [B, n]."""
        return [tf.reshape(trace, (-1, *shape)) for trace, shape in zip(traces, self.shapes)]

    def attach(self, start, traces, earlier, symmetric):
        """v before the first step [B, O], with its gradient by the weights and by earlier outputs of the layer below.

        Args:
            start: v.
            traces: as `unpack` returns them.
            earlier: `rules.above.Earlier` of the layer below, or None.
            symmetric: whether the layer below receives the error by W_out, whatever the feedback.
        """
        cell, dtype = self.cell, start.dtype
        (z, *by_decay), decay = map(tf.stop_gradient, traces), tf.cast(cell.decay, dtype)
        bias = tf.zeros(cell.units, dtype) if cell.bias is None else tf.convert_to_tensor(cell.bias)

        @tf.custom_gradient
        def attached(start, kernel, bias, decay, *tokens):
            def gradient(error):
                scaled = cell.scale(dtype) * error
                if z.shape[-1] == 1:
                    rows = tf.matmul(z[..., 0], scaled, transpose_a=True)  # [H+1, O]
                else:
                    rows = tf.reduce_sum(z * scaled[:, None], 0)
                per_bias = rows[-1] / (cell.gain or 1.0)
                by_d = tf.reduce_sum(by_decay[0] * error, 0) if by_decay else tf.zeros_like(decay)
                gradients = error, rows[:-1], per_bias, by_d
                return *gradients, *(self.errors(earlier, sequences, error, symmetric) for _ in tokens)

            return tf.identity(start), gradient

        tokens, sequences = [], Decays(decay)
        if earlier is not None:
            tokens = earlier.tokens[:1]
            earlier.read_by(sequences)
        return attached(start, tf.convert_to_tensor(cell.kernel), bias, tf.broadcast_to(decay, (cell.units,)), *tokens)

    def errors(self, earlier, decays, error, symmetric):
        """The weights of Eq. (42), from the error of v before the first step [B, O]."""
        one_each = error if decays.count == 1 else tf.eye(self.cell.units, dtype=error.dtype)[:, None] * error
        weights = self.cell.feedback_to(one_each, symmetric)  # [B, H], or [O, B, H]
        return earlier.weights(decays, tf.reshape(weights, (decays.count, -1, weights.shape[-1])))

    def advance(self, traces, x, current, decay, v, start, counts, goes_on):
        """The traces after the last step, from those before the first.

        Args:
            x, current: z [T, B, H], and what each step adds to v [T, B, O]; 0 where a step does not count.
            decay: d; a number, [O], or [T, B, 1 or O].
            v, start: v of every step [T, B, O], and before the first [B, O].
            counts, goes_on: 1 where a step counts, and where it goes on with the sequence before [T, B, 1].
        """
        z, *by_decay = traces
        decay = decay[..., : z.shape[-1]] if decay.shape.rank else decay  # all units have the same, or each its own
        decay = tf.broadcast_to(decay, tf.concat([tf.shape(current)[:2], z.shape[-1:]], 0))
        later = tf.ones_like(decay)  # by which a step's part of v has decayed
        if current.shape[0] != 1:  # else nothing has, and LiteRT has no Cumprod
            later = tf.math.cumprod(decay, 0, exclusive=True, reverse=True)
        kept = later[0] * decay[0]  # [B, 1 or O]
        rows = tf.concat([x, counts], -1)
        after = [kept[:, None] * z + tf.einsum("tbh,tbo->bho", rows, later)]
        if by_decay:
            before = goes_on * tf.concat([start[None], v[:-1]], 0)
            gained = 0.0 if self.cell.gain is None else current / (1.0 - tf.cast(self.cell.decay, current.dtype))
            after.append(kept * by_decay[0] + tf.reduce_sum(later * counts * (before - gained), 0))
        return [tf.reshape(trace, (-1, size)) for trace, size in zip(after, self.sizes)]
