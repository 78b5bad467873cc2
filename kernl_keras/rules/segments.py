"""Means of the last steps in linear memory, and the way back through them.

Slopes change fast where spikes come and go, so a mean of few steps tells more; but many of them would fill the memory.
So segments are longer the older they are: the newest two have n steps each, the next two 2 n, then 4 n, and so on.
After a window its own steps come first, and behind them the old segments, each as so many steps that all have its mean.
They are cut anew into segments of these lengths.

At a border errors go back through the segments, by Eq. (44) with each segment's mean, step by step in those of n steps,
and m steps at once in those of m n: in that time the own state moves exactly, and the part of e that comes from other
units stays the same. Where units oscillate, that part turns too fast for this, and all segments have n steps. Errors
from layers above, Eq. (42), come on top.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..cells.linear import by_currents, nothing, plus, tensor, times, varying, with_varying
from .filters import Complex, over_steps, powers


class BorderErrors(NamedTuple):
    """Errors of one border, on their way back."""

    states: tuple  # ell of the own states, and kappa e where there is a trace S, each [B, H]
    arrived: tuple  # rho M^T (R / drive) [B, H], of all the steps taken at once; () without hops
    limit: Any  # squared length of `states` up to which they may grow [B, 1]
    sums: tuple  # b so far, in its parts [P, B, G H]
    n: Any  # how many steps they have gone back [B]


def after_window(means, steps, features, counts, later, edges):
    """The means of the segments [B, K, F] and how many steps each is over [B, K], after a window of C steps.

    `means` and `steps` are those before it. `features` [C, B, F] are the window's; `counts` [C, B or 1] is 1 for steps
    that count, and `later` says how many such steps came after each. Segment k is from `edges[k]` to `edges[k + 1]`
    steps back.
    """
    start, stop = edges[:-1], edges[1:]
    back, every = later[..., None], tf.reduce_sum(counts, 0)[:, None]
    new = counts[..., None] * tf.cast((back >= start) & (back < stop), features.dtype)  # [C, B, K]
    ends = every + tf.cumsum(steps, 1)
    begins = ends - steps
    common = tf.minimum(ends[:, None], stop[:, None]) - tf.maximum(begins[:, None], start[:, None])
    common = tf.nn.relu(common)  # steps of each segment that were in each of the old ones [B, K, K]
    steps = tf.reduce_sum(new, 0) + tf.reduce_sum(common, -1)
    total = weighted_sum(new, features) + tf.matmul(common, means)
    return tf.math.divide_no_nan(total, steps[..., None]), steps


class WayThrough:
    """The way of a border's errors back through the segments.

    Args:
        jacobian, hop: functions of a mean [B, F] and of R [B, H], see `memory.Recollection`; no hop for None.
        kappa: decay of the synaptic trace that errors from other units come through; 0.0 for none.
        sequences: those that the errors from layers above are sums of, `above.Above`; None for none.
        poles: those at which b is wanted, NumPy.
        scan: `time_loop.scan`, unrolled or not.
    """

    def __init__(self, jacobian, hop, kappa, sequences, poles, scan):
        self.jacobian, self.hop, self.kappa, self.sequences = jacobian, hop, kappa, sequences
        self.poles, self.scan, self.parts = poles, scan, 1 + bool(np.any(poles.imag))
        self.trace = not nothing(kappa)  # S is one state more

    def power(self, n):
        """p^n [P, B, 1], for n [B]."""
        return Complex(*(tf.transpose(part)[..., None] for part in powers(self.poles, n).parts(self.parts)))

    def start(self, ell, arrived, kappa_e, silence):
        """`BorderErrors` at the border, from the arguments of `filters.respond`; `silence` is zeros [B, G H]."""
        states = (*ell, tensor(kappa_e, like=ell[0])) if self.trace else tuple(ell)
        sums = (silence + tf.zeros((len(self.poles), 1, 1), silence.dtype),) * self.parts
        arrived = () if self.hop is None else (arrived,)
        return BorderErrors(states, arrived, squares(states), sums, tf.zeros_like(silence[:, 0]))

    def __call__(self, means, steps, errors, size, m, above=None):
        """`BorderErrors` behind all segments, from those at the border.

        `means` [B, K, F] and `steps` [B, K] are those of the segments, `size` is n, `m` how many times as long each of
        them is, NumPy, and `above` the weights of the `sequences` [count, B, H], or None.
        """
        means, steps = tf.transpose(means, (1, 0, 2)), tf.transpose(steps)
        step, given = self.several_steps(means, m)
        at_once, dtype = tf.constant(m, means.dtype), means.dtype
        starts = at_once[:, None] * tf.cast(tf.range(size), dtype)  # [K, n]
        powers_of_steps = over_steps(self.poles, starts, m).parts(self.parts)
        elements = varying((step, given)), steps, at_once, starts, powers_of_steps
        if above is not None:
            elements += (self.sequences.over_steps(starts, m),)

        def through(errors, now):
            entries, steps, m, starts, powers_of_steps, *sums = now
            arrived = tuple(error / m for error in errors.arrived)  # in each step
            entering = [tf.einsum("cg,gbh->cbh", each / m, self.sequences.shifted(above, errors.n)) for each in sums]
            (states, arrived, limit), R = self.steps(
                *with_varying((step, given), entries), errors._replace(arrived=arrived), steps, m, starts, entering
            )
            here = Complex(*(tf.einsum("cp,cbh->pbh", part, R) for part in powers_of_steps))
            here = self.power(errors.n) * here
            sums = tuple(map(tf.add, errors.sums, here.parts(self.parts)))
            n = errors.n + tf.minimum(steps, m * tf.cast(tf.shape(starts)[0], dtype))
            return BorderErrors(states, tuple(m * error for error in arrived), limit, sums, n), ()

        return self.scan(through, errors, elements)[0]

    def several_steps(self, means, m):
        """Linear steps that stand for m steps each, of the means [K, B, F].

        A `Jacobian` of errors from other units, and one of those that enter z. They differ where there is a trace S,
        which is what other units receive.
        """
        step = given = self.jacobian(means)
        if self.trace:
            step = given.with_trace(self.kappa)
            given = step._replace(D=(*given.D, 0.0))
        for level in range(1, int(m[-1]).bit_length()):
            longer = tf.constant((m >= 2**level)[:, None, None])
            step, given = (
                tf.nest.map_structure(lambda x, y, longer=longer: choose(longer, x, y, means.dtype), each.twice(), each)
                for each in (step, given)
            )
        return step, given

    def steps(self, step, given, errors, steps, m, starts, entering):
        """Back through one segment: `states`, `arrived` and `limit` after it, and R [c, B, G H]."""

        above = []  # what the errors that enter at each step add to those of the states and to R
        for error in entering:
            more = [times(d, error) for d in given.D]
            added = [tensor(x, like=error) for x in (*more, by_currents([error], [given.g]))]
            above.append((*added, tf.sqrt(squares(added[:-1]))))

        def back(carry, now):
            states, arrived, limit = carry
            start, *above = now
            part = tf.clip_by_value((steps - start) / m, 0.0, 1.0)[:, None]  # of the m steps, those that there are
            before, R = step.back(states, arrived[0] if arrived else 0.0)  # Eq. (44)
            for *more, R_more, length in above:
                before = tuple(map(plus, before, more))
                R = plus(R, R_more)
                limit = tf.square(tf.sqrt(limit) + part * length)
            hopped = [self.hop(R)] if arrived else []
            states, arrived = (
                tuple(x + part * (y - x) for x, y in zip(*pair)) for pair in ((states, before), (arrived, hopped))
            )
            if arrived:
                length = squares(states)
                grown = (length > limit) & (limit > 0.0)
                shorter = tf.where(grown, tf.sqrt(tf.math.divide_no_nan(limit, length)), tf.ones_like(length))
                states, arrived = tf.nest.map_structure(lambda x: shorter * x, (states, arrived))
            return (states, arrived, limit), part * R

        return self.scan(back, (errors.states, errors.arrived, errors.limit), (starts, *above))


def choose(condition, one, other, dtype):
    """tf.where of tensors or numbers; the same number stays one."""
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    return one if numbers and one == other else tf.where(condition, *(tf.cast(x, dtype) for x in (one, other)))


def squares(errors):
    """The squared length of the errors of each example [B, 1], a tuple of [B, H]."""
    return tf.reduce_sum(tf.add_n([x**2 for x in errors if not nothing(x)]), -1, keepdims=True)


def weighted_sum(weights, x):
    """sum_c weights(c) x(c): [C, B or 1, G] by [C, B, J] -> [B, G, J]."""
    if weights.shape[1] == 1:
        return tf.einsum("cg,cbj->bgj", weights[:, 0], x)
    return tf.einsum("cbg,cbj->bgj", weights, x)
