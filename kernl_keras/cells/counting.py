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
