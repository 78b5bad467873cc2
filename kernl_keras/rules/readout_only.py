"""`ReadoutOnly`: nothing is learned in the layer or below it."""

from ..cells.hidden import HiddenCell
from ..keras_version import serializable
from .rule import Rule


@serializable
class ReadoutOnly(Rule):
    """No learning in this layer or below it: dC/dW = 0. The layers above learn from a fixed random network.

    This is the baseline that a rule has to beat.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.LIFCell(4), rule="readout_only").rule
    ReadoutOnly()

    Source: Jaeger, The "echo state" approach to analysing and training recurrent neural networks, GMD report 148
    (2001).
    """

    learns = False

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return []
