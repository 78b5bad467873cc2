"""Linear memory: of the steps before a window only filtered inputs and mean slopes are remembered. Eq. (37), (38).

Exact traces are [H, J] numbers each, and KeRNL needs several. Here two things take their place: the inputs, filtered by
G poles that all units share, and means of each unit's linear step, one for each of the last K windows, and a leaky one
for all that is older:

    X^g_j(t) = p_g X^g_j(t-1) + s_j(t)
    (37) dx(t) = A dx(t-1) + B dI(t),     dz(t) = D . dx(t-1) + g dI(t)

At the border of a window, before step t0, the errors l of the own states and e of the outputs go on back through steps
that have these means, and so from unit to unit:

    (38) R = B . l + g e,    l <- A^T l + D e,    e <- rho M^T (R / drive) + kappa e

R is the error of the current, and drive what a current of 1 adds to the potential in one step. The response R(n) is R
at step t0-1-n. Through the last K windows, of N steps together, the errors go step by step, or, where units are slow, m
steps at once: the own state exactly, while the part of e that comes from other units stays the same. There l and e are
scaled down, in each example, so that l is not longer than at the border; a network of means may let them grow where the
true gradient does not. What is older has the same mean at every step, and so the sum of its responses has a closed form
for each pole: `rules.response` has it, Eq. (39), with hops from unit to unit counted. With that, `rules.filters` weighs
the filtered inputs:

    (40) dC/dW_ij += sum_g w_gi X^g_j(t0-1)

e is the error of the synaptic trace S where there is one, kappa its decay, and rho the damping of a hop. Constants that
learn have traces of their own, see `rules.traces`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..cells.linear import nothing, tensor, times, varying, with_varying
from ..checks import integer, number
from ..sequences.masks import where_fresh
from ..sequences.time_loop import scan, take
from ..serialization import serializable
from .above import joined
from .filters import Filters, poles_of, powers
from .response import product, respond
from .settings import Settings, get_settings
from .traces import advance_constants


@serializable
class LinearTraces(Settings):
    """Traces in linear memory: a few filters of the inputs for all units, instead of traces for each weight.

    Args:
        poles: how many filters there are; None for 40 that oscillate where the units have periods, and 8 that decay
            where they have none. Oscillating filters keep two numbers for each input. Their periods are spread over
            those of the units; half of them have the units' longest time constant, and half a tenth of it. Decaying
            filters have time constants spread from 3 steps to beyond the units' longest. Or the filters themselves: a
            list of time constants in ms, or of pairs of a time constant and a period.
        hops: through how many other units an error goes back under KeRNL. M is then the direct effect of a unit on
            another, which it learns from single steps; the rule's kernel plays no part.
        damping: rho, the factor by which each hop multiplies an error, from 0 to 1.
        average: time constant of the leaky mean of all steps, which stands for what is older than these windows, in
            steps.
        windows: K, how many of the last windows have means of their own; None for 1 where units have periods, and 8
            where they have none. An error goes back through all of their steps.
        stride: m, how many of these steps are taken at once, at most; a power of 2. None for 1 where units have
            periods or no time constants, and else for half of the shortest time constant and at most 8.

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
        hops: int = 2,
        damping: float = 0.9,
        average: float = 64.0,
        windows: int | None = None,
        stride: int | None = None,
    ) -> None:
        self.poles = check_poles(poles)
        self.hops = integer("hops", hops, low=0)
        self.damping = number("damping", damping, low=0.0, high=1.0)
        self.average = number("average", average, above=0.0)
        self.windows = None if windows is None else integer("windows", windows, low=0)
        self.stride = None if stride is None else integer("stride", stride)
        if self.stride is not None and self.stride & (self.stride - 1):
            raise ValueError(f"stride must be None or a power of 2; received {stride!r}.")


def check_poles(poles: Any) -> Any:
    """The argument `poles`: None, an integer >= 1, or a list of time constants or of pairs with a period."""
    if poles is None or isinstance(poles, (int, np.integer)):
        return None if poles is None else integer("poles", poles)
    if isinstance(poles, (list, tuple)) and poles:
        pairs = [pole if isinstance(pole, (list, tuple)) else (pole,) for pole in poles]
        if all(len(pair) in (1, 2) and all(np.isreal(x) and x > 0 for x in pair) for pair in pairs):
            return [list(map(float, pair)) for pair in pairs]
    raise ValueError(
        f"poles must be None, an integer >= 1, or a list of time constants > 0 or of pairs (time constant, period); "
        f"received {poles!r}."
    )


def get_traces(traces: Any) -> Any:
    """The argument `traces` of a layer as None, True, False or `LinearTraces`."""
    if traces is None or isinstance(traces, bool):
        return traces
    if isinstance(traces, str) and traces != "linear":
        raise ValueError(f"traces must be None, True, False, 'linear' or LinearTraces; received {traces!r}.")
    return get_settings("traces", traces, LinearTraces, {"linear": LinearTraces})


def windows_of(cell, settings):
    """K and the largest m: as given, or what suits the cell's units."""
    taus, periods = cell.time_scales()
    windows, stride = settings.windows, settings.stride
    if windows is None:
        windows = 8 if periods is None else 1
    if stride is None:
        half = 1.0 if taus is None or periods is not None else taus[0] / (2.0 * cell.dt)
        stride = 2 ** int(math.log2(min(max(half, 1.0), 8.0)))
    return windows, stride


class Memory(NamedTuple):
    """The memory of the steps so far. None where it is not needed."""

    x: Any  # filtered inputs [B, count, J]
    means: Any  # leaky means of the entries of Eq. (37) that vary [B, F]
    weight: Any  # total weight of the steps in these means [B, 1]
    windows: Any  # the means over each of the last K windows, the last one first [B, K, F]
    steps: Any  # how many steps each of them has [B, K]
    constants: Any  # traces of the constants that learn [B, d, H, F]


class LinearMemory:
    """The linear memory of a layer.

    Args:
        cell: the cell.
        rule: `EProp` or `KeRNL`.
        settings: `LinearTraces`.
        inputs: J, inputs of a unit.

    Attributes:
        shapes: `Memory` of shapes without the batch axis.
        stride: m, at most.
    """

    def __init__(self, cell, rule, settings, inputs):
        self.cell, self.rule, self.settings = cell, rule, settings
        self.filters, self.keep = Filters(poles_of(cell, settings.poles)), math.exp(-1.0 / settings.average)
        fields, own = len(cell.fields()), rule.count_own(cell)
        features = sum(x.shape[-1] for x in features_to_average(self.any_step()))
        count, self.stride = windows_of(cell, settings)
        self.shapes = Memory(
            x=(self.filters.count, inputs),
            means=(features,),
            weight=(1,),
            windows=(count, features) if count else None,
            steps=(count,) if count else None,
            constants=(own, cell.units, fields) if fields else None,
        )

    def poles(self, below):
        """The poles of the filters and those of `below`, an `above.Earlier` or None; and the places of the latter."""
        return joined(self.filters.poles, () if below is None else below.poles)

    def any_step(self):
        """The `LinearStep` of some step, for the shapes of its entries."""
        cell, like = self.cell, tf.zeros((1, 1, self.cell.units), self.cell.compute_dtype)
        p, state = cell.parameters(), cell.State(*[like] * len(cell.State._fields))
        step, after = cell.step(tf.concat([like] * cell.currents, -1), state, p)
        return self.followed(cell.linear_step(cell.save_residuals(step, after), p))

    def followed(self, step):
        """The `LinearStep` of the own states that the rule follows."""
        own = self.rule.followed(step).first(self.rule.count_own(self.cell))
        return own._replace(gate=1.0, heard=1.0, arrival=1.0, presynaptic=None, continues=1.0)

    def unpack(self, traces):
        """The `Memory` from a list of its tensors."""
        rest = iter(traces)
        return Memory(*(None if shape is None else next(rest) for shape in self.shapes))


def features_to_average(step):
    """The values to average, tensors [C, B, ..]: the entries of (37), or psi alone where they are affine in it."""
    return [step.psi] if affine(step) else varying(step.combined())


def mean_jacobian(step, means):
    """The `Jacobian` of the mean features [B, F]; `step` is any of the steps."""
    if affine(step):
        return step._replace(psi=means).combined()
    step = step.combined()
    return with_varying(step, tf.split(means, [x.shape[-1] for x in varying(step)], -1))


def affine(step):
    """True if psi is all that varies."""
    return len(varying(step)) == len(varying(step.psi)) == 1


class Recollection:
    """The memory along a piece of a sequence, with the current weights and constants.

    Args:
        memory: `LinearMemory`.
        past: `backward.Past`.
        window: C, or the length of the piece where that is less.
        longest: C.
        m: M [H, H]; None under a rule without hops.
        below: `above.Earlier` of the layer below, to whose earlier outputs errors go on; None for none.
    """

    def __init__(self, memory, past, window, longest, m, below=None):
        self.memory, self.past, self.window, self.longest, self.below = memory, past, window, longest, below
        self.poles, self.places = memory.poles(below)
        self.filters, self.dtype = memory.filters, past.residuals.output.dtype
        self.windows = -(-past.length // window)
        self.first, self.m = memory.followed(past.derivatives(0, 1)), None
        if m is not None:
            drive = past.p.drive * tf.ones(m.shape[0], self.dtype)
            self.m = memory.settings.damping * tf.cast(m, self.dtype) / drive[:, None]

    def scan(self, step, carry, elements, reverse=False):
        return scan(step, carry, elements, reverse=reverse, unroll=self.past.unroll)

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
        if fresh is not None:
            memory = Memory(*(None if x is None else where_fresh(fresh, x) for x in memory))
        if memory.x is not None:
            x, s = self.past.presynaptic(start, self.window)
            inputs = tf.concat([x, s, tf.ones_like(s[..., :1])], -1)  # [C, B, J]
            responses = self.filters.powers(later) * counts[..., None]
            memory = memory._replace(x=self.filters.decayed(memory.x, every) + weighted_sum(responses, inputs))
        features = tf.concat(features_to_average(self.memory.followed(self.past.derivatives(start, self.window))), -1)
        weights, before = counts * tf.pow(keep, later), tf.pow(keep, every)[:, None] * memory.weight
        weight = before + tf.reduce_sum(weights, 0)[:, None]
        now = weighted_sum(weights[..., None], features)[:, 0]
        memory = memory._replace(means=tf.math.divide_no_nan(before * memory.means + now, weight), weight=weight)
        if memory.windows is not None:
            total, steps = weighted_sum(counts[..., None], features), every[:, None] * tf.ones_like(weight)
            newest = tf.math.divide_no_nan(total, steps[..., None])  # [B, 1, F]
            rings = tf.concat([newest, memory.windows[:, :-1]], 1), tf.concat([steps, memory.steps[:, :-1]], 1)
            some = steps > 0.0  # of an example without a step the windows stay as they are
            memory = memory._replace(
                windows=tf.where(some[..., None], rings[0], memory.windows),
                steps=tf.where(some, rings[1], memory.steps),
            )
        if memory.constants is None:
            return memory
        constants = advance_constants(self.memory.rule, self.past, start, self.window, counts, memory.constants)
        return memory._replace(constants=constants)

    def after_all(self, memory):
        """The `Memory` after the last step."""
        return self.scan(lambda memory, number: (self.advance(memory, number), ()), memory, tf.range(self.windows))[0]

    # Backward

    def gradient(self, memory, inside, products, above=(None, None)):
        """dC/dW, in its parts, from the errors that left their windows, and E(p) of the layer below, Eq. (42).

        Args:
            memory: the `Memory` before the first step.
            inside: `window.Inside`.
            products: `products.Products`.
            above: E(p) from the layers above, as `above.Earlier.given` returns it.
        """
        x, numbers = memory.x, tf.range(self.windows)
        forward = self.scan(
            lambda memory, number: (self.advance(memory, number), memory), memory._replace(x=None), numbers
        )
        borders = forward[1]  # the memory at the start of each window [W, B, ..]

        def back(carry, now):
            # From the weights of the filtered inputs at the end of a window to those at its start.
            (after, total, _), (number, *border) = carry, now
            start, counts, later, fresh = self.window_steps(number)
            powers = tf.broadcast_to(
                self.filters.powers(later) * counts[..., None], (self.window, tf.shape(after)[1], self.filters.count)
            )
            current = tf.einsum("cbg,gbh->cbh", powers, after)
            total = products.add_weights(total, self.past.presynaptic(start, self.window), current)
            before = self.filters.shifted(after, tf.reduce_sum(counts, 0))
            if fresh is not None:
                before = tf.where(fresh[:, None], tf.zeros_like(before), before)
            weights, below = self.weights(*border, at_start(number))
            return (before + weights, total, below), below if every_border else None

        at_first, inner = above
        every_border = self.below is not None and self.below.read[1]

        def at_start(number):
            """E(p) of the start of the call, where it is that."""
            return None if at_first is None else at_first * tf.cast(tf.equal(number, 0), self.dtype)

        if inner is not None:
            inner = tf.concat([tf.zeros_like(inner[0])[None], inner], 0)
        every = borders._replace(constants=None), inside.own, inside.first, inner
        last, rest = (
            tf.nest.map_structure(lambda x, cut=cut: None if x is None else x[cut], every) for cut in (-1, slice(-1))
        )
        weights, below = self.weights(*last, at_start(self.windows - 1))
        carry, below_inside = (weights, products.start(x)[:3], below), None
        if not (isinstance(self.windows, int) and self.windows == 1):
            carry, others = self.scan(back, carry, (numbers[:-1], *rest), reverse=True)
            below_inside = tf.concat([others[1:], below[None]], 0) if every_border else None
        first, total, below = carry
        earlier = tf.einsum("gbh,bgj->jh", first, x)  # from the inputs of earlier pieces
        total = tuple(map(tf.add, total, tf.split(earlier, [part.shape[0] for part in total])))
        if borders.constants is not None:
            own = tf.stack(inside.own[: borders.constants.shape[2]], 2)  # [W, B, d, H]
            total = *total, tf.einsum("wbdh,wbdhf->fh", own, borders.constants)
        return total, (below, below_inside)

    def weights(self, memory, own, first, *above):
        """Weights of the filtered inputs at the start of a window [count, B, G H], and E(p) of the layer below.

        Args:
            memory: the `Memory` there.
            own, first: the entries of `window.Inside` for this window.
            *above: E(p) there [parts, P, B, H] in its summands, each of them may be None.
        """
        step, own = mean_jacobian(self.first, memory.means), own[: self.memory.rule.count_own(self.memory.cell)]
        error, synapse, decay = None, 0.0, 0.0
        above = [each for each in above if each is not None]
        above = (*tf.unstack(tf.add_n(above)), 0.0)[:2] if above else None
        if self.m is not None:
            decay = getattr(self.past.p, "trace_decay", 0.0)
            error, synapse = self.hop(first.current), times(decay, first.synapse)
        recent, earlier = (), (1.0, 0.0)
        if memory.windows is not None:
            recent, earlier, own, error, synapse = self.through_windows(
                memory, own, error, synapse, decay, tf.zeros_like(first.current)
            )
        hops = self.memory.settings.hops
        response = respond(self.poles, step, own, error, synapse, above, self.hop, decay, hops, earlier)
        response = [tf.add_n(parts) for parts in (zip(response, recent) if recent else zip(response))]
        weights = self.filters.weights([part[: len(self.filters.poles)] for part in response])
        if self.below is None:
            return weights, None
        kernel = tf.cast(self.past.cell.kernel, self.dtype)
        parts = [tf.gather(part, self.places) for part in response[: self.below.parts]]
        return weights, tf.stack([tf.einsum("pbk,ik->pbi", part, kernel) for part in parts])

    def through_windows(self, memory, own, error, synapse, decay, silence):
        """The errors of a border, back through the last K windows.

        Args:
            memory, own, error, synapse, decay: as of `weights` and of `respond`.
            silence: zeros [B, G H].

        Returns:
            b over these windows, in its parts [P, B, G H]; p^N; then own, error and synapse before them.
        """
        size, m, hops = self.longest, 1, error is not None and self.memory.settings.hops > 0
        while isinstance(size, int) and size % (2 * m) == 0 and 2 * m <= self.memory.stride:
            m *= 2
        trace = error is not None and not nothing(decay)  # S is one state more
        states = (*own, tensor(synapse, like=own[0])) if trace else tuple(own)
        errors = (error / m,) if hops else ()
        limit, starts = squares(states), tf.cast(m * tf.range(size // m), self.dtype)
        swings = 1 + bool(np.any(self.poles.imag))
        responses_of_poles = powers(self.poles, tf.cast(tf.range(size), self.dtype))[:swings]  # [C, P]
        block = [tf.reduce_sum(tf.reshape(part, (-1, m, len(self.poles))), 1) for part in responses_of_poles]

        def power(n):
            """p^n in its parts [P, B, 1], for n [B]."""
            return (*(tf.transpose(part)[..., None] for part in powers(self.poles, n)[:swings]), 0.0)[:2]

        def one_window(carry, now):
            states, errors, sums, n = carry
            means, steps = now  # [B, F], [B]
            step = mean_jacobian(self.first, means)
            step = step.with_trace(decay) if trace else step
            for _ in range(m.bit_length() - 1):
                step = step.twice()

            def back(carry, start):
                states, errors = carry
                part = tf.clip_by_value((steps - start) / m, 0.0, 1.0)[:, None]  # of the m steps, those that there are
                before, current = step.back(states, errors[0] if hops else 0.0)
                arrived = [self.hop(current)] if hops else []
                states, errors = (
                    tuple(x + part * (y - x) for x, y in zip(*pair)) for pair in ((states, before), (errors, arrived))
                )
                if hops:
                    length = squares(states)
                    grown = (length > limit) & (limit > 0.0)
                    shorter = tf.where(grown, tf.sqrt(tf.math.divide_no_nan(limit, length)), tf.ones_like(length))
                    states, errors = tf.nest.map_structure(lambda x: shorter * x, (states, errors))
                return (states, errors), part * current

            (states, errors), currents = self.scan(back, (states, errors), starts)
            here = (*(tf.einsum("cp,cbh->pbh", part, currents) for part in block), 0.0)[:2]
            sums = tuple(map(tf.add, sums, product(power(n), here)))
            return (states, errors, sums, n + tf.minimum(steps, tf.cast(size, self.dtype))), ()

        windows, steps = tf.transpose(memory.windows, (1, 0, 2)), tf.transpose(memory.steps)
        sums = (silence + tf.zeros((len(self.poles), 1, 1), self.dtype),) * swings
        unroll = self.past.unroll or (isinstance(size, int) and size == 1)
        carry = states, errors, sums, tf.zeros_like(steps[0])
        (states, errors, sums, n), _ = scan(one_window, carry, (windows, steps), unroll=unroll)
        error = m * errors[0] if hops else error
        return sums, power(n), states[: len(own)], error, states[-1] if trace else synapse

    def hop(self, current):
        """rho M^T (R / drive)."""
        return tf.einsum("...bk,ki->...bi", current, self.m)


def squares(errors):
    """The squared length of the errors of each example [B, 1], a tuple of [B, H]."""
    return tf.add_n([tf.reduce_sum(x**2, -1, keepdims=True) for x in errors])


def weighted_sum(weights, x):
    """sum_c weights(c) x(c): [C, B or 1, G] by [C, B, J] -> [B, G, J]."""
    if weights.shape[1] == 1:
        return tf.einsum("cg,cbj->bgj", weights[:, 0], x)
    return tf.einsum("cbg,cbj->bgj", weights, x)
