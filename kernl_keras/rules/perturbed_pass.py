"""The clean and the perturbed pass over a sequence, and F, from which M and gamma learn. Eq. (16)-(19).

The clean pass does not receive the noise. Both passes share one recurrent matrix product.
"""

from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from ..draws import draw_signs, next_key, unpack_signs
from ..replicas import rows_before, whole_sum
from ..sequences.clean_pass import clean_pass
from ..sequences.masks import where_fresh, where_valid
from ..sequences.time_loop import blockwise, map_tensors, take
from .predictor import Effect, Run, SensitivitySums
from .sensitivity_loss import DirectPredictor, enough_examples, sensitivity_loss


class PerturbedState(NamedTuple):
    """State of the perturbed pass: a cell state (of a noisy network, or changes), and the filtered noise."""

    cell: Any
    filtered_noise: Any  # Omega [B, R, H], or Re Y
    filtered_noise_slope: Any  # Gamma [B, R, H], or Im Y; or the changes of the own state


class Changed(NamedTuple):
    """Differences of the perturbed network from the clean one before a step, in units of the noise. Each [B, H]."""

    own: tuple  # the own states
    presynaptic: Any  # S(t-1), as the recurrent weights see it


def unperturbed(perturbation, clean, perturbed):
    """The `PerturbedState` before any noise; `perturbed` is another one, of the same shapes."""
    return PerturbedState(perturbation.start(clean), *map(tf.zeros_like, perturbed[1:]))


def no_step(perturbed):
    """The `Effect` of one step [1, ...] of a `PerturbedState`, before there is one."""
    omega, rest = (tf.zeros_like(x)[None] for x in perturbed[1:])
    return Effect(omega[:, :, 0], omega, rest)


class PerturbedPass:
    """Both passes of one call of a layer, a `kernl_keras.RNN` whose rule learns M.

    `steps` are `ValidSteps`, or None if all are valid and none starts a sequence. `counted` [T, B] is False where an
    example's step is left out of F; None if all count. With `solve` M learns by least squares, Eq. (45), where the rule
    is `solvable`, and only as many examples are perturbed as these can use.
    """

    def __init__(self, layer, p, weights, x, steps, counted, solve=False):
        self.layer, self.rule, self.cell, self.p = layer, layer.rule, layer.cell, p
        self.solve = solve and self.rule.solvable(layer)
        self.direct = self.solve or layer.memory is not None
        # No tape may watch what goes into the passes, or it would trace a backward pass through them.
        self.weights, self.x, self.counted = tf.stop_gradient(weights), x, counted
        self.valid, self.starts = (None, None) if steps is None else (steps.valid, steps.starts)
        self.input_weights = [None if w is None else tf.stop_gradient(w) for w in self.cell.input_weights()]
        self.length, self.batch = (x.shape[axis] or tf.shape(x)[axis] for axis in range(2))
        self.m, self.gamma = self.rule.sensitivity(layer), self.rule.kernel.gamma(layer)
        m, self.perturbation = tf.stop_gradient(self.m), self.rule.perturbation
        if self.direct:
            self.perturbation = self.perturbation.observing(self.cell.DIRECT_EFFECT_ON)
            self.predictor = DirectPredictor(m[0], self.cell, self.perturbation)
        else:
            self.predictor = self.rule.kernel.predictor(layer, p, m)
        # Whether the sums are those of one step. With resets an example has several last steps.
        self.last = self.rule.last and self.starts is None
        # Where not all steps count, the first examples may have too few that do.
        few = self.solve and counted is None
        self.rows = enough_examples(self.batch, self.length, self.cell.units) if few else self.batch
        key = next_key(layer.seed, layer.draws, x)
        self.signs = draw_signs(self.length, self.rows, self.cell.units, key, rows_before(self.batch))

    def __call__(self, state, perturbed, learns=None):
        """Both passes, from `cell.State` and `PerturbedState` before the first step.

        Returns the residuals of the clean pass [T, ...], both states after the last step; F, with its gradient by M and
        gamma; the mean of D^2; the share of steps in which a perturbation started anew because it had reached its
        bound; and the number of steps, of all examples, in these three. `learns` is a scalar bool, or None for True.
        Where M does not learn in this call, there is no perturbed pass, and F and D are 0.
        """
        if learns is None:
            results = self.run(state, perturbed)
        else:
            results = tf.cond(learns, partial(self.run, state, perturbed), partial(self.run_without, state, perturbed))
        *states, sums, restarted = results
        if self.counted is None:  # as integers, the product might overflow
            steps = 1.0 if self.rule.last else tf.cast(self.length, self.m.dtype)
            steps *= tf.cast(self.rows, self.m.dtype)
        else:
            steps = tf.reduce_sum(tf.cast(self.counted, self.m.dtype))
        count = tf.maximum(steps, 1.0) * self.cell.units  # F is 0 for a replica without steps
        samples = None
        if self.solve:  # one solution for all replicas: that of the whole batch
            by_noise, changes, samples = whole_sum((sums.by_noise, sums.changes, steps))
            sums, samples = sums._replace(by_noise=by_noise, changes=changes), tf.maximum(samples, 1.0)
        losses = sensitivity_loss(self.m, self.gamma, sums, count, samples, learns)
        return *states, *losses, restarted, steps

    def run(self, state, perturbed):
        """Both passes: what a call returns, but with `SensitivitySums` for F and D^2."""
        cell, predictor, unroll = self.cell, self.predictor, self.layer.unroll
        noise, enters, everyone = self.perturbation, self.rule.noise_enters(cell), perturbed
        flags = self.valid, self.starts
        of_perturbed = map_tensors(lambda x: x[:, : self.rows], flags)

        def begin(start, size, carry):
            xi, masks = self.xi(start, size), take((flags, of_perturbed, self.counted), start, size)
            current = cell.input_current(take(self.x, start, size), self.input_weights)
            return (current, xi, predictor.drive(xi), start + tf.range(size), *masks), ()

        def step(states, now):
            current, xi, driven, t, (goes_on, starts), (its_goes_on, its_starts), counts = now
            clean, perturbed = where_fresh(starts, states[0]), where_fresh(its_starts, states[1])
            if noise.resync_every is not None:
                keep = tf.reshape(t % noise.resync_every != 0, (1, 1))
                perturbed = self.forget(keep, clean, perturbed)
            done, clean, effect, other, changed = self.advance(current, xi * noise.scale, enters, clean, perturbed.cell)
            saved, received = cell.save_residuals(done, clean), driven
            if enters == "current":
                received *= cell.gate(done)
            before = changed if self.direct else perturbed[1:]
            filtered = predictor.step(before, received, cell.linear_step(self.first(saved), self.p))
            # A tangent grows where backpropagation's gradient would explode: such an example starts anew. NaN is not
            # <= bound either; a maximum would not do, as XLA's ignores NaN.
            bound = min(noise.max_perturbation, effect.dtype.max)
            within_bound = tf.reduce_all(tf.abs(effect) <= bound, -1, keepdims=True)  # [B, 1]
            after = self.forget(within_bound, clean, PerturbedState(other, *filtered))
            outcome = Effect(tf.where(within_bound, effect, tf.zeros_like(effect)), *after[1:])
            # A predictor of single steps takes no filtered noise from one to the next.
            perturbed = PerturbedState(after.cell, *perturbed[1:]) if self.direct else after
            outcome = where_valid(counts, outcome, tf.nest.map_structure(tf.zeros_like, outcome))
            kept = saved, predictor.keep(outcome), within_bound
            carry = where_valid(goes_on, clean, states[0]), where_valid(its_goes_on, perturbed, states[1])
            return carry, kept, outcome

        (end_state, after), (residuals, predictor_values, within_bound), total, _ = blockwise(
            begin,
            step,
            lambda total, _, outcome: self.accumulate(total, outcome),
            (state, self.first(perturbed)),
            no_step(self.first(perturbed)) if self.last else predictor.start(),
            self.length,
            unroll=unroll,
        )
        if self.last:
            total = predictor.accumulate(predictor.start(), total)
        if self.rows is not self.batch:  # the others go on without noise
            others = unperturbed(self.perturbation, end_state, everyone)
            after = map_tensors(lambda x, other: tf.concat([x, other[self.rows :]], 0), after, others)

        def derivatives(start, size):
            return cell.linear_step(take(residuals, start, size), self.p)

        run = Run(within_bound, self.xi, noise.resync_every, unroll, self.starts, derivatives)
        sums = predictor.sums(total, predictor_values, run)
        restarted = tf.cast(tf.logical_not(within_bound[..., 0]), self.m.dtype)  # [T, B]
        if self.counted is None:
            return residuals, end_state, after, sums, tf.reduce_mean(restarted)
        counted = tf.cast(self.counted, self.m.dtype)
        share = tf.math.divide_no_nan(tf.reduce_sum(restarted * counted), tf.reduce_sum(counted))
        return residuals, end_state, after, sums, share

    def accumulate(self, total, outcome):
        """The sums with those of a block's `Effect` [C, ...]; where the last step alone counts, its `Effect`."""
        if not self.last:
            return self.predictor.accumulate(total, outcome)
        if self.counted is None:
            return Effect(*(field[-1][None] for field in outcome))
        return Effect(*(before + tf.reduce_sum(field, 0) for before, field in zip(total, outcome)))  # others are zeros

    def advance(self, current, xi, enters, clean, other):
        """One step of both passes: the clean step, the new clean state, D, the new perturbed state, and `Changed`."""
        cell, weights, perturbation = self.cell, self.weights, self.perturbation
        if enters == "state":
            other = cell.perturb(other, xi)
        sent, presynaptic = cell.presynaptic(clean), cell.presynaptic(other) + (xi if enters == "synapse" else 0.0)
        beside = self.first(clean)
        own = (perturbation.change(getattr(beside, name), getattr(other, name)) for name in cell.own_states)
        changed = Changed(tuple(own), perturbation.change(self.first(sent), presynaptic))
        both = tf.matmul(tf.concat([sent, presynaptic], 0), weights)  # [2B, H] x [H, H], one product
        recurrent, other_recurrent = tf.split(both, (tf.shape(sent)[0], tf.shape(presynaptic)[0]))
        if enters == "current":
            other_recurrent += xi
        done, clean = cell.step(current + recurrent, clean, self.p)
        beside = self.first((done, clean))
        effect, other = perturbation.effect(cell, self.p, beside, self.first(current), other_recurrent, other)
        return done, clean, effect, other, changed

    def first(self, values):
        """Those of the perturbed examples, of a structure of tensors [B, ...]; what is of no example, [H], stays."""
        if self.rows is self.batch:
            return values
        return map_tensors(lambda x: x[: self.rows] if tf.is_tensor(x) and x.shape.rank > 1 else x, values)

    def forget(self, keep, clean, perturbed):
        """The `PerturbedState`, which starts anew where `keep` [B or 1, 1] is false."""
        start = unperturbed(self.perturbation, self.first(clean), perturbed)
        cell = tf.nest.map_structure(lambda old, new: tf.where(keep, old, new), perturbed.cell, start.cell)
        noise = (tf.where(keep[..., None], old, new) for old, new in zip(perturbed[1:], start[1:]))
        return PerturbedState(cell, *noise)

    def run_without(self, state, perturbed):
        """The clean pass alone. The next perturbed call starts at its end, without noise so far."""
        current = self.cell.input_current(self.x, self.input_weights)
        run = clean_pass(self.cell, self.p, self.weights, current, state, self.valid, self.layer.unroll, self.starts)
        kernels, units = self.m.shape[0], self.cell.units
        zero, zeros = tf.zeros((), self.m.dtype), tf.zeros((units, kernels * units), self.m.dtype)
        slope = None if self.gamma is None else zeros
        changes = (zeros, zeros[:, :1]) if self.direct else None
        after = unperturbed(self.perturbation, run[1], perturbed)
        return *run, after, SensitivitySums(zero, zero, zeros, slope, changes), zero

    def xi(self, start, size):
        """The noise of some steps [C, B, H]."""
        return unpack_signs(take(self.signs, start, size), self.cell.units, self.m.dtype)
