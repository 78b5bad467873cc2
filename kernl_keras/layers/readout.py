"""`Readout`: the readout cell over a sequence, all steps' products at once."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..cells.readout import ReadoutCell
from ..checks import check_sequences, check_states, time_steps
from ..keras_version import KerasRNN
from ..sequences.leaky_sum import leaky_sum
from ..serialization import serializable


@serializable
class Readout(KerasRNN):
    """`keras.layers.RNN` over a `ReadoutCell`, to rounding, and many times faster to train.

        v(t) = d v(t-1) + z(t) W_out + bias,  d = exp(-dt / tau_out)

    The weights see all steps in one matrix product before the loop, and in one after it on the way back, where
    `keras.layers.RNN` has small ones in every step; only the leak runs through time. The gradient is that of automatic
    differentiation,

        dC/dW_out = sum_t z(t)^T R(t),     R(t) = dC/dv(t) + d R(t+1)

    Args:
        cell: `kernl_keras.ReadoutCell`.
        return_sequences: whether to return v of every step (unlike `keras.layers.RNN`, by default).
        **kwargs: `return_state`, `go_backwards`, `stateful`, `name` and the rest of `keras.layers.RNN`'s; `unroll`
            has no effect.

    Call arguments:
        sequences: hidden spikes or activities z [B, T, H], T >= 1.
        initial_state: list of v before the first step [B, O]; zeros where None.
        mask: True where a step counts [B, T]; at the others v stays as it is (before the first that counts it is the
            initial state, where `keras.layers.RNN` gives 0), or is 0 with `zero_output_for_mask`. None where all do.

    Returns:
        v [B, T, O], or of the last step [B, O]; with `return_state` also the last v [B, O].

    Raises:
        ValueError: for another cell, one that computes in half precision, a `dtype` that is not its own, and for inputs
            that are not [B, T, H].

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> tuple(kk.Readout(kk.ReadoutCell(10, tau_out=20.0))(np.ones((25, 7, 200), "float32")).shape)
    (25, 7, 10)

    Source: Bellec et al., arXiv:1803.09574 (2018); Nature Communications 11:3625 (2020).
    """

    def __init__(self, cell: ReadoutCell, return_sequences: bool = True, **kwargs: Any) -> None:
        if not isinstance(cell, ReadoutCell):
            raise ValueError(f"cell must be a ReadoutCell; received {cell!r}.")
        if tf.as_dtype(cell.compute_dtype).size < 4:  # a product over all steps leaves the range of half precision
            raise ValueError(f"cell must compute in float32 or more, dtype='float32'; received {cell.compute_dtype!r}.")
        super().__init__(cell, return_sequences=return_sequences, **{"dtype": cell.dtype_policy, **kwargs})
        if self.compute_dtype != cell.compute_dtype:
            raise ValueError(f"dtype must be the cell's, {cell.compute_dtype!r}; received {self.compute_dtype!r}.")

    def build(self, sequences_shape: Sequence[Any], initial_state_shape: Any = None) -> None:
        several = isinstance(sequences_shape[0], (list, tuple, tf.TensorShape))  # Keras 2: the state's as well
        time_steps("sequences", sequences_shape[0] if several else sequences_shape)
        super().build(sequences_shape)

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor | list[tf.Tensor]:
        check_sequences("sequences", tf.nest.flatten(sequences)[0], self.cell.kernel.shape[0])
        check_states("initial_state", initial_state, 1, "the one state v, [B, O]")
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Sequence[tf.Tensor], mask: tf.Tensor | None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Keras' hook: `(last output [B, O], outputs [B, T, O], states)`."""
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])
            mask = None if mask is None else tf.reverse(mask, [1])
        x = tf.transpose(sequences, (1, 0, 2))  # [T, B, H]
        current = self.cell.current(tf.reshape(x, (-1, x.shape[-1])))  # one product, [TB, H] x [H, O]
        current = tf.reshape(current, (*tf.unstack(tf.shape(x)[:2]), self.cell.units))
        decay = tf.cast(self.cell.decay, current.dtype)
        if mask is not None:
            mask = tf.transpose(tf.cast(mask, tf.bool))[..., None]  # [T, B, 1]
            current = tf.where(mask, current, tf.zeros_like(current))
            decay = tf.where(mask, decay, tf.ones_like(decay))
        start = tf.nest.flatten(initial_state)[0]
        v = leaky_sum(current, decay, tf.cast(start, current.dtype))
        outputs = v = tf.ensure_shape(v, (*x.shape[:2], self.cell.units))  # a loop forgets how long it is
        if mask is not None and self.zero_output_for_mask:
            outputs = tf.where(mask, v, tf.zeros_like(v))
        return outputs[-1], tf.transpose(outputs, (1, 0, 2)), [v[-1]]
