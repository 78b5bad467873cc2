"""Linear memory: of the steps before a window only filtered inputs and mean slopes are remembered. Eq. (43), (44).

Exact traces are [H, J] numbers each, and KeRNL needs several. In their place this memory has the inputs, filtered by G
poles that all units share, and means of each unit's linear step: one for each of the last K segments of steps, see
`rules.segments`, and a leaky one for all that is older.

    X^g_j(t) = p_g X^g_j(t-1) + s_j(t)
    (43) dx(t) = A dx(t-1) + B dI(t),     dz(t) = D . dx(t-1) + g dI(t)

At the border of a window, before step t0, the errors ell of the own states and e of the outputs go on back through
steps that have these means, and so from unit to unit:

    (44) R = B . ell + g e,    ell <- A^T ell + D e,    e <- rho M^T (R / drive) + kappa e

R is the error of the current, and drive what a current of 1 adds to the potential in one step. The response R(n) is R
at step t0-1-n. e is the error of the synaptic trace S where there is one, kappa its decay, and rho the damping of a
hop. Through the last K segments the errors go step by step, or, where units are slow, several steps at once. What is
older has the same mean at every step, so that the sum of its responses at each pole has a closed form, Eq. (39). With
that `rules.filters` weighs the filtered inputs:

    (40) dC/dW_ij += sum_g w_gi X^g_j(t0-1)

Constants that learn have exact traces of their own.
"""

import copy
import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..cells.linear import LinearStep, times, varying, with_varying
from ..checks import integer, is_finite, number
from ..keras_version import serializable
from ..sequences.masks import where_fresh
from ..sequences.time_loop import map_tensors, scan, take
from .filters import Complex, Filters, once, poles_of, respond
from .products import share
from .segments import WayThrough, after_window, weighted_sum
from .settings import Settings, get_settings


@serializable
class LinearTraces(Settings):
    """Traces in linear memory: a few filters of the inputs for all units, instead of traces for each weight.

    Args:
        poles: how many filters there are; None for 40 that oscillate where units have periods, 10 where an adaptation
            current makes them oscillate, else 8 that decay. Oscillating filters keep two numbers for each input. Their
            periods are spread over those of the units; half of them have the units' longest time constant, half a
            tenth of it, which under an adaptation current all have. Decaying filters have time constants from 3 steps
            to beyond the units' longest. Of a `kernl_keras.Unit` the periods are found from its step at rest; they
            count as an adaptation current's where a spike resets the potential or nothing lasts for a period. Or the
            filters themselves: a list of time constants in ms, or of pairs of a time constant and a period. Time
            constants of more than 100,000 steps count as so many. Give the filters where an initializer of your own
            draws the units' constants without a `seed`: those found from its draws differ in a model that is loaded.
        hops: under KeRNL, through how many other units an error goes back in what is older than the segments; None for
            4 where units have periods, else 1, and 0 for none at all. What a hop after the first adds is scaled down
            where it is longer than what the one before it added. In the segments an error goes on to other units at
            every step, or every m steps where a segment has m n. M is then the direct effect of a unit on another,
            which it learns from single steps, in a `kernl_keras.Model` by least squares; the rule's kernel plays no
            part.
        damping: rho, the factor by which each hop multiplies an error, from 0 to 1.
        average: time constant, in steps, of the leaky mean of all steps, which stands for those older than the
            segments.
        segments: K, how many segments of the last steps have means of their own; None for 1 where units have periods,
            else 12, and 4 in `kernl_keras.LeakyRNNCell`. An error goes back through all of their steps: with 4 windows
            of resonators KeRNL comes nearer to backpropagation, above all late in training, and takes about 1.5 times
            as long.
        segment_steps: n, how many steps a segment has, and never more than a window; None for a window where units
            have periods, else 4. Where they have none, only the newest two segments have n steps, the next two have
            twice as many, and so on.

    Raises:
        ValueError: for a setting out of range.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.LIFCell(4), window=64, traces=kk.rules.LinearTraces(poles=8)).traces.poles
    8
    """

    def __init__(
        self,
        poles: Any = None,
        hops: int | None = None,
        damping: float = 0.9,
        average: float = 64.0,
        segments: int | None = None,
        segment_steps: int | None = None,
    ) -> None:
        self.poles = check_poles(poles)
        self.hops = None if hops is None else integer("hops", hops, low=0)
        self.damping = number("damping", damping, low=0.0, high=1.0)
        self.average = number("average", average, above=0.0)
        self.segments = None if segments is None else integer("segments", segments, low=0)
        self.segment_steps = None if segment_steps is None else integer("segment_steps", segment_steps)


def check_poles(poles: Any) -> Any:
    """The argument `poles`: None, an integer >= 1, or a list of time constants or of pairs with a period."""
    if poles is None or isinstance(poles, (int, np.integer)):
        return None if poles is None else integer("poles", poles)
    if isinstance(poles, (list, tuple)) and poles:
        pairs = [list(pole) if isinstance(pole, (list, tuple)) else [pole] for pole in poles]
        finite = [pair[:1] if pair[1:] == [math.inf] else pair for pair in pairs]  # a filter may have no period
        if all(len(pair) in (1, 2) and all(is_finite(x) and x > 0 for x in pair) for pair in finite):
            return [list(map(float, pair)) for pair in pairs]
    raise ValueError(
        f"poles must be None, an integer >= 1, or a list of time constants > 0 or of pairs (time constant, period); "
        f"received {poles!r}."
    )


def get_traces(traces: Any) -> Any:
    """The argument `traces` of a layer as None, True, False or `LinearTraces`."""
    if traces is None or isinstance(traces, bool):
        return traces
    if not isinstance(traces, (LinearTraces, dict, type)) and traces != "linear":
        raise ValueError(f"traces must be None, True, False, 'linear' or LinearTraces; received {traces!r}.")
    return get_settings("traces", traces, LinearTraces, {"linear": LinearTraces})


def suited(settings, cell):
    """The settings with what suits the cell's units for each None; a `segment_steps` that stays None is a window."""
    suits = {"hops": 1, "segments": 12, "segment_steps": 4, **cell.RULE_DEFAULTS.get("linear", {})}
    if cell.time_scales()[1] is not None:
        suits = {"hops": 4, "segments": 1}
    given = {name: value for name, value in settings.get_config().items() if value is not None}
    return LinearTraces(**{**suits, **given})


class Memory(NamedTuple):
    """The memory of the steps so far. None where it is not needed."""

    x: Any  # filtered inputs [B, count, J]
    means: Any  # leaky means of the entries of (37) or (43) that vary, see `averaged` [B, F]
    weight: Any  # total weight of the steps in these means [B, 1]
    segments: Any  # the means over each of the last K segments, the last one first [B, K, F]
    steps: Any  # how many steps each of them has [B, K]
    constants: Any  # traces of the constants that learn [B, d, H, F]


class LinearMemory:
    """The linear memory of a layer, by `LinearTraces`, under `EProp` or `KeRNL`; a unit has J `inputs`."""

    def __init__(self, cell, rule, settings, inputs):
        self.cell, self.rule, self.settings = cell, rule, suited(settings, cell)
        self.grow = cell.time_scales()[1] is None  # whether segments are longer the older they are, `rules.segments`
        self.filters, self.keep = Filters(poles_of(cell, settings.poles)), math.exp(-1.0 / settings.average)
        fields, own = len(cell.fields()), cell.count_own(rule.adaptation)
        # In a graph: where a layer is built no tape records, and without one a `Unit` has no derivatives.
        any_step = tf.function(self._any_step, autograph=False).get_concrete_function()
        features, count = sum(x.shape[-1] for x in any_step.structured_outputs), self.settings.segments
        self.shapes = Memory(  # without the batch axis
            x=(self.filters.count, inputs),
            means=(features,),
            weight=(1,),
            segments=(count, features) if count else None,
            steps=(count,) if count else None,
            constants=(own, cell.units, fields) if fields else None,
        )

    def _any_step(self):
        """What is averaged of some step, for its shapes."""
        cell, p = self.cell, self.cell.parameters()
        rest = tf.zeros((1, 1, cell.units), cell.compute_dtype)
        step, after = cell.step(tf.concat([rest] * cell.currents, -1), cell.State(*[rest] * len(cell.State._fields)), p)
        return varying(averaged(self.followed(cell.linear_step(cell.save_residuals(step, after), p))))

    def followed(self, step):
        """The `LinearStep` of the own states that the rule follows."""
        own = self.rule.followed(step).first(self.cell.count_own(self.rule.adaptation))
        constant = {"gate": 1.0, "heard": 1.0, "heard_beside": (), "presynaptic": None, "continues": 1.0}
        return own._replace(**constant, reset=(0.0,) * len(own.s))

    def operations(self, window):
        """How many multiplications the matrix products take for each example and piece of one window, of C steps."""
        units, currents, segments = self.cell.units, self.cell.currents, self.settings.segments
        (count, inputs), (features,) = self.shapes.x, self.shapes.means
        steps, hops = self.settings.segment_steps or window, self.settings.hops if self.rule.hops else 0
        inside = segments * min(steps, window)  # steps through which errors go one by one
        return (
            window * count * inputs  # the filters
            + features * (window * (1 + segments) + segments**2)  # means
            + units**2 * (self.rule.hops + bool(hops) * inside + hops * count)  # hops from unit to unit, Eq. (39), (44)
            + currents * units * count * (inside + count + inputs)  # sums at the poles, w and w X of Eq. (40)
        )

    def unpack(self, traces):
        """The `Memory` from a list of its tensors."""
        rest = iter(traces)
        return Memory(*(None if shape is None else next(rest) for shape in self.shapes))


def averaged(step):
    """What is averaged of a step: psi, K and psi s, in which (43) is affine, or the `Jacobian` where more varies."""
    if len(varying(step)) > len(varying((step.psi, step.K, step.s))):
        return step.combined()
    return step._replace(s=tuple(times(step.psi, s) if varying(s) else s for s in step.s))


class Recollection:
    """The `LinearMemory` along a `Past`, a piece of a sequence, with the current weights and constants.

    Args:
        window: C, or the length of the piece where that is less.
        longest: C.
        m: M [H, H]; None under a rule without hops.
        below: `above.Earlier` of the layer below, to whose earlier outputs errors go on; None for none.
    """

    def __init__(self, memory, past, window, longest, m, below=None):
        self.memory, self.past, self.window, self.below = memory, copy.copy(past), window, below
        self.scan = partial(scan, unroll=past.unroll)
        if not past.unroll:
            self.past.p = map_tensors(lambda x: once(x) if tf.is_tensor(x) else x, past.p)
        self.filters, self.dtype = memory.filters, past.residuals.output.dtype
        self.windows = -(-past.length // window)
        self.few = isinstance(longest, int) and self.filters.count < longest  # filters, for the length of a window
        steps, shorter = memory.settings.segment_steps, min if isinstance(longest, int) else tf.minimum
        self.segment = longest if steps is None else shorter(steps, longest)  # n
        # How many times as long as the newest each of the segments is.
        self.lengths = 2 ** (np.arange(memory.settings.segments) // 2 * memory.grow)
        self.first, self.m = memory.followed(self.past.derivatives(0, 1)), None
        if m is not None:
            drive = past.p.drive * tf.ones(m.shape[0], self.dtype)
            self.m = memory.settings.damping * tf.cast(m, self.dtype) / drive[:, None]

    def window_steps(self, number):
        """Start of a window; which of its steps count [C, B or 1]; the number of such steps after each; and in which
        examples a sequence starts, [B] or None."""
        past, begins = self.past, number * self.window
        start = tf.minimum(begins, past.length - self.window)
        counts = tf.cast(tf.range(self.window) >= begins - start, self.dtype)[:, None]
        if past.steps is not None:
            counts *= tf.cast(take(past.steps.valid, start, self.window), self.dtype)
        fresh, starts = None, past.starts(start, self.window)
        if starts is not None:  # steps before the last start are forgotten
            starts = tf.cast(starts, self.dtype) * counts
            fresh = tf.reduce_sum(starts, 0) > 0.5
            counts *= tf.cast(tf.cumsum(starts, exclusive=True, reverse=True) < 0.5, self.dtype)
        return start, counts, tf.cumsum(counts, exclusive=True, reverse=True), fresh

    # Forward

    def advance(self, memory, number):
        """The `Memory` after a window; without inputs if `memory.x` is None."""
        start, counts, later, fresh = self.window_steps(number)
        every, keep = tf.reduce_sum(counts, 0), tf.constant(self.memory.keep, self.dtype)
        memory = where_fresh(fresh, memory)
        if memory.x is not None:
            x, s = self.past.presynaptic(start, self.window)
            inputs = tf.concat([x, s, tf.ones_like(s[..., :1])], -1)  # [C, B, J]
            responses = self.filters.powers(later) * counts[..., None]
            memory = memory._replace(x=self.filters.decayed(memory.x, every) + weighted_sum(responses, inputs))
        step = self.memory.followed(self.past.derivatives(start, self.window))
        features = tf.concat(varying(averaged(step)), -1)
        weights, before = counts * tf.pow(keep, later), tf.pow(keep, every)[:, None] * memory.weight
        weight = before + tf.reduce_sum(weights, 0)[:, None]
        now = weighted_sum(weights[..., None], features)[:, 0]
        memory = memory._replace(means=tf.math.divide_no_nan(before * memory.means + now, weight), weight=weight)
        if memory.segments is not None:
            edges = tf.cast(self.segment, self.dtype) * np.cumsum([0, *self.lengths])
            segments, steps = after_window(memory.segments, memory.steps, features, counts, later, edges)
            memory = memory._replace(segments=segments, steps=steps)
        if memory.constants is None:
            return memory
        return memory._replace(constants=self.advance_constants(step, start, counts, memory.constants))

    def advance_constants(self, step, start, counts, traces):
        """The traces [B, K, H, F] of the F constants that learn, through the K own states alone, after a window.

        They are exact, because each needs only [H] numbers for a state. `step` is the `LinearStep` of the window's
        steps, and `traces` are those before them; `counts` as in `window_steps`.
        """
        count = len(step.s)
        silence = tf.zeros_like(self.past.residuals.output[0])
        units = tf.eye(count, dtype=silence.dtype)[:, :, None, None]
        ones = [silence + units[k] for k in range(count)]  # each [K, B, H]
        effects = self.past.effects(start, self.window)
        if counts.shape[1] == 1:
            counts = tf.repeat(counts, tf.shape(silence)[0], 1)

        def back(carry, now):
            parts, effects, counted = now
            before, errors = with_varying(step, parts).back(carry, 0.0)
            local = tf.stack([share(errors, effect) for effect in effects], -1)  # [K, B, H, F]
            counted = counted > 0.0
            carry = tuple(tf.where(counted[:, None], after, at) for after, at in zip(before, carry))
            return carry, tf.where(counted[:, None, None], local, tf.zeros_like(local))

        carry, local = self.scan(back, tuple(ones), (varying(step), effects, counts), reverse=True)
        kept = sum(weight[..., None] * traces[:, k] for k, weight in enumerate(carry))  # [K, B, H, F]
        return tf.transpose(kept + tf.reduce_sum(local, 0), (1, 0, 2, 3))

    # Backward

    def gradient(self, memory, inside, products, above):
        """dC/dW, in its parts, from the errors that left their windows, and w of Eq. (42) of the layer below.

        `memory` is the one before the first step, and `above` the errors from the layers above.
        """
        _, borders = self.scan(  # the memory at the start of each window [W, B, ..]
            lambda memory, number: (self.advance(memory, number), memory),
            memory if self.few else memory._replace(x=None),
            tf.range(self.windows),
        )
        now = borders._replace(constants=None), inside.ell, inside.first
        way = self.at_every_border if self.few else self.through_windows
        total, *below = way(memory.x, now, products.start(self.dtype)[:3], products, above)
        if borders.constants is not None:
            ell = tf.stack(inside.ell[: borders.constants.shape[2]], 2)  # [W, B, d, H]
            total = *total, tf.einsum("wbdh,wbdhf->fh", ell, borders.constants)
        return total, below

    def at_every_border(self, x, now, total, products, above):
        """Eq. (40) at all borders side by side, where the filters are few for the length of a window."""
        inside, entering = above.inside, None
        if inside is None and above.at_start is not None:
            inside = tf.zeros([self.windows - 1, *tf.unstack(tf.shape(above.at_start))], self.dtype)
        if inside is not None:
            first = tf.zeros_like(inside[0]) if above.at_start is None else above.at_start
            entering = tf.transpose(tf.concat([first[None], inside], 0), (1, 0, 2, 3))
            entering = tf.reshape(entering, (above.sequences.count, -1, entering.shape[-1]))
        now = map_tensors(lambda x: tf.reshape(x, (-1, *x.shape[2:])), now)
        weights, below = self.weights(*now, above.sequences, entering)
        if below is None:
            return add_inputs(total, weights, now[0].x), None, None
        below = tf.reshape(below, tf.concat([tf.shape(below)[:1], [self.windows, -1], tf.shape(below)[2:]], 0))
        below = tf.transpose(below, (1, 0, 2, 3))
        return add_inputs(total, weights, now[0].x), below[0], below[1:] if self.below.read[1] else None

    def through_windows(self, x, now, total, products, above):
        """From border to border, and to the inputs between, by the weights of the filters at the end of each window."""
        every_border, numbers = self.below is not None and self.below.read[1], tf.range(self.windows)

        def entering(number, inside=None):
            """Weights of the errors from layers above, of the start of the call where it is that."""
            first = None
            if above.at_start is not None:
                first = above.at_start * tf.cast(tf.equal(number, 0), self.dtype)
            both = [each for each in (first, inside) if each is not None]
            return tf.add_n(both) if both else None

        def back(carry, now):
            # From the weights of the filtered inputs at the end of a window to those at its start.
            (after, total, _), (number, *border, inside) = carry, now
            start, counts, later, fresh = self.window_steps(number)
            powers = tf.broadcast_to(
                self.filters.powers(later) * counts[..., None], (self.window, tf.shape(after)[1], self.filters.count)
            )
            R = tf.einsum("cbg,gbh->cbh", powers, after)
            total = products.add_weights(total, self.past.presynaptic(start, self.window), R)
            before = self.filters.shifted(after, tf.reduce_sum(counts, 0))
            if fresh is not None:
                before = tf.where(fresh[:, None], tf.zeros_like(before), before)
            weights, below = self.weights(*border, above.sequences, entering(number, inside))
            return (before + weights, total, below), below if every_border else None

        inside = above.inside
        if inside is not None:
            inside = tf.concat([tf.zeros_like(inside[0])[None], inside], 0)
        every = numbers, *now, inside
        _, *border, inside = map_tensors(lambda x: x[-1], every)
        weights, below = self.weights(*border, above.sequences, entering(self.windows - 1, inside))
        carry, below_inside, static = (weights, total, below), None, isinstance(self.windows, int)
        if static:
            every = map_tensors(lambda x: x[:-1], every)
        else:  # XLA compiles no loop over no windows, so that this one goes over the last window, too
            carry = map_tensors(tf.zeros_like, weights), total, map_tensors(tf.zeros_like, below)
        if not (static and self.windows == 1):
            carry, others = self.scan(back, carry, every, reverse=True)
            if every_border:
                below_inside = tf.concat([others[1:], below[None]], 0) if static else others[1:]
        first, total, below = carry
        return add_inputs(total, first, x), below, below_inside  # x is from earlier pieces

    def weights(self, memory, ell, first, sequences, above):
        """Weights of the filtered inputs at the start of a window [count, B, G H], and those for the layer below.

        `ell` and `first` are the entries of `window.Inside` for this window; `above` [count, B, H], or None, are the
        weights of the `sequences` of the errors from layers above.
        """
        step, ell = self.jacobian(memory.means), ell[: len(self.first.s)]
        arrived, kappa_e, kappa, poles = None, 0.0, 0.0, self.filters.poles
        if self.m is not None:  # e in its two parts
            kappa = self.past.cell.synaptic_decay(self.past.p)
            arrived, kappa_e = self.hop(first.current), times(kappa, first.synapse)
        hops, recent, earlier = self.memory.settings.hops, (), Complex(1.0)
        if memory.segments is not None:
            hop = self.hop if arrived is not None and hops else None
            way = WayThrough(self.jacobian, hop, kappa, sequences, poles, self.scan)
            start = way.start(ell, arrived, kappa_e, tf.zeros_like(first.current))
            errors = way(memory.segments, memory.steps, start, self.segment, self.lengths, above)
            recent, earlier = errors.sums, way.power(errors.n)
            ell, arrived = errors.states[: len(ell)], errors.arrived[0] if errors.arrived else arrived
            kappa_e = errors.states[-1] if way.trace else kappa_e
            above = None if above is None else sequences.shifted(above, errors.n)
        above = None if above is None else earlier * sequences.sums(poles, above)
        b = respond(poles, step, ell, arrived, kappa_e, above, self.hop, kappa, hops, earlier)
        if recent:
            b = list(map(tf.add, b, recent))
        weights = self.filters.weights(b)
        if self.below is None:
            return weights, None
        kernel = tf.cast(self.past.cell.kernel, self.dtype)
        return weights, self.below.weights(self.filters, tf.einsum("gbk,ik->gbi", weights, kernel))

    def jacobian(self, means):
        """The `Jacobian` of mean features [B, F]."""
        step = averaged(self.first)
        step = with_varying(step, tf.split(means, [x.shape[-1] for x in varying(step)], -1))
        if not isinstance(step, LinearStep):
            return step
        pairs = zip(step.s, self.first.s)
        return step._replace(
            s=tuple(tf.math.divide_no_nan(s, step.psi) if varying(x) else s for s, x in pairs)
        ).combined()

    def hop(self, R):
        """rho M^T (R / drive)."""
        return tf.einsum("...bk,ki->...bi", R, self.m)


def add_inputs(total, weights, x):
    """Adds sum_g w_gi X^g_j, Eq. (40), to the parts of dC/dW."""
    parts = tf.split(tf.einsum("gbh,bgj->jh", weights, x), [part.shape[0] for part in total])
    return tuple(map(tf.add, total, parts))
