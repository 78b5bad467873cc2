"""`Kernel`, and its `Hop` and `Predictor`: the interface of KeRNL's kernels, for kernels of your own.

A kernel is the time course of a spike's effect on another unit. It is used twice: backward in time in the hop of an
error from unit to unit, and forward in the prediction of a perturbation, from which M learns (`rules.perturbed_pass`).
M is [R, H, H]: M[r, k, i] is the effect of unit i on unit k with the time course of kernel r.
"""

import itertools
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import dot, plus, tensor, varying, with_varying
from ..sequences.time_loop import scan
from .backward import cut_at_starts
from .settings import Settings


class Kernel(Settings, ABC):
    """Base of the kernels of `kernl_keras.rules.KeRNL`.

    Methods to define: `rows`, `carry_shapes`, `hop` and `predictor`; for a kernel with weights besides M also `build`,
    `reset`, `gamma` and `weights`. If only the response of a unit is to differ, override
    `kernl_keras.rules.Membrane.response`.

    Raises:
        ValueError: by `check`, for a cell that the kernel does not support.

    Example: the effect of a spike is over after one step.

    >>> import numpy as np, kernl_keras as kk
    >>> class Brief(kk.rules.Membrane):
    ...     def response(self, cell, p):
    ...         return ((0.0,),)
    >>> layer = kk.RNN(kk.LIFCell(4), rule=kk.rules.KeRNL(kernel=Brief()))
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    count: int = 1  # R, number of matrices in M
    word: ClassVar[str | None] = None  # its name in `KERNELS` of cells; None to allow any cell
    linear_memory: ClassVar[bool] = True  # True if linear memory may follow M hop by hop in its place

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

    @abstractmethod
    def rows(self, cell: HiddenCell) -> tuple[int, int]:
        """Numbers of rows [B, H] that the predictor carries from step to step: for the prediction, and other ones."""

    @abstractmethod
    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        """Shapes of the hop's carry, as in `Rule.carry_shapes`."""

    @abstractmethod
    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> "Hop":
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


class Hop:
    """An error goes back to a unit through the other units that its spikes move, by M.

    Errors of the potentials enter: A(t) = L psi at every step, or, at the start of a window, the errors that
    `rules.window` has collected in it. A subclass defines `enter(y, own)`, the input from errors of y(t) and of the own
    state before t, and `backward(carry, now)`: the error of z(t) through other units [B, H], and the carry before t.
    """

    def enter_outputs(self, error, step):
        """Input to the hop from errors L of the outputs: A = L psi, each [.., B, H]."""
        return self.enter((error * step.psi,))

    def through(self, entered, carry, step):
        """C(t), the errors of z(t) through other units [C, B, H], for a block of steps; None if the carry has C(t).

        `entered` is the input in its parts, each [C, B, H], and `carry` the one after the block.
        """
        return None


class TracedHop(Hop):
    """The adjoint of Eq. (21), kernel by kernel. Its carry has traces, so a sequence may come in pieces.

        C_ri(t) = [A(t+1) M_r]_i + decay_ri C_ri(t+1),        the error of z_i(t) is sum_r C_ri(t)

    Args:
        m: M [R, H, H].
        decay: one step of each kernel, rows of entries [R, H], see `LinearStep.free_response`; the output comes first.
        by_slope: whether input to unit k is scaled by its slope f'. There is then one kernel for each unit k, and the
            last tensor of the carry is sum_k f'_k C_k.
        unit: k, if this is the kernel of one unit alone.
    """

    def __init__(self, m, decay, by_slope=False, unit=None):
        self.m, self.decay = m, decay
        self.by_slope, self.unit = by_slope, unit

    def enter(self, y, own=()):
        """d_r(t) = A(t) M_r, Eq. (11), for each part of y [.., B, R, H]."""
        return tuple(tf.einsum("...bk,rki->...bri", part, self.m) for part in y[: len(self.decay)])

    def for_kernel(self, index):
        """The hop by one kernel alone."""
        decay = tf.nest.map_structure(lambda part: tf.gather(part, [index]) if tf.is_tensor(part) else part, self.decay)
        return TracedHop(tf.gather(self.m, [index]), decay, self.by_slope, index)

    def backward(self, carry, now):
        """The error of z(t) through other units [B, H], and the carry before t, from that after t."""
        count = len(self.decay)
        later = filter_back(self.decay, carry[:count], now.entered)
        if not self.by_slope:
            return tf.reduce_sum(carry[0], 1), later
        heard = now.step.heard if self.unit is None else tf.gather(now.step.heard, [self.unit], axis=-1)
        return carry[count], (*later, tf.reduce_sum(heard[..., None] * later[0], 1))


class BlockHop(Hop):
    """Base of the hops that multiply by M once for a block of steps, C(t) = q(t+1) M. They have no traces.

    A subclass defines `before(carry, entered, step)`, the carry before a step. `sent` is the place of q in the carry.
    """

    sent = -1

    def used(self, step):
        """The entries of a step that `before` needs, and `continues`."""
        return step

    def through(self, entered, carry, step):
        first = entered, self.used(step)

        def back(carry, now):
            entered, step = with_varying(first, now)
            return cut_at_starts(self.before(carry, entered, step), step), carry[self.sent]

        later = scan(back, carry, varying(first), reverse=True)[1]
        return tf.einsum("tbk,ki->tbi", later, self.m)

    def backward(self, carry, now):
        return now.through, self.before(carry, now.entered, now.step)


def filter_back(kernel, later, entered):
    """Errors of y(t), each [.., H]: those of y(t+1) by the transposed kernel, and what enters."""
    pairs = itertools.zip_longest(zip(*kernel), entered, fillvalue=0.0)  # the last parts may be missing
    return tuple(tensor(plus(dot(column, later), part), like=later[0]) for column, part in pairs)
