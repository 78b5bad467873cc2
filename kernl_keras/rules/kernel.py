"""`Kernel`: the interface of KeRNL's kernels, for kernels of your own.

A kernel is the time course of a spike's effect on another unit. It is used twice: backward in time in the hop of an
error from unit to unit (`rules.hop`), and forward in the prediction of a perturbation, from which M learns
(`rules.predictor`).
M is [R, H, H]: M[r, k, i] is the effect of unit i on unit k with the time course of kernel r.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import tensorflow as tf

from ..cells.hidden import HiddenCell
from .hop import Hop
from .predictor import Predictor
from .settings import Settings


class Kernel(Settings, ABC):
    """Base of the kernels of `kernl_keras.rules.KeRNL`: how the effect of a spike on other units goes on in time.

    A kernel of your own defines `carry_shapes`, `hop` and `predictor`, and the `Hop` and the `Predictor` that these
    return; `rows` and `count`, unless it is one kernel whose predictor carries two rows. If it has a gamma that learns
    with M, it also defines `build`, `reset`, `gamma` and `weights`. Register the class by
    `keras.utils.register_keras_serializable`, and keep each argument of its constructor in an attribute of the same
    name, so that it is saved with the layer. If only the response of a unit is to differ, override
    `kernl_keras.rules.Membrane.response` instead.

    Set `presynaptic = True` where the time course is that of the unit that sends:
    `kernl_keras.rules.PlainKeRNL` takes such kernels. Set `direct = True` where M [H, H] is the effect of a spike in a
    single step: linear memory may then follow it hop by hop, and a `kernl_keras.Model` finds it by least squares.

    Raises:
        ValueError: by `check`, for a cell that the kernel does not support.

    Example: a spike has its effect one step late, and in that step alone.

    >>> import numpy as np, tensorflow as tf, kernl_keras as kk
    >>> class LatePredictor(kk.rules.Predictor):
    ...     def step(self, before, noise, step):
    ...         return before[1], noise[:, None]
    >>> class LateHop(kk.rules.Hop):
    ...     def enter(self, y, own=()):
    ...         return (y[0] @ self.m,)
    ...     def before(self, carry, entered, step):
    ...         return carry[1], entered[0]
    >>> class Late(kk.rules.Kernel):
    ...     def carry_shapes(self, cell, traces):
    ...         return [(cell.units,)] * 2
    ...     def hop(self, layer, p, m, traces):
    ...         return LateHop(m[0])
    ...     def predictor(self, layer, p, m):
    ...         return LatePredictor(m)
    >>> layer = kk.RNN(kk.LIFCell(4), rule=kk.rules.KeRNL(kernel=Late()))
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    count: int = 1  # R, number of matrices in M
    word: ClassVar[str | None] = None  # its name in `KERNELS` of cells; None to allow any cell
    presynaptic: ClassVar[bool] = False  # whether its time course is that of the unit that sends
    direct: ClassVar[bool] = False  # whether M may be the effect of a spike in a single step, as in linear memory

    def check(self, cell: HiddenCell, perturbation: Any) -> None:
        """Raises a ValueError if the kernel does not support the cell, or the perturbation that M learns from."""
        if self.word is not None and self.word not in cell.KERNELS:
            raise ValueError(
                f"kernel must be {' or '.join(map(repr, cell.KERNELS))} for {type(cell).__name__}; received {self!r}."
            )

    def build(self, layer: Any, learns: bool) -> None:
        """Adds the kernel's own weights to the layer."""

    def reset(self, layer: Any) -> None:
        """Sets the kernel's own weights to their initial values."""

    def gamma(self, layer: Any) -> tf.Tensor | None:
        """gamma [R, H], 1/ms; None where M learns alone."""
        return None

    def weights(self, layer: Any) -> list[tf.Variable]:
        """The weights that learn with M."""
        return []

    def solvable(self, cell: HiddenCell) -> bool:
        """Whether M counts as the direct effect of a spike, Eq. (41), which least squares find; else it is a mean."""
        return self.direct

    def rows(self, cell: HiddenCell) -> tuple[int, int]:
        """R and S: how many rows [B, H] the two tensors have that the predictor carries from step to step."""
        return self.count, self.count

    @abstractmethod
    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        """Shapes of the hop's carry without the batch axis, each (H,) or (R, H)."""

    @abstractmethod
    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> Hop:
        """The `Hop` by M [R, H, H], where p are the cell's `parameters()`; with `traces` one whose carry has traces."""

    @abstractmethod
    def predictor(self, layer: Any, p: Any, m: tf.Tensor) -> Predictor:
        """The `Predictor` by M [R, H, H], through which no gradient goes."""
