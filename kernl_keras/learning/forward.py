"""The forward pass over a sequence: clean alone, in Keras' own loop, or clean and perturbed, Eq. (1)-(9), (16)-(18).

All sequences are time-major. A cell is anything with the seams of `cells.hidden.HiddenCell`.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from ..dynamics.noise import unpack_signs
from ..keras_version import keras_rnn
from .blocks import blockwise, take
from .sensitivity import Perturbation
from .valid_steps import where_valid


class Noise(NamedTuple):
    """Where the noise enters and how its effect is watched."""

    enters: str  # "current": I(t); "synapse": S(t-1) as W_rec sees it; "state": S(t-1) or h(t-1) itself, for good
    mode: str  # "tangent", "twin" or "replica"
    observe: str  # one of the cell's `OBSERVABLES`
    std: float  # of the noise a twin or a replica receives; a tangent has no scale
    bound: float  # largest effect, in units of the noise, before an example's perturbation starts anew
    resync_every: int | None  # steps after which the perturbed pass forgets all noise; None for never


class PerturbedState(NamedTuple):
    """What the perturbed pass remembers: a cell state (of a noisy network, or changes), Omega and Gamma [B, R, H]."""

    cell: Any
    filtered_noise: Any
    filtered_noise_slope: Any


def unperturbed(mode, clean, like):
    """The `PerturbedState`, shaped like `like`, before any noise: a noisy network is where the clean one is."""
    start = type(clean)(*map(tf.zeros_like, clean)) if mode == "tangent" else clean
    return PerturbedState(start, *map(tf.zeros_like, like[1:]))


def run_clean(cell, p, weights, current, state, unroll, valid=None):
    """Eq. (1)-(9) over a sequence.

    Args:
        cell, p: the cell and its `parameters()`.
        weights: W_rec [H, H].
        current: x(t) W_in + bias [T, B, H].
        state: `cell.State` before the first step.
        unroll: unroll the loop.
        valid: [T, B], False where the state stays as it is; None where it goes on in every step.

    Returns:
        what the cell's `write` keeps of every step [T, ...], of which the output alone has a gradient, and the state
        after the last step.
    """

    def step(inputs, states):
        current, *valid = inputs
        state = cell.State(*states)
        now, state = cell.step(current + tf.matmul(cell.presynaptic(state), weights), state, p)  # [B, H] x [H, H]
        output, *others = cell.write(now, state)
        others = map(tf.stop_gradient, others)
        return (output, *others), list(where_valid(valid[0][:, 0], state, states) if valid else state)

    inputs = (current,) if valid is None else (current, valid[..., None])  # Keras wants three axes
    written, states = keras_rnn(step, inputs, state, unroll)
    return written, cell.State(*states)


def run_perturbed(
    cell,
    p,
    weights,
    length,
    current,
    state,
    unroll,
    noise,
    packed,
    kernels,
    perturbed,
    digest,
    total,
    valid=None,
    counted=None,
):
    """Eq. (1)-(9) and, beside it, the effect of noise: Eq. (16)-(18). The clean pass does not feel the noise.

    Args:
        cell, p, weights, state, unroll: as in `run_clean`.
        length: T.
        current: `start, size -> x(t) W_in + bias [C, B, H]` of the `size` steps from `start` on.
        noise: `Noise`.
        packed: the signs of xi, from `draw_signs` [T, B, ceil(H / 32)].
        kernels: `filters.FilteredNoise`, or `own_kernel.Prediction`.
        perturbed: `PerturbedState` before the first step.
        digest: `(total, Perturbation [C, ...]) -> total`: what is made of the perturbation of a block of steps.
        total: tuple of tensors, what `digest` starts from.
        valid: as in `run_clean`, for both passes.
        counted: [T, B], False where an example's step is left out of `digest`; None where all are in it.

    Returns:
        what the cell's `write` keeps of every step [T, ...], the clean state after the last step, the `PerturbedState`
        after the last step, `total`, and what `kernels` keeps of every step.
    """
    size = len(state)
    scale = 1.0 if noise.mode == "tangent" else noise.std

    def forget(keep, clean, perturbed):
        """The perturbed pass starts anew where `keep` [B or 1, 1] is false."""
        start = unperturbed(noise.mode, clean, perturbed)
        of_state = cell.State(*(tf.where(keep, old, new) for old, new in zip(perturbed.cell, start.cell)))
        return PerturbedState(
            of_state, *(tf.where(keep[..., None], old, new) for old, new in zip(perturbed[1:], start[1:]))
        )

    def advance(current, xi, clean, other):
        """One step of both passes: the clean step, its new state, D, and the other pass's new state."""
        if noise.enters == "state":
            other = cell.perturb(other, xi)
        seen = cell.presynaptic(other) + (xi if noise.enters == "synapse" else 0.0)
        both = tf.matmul(tf.concat([cell.presynaptic(clean), seen], 0), weights)  # [2B, H] x [H, H], one product
        recurrent, other_recurrent = tf.split(both, 2)
        if noise.enters == "current":
            other_recurrent += xi
        now, clean = cell.step(current + recurrent, clean, p)
        if noise.mode == "tangent":
            observed, other = cell.tangent(other_recurrent, other, now, p)
            return now, clean, observed[noise.observe], other
        noisy, other = cell.step(current + other_recurrent, other, p)
        difference = cell.observables(noisy, other)[noise.observe] - cell.observables(now, clean)[noise.observe]
        if noise.mode == "replica":  # its units hear the clean network's spikes
            other = cell.exchange_spikes(other, noisy, now)
        return now, clean, difference / noise.std, other

    def begin(start, count):
        xi = unpack_signs(take(packed, start, count), cell.units, weights.dtype)  # [C, B, H]
        masks = [take(mask, start, count) for mask in (valid, counted) if mask is not None]
        return (current(start, count), xi, kernels.drive(xi), start + tf.range(count), *masks), ()

    def step(states, now):
        current, xi, driven, t, *masks = now
        goes_on = None if valid is None else masks[0]
        counts = None if counted is None else masks[-1]
        clean = cell.State(*states[:size])
        perturbed = PerturbedState(cell.State(*states[size : 2 * size]), *states[2 * size :])
        if noise.resync_every is not None:
            perturbed = forget(tf.reshape(t % noise.resync_every != 0, (1, 1)), clean, perturbed)
        now, clean, effect, other = advance(current, xi * scale, clean, perturbed.cell)
        felt = cell.gate(now) * driven if noise.enters == "current" else driven
        filtered = kernels.step(*perturbed[1:], felt)
        # A tangent grows where backpropagation's gradient would explode: such an example starts anew, and NaN never
        # passes this line (a maximum may: XLA's takes no notice of NaN).
        sane = tf.reduce_all(tf.abs(effect) <= noise.bound, -1, keepdims=True)  # [B, 1]
        perturbed = forget(sane, clean, PerturbedState(other, *filtered))
        effect = tf.where(sane, effect, tf.zeros_like(effect))
        made = Perturbation(effect, *perturbed[1:])
        made = Perturbation(*where_valid(counts, made, map(tf.zeros_like, made)))
        kept = (*cell.write(now, clean), *kernels.keep(made, sane))
        return where_valid(goes_on, (*clean, *perturbed.cell, *perturbed[1:]), states), kept, tuple(made)

    def end(total, _, made):
        return digest(total, Perturbation(*made))

    states = (*state, *perturbed.cell, *perturbed[1:])
    states, kept, total = blockwise(begin, step, end, states, total, length, unroll=unroll)
    perturbed = PerturbedState(cell.State(*states[size : 2 * size]), *states[2 * size :])
    written, kept = kept[: len(kept) - kernels.KEEPS], kept[len(kept) - kernels.KEEPS :]
    return written, cell.State(*states[:size]), perturbed, total, kept
