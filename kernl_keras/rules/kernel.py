"""`Kernel` and its `Predictor`: the interface of KeRNL's kernels, for kernels of your own.

A kernel is the time course of a spike's effect on another unit. It is used twice: backward in time in the hop of an
error from unit to unit (`rules.hop`), and forward in the prediction of a perturbation, from which M learns
(`rules.perturbed_pass`).
M is [R, H, H]: M[r, k, i] is the effect of unit i on unit k with the time course of kernel r.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import tensorflow as tf

from ..cells.hidden import HiddenCell
from .hop import Hop
from .settings import Settings


class Kernel(Settings, ABC):
    """Base of the kernels of `kernl_keras.rules.KeRNL`.

    Methods to define: `rows`, `carry_shapes`, `hop` and `predictor`; for a kernel with weights besides M also `build`,
    `reset`, `gamma` and `weights`. Set `direct = True` where M [H, H] is the effect of a spike in a single step: linear
    memory may then follow it hop by hop, and a `kernl_keras.Model` finds it by least squares. If only the response of a
    unit is to differ, override `kernl_keras.rules.Membrane.response`.

    Raises:
        ValueError: by `check`, for a cell that the kernel does not support.

    Example: the effect of a spike is over after one step.

    >>> import numpy as np, kernl_keras as kk
    >>> class Brief(kk.rules.Membrane):
    ...     def response(self, cell, p):
    ...         return tuple(tuple(0.0 for _ in row) for row in cell.free_response(p))
    >>> layer = kk.RNN(kk.LIFCell(4), rule=kk.rules.KeRNL(kernel=Brief()))
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    count: int = 1  # R, number of matrices in M
    word: ClassVar[str | None] = None  # its name in `KERNELS` of cells; None to allow any cell
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

    @abstractmethod
    def rows(self, cell: HiddenCell) -> tuple[int, int]:
        """Numbers of rows [B, H] that the predictor carries from step to step: for the prediction, and other ones."""

    @abstractmethod
    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        """Shapes of the hop's carry, as in `Rule.carry_shapes`."""

    @abstractmethod
    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> Hop:
        """The `Hop` by M [R, H, H]; with `traces` one whose carry has traces."""

    @abstractmethod
    def predictor(self, layer: Any, p: Any, m: tf.Tensor, last: bool, several: bool) -> "Predictor":
        """The `Predictor` by M [R, H, H]; `last` and `several` as in `ExponentialPredictor`."""


class Predictor(ABC):
    """The prediction, by M, of the effect D of a perturbation, and the sums from which M learns."""

    def drive(self, xi: tf.Tensor) -> tf.Tensor:
        """The input to the units in a block of steps [C, B, H], from the noise xi."""
        return xi

    @abstractmethod
    def step(self, before: tuple, driven: tf.Tensor, saved: Any, changed: Any) -> tuple:
        """One step of the carry, [B, R, H] and [B, S, H], from the carry before it and the input that `drive` gives.

        `saved` are the cell's residuals of the clean step, `changed` is `perturbed_pass.Changed`.
        """

    def keep(self, outcome: Any) -> Any:
        """Values to keep of every step's `Effect`."""
        return None

    @abstractmethod
    def start(self, like: Any) -> Any:
        """The sums before the first block."""

    @abstractmethod
    def accumulate(self, total: Any, outcome: Any) -> Any:
        """The sums with the `Effect` [C, ...] of another block."""

    @abstractmethod
    def sums(self, total: Any, kept: Any, run: Any) -> Any:
        """`SensitivitySums` of all blocks, from `accumulate` and `keep`; `run` is `perturbed_pass.Run`."""
