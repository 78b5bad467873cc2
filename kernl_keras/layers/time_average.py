"""`TimeAverage`: one answer from a sequence of outputs."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..cells.wide import wide_dtype
from ..checks import integer, time_steps
from ..keras_version import output_shape, serializable
from ..sequences.masks import marks
from ..types import Config
from .stateful import StatefulLayer


@serializable
class TimeAverage(StatefulLayer):
    """Mean over the last steps of a sequence.

        y = 1/n sum_{t = T-n+1..T} x(t),  n = last

    With a mask only the steps that count are taken; an example that has fewer than `last` is averaged over those.

    Args:
        last: number of steps; None for all of them.
        stateful: whether the mean reaches back into the calls before, since `reset_state()`: the answer so far of
            sequences that come in pieces, of which one may be shorter than `last`. It needs a static batch size.
        **kwargs: `name`, `dtype` and the other arguments of a Keras layer. Without a `dtype` the means are float32 at
            least, as the values of a `Readout` are, whatever the global dtype policy.

    Call arguments:
        inputs: sequences [B, T, O].
        mask: True where a step counts [B, T]; None where all do.
        reset: as of `RNN`: True where an example starts a new sequence [B, T]. The mean is that of the last one alone.

    Returns:
        Means [B, O].

    Raises:
        ValueError: for a `last` that is no integer >= 1; for inputs that are not [B, T, O]; for `stateful=True` without
            a static batch size; if the sequence is shorter than `last`, unless `stateful=True`. A graph that is traced
            with an unknown number of steps does not check the last: it averages over all steps that there are.

    Example:
        >>> import tensorflow as tf, kernl_keras as kk
        >>> kk.TimeAverage(2)(tf.constant([[[1.0], [2.0], [4.0]]])).numpy()
        array([[3.]], dtype=float32)

    Reference: Bellec et al., arXiv:1803.09574 (2018), who average the readouts over the steps after the last pixel.
    """

    def __init__(self, last: int | None = None, stateful: bool = False, **kwargs: Any) -> None:
        super().__init__(stateful, **{**kwargs, "dtype": kwargs.get("dtype") or wide_dtype()})
        self.last = None if last is None else integer("last", last)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)  # checks the shape
        batch, kept = input_shape[0], self.last or 1  # the last steps and their weights; or the mean of all steps
        states = (batch, kept, input_shape[2]), (batch, kept)
        self.build_states(input_shape, *((state, self.sum_dtype) for state in states))
        self.built = True

    @property
    def sum_dtype(self) -> Any:
        """The dtype of sums: over many steps, half precision has too few digits."""
        return tf.float32 if tf.as_dtype(self.compute_dtype).size < 4 else tf.as_dtype(self.compute_dtype)

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None, reset: tf.Tensor | None = None) -> tf.Tensor:
        self.check_inputs(inputs)
        x = tf.cast(inputs, self.sum_dtype)
        marked = marks(inputs, mask, reset)
        if not self.stateful and reset is None:
            if marked.mask is None:
                mean = tf.reduce_mean(x if self.last is None else x[:, -self.last :], axis=1)
            else:
                mean = self._mean_of(x, tf.cast(marked.mask, x.dtype))
            return tf.cast(mean, self.compute_dtype)
        # The mean of the last sequence of each example, including steps of earlier calls.
        steps = marked.steps()
        counted = tf.ones_like(x[..., 0]) if steps is None else tf.cast(steps.mask, x.dtype)
        if self.stateful:
            before, often = map(tf.convert_to_tensor, self.states)
            x, counted = tf.concat([before, x], 1), tf.concat([often, counted], 1)
        if steps is not None and steps.starts is not None:
            starts = tf.cast(steps.starts_in_place(), tf.int32)
            starts = tf.pad(starts, [[0, 0], [tf.shape(x)[1] - tf.shape(starts)[1], 0]])
            follow = tf.cumsum(starts, axis=1, exclusive=True, reverse=True)
            counted = tf.where(follow > 0, tf.zeros_like(counted), counted)  # of the last sequence alone
        x = tf.where(counted[..., None] > 0.0, x, tf.zeros_like(x))
        mean = self._mean_of(x, counted)
        if self.stateful:
            if self.last is None:
                left = [mean[:, None], tf.reduce_sum(counted, 1, keepdims=True)]
            else:  # those that count, in their order, at the end
                order = tf.argsort(tf.cast(counted > 0.0, tf.int32), axis=1, stable=True)[:, -self.last :]
                left = [tf.gather(values, order, axis=1, batch_dims=1) for values in (x, counted)]
            self.go_on_with(left if steps is None else steps.left(left), x)
        return tf.cast(mean, self.compute_dtype)

    def _mean_of(self, x, counted):
        """The mean [B, O] over the last steps, of those that are `counted` [B, T]."""
        if self.last is not None:
            from_end = tf.cumsum(counted, axis=1, reverse=True)
            counted *= tf.cast(from_end <= self.last, x.dtype)
        x = tf.where(counted[..., None] > 0.0, x, tf.zeros_like(x))  # 0 times NaN is NaN
        total = tf.einsum("bt,bto->bo", counted, x)
        return tf.math.divide_no_nan(total, tf.reduce_sum(counted, axis=1, keepdims=True))

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        steps = time_steps("inputs", input_shape)
        if None not in (self.last, steps) and self.last > steps and not self.stateful:
            raise ValueError(f"last must be <= the number of time steps, {steps}; received {self.last}.")
        return output_shape(input_shape[0], input_shape[2])

    def get_config(self) -> Config:
        return {**super().get_config(), "last": self.last, "stateful": self.stateful}
