"""`Kernel` and `Predictor`: what a kernel of KeRNL has to define, so that one of your own can take its place.

A kernel says how the effect of a spike develops over time in the unit that receives it. Two things follow from it, one
backward and one forward in time: the hop of an error from unit to unit (`rules.hop`), and what M predicts of a
perturbation, by which M learns (`rules.perturbed_pass`).
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import tensorflow as tf

from ..cells.hidden import HiddenCell
from .settings import Settings


class Kernel(Settings, ABC):
    """Base of the kernels of `kernl_keras.rules.KeRNL`.

    Methods to define: `rows`, `carry_shapes`, `hop` and `predictor`; a kernel that has weights besides M also defines
    `build`, `reset`, `gamma` and `weights`. Where a kernel differs from an existing one only by the response of a unit,
    override `kernl_keras.rules.Membrane.response`.

    Raises:
        ValueError: by `check`, where the kernel does not go with a cell.

    Example: the effect of a spike lasts for one step.

    >>> import numpy as np, kernl_keras as kk
    >>> class Brief(kk.rules.Membrane):
    ...     def response(self, cell, p):
    ...         return ((0.0,),)
    >>> layer = kk.RNN(kk.LIFCell(4), rule=kk.rules.KeRNL(kernel=Brief()))
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    count: int = 1  # R, of matrices in M
    word: ClassVar[str | None] = None  # in `KERNELS` of the cells that it goes with; None for any cell
    linear_memory: ClassVar[bool] = True  # whether M, followed hop by hop, can take its place in linear memory

    def check(self, cell: HiddenCell, perturbation: Any) -> None:
        """Raises where the kernel does not go with the cell, or with the perturbation that M learns from."""
        if self.word is not None and self.word not in cell.KERNELS:
            raise ValueError(
                f"kernel must be {' or '.join(map(repr, cell.KERNELS))} for {type(cell).__name__}; received {self!r}."
            )

    def build(self, layer: Any, learns: bool) -> None:
        """Adds the kernel's own weights to the layer."""

    def reset(self, layer: Any) -> None:
        """Starts them anew."""

    def gamma(self, layer: Any) -> tf.Tensor | None:
        """gamma [R, H], 1/ms; None where M learns alone."""
        return None

    def weights(self, layer: Any) -> list[tf.Variable]:
        """The weights that learn with M."""
        return []

    @abstractmethod
    def rows(self, cell: HiddenCell) -> tuple[int, int]:
        """How many rows [B, H] the predictor carries from step to step: of the prediction, and besides."""

    @abstractmethod
    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        """Shapes of what the hop carries, as of `Rule.carry_shapes`."""

    @abstractmethod
    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> Any:
        """The `rules.hop.Hop` by M [R, H, H]; with `traces` one whose carry has a trace."""

    @abstractmethod
    def predictor(self, layer: Any, p: Any, m: tf.Tensor, last: bool, several: bool) -> "Predictor":
        """The `Predictor` by M [R, H, H]; `last` and `several` as of `Exponential`."""


class Predictor(ABC):
    """What M predicts of the effect D of a perturbation, and the sums by which M learns."""

    def drive(self, xi: tf.Tensor) -> tf.Tensor:
        """What arrives in a block of steps [C, B, H], of the noise xi."""
        return xi

    def received(self, driven: tf.Tensor, done: Any) -> tf.Tensor:
        """What of it has an effect in the clean step `done`."""
        return driven

    @abstractmethod
    def step(self, before: tuple, driven: tf.Tensor, saved: Any, changed: Any) -> tuple:
        """One step: what is carried, [B, R, H] and [B, S, H], of that before it.

        Args:
            before: what is carried.
            driven: what arrives.
            saved: the cell's residuals of the clean step.
            changed: `perturbed_pass.Changed`.
        """

    def keep(self, made: Any) -> Any:
        """What is kept of every step's `Effect`."""
        return None

    @abstractmethod
    def start(self, like: Any) -> Any:
        """What the blocks add up to, before the first."""

    @abstractmethod
    def accumulate(self, total: Any, made: Any) -> Any:
        """A block more: `Effect` [C, ...]."""

    @abstractmethod
    def sums(self, total: Any, kept: Any, run: Any) -> Any:
        """`SensitivitySums` of all blocks, from what `accumulate` and `keep` gave; `run` is `perturbed_pass.Run`."""
