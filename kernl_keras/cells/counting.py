"""What the two cells that count share: states that hold whole numbers exactly."""

from typing import Any

import tensorflow as tf

from ..keras_version import AbstractRNNCell


class CountingCell(AbstractRNNCell):
    """A cell that computes in float32 under every dtype policy, for bfloat16 counts no further than 256."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if tf.as_dtype(self.compute_dtype).size < 4:
            raise ValueError(f"dtype must compute in float32 or more, to count; received {self.compute_dtype!r}.")

    def get_initial_state(
        self, inputs: tf.Tensor | None = None, batch_size: int | tf.Tensor | None = None, dtype: str | None = None
    ) -> list[tf.Tensor]:
        """Zeros, one [B, n] for each n of `state_size`. Keras 2 passes all three arguments, Keras 3 the second."""
        batch_size = tf.shape(inputs)[0] if batch_size is None else batch_size
        return [tf.zeros((batch_size, size), self.compute_dtype) for size in self.state_size]
