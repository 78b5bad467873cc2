"""Linear memory: behind a window's border only filtered inputs are remembered, [poles, J] numbers. Eq. (31)-(33).

Exact traces are [H, J] each, and KeRNL needs several. Here the slopes psi_i and drives of what lies behind the border
are replaced by their means so far, and the units that share a lambda share a filter. A slope of n steps ago counts
|lambda_i|^n in the mean, as in the exact trace; in units that reset all steps count alike:

    (31) X^g_j(t) = lambda_g X^g_j(t-1) + s_j(t),       Y^g_j(t) = lambda_g Y^g_j(t-1) + X^g_j(t)
    (32) the own potential:   dC/dW_ij += drive_i Re(conj(v_i) X^i_j)
         the own threshold:   dC/dW_ij += a_i (1-p_i) psi_i drive_i Re Z(p_i, lambda_i)
    (33) the hop:             dC/dW_ij += psi_i drive_i sum_k M_ki Re(conj(c_k) [Z(lambda_k, lambda_i)
                                                                                + Z(lambda_k, conj lambda_i)] / 2)

v, a and c are the errors at the border: of the states U (or V) and b before it, and of the potential at the window's
first step. Z(q, l) is the input through the filters l and q in a row. It is a difference of the two, or Y where they
are equal:

    Z(q, l) = (q X^q - l X^l) / (q - l)

The constants that learn have traces of their own, see `rules.own_traces`.

Units that reset have other filters, see `rules.reset_filters`.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..cells.linear import times
from ..checks import integer
from ..sequences.time_loop import loop, take
from ..sequences.valid_steps import where_fresh
from ..serialization import serializable
from .complex_parts import conjugate, in_parts, magnitude, plus, product, quotient
from .own_traces import advanced_traces
from .poles import Poles
from .reset_filters import GROUPS, SECOND, after_resets
from .settings import Settings, get_settings


@serializable
class LinearTraces(Settings):
    """Traces in linear memory: filtered inputs, one filter for each time constant instead of one for each weight.

    Args:
        poles: how many filters there are, at most; None for one for each time constant. Where the units have more, the
            filters have the time constants of units spread over all of them. The kernel lambda^n of each unit is then
            the sum of theirs that comes closest to it, by least squares over all steps. Units that reset have 16 at
            most in any case, and share the means of leak, reset and slope.

    Raises:
        ValueError: for a number that is neither None nor an integer >= 1.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.LIFCell(4), window=64, traces=kk.rules.LinearTraces(poles=8)).traces
    LinearTraces(poles=8)
    """

    def __init__(self, poles: int | None = None) -> None:
        self.poles = None if poles is None else integer("poles", poles)


def get_traces(traces: Any) -> Any:
    """What the argument `traces` of a layer stands for: None, True, False or `LinearTraces`."""
    if traces is None or isinstance(traces, bool):
        return traces
    if isinstance(traces, str) and traces != "linear":
        raise ValueError(f"traces must be None, True, False, 'linear' or LinearTraces; received {traces!r}.")
    return get_settings("traces", traces, LinearTraces, {"linear": LinearTraces})


class Memory(NamedTuple):
    """What is remembered of the steps so far. None where a cell does not need it."""

    x_real: Any  # X of the poles lambda [B, G, J]
    x_imaginary: Any
    y_real: Any  # Y [B, G, J], where two poles may be equal
    y_imaginary: Any
    x_threshold: Any  # X of the poles p [B, A, J]
    v_reset: Any  # V of units that reset [B, G, J]
    z_reset: Any  # Z, with the second filters of the hop and of the thresholds [B, Q G, J]
    constants: Any  # traces of the constants that learn [B, K, H, F]
    means: Any  # of psi, drive and, where what arrives counts by it, f' [B, 2 or 3, H]
    count: Any  # weight of all the steps that the means are of [B, 1, 1 or H]


COUNTED = 1e6
"""The most that the earlier steps count together, so that in single precision the next one still changes the means."""


class LinearMemory:
    """The memory of a layer.

    Args:
        cell: the cell.
        rule: `EProp` or `KeRNL`.
        poles: number of poles, at most; None for all that there are.
        inputs: J.
    """

    def __init__(self, cell, rule, poles, inputs):
        self.cell, self.rule, self.inputs = cell, rule, inputs
        poles = poles or cell.units
        self.adapts = rule.adaptation and cell.adapts
        self.by_slope = rule.hops and rule.kernel.by_slope(cell)
        self.swings = cell.count_own(adaptation=False) > 1
        self.groups = min(max(cell.groups(cell.CONSTANTS)) + 1, poles)
        self.thresholds = min(max(cell.groups(("tau_a",))) + 1, poles) if self.adapts else 0
        if cell.resets:
            self.groups, self.thresholds = min(self.groups, GROUPS), min(self.thresholds, SECOND)
            self.moved = min(self.groups, SECOND) if rule.hops else 0

    @property
    def shapes(self):
        """Of the memory's tensors without the batch axis; None for those that there are not."""
        fields, resets, swings = len(self.cell.fields()), self.cell.resets, self.swings
        cascade = self.rule.hops or (self.adapts and not swings)  # p may be as large as lambda
        x = (self.groups, self.inputs)
        second = (self.moved + self.thresholds) * self.groups if resets else 0
        return Memory(
            x_real=None if resets else x,
            x_imaginary=x if swings else None,
            y_real=x if cascade and not resets else None,
            y_imaginary=x if cascade and swings else None,
            x_threshold=(self.thresholds, self.inputs) if self.adapts and not resets else None,
            v_reset=x if resets else None,
            z_reset=(second, self.inputs) if second else None,
            constants=(self.rule.count_own(self.cell), self.cell.units, fields) if fields else None,
            means=(3 if self.by_slope else 2, self.cell.units),
            count=(1, 1 if resets else self.cell.units),
        )

    def unpack(self, traces):
        """`Memory` of a list of its tensors."""
        rest = iter(traces)
        return Memory(*(None if shape is None else next(rest) for shape in self.shapes))


class Filters:
    """The filters of a sequence, with the constants as they are now.

    Args:
        memory: `LinearMemory`.
        past: `backward.Past`.
    """

    def __init__(self, memory, past):
        self.memory, self.past, self.cell = memory, past, past.cell
        dtype, units = past.residuals.output.dtype, past.cell.units
        kernel = past.cell.free_response(past.p)
        leak, turn = (
            tf.broadcast_to(tf.convert_to_tensor(part, dtype), (units,))
            for part in (kernel[0][0], kernel[-1][0] if len(kernel) > 1 else 0.0)
        )
        self.own = leak, turn if self.memory.swings else None  # lambda in parts [H]
        self.own_size = magnitude((leak, turn))
        groups = self.cell.groups(self.cell.CONSTANTS)
        poles = Poles(groups, memory.groups, self.own)
        self.member, self.weights, self.poles = poles.member, poles.weights, poles.values
        self.leak, self.turn = poles.values[0], zeros_without(poles.values)  # [G]
        if memory.adapts:
            self.own_decay = tf.broadcast_to(tf.convert_to_tensor(past.p.adaptation_decay, dtype), (units,))
            poles = Poles(self.cell.groups(("tau_a",)), memory.thresholds, (self.own_decay, None))
            self.of_threshold, self.threshold_decay = poles.weights[0], poles.values[0]
        if self.cell.resets:
            poles = Poles(groups, memory.moved, self.own) if memory.moved else None
            seconds = [poles.values[0]] if memory.moved else []  # q
            seconds += [self.threshold_decay] if memory.adapts else []
            self.of_moved = poles.weights[0] if memory.moved else None  # [H, Q]
            self.seconds = tf.concat([*seconds, tf.zeros((0,), dtype)], 0)

    # Forward, Eq. (31)

    def advance(self, memory, start, size, skip):
        """The memory after the steps from `start` on, of which the first `skip` are left out."""
        past, dtype = self.past, memory.means.dtype
        x, s = past.presynaptic(start, size)
        inputs = tf.concat([x, s, tf.ones_like(s[..., :1])], -1)  # [C, B, J]
        counts = tf.cast(tf.range(size) >= skip, dtype)[:, None]
        if past.steps is not None:
            counts *= tf.cast(take(past.steps.valid, start, size), dtype)
        starts = past.starts(start, size)
        if starts is not None:  # of the sequences before the last start nothing is remembered
            starts = tf.cast(starts, dtype) * counts
            counts *= tf.cast(tf.cumsum(starts, exclusive=True, reverse=True) < 0.5, dtype)
            fresh = tf.reduce_sum(starts, 0) > 0.5
            memory = memory._replace(
                **{name: where_fresh(fresh, x) for name, x in memory._asdict().items() if x is not None}
            )
        step = past.derivatives(start, size)
        if self.cell.resets:
            made = self.after_resets(memory, inputs, counts, step)
        else:
            made = self.filtered(memory, inputs, counts)
        if memory.constants is not None:
            made["constants"] = advanced_traces(self.memory.rule, past, start, size, counts, memory.constants)
        made |= self.mean_slopes(memory, counts, step)
        return memory._replace(**made)

    def mean_slopes(self, memory, counts, step):
        """The means after some steps; arguments as of `filtered`, and `LinearStep`.

        What a unit that resets has of its own is its share in the slopes of its group, see `by_reset_filters`. Few
        steps would say little of that.
        """
        later = tf.cumsum(counts, exclusive=True, reverse=True)[..., None]  # [C, B or 1, 1], steps that follow
        every = tf.reduce_sum(counts, 0)[:, None, None]  # [B or 1, 1, 1]
        keep = tf.ones_like(self.own_size[:1]) if self.cell.resets else self.own_size
        weights = counts[..., None] * tf.pow(keep, later)  # [C, B or 1, 1 or H]
        like = tf.ones_like(self.past.residuals.output[:1])
        parts = (step.psi, step.Q[0], step.heard)[: memory.means.shape[1]]
        now = tf.stack([tf.reduce_sum(weights * part * like, 0) for part in parts], 1)
        before = tf.minimum(memory.count, COUNTED) * tf.pow(keep, every)
        count = before + tf.reduce_sum(weights, 0)[:, None]
        return {"means": tf.math.divide_no_nan(before * memory.means + now, count), "count": count}

    def filtered(self, memory, inputs, counts):
        """The filters after some steps, where they are the same at every step.

        Args:
            memory: `Memory` before them.
            inputs: s [C, B, J].
            counts: 1, or 0 for a step that is left out [C, B or 1].
        """
        later = tf.cumsum(counts, exclusive=True, reverse=True)  # [C, B or 1], steps that follow
        every = tf.reduce_sum(counts, 0)  # [B or 1]
        of_leak = powers(self.leak, self.turn, every)
        by_input = [part * counts[..., None] for part in powers(self.leak, self.turn, later)]
        made = {}
        made["x_real"], made["x_imaginary"] = rotated(of_leak, memory.x_real, memory.x_imaginary)
        if memory.y_real is not None:  # Y = lambda^n (Y + n X) + sum (n - d) lambda^(n-1-d) s
            n = every[:, None, None]
            moved = in_parts(lambda part: n * part, (memory.x_real, memory.x_imaginary))
            made["y_real"], made["y_imaginary"] = rotated(of_leak, *plus((memory.y_real, memory.y_imaginary), moved))
            made["y_real"] += filtered(by_input[0] * (later + 1.0)[..., None], inputs)
            if memory.y_imaginary is not None:
                made["y_imaginary"] += filtered(by_input[1] * (later + 1.0)[..., None], inputs)
        made["x_real"] += filtered(by_input[0], inputs)
        if memory.x_imaginary is not None:
            made["x_imaginary"] += filtered(by_input[1], inputs)
        if memory.x_threshold is not None:
            decay = self.threshold_decay
            kept = tf.pow(decay, every[:, None])[..., None] * memory.x_threshold
            made["x_threshold"] = kept + filtered(tf.pow(decay, later[..., None]) * counts[..., None], inputs)
        return made

    def after_resets(self, memory, inputs, counts, step):
        """The filters after some steps, where units reset; arguments as of `filtered`, and `LinearStep`."""
        step = self.memory.rule.followed(step)
        keep = step.K[0][0] + times(step.s[0], step.psi)
        keep, leak, psi = (self.of_groups(part, inputs) for part in (keep, step.P[0][0], step.psi))  # [C, B, G]
        v, z = after_resets(memory.v_reset, memory.z_reset, self.seconds, inputs, keep, leak, psi, counts)
        return {"v_reset": v, "z_reset": z}

    def of_groups(self, x, inputs):
        """The mean over the units that share a pole, [C, B, G], of x [C, B, H] or a number."""
        x = x * tf.ones_like(self.past.residuals.output[:1])
        mean = tf.einsum("cbh,hg->cbg", x, self.member) / tf.reduce_sum(self.member, 0)
        return tf.broadcast_to(mean, (tf.shape(inputs)[0], tf.shape(inputs)[1], self.memory.groups))

    # Backward, Eq. (32), (33)

    def gradient(self, memory, own, potential, m):
        """dC/dW [J+F, H] of a window's errors by what is remembered.

        Args:
            memory: `Memory` at the border.
            own: errors of the states before the border, see `window.Inside`.
            potential: errors of the potential at the window's first step.
            m: M [H, H], or None without a hop.
        """
        psi, drive = memory.means[:, 0], memory.means[:, 1]  # [B, H]
        if self.memory.by_slope:
            potential = [part * memory.means[:, 2] for part in potential]
        of_errors = self.by_reset_filters if self.cell.resets else self.by_filters
        of_weights = of_errors(memory, own, potential, m, psi, drive)
        if memory.constants is None:
            return of_weights
        carried = range(memory.constants.shape[1])
        of_constants = [tf.einsum("bh,bhf->fh", own[k], memory.constants[:, k]) for k in carried]
        return tf.concat([of_weights, tf.add_n(of_constants)], 0)

    def by_filters(self, memory, own, potential, m, psi, drive):
        """dC/dW [J, H]; arguments as of `gradient`, and the means of psi and drive [B, H]."""
        swings, found = self.memory.swings, Coefficients()
        found.add(memory, self.spread((drive * own[0], -drive * own[1] if swings else None)))
        if self.memory.adapts:
            self.add_threshold(found, memory, own[2 if swings else 1] * psi * drive)
        if m is not None:
            self.add_hop(found, memory, potential, m, psi * drive)
        return found.sum()

    def by_reset_filters(self, memory, own, potential, m, psi, drive):
        """The same for units that reset."""
        of_weights = in_all((drive * own[0])[..., None] * self.member, memory.v_reset)
        if memory.z_reset is None:
            return of_weights
        of_group = tf.matmul(psi, self.member / tf.reduce_sum(self.member, 0))  # [B, G]
        share = tf.math.divide_no_nan(psi, tf.matmul(of_group, self.member, transpose_b=True))  # of it, a unit's own
        second, factor = [], share * drive  # the errors of Z in each unit, by its second filter [B, H, Q]
        if m is not None:
            moved = tf.einsum("bk,kq,ki->biq", potential[0], self.of_moved, tf.cast(m, factor.dtype))
            second.append(factor[..., None] * moved)
        if self.memory.adapts:
            second.append((own[1] * factor * (1.0 - self.own_decay))[..., None] * self.of_threshold)
        second = tf.concat(second, -1)
        weight = second[..., None] * self.member[:, None]  # [B, H, Q, G]
        shape = tf.shape(weight)
        return of_weights + in_all(tf.reshape(weight, (shape[0], shape[1], memory.z_reset.shape[1])), memory.z_reset)

    def spread(self, x):
        """x [B, H] times the weights of its unit [B, H, G]; all in parts."""
        return product(in_parts(lambda part: part[..., None], x), self.weights)

    def add_threshold(self, found, memory, error):
        """a (1-p) Re Z(p, lambda); `error` is a psi drive."""
        error = error * (1.0 - self.own_decay)
        of_own, of_threshold, near = partial_fractions((self.own_decay, None), self.own)
        found.add(memory, self.spread(product((error, None), of_own)))
        weight = (error * of_threshold[0])[..., None] * self.of_threshold
        found.products += in_all(weight, memory.x_threshold)
        if memory.y_real is not None:
            found.add_cascade(memory, self.spread((error * near, None)))

    def add_hop(self, found, memory, potential, m, factor):
        """Eq. (33): the pole g' of the unit that is moved in rows, the pole g of unit i in columns."""
        poles, weights, swings = in_parts(lambda part: part[None], self.poles), self.weights, self.memory.swings
        error = potential[0], -potential[1] if swings else None  # conj(c)
        moved = in_parts(lambda part: tf.einsum("bkg,ki->big", part, tf.cast(m, part.dtype)), self.spread(error))
        moved = product(moved, ((0.5 * factor if swings else factor)[..., None], None))
        at_other, at_own, of_other, of_own = self.through(moved, weights, poles)
        if swings:
            mirrored = self.through(moved, conjugate(weights), conjugate(poles))
            at_other, of_other = plus(at_other, mirrored[0]), plus(of_other, mirrored[2])
            at_own = plus(at_own, conjugate(mirrored[1]))  # Re(w conj(X)) is Re(conj(w) X)
            of_own = plus(of_own, conjugate(mirrored[3]))
        found.add(memory, plus(at_other, at_own))
        found.add_cascade(memory, plus(of_other, of_own))

    def through(self, moved, weights, own):
        """The weights of X and Y in Z(g', g), Eq. (33).

        Args:
            moved: weights of the poles g' in what moves the units, in parts [B, H, G].
            weights: of the poles g in the units, in parts [H, G].
            own: the poles g, in parts [1, G].

        Returns:
            the weights of X^g', X^g, Y^g' and Y^g, each in parts [B, H, G].
        """
        of_own, of_other, near = partial_fractions(in_parts(lambda part: part[:, None], self.poles), own)

        def of_pair(other, own):
            by_unit = product(weights, other, lambda w, part: tf.einsum("ig,kg->ik", w, part))
            by_pole = product(moved, own, lambda w, part: tf.einsum("bik,kg->big", w, part))
            return product(moved, by_unit), product(weights, by_pole)

        half = 0.5 * near, None
        return *of_pair(of_other, of_own), *of_pair(half, half)


class Coefficients:
    """What multiplies the filtered inputs, and the products that it makes."""

    def __init__(self):
        self.x, self.y, self.products = [], [], 0.0

    def add(self, memory, weight):
        """Re(weight X), of a complex weight in parts [B, H, G]."""
        self.x.append((memory.x_real, memory.x_imaginary, weight))

    def add_cascade(self, memory, weight):
        """Re(weight Y)."""
        self.y.append((memory.y_real, memory.y_imaginary, weight))

    def sum(self):
        """dC/dW [J, H]."""
        products = self.products
        for each in (self.x, self.y):
            if each:
                real, imaginary, _ = each[0]
                weight = functools.reduce(plus, (weight for *_, weight in each))
                products += in_all(weight[0], real)
                if imaginary is not None:
                    products -= in_all(weight[1], imaginary)
        return products


def in_all(weight, filtered):
    """[B, H, G] by [B, G, J], summed over examples: [J, H]."""
    return tf.einsum("bhg,bgj->jh", weight, filtered)


def partial_fractions(other, own):
    """Z(other, own) as a sum of X^own, X^other and the Y of the two.

    Where the two poles are so near each other that the difference would lose its digits, the mean of their Y stands for
    it. It is exact where they are equal; else it is wrong by (n gap)^2 / 12, with n = 1 / (1 - |pole|).

    Args:
        other, own: poles, in parts.

    Returns:
        the factors of X^own and of X^other, in parts; and 1 where it is the mean of both Y, else 0.
    """
    real = own[0].dtype
    gap = other[0] - own[0], None if own[1] is None else zeros_without(other) - own[1]
    tolerance = (12.0 * real.as_numpy_dtype(np.finfo(real.as_numpy_dtype).eps)) ** (1 / 3)
    near = magnitude(gap) <= tolerance * (1.0 - tf.maximum(magnitude(other), magnitude(own)))
    gap = tf.where(near, tf.ones_like(gap[0]), gap[0]), gap[1]
    apart = 1.0 - tf.cast(near, real)
    of_own, of_other = (in_parts(lambda part: apart * part, quotient(pole, gap)) for pole in (own, other))
    return in_parts(tf.negative, of_own), of_other, 1.0 - apart


def zeros_without(x):
    """The imaginary part of a complex tensor in parts, zeros where there is none."""
    return tf.zeros_like(x[0]) if x[1] is None else x[1]


def powers(leak, turn, exponent):
    """lambda^n in two parts [.., G], of exponents n [..]."""
    modulus, angle = tf.sqrt(leak**2 + turn**2), tf.atan2(turn, leak)
    size = tf.pow(modulus, exponent[..., None])
    return size * tf.cos(angle * exponent[..., None]), size * tf.sin(angle * exponent[..., None])


def rotated(by, real, imaginary):
    """(real + i imaginary) [B, G, J] times `by`, two parts [B or 1, G]; the imaginary part may be None."""
    of_real, of_imaginary = (part[..., None] for part in by)
    if imaginary is None:
        return of_real * real, None
    return of_real * real - of_imaginary * imaginary, of_real * imaginary + of_imaginary * real


def filtered(weights, inputs):
    """sum_d weights(d) s(d): [C, B or 1, G] by [C, B, J] -> [B, G, J]."""
    if weights.shape[1] == 1:
        return tf.einsum("cg,cbj->bgj", weights[:, 0], inputs)
    return tf.einsum("cbg,cbj->bgj", weights, inputs)


def at_borders(filters, memory, window, visit, total):
    """What `visit` adds up to at the beginnings of all windows, with the memory as it is there.

    Args:
        filters: `Filters`.
        memory: `Memory` before the first step.
        window: C.
        visit: `(total, memory, number of the window) -> total`.
        total: before the first window.
    """
    total, windows = visit(total, memory, 0), count_windows(filters, window)
    if isinstance(windows, int) and windows == 1:
        return total

    def body(number, memory, total):
        memory = advanced(filters, memory, window, number - 1)
        return number + 1, memory, visit(total, memory, number)

    return forward_loop(filters, body, 1, windows, memory, total)[1]


def after_all(filters, memory, window):
    """The memory after the last step; arguments as of `at_borders`."""

    def body(number, memory):
        return number + 1, advanced(filters, memory, window, number)

    return forward_loop(filters, body, 0, count_windows(filters, window), memory)[0]


def count_windows(filters, window):
    """How many windows there are; the last may be shorter."""
    return -(-filters.past.length // window)


def advanced(filters, memory, window, number):
    """The memory after a window."""
    begins = number * window
    first = tf.minimum(begins, filters.past.length - window)
    return filters.advance(memory, first, window, begins - first)


def forward_loop(filters, body, start, stop, *state):
    """`body` for the numbers of windows from `start` on; returns the state after it, without the number."""
    state = (start, *state)
    if filters.past.unroll:
        for _ in range(start, stop):
            state = body(*state)
        return state[1:]
    return loop(lambda number, *_: number < stop, body, state, stop)[1:]
