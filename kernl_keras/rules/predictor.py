"""`Predictor`: what a noise on the units will do, predicted by M; and the sums from which M learns. Eq. (16), (19)."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import tensorflow as tf

from ..cells.linear import LinearStep
from ..sequences.time_loop import map_tensors


class Effect(NamedTuple):
    """The effect of the noise in one step or in several, and its prediction, in units of the noise's deviation.

    Attributes:
        effect: D(t), what the noise did to the value that is observed [.., B, H].
        filtered_noise: the first tensor that `Predictor.step` returned, Omega(t) [.., B, R, H].
        filtered_noise_slope: the second one [.., B, S, H]; of an exponential kernel Gamma(t), the derivative of Omega.

    Example: what M has not predicted.

    >>> import tensorflow as tf, kernl_keras as kk
    >>> now = kk.rules.Effect(tf.ones((5, 4)), tf.ones((5, 1, 4)), None)
    >>> m = 0.25 * tf.ones((4, 4))
    >>> float(tf.norm(now.effect - now.filtered_noise[:, 0] @ tf.transpose(m)))
    0.0
    """

    effect: Any
    filtered_noise: Any
    filtered_noise_slope: Any


class SensitivitySums(NamedTuple):
    """Sums over examples and steps, which give F and its gradients. Those of consecutive blocks add up.

    Attributes:
        squares: of the residual, D - Omega M^T.
        effect_squares: of D.
        by_noise: residual^T Omega [H, R H], from which dF/dM follows.
        by_slope: residual^T Gamma [H, R H], from which dF/dgamma follows; None without a gamma.
        changes: dS^T dS [H, H] and the sum of heard^2 (dS . dS) [H, 1], for least squares, Eq. (45); else None.

    Example: the share of D that M explains.

    >>> import kernl_keras as kk
    >>> sums = kk.rules.SensitivitySums(squares=2.0, effect_squares=8.0, by_noise=None, by_slope=None)
    >>> 1.0 - sums.squares / sums.effect_squares
    0.75
    """

    squares: Any
    effect_squares: Any
    by_noise: Any
    by_slope: Any
    changes: Any = None


class Run(NamedTuple):
    """Both passes over a sequence, the clean and the perturbed one, as `Predictor.sums` may need them.

    Attributes:
        within_bound: False where a perturbation starts anew after the step [T, B, 1].
        noise: function `(start, C) -> xi [C, B, H]` of C steps.
        resync_every: number of steps after which all perturbations start anew, or None.
        unroll: whether to make no loop over time.
        starts: True where a step is the first of its sequence [T, B]; None where each example is one sequence.
        derivatives: function `(start, C)` to the `LinearStep` of C steps.

    Example: noise of one unit, backward in time.

    >>> import tensorflow as tf, kernl_keras as kk
    >>> xi = tf.reshape(tf.range(3.0), (3, 1, 1))
    >>> run = kk.rules.Run(None, lambda start, size: xi[start : start + size], None, False, None, None)
    >>> [run.noise(t, 1).numpy().item() for t in (2, 1, 0)]
    [2.0, 1.0, 0.0]
    """

    within_bound: Any
    noise: Any
    resync_every: Any
    unroll: bool
    starts: Any
    derivatives: Any


class Predictor(ABC):
    """A kernel's prediction of D, the effect of the noise xi on the network, and the sums from which M learns.

    A kernel of the unit that sends filters the noise, and M comes last. A subclass then defines `step` alone:

        Omega(t), rest(t) = step(Omega(t-1), rest(t-1), xi(t)),        F = mean (D(t) - sum_r Omega_r(t) M_r^T)^2

    Where M comes first, as in a kernel of the unit that is moved, a subclass also overrides `drive`, `keep`, `start`,
    `accumulate` and `sums`: `kernl_keras/rules/membrane.py` does.

    Args:
        m: M [R, H, H].
        gamma: whether a gamma learns with M. The rest is then Gamma(t), the derivative of Omega(t) by it, Eq. (17).

    Example: the effect of a spike comes one step late.

    >>> import tensorflow as tf, kernl_keras as kk
    >>> class Late(kk.rules.Predictor):
    ...     def step(self, before, noise, step):
    ...         return before[1], noise[:, None]
    >>> predictor = Late(m=tf.ones((1, 4, 4)))
    >>> silence, xi = tf.zeros((5, 1, 4)), tf.ones((5, 4))
    >>> omega, rest = predictor.step((silence, silence), xi, None)
    >>> float(tf.reduce_sum(omega)), float(tf.reduce_sum(rest))
    (0.0, 20.0)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    def __init__(self, m: tf.Tensor, gamma: bool = False) -> None:
        self.m, self.gamma = m, gamma

    def drive(self, xi: tf.Tensor) -> tf.Tensor:
        """The noise that `step` receives, from xi of a block of steps [C, B, H]: what can be done for all at once."""
        return xi

    @abstractmethod
    def step(self, before: tuple, noise: tf.Tensor, step: LinearStep) -> tuple:
        """Two tensors [B, R, H] and [B, S, H], of as many rows as `Kernel.rows` says: Omega(t), and what it needs next.

        `before` are those of the step before, zeros at the start. `noise` [B, H] is from `drive`; where it enters the
        current it is 0 in refractory units. `step` is the `LinearStep` of the clean network.
        """

    def keep(self, outcome: Effect) -> Any:
        """Values to keep of every step, from its `Effect`; None for nothing."""
        return None

    def start(self) -> Any:
        """The sums before the first block of steps."""
        zero, zeros = tf.zeros((), self.m.dtype), tf.zeros_like(flat(self.m))
        return SensitivitySums(zero, zero, zeros, zeros if self.gamma else None)

    def accumulate(self, total: Any, outcome: Effect) -> Any:
        """The sums with those of another block; `outcome` has its steps [C, ...], zeros where one does not count."""
        return map_tensors(tf.add, total, sensitivity_sums(self.m, outcome, self.gamma))

    def sums(self, total: Any, kept: Any, run: Run) -> SensitivitySums:
        """The sums of all blocks, from what `accumulate` returned last, and `keep` of every step [T, ...]."""
        return total


def sensitivity_sums(m, outcome, gamma=False):
    """`SensitivitySums` of an `Effect`, for M [R, H, H]."""
    kernels, units = m.shape[0], m.shape[-1]
    effect = tf.reshape(outcome.effect, (-1, units))  # [TB, H]
    omega = tf.reshape(outcome.filtered_noise, (-1, kernels * units))  # [TB, RH]
    residual = effect - tf.matmul(omega, flat(m), transpose_b=True)  # [TB, RH] x [RH, H]
    by_slope = None
    if gamma:
        slope = tf.reshape(outcome.filtered_noise_slope, (-1, kernels * units))  # [TB, RH]
        by_slope = tf.matmul(residual, slope, transpose_a=True)  # [H, TB] x [TB, RH]
    return SensitivitySums(
        squares=sum_of_squares(residual),
        effect_squares=sum_of_squares(effect),
        by_noise=tf.matmul(residual, omega, transpose_a=True),  # [H, TB] x [TB, RH]
        by_slope=by_slope,
    )


def sum_of_squares(x):
    """The sum of x^2, x [n, H], by a product for each column: XLA's sums of whole tensors are slow."""
    columns = tf.matmul(tf.ones_like(x[:, :1]), x**2, transpose_a=True)  # [1, n] x [n, H]
    return tf.reduce_sum(columns)


def flat(m):
    """M [R, H, H] as [H, R H]: each unit's weights of all filtered noises."""
    kernels, units = m.shape[0], m.shape[-1]
    return tf.reshape(tf.transpose(m, (1, 0, 2)), (units, kernels * units))
