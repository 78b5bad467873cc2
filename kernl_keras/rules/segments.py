"""Means of the last steps in linear memory, and the way back through them.

Slopes change fast where spikes come and go, so a mean of few steps tells more; but many of them would fill the memory.
So segments are longer the older they are: the newest two have up to n steps each, the next two up to 2 n, then 4 n, and
so on. When a third segment of one length is complete, the two older ones are merged into one of twice the length.

At a border errors go back through the segments, by Eq. (44) with each segment's mean, m steps at once in the newest,
2 m in those of twice the length: in that time the own state moves exactly, and the part of e that comes from other
units stays the same. Where units oscillate, that part turns too fast for this. There nothing is merged, so that all
segments have n steps. Errors from layers above, Eq. (42), come on top.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..cells.linear import nothing, plus, tensor, times, to_currents, varying, with_varying
from .filters import Complex, over_steps, powers


class Segments(NamedTuple):
    """Means of the last steps, the newest first."""

    means: Any  # [B, K, F]
    steps: Any  # how many steps each mean is over [B, K]


class BorderErrors(NamedTuple):
    """Errors of one border, on their way back."""

    states: tuple  # of the own states, each [B, H]
    hops: tuple  # from other units by their currents [B, H], in each of the steps taken at once; () without hops
    limit: Any  # squared length of `states` up to which they may grow [B, 1]
    sums: tuple  # b so far, in its parts [P, B, G H]
    n: Any  # how many steps they have gone back [B]


def pushed(segments, mean, steps, merge):
    """`Segments` with a new one; `mean` [B, F] and `steps` [B]. An example without steps keeps what it has."""
    kept = list(zip(tf.unstack(segments.means, axis=1), tf.unstack(segments.steps, axis=1)))
    new, some = (mean, steps), steps > 0.0
    oldest = (len(kept) - 1) // 2 * 2 if merge else 0  # from there on nothing is merged
    for level in range(0, oldest, 2):
        newer, older = kept[level : level + 2]
        full = (newer[1] > 0.0) & (older[1] > 0.0)
        both = newer[1] + older[1]
        joined = tf.math.divide_no_nan(newer[1][:, None] * newer[0] + older[1][:, None] * older[0], both[:, None])
        nobody = tf.zeros_like(mean), tf.zeros_like(steps)
        kept[level : level + 2] = where(some, new, newer), where(some, where(full, nobody, newer), older)
        new, some = (joined, both), some & full
    for place in range(oldest, len(kept)):  # the last one is forgotten
        new, kept[place] = kept[place], where(some, new, kept[place])
    means, counts = zip(*kept)
    return Segments(tf.stack(means, 1), tf.stack(counts, 1))


def lengths(count, merge):
    """How many times as long as the newest each of the segments is, NumPy."""
    return 2 ** (np.arange(count) // 2 * merge)


def where(condition, one, other):
    """The one or the other pair of a mean [B, F] and its steps [B], in each example."""
    return tf.where(condition[:, None], one[0], other[0]), tf.where(condition, one[1], other[1])


class WayThrough:
    """The way of a border's errors back through the segments.

    Args:
        jacobian, hop: functions of a mean [B, F] and of R [B, H], see `memory.Recollection`; no hop for None.
        decay: kappa of the synaptic trace that errors from other units come through; 0.0 for none.
        sequences: those that the errors from layers above are sums of, `above.Above`; None for none.
        poles: those at which b is wanted, NumPy.
        scan: `time_loop.scan`, unrolled or not.
    """

    def __init__(self, jacobian, hop, decay, sequences, poles, scan):
        self.jacobian, self.hop, self.decay, self.sequences = jacobian, hop, decay, sequences
        self.poles, self.scan, self.parts = poles, scan, 1 + bool(np.any(poles.imag))
        self.trace = not nothing(decay)  # S is one state more

    def power(self, n):
        """p^n [P, B, 1], for n [B]."""
        return Complex(*(tf.transpose(part)[..., None] for part in powers(self.poles, n).parts(self.parts)))

    def start(self, own, error, synapse, silence):
        """`BorderErrors` at the border, from the arguments of `filters.respond`; `silence` is zeros [B, G H]."""
        states = (*own, tensor(synapse, like=own[0])) if self.trace else tuple(own)
        sums = (silence + tf.zeros((len(self.poles), 1, 1), silence.dtype),) * self.parts
        hops = () if self.hop is None else (error,)
        return BorderErrors(states, hops, squares(states), sums, tf.zeros_like(silence[:, 0]))

    def __call__(self, segments, errors, size, m, lengths, above=None):
        """`BorderErrors` behind all segments, from those at the border.

        `size` is n, `m` how many steps of the newest segments are taken at once, `lengths` those of the segments, and
        `above` the weights of the `sequences` [count, B, H], or None.
        """
        means, steps = tf.transpose(segments.means, (1, 0, 2)), tf.transpose(segments.steps)
        step, given = self.several_steps(means, m, lengths)
        at_once, dtype = tf.constant(m * lengths, means.dtype), means.dtype
        starts = at_once[:, None] * tf.cast(tf.range(size // m), dtype)  # [K, n/m]
        of_poles = over_steps(self.poles, starts, m * lengths).parts(self.parts)
        elements = varying((step, given)), steps, at_once, starts, of_poles
        if above is not None:
            elements += (self.sequences.over_steps(starts, m * lengths),)

        def through(errors, now):
            entries, steps, m, starts, of_poles, *sums = now
            hops = tuple(error / m for error in errors.hops)  # in each step
            entering = [tf.einsum("cg,gbh->cbh", each / m, self.sequences.shifted(above, errors.n)) for each in sums]
            (states, hops, limit), currents = self.steps(
                *with_varying((step, given), entries), errors._replace(hops=hops), steps, m, starts, entering
            )
            here = Complex(*(tf.einsum("cp,cbh->pbh", part, currents) for part in of_poles))
            here = self.power(errors.n) * here
            sums = tuple(map(tf.add, errors.sums, here.parts(self.parts)))
            n = errors.n + tf.minimum(steps, m * tf.cast(tf.shape(starts)[0], dtype))
            return BorderErrors(states, tuple(m * error for error in hops), limit, sums, n), ()

        return self.scan(through, errors, elements)[0]

    def several_steps(self, means, m, lengths):
        """Linear steps that stand for m steps each, or more where segments are longer, of the means [K, B, F].

        A `Jacobian` of errors from other units, and one of those that enter z. They differ where there is a trace S,
        which is what other units receive.
        """
        step = given = self.jacobian(means)
        if self.trace:
            step = given.with_trace(self.decay)
            given = step._replace(D=(*given.D, 0.0))
        for _ in range(m.bit_length() - 1):
            step, given = step.twice(), given.twice()
        for level in range(1, int(lengths[-1]).bit_length()):
            longer = tf.constant((lengths >= 2**level)[:, None, None])
            step, given = (
                tf.nest.map_structure(lambda x, y, longer=longer: choose(longer, x, y, means.dtype), each.twice(), each)
                for each in (step, given)
            )
        return step, given

    def steps(self, step, given, errors, steps, m, starts, entering):
        """Back through one segment: `states`, `hops` and `limit` after it, and R [c, B, G H]."""

        above = []  # what the errors that enter at each step add to those of the states and of the current
        for error in entering:
            more = [times(d, error) for d in given.D]
            added = [tensor(x, like=error) for x in (*more, times(to_currents(error, given.g), given.g))]
            above.append((*added, tf.sqrt(squares(added[:-1]))))

        def back(carry, now):
            states, hops, limit = carry
            start, *above = now
            part = tf.clip_by_value((steps - start) / m, 0.0, 1.0)[:, None]  # of the m steps, those that there are
            before, current = step.back(states, hops[0] if hops else 0.0)
            for *more, of_current, length in above:
                before = tuple(map(plus, before, more))
                current = plus(current, of_current)
                limit = tf.square(tf.sqrt(limit) + part * length)
            arrived = [self.hop(current)] if hops else []
            states, hops = (
                tuple(x + part * (y - x) for x, y in zip(*pair)) for pair in ((states, before), (hops, arrived))
            )
            if hops:
                length = squares(states)
                grown = (length > limit) & (limit > 0.0)
                shorter = tf.where(grown, tf.sqrt(tf.math.divide_no_nan(limit, length)), tf.ones_like(length))
                states, hops = tf.nest.map_structure(lambda x: shorter * x, (states, hops))
            return (states, hops, limit), part * current

        return self.scan(back, (errors.states, errors.hops, errors.limit), (starts, *above))


def choose(condition, one, other, dtype):
    """tf.where of tensors or numbers; the same number stays one."""
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    return one if numbers and one == other else tf.where(condition, *(tf.cast(x, dtype) for x in (one, other)))


def squares(errors):
    """The squared length of the errors of each example [B, 1], a tuple of [B, H]."""
    return tf.reduce_sum(tf.add_n([x**2 for x in errors if not nothing(x)]), -1, keepdims=True)
