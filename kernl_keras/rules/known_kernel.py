"""`KnownKernel`: what the kernels that are known have in common. M learns alone."""

from typing import Any

import tensorflow as tf

from .settings import Settings


class KnownKernel(Settings):
    """Base of the kernels that have no gamma."""

    count = 1  # of matrices in M

    def build(self, layer: Any, learns: bool) -> None:
        """There are no weights but M."""

    def reset(self, layer: Any) -> None:
        """There is nothing to start anew."""

    def gamma(self, layer: Any) -> None:
        """There is none."""

    def weights(self, layer: Any) -> list[tf.Variable]:
        """None learn with M."""
        return []
