"""`Rule`: the base of the learning rules, also of your own."""

from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import Errors, LinearStep
from .settings import Settings, get_settings

NAMES: dict[str, type["Rule"]] = {}
"""The class of each rule by the word that `kernl_keras.RNN(cell, rule=...)` takes for it; see `rules/__init__.py`."""


class Context(NamedTuple):
    """The layer as a rule sees it on the way back.

    Attributes:
        cell: with `units`, `dt`, and what `help(kernl_keras.cells.hidden.HiddenCell)` lists.
        p: the cell's `parameters()`, its constants as they are now.
        recurrent_weights: W_rec [H, G H].
        hop: under KeRNL the `Hop` from unit to unit; else None.

    Example:

    >>> import kernl_keras as kk
    >>> context = kk.rules.Context(kk.LIFCell(4, dt=0.5), p=None, recurrent_weights=None)
    >>> context.cell.units, context.cell.dt
    (4, 0.5)
    """

    cell: Any
    p: Any
    recurrent_weights: Any
    hop: Any = None


class BackwardStep(NamedTuple):
    """The input of a rule for one step back, or for a block of steps, [.., B, H].

    Attributes:
        L: L(t) = dC/dz(t), as the rule's `learning_signal` gives it; the number 0.0 where there are no errors.
        step: the `LinearStep` of the unit at t: psi(t), and the other derivatives.

    Example: the error of the potential is L psi.

    >>> from kernl_keras.rules import BackwardStep, LinearStep
    >>> step = LinearStep(psi=0.5, P=((0.9,),), Q=(1.0,), r=(1.0,), K=((1.0,),), s=(0.0,), reset=(0.0,), K0=((1.0,),))
    >>> now = BackwardStep(L=2.0, step=step)
    >>> now.L * now.step.psi
    1.0
    """

    L: Any
    step: LinearStep


class Rule(Settings):
    """Base of the learning rules: a rule turns errors of a layer's outputs into errors of its units' currents.

    A rule goes backward in time. It carries the errors of the units' states, and at each step adds the error L(t) of
    the output. The result is dC/dI(t), the error of the units' currents, and with it

        (14) dC/dW_ij = sum_b sum_t dC/dI_i(t) s_j(t)
        (15) dC/dx(t) = dC/dI(t) W_in^T

    Eligibility traces follow from the same step, run with a carry of 1 and no errors. So your own rule needs
    `carry_shapes` and `backward_step` alone, to learn from whole sequences and from pieces, with masks and under XLA.
    To be saved with the layer, it keeps each argument of its constructor in an attribute of the same name, and is
    registered by `keras.utils.register_keras_serializable`.

    Methods to override:

    - `carry_shapes(cell, traces)`: shapes of the carried tensors without the batch axis, a list of (H,) or (R, H).
    - `backward_step(carry, now, context)`: from the carry after step t and the `BackwardStep` now to the carry before
      it and dC/dI(t) [B, H], or [B, G H] where units have G currents (`cell.currents`). It must be linear in carry and
      `now.L` together. In place of dC/dI(t) it may return `Errors`; otherwise the error of the
      potential, for constants that learn, is that of the current divided by the drive.
    - `learning_signal(error, steps)`: L(t) [T, B, H] as the rule uses it; the error itself by default. `steps` says
      which steps are valid under a mask (`ValidSteps`), or is None.
    - `check(cell, traces)`: raises a `ValueError` for a cell or traces that the rule does not support.

    Raises:
        ValueError: by `check`, for traces in linear memory, which only e-prop and KeRNL have.

    Example: a rule whose trace is the input, filtered by one time constant for all units.

    >>> import math, numpy as np, kernl_keras as kk
    >>> from tensorflow import keras
    >>> @keras.utils.register_keras_serializable("mine")
    ... class Hebbian(kk.rules.Rule):
    ...     def __init__(self, tau=20.0):
    ...         self.tau = tau
    ...     def carry_shapes(self, cell, traces):
    ...         return [(cell.units,)]
    ...     def backward_step(self, carry, now, context):
    ...         error = now.L * now.step.psi + carry[0]
    ...         return (math.exp(-context.cell.dt / self.tau) * error,), error
    >>> layer = kk.RNN(kk.LIFCell(4), rule=Hebbian(tau=10.0))
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Marschall, Cho, Savin, A unified framework of online learning algorithms for training recurrent neural
    networks, JMLR 21 (2020).
    """

    last = False  # True if only the error of the last step counts
    learns = True  # False if all gradients are zero, so that the way back is left out
    by_tape = False  # True if the forward pass is differentiated automatically instead
    windows = False  # True if a window may be longer than one step, see `rules.window`
    crosses = True  # True if errors leave their window
    one_current = False  # True if the rule cannot tell several currents of a unit apart

    def check(self, cell: HiddenCell, traces: Any) -> None:
        """Raises a ValueError if the rule does not support the cell, or the traces: False, True or `LinearTraces`."""
        if traces not in (True, False):
            raise ValueError(
                f"traces must be True or False for {self!r}, which has none in linear memory; received {traces!r}."
            )
        if self.one_current and cell.currents > 1:
            raise ValueError(
                f"cell must have one current a unit for {type(self).__name__}; received {type(cell).__name__}, whose "
                f"units have {cell.currents}."
            )

    def stream_traces(self, cell: HiddenCell) -> Any:
        """The default traces of a stateful layer."""
        return True

    def build(self, layer: Any) -> None:
        """Adds the rule's own weights to the layer."""

    def reset(self, layer: Any) -> None:
        """Sets the rule's own weights to their initial values."""

    def sensitivity_weights(self, layer: Any) -> list[tf.Variable]:
        """The weights that the layer's perturbation trains."""
        return []

    def perturbed_rows(self, cell: HiddenCell) -> tuple[int, ...]:
        """Numbers of rows [B, H] that the layer carries for `Kernel.predictor`, see `Kernel.rows`; none without M."""
        return ()

    def context(self, layer: Any, p: Any, traces: bool) -> Context:
        """The `Context` for a sequence, with the current weights: M may have learned since the forward pass."""
        return Context(layer.cell, p, layer.cell.recurrent_weights())

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        """Shapes of the carried tensors, without the batch axis."""
        raise NotImplementedError(f"{type(self).__name__} must implement carry_shapes(cell, traces).")

    def learning_signal(self, error: tf.Tensor, steps: Any) -> tf.Tensor:
        """L(t) [T, B, H] as the rule uses it."""
        return error

    def prepare(self, L: Any, step: LinearStep, carry: tuple, context: Context) -> Any:
        """What `backward_step` gets as `now`, for a block of steps: by default a `BackwardStep`.

        It may be another named tuple, which has the `LinearStep` as `step`. L are the errors of the block [C, B, H],
        and `carry` is the one after it.
        """
        return BackwardStep(L, step)

    def prepare_silence(self, silence: tf.Tensor, step: LinearStep, carry: tuple, context: Context) -> Any:
        """`prepare` without errors: `silence` is zeros [T, B, H], and only the carry goes back."""
        return self.prepare(silence, step, carry, context)

    def backward_step(self, carry: tuple, now: Any, context: Context) -> tuple[tuple, tf.Tensor | Errors]:
        """One step back: the carry for t-1, and the error of the current [B, H] or `Errors`."""
        raise NotImplementedError(f"{type(self).__name__} must implement backward_step(carry, now, context).")


def get(rule: Any, cell: HiddenCell | None = None) -> Rule:
    """The rule that an argument stands for, as `kernl_keras.RNN(cell, rule=...)` takes it.

    Args:
        rule: a word of `NAMES`, for the rule with its defaults; a rule, which is returned as it is; or a configuration
            as `keras.saving.serialize_keras_object` makes it of one.
        cell: the cell whose defaults a word stands for; None for those of the rule's class.

    Raises:
        ValueError: for anything else.

    Example:

    >>> import kernl_keras as kk
    >>> kk.rules.get("eprop")
    EProp(adaptation=True, reset_gradient=False)
    """
    defaults = {} if cell is None else cell.RULE_DEFAULTS
    table = {name: partial(kind, **defaults.get(name, {})) for name, kind in NAMES.items()}
    rule = get_settings("rule", rule, Rule, table)
    rule.get_config()  # raises now, not after training, for a rule that cannot be saved
    return rule


def name_of(rule: Rule) -> str:
    """The short form of a rule's class, or the name of a class that has none."""
    return next((name for name, kind in NAMES.items() if kind is type(rule)), type(rule).__name__)
