"""`Membrane`: the kernel of the unit that is moved: an effect fades, and oscillates, as the potential of that unit."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import dot, tensor, varying, with_varying
from ..checks import flag
from ..keras_version import serializable
from ..sequences.masks import where_fresh
from ..sequences.time_loop import blockwise, take
from .hop import Hop, TracedHop, filter_back
from .kernel import Kernel
from .predictor import Predictor, SensitivitySums, sum_of_squares


@serializable
class Membrane(Kernel):
    """The kernel of the membrane: the effect of a spike on another unit decays as the potential of that unit does.

        (25) a spike of i moves V_k, d later, by M_ki K_k(d),       K_k(d) = Re lambda_k^(d/dt)
        (26) Y(t) = lambda Y(t-1) + M xi(t),                         F = mean (D(t) - Re Y(t))^2
             dF/dM = -2 mean q(t) xi(t)^T,                           q(t) = D(t) - Re Y(t) + lambda q(t+1), turned back
        (27) C(t) = Q(t+1) M,                                        Q(t) = A(t) + lambda Q(t+1), turned back; A = L psi

    lambda is exp(-dt/tau_m), of a resonator times exp(2 pi i dt/period). It is known, so M learns alone, without gamma:
    in a `kernl_keras.Model` by Eq. (45), see `kernl_keras.rules.KeRNL`, and by an optimizer of its own from F.
    M starts at the path through one synapse, (1-a) R_m W_rec^T, exactly where `tau_s` is None. Traces need one kernel
    for each distinct lambda. In `kernl_keras.AdLIFCell` M learns from F by default: it makes up for the adaptation
    current, which this kernel leaves out. Where a sequence comes in pieces, the gradient of M does not reach the noise
    of the pieces before. The input to a rate unit is scaled by the slope f' of its activation at that moment, in (26)
    and (27); exact traces then need a kernel for every unit.

    Args:
        arrival: whether to use that slope. Without it M learns its mean, which least squares do not find.

    Raises:
        ValueError: for an `arrival` that is not True or False.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.ResonatorCell(4), rule=kk.rules.KeRNL(kernel="membrane")).rule.kernel
    Membrane(arrival=True)

    Source: an extension of Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    word, direct = "membrane", True

    def __init__(self, arrival: bool = True) -> None:
        self.arrival = flag("arrival", arrival)

    def response(self, cell: HiddenCell, p: Any) -> tuple[tuple[Any, ...], ...]:
        """One step of the response to an input: a square matrix of as many rows as `cell.free_response(p)` has, of
        numbers or tensors [H]; the potential comes first."""
        return cell.free_response(p)

    def rows(self, cell: HiddenCell) -> tuple[int, int]:
        return 1, max(1, cell.count_own(adaptation=False) - 1)

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        by_slope, count = self.by_slope(cell), cell.count_own(adaptation=False)
        kernels = cell.units if by_slope else max(cell.kernel_groups()) + 1
        return [(kernels, cell.units) if traces else (cell.units,)] * count + [(cell.units,)] * by_slope

    def solvable(self, cell: HiddenCell) -> bool:
        """As in `Kernel`. Where a unit's default kernel is another, M has to make up for what this one leaves out."""
        default = cell.RULE_DEFAULTS.get("kernl", {}).get("kernel", self.word)
        return default == self.word and (self.arrival or not cell.HEARD_VARIES)

    def by_slope(self, cell: HiddenCell) -> bool:
        """True if input to a unit is scaled by its slope f'."""
        return self.arrival and cell.HEARD_VARIES

    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> Hop:
        cell, by_slope = layer.cell, self.by_slope(layer.cell)
        kernel = self.response(cell, p)
        if not traces:
            return FilteredHop(m[0], kernel, by_slope)
        # Traces take the R distinct kernels one by one: M [R, H, H], its rows sorted by kernel, and entries [R, H].
        groups = list(range(cell.units)) if by_slope else cell.kernel_groups()
        count = max(groups) + 1
        member = tf.one_hot(groups, count, axis=0, dtype=m.dtype)  # [R, H]
        first = [groups.index(r) for r in range(count)]

        def per_kernel(entry):
            per_unit = tf.broadcast_to(tf.convert_to_tensor(entry, m.dtype), (cell.units,))
            return tf.repeat(tf.gather(per_unit, first)[:, None], cell.units, 1)

        return TracedHop(member[:, :, None] * m[0], tf.nest.map_structure(per_kernel, kernel), by_slope)

    def predictor(self, layer: Any, p: Any, m: tf.Tensor) -> "MembranePredictor":
        return MembranePredictor(m[0], self.response(layer.cell, p), self.by_slope(layer.cell))


class FilteredHop(Hop):
    """The hop where each kernel belongs to the unit that is moved, Eq. (27): errors are filtered, then multiplied by M.

    `kernel` is one step of y(t) without input, see `LinearStep.free_response`. With `by_slope` input to unit k is
    scaled by its slope f', and the last tensor of the carry is f' Q.
    """

    def __init__(self, m, kernel, by_slope=False):
        super().__init__(m_last=m, sent=-1 if by_slope else 0)
        self.kernel, self.by_slope = kernel, by_slope

    def enter(self, y, own=()):
        """A(t), in the parts that the kernel has."""
        return tuple(y[: len(self.kernel)])

    def before(self, carry, entered, step):
        """Q(t) from Q(t+1), in its parts, each [B, H], and f' Q."""
        Q = filter_back(self.kernel, carry[: len(self.kernel)], entered)
        return (*Q, step.heard * Q[0]) if self.by_slope else Q


class MembranePredictor(Predictor):
    """The prediction of D by Eq. (26) for the perturbed pass, and the gradient dF/dM; arguments as in `FilteredHop`."""

    def __init__(self, m, kernel, by_slope=False):
        super().__init__(m)
        self.kernel, self.by_slope = kernel, by_slope
        self.parts = len(kernel)  # number of tensors [B, H] that go back from step to step

    def drive(self, xi):
        """M xi for a block of steps, [C, B, H]."""
        return tf.matmul(xi, self.m, transpose_b=True)

    def step(self, before, driven, step):
        """Y(t), its potential [B, 1, H] and the rest [B, S, H]."""
        y = [before[0][:, 0], *tf.unstack(before[1], axis=1)][: self.parts]
        after = [tensor(dot(row, y), like=y[0]) for row in self.kernel]
        rest = before[1] if self.parts == 1 else tf.stack(after[1:], 1)
        driven = driven * step.heard if self.by_slope else driven
        return (after[0] + driven)[:, None], rest

    def keep(self, outcome):
        return outcome.effect - outcome.filtered_noise[:, 0]

    def start(self):
        return (tf.zeros((), self.m.dtype),) * 2

    def accumulate(self, total, outcome):
        residual = outcome.effect - outcome.filtered_noise[:, :, 0]
        squares = [sum_of_squares(tf.reshape(x, (-1, self.m.shape[0]))) for x in (residual, outcome.effect)]
        return tuple(map(tf.add, total, squares))

    def sums(self, total, residuals, run):
        """From the residuals [T, B, H] filtered backward, Eq. (26)."""
        length, dtype = residuals.shape[0] or tf.shape(residuals)[0], self.m.dtype
        units, first = self.m.shape[0], self.followed(run.derivatives, 0, 1)

        def begin(start, size, carry):
            within = tf.cast(take(run.within_bound, start, size), dtype)
            goes_on = tf.ones_like(within)
            if run.resync_every is not None:  # errors stop where the perturbations start anew
                after = start + tf.range(size) + 1
                goes_on *= tf.cast(after % run.resync_every != 0, dtype)[:, None, None]
            fresh = None if run.starts is None else take(run.starts, start, size)
            entries = varying(self.followed(run.derivatives, start, size))
            return (take(residuals, start, size), within, goes_on, fresh, entries), run.noise(start, size)

        def step(q, now):
            residual, within, goes_on, fresh, entries = now
            q = tuple(goes_on * part for part in q)
            q, received = self.backward(q, residual, with_varying(first, entries))
            return where_fresh(fresh, tuple(within * part for part in q)), (), within * received

        def end(total, xi, received):
            received, xi = (tf.reshape(x, (-1, units)) for x in (received, xi))
            return total + tf.matmul(received, xi, transpose_a=True)  # [H, CB] x [CB, H]

        zeros = (tf.zeros_like(residuals[0]),) * self.parts
        start = tf.zeros((units, units), dtype)
        by_noise = blockwise(begin, step, end, zeros, start, length, reverse=True, unroll=run.unroll)[2]
        return SensitivitySums(*total, by_noise=by_noise, by_slope=None)

    def followed(self, derivatives, start, size):
        """The `LinearStep` for `backward`; None if it needs none."""
        return derivatives(start, size) if self.by_slope else None

    def backward(self, q, residual, step):
        """q(t), in its parts, from q(t+1) and D(t) - Re Y(t), and the error of the input to the units [B, H]."""
        q = filter_back(self.kernel, q, (residual,))
        return q, step.heard * q[0] if self.by_slope else q[0]
