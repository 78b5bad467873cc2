"""The forward pass over a sequence: Keras' own loop, clean alone or clean and perturbed, Eq. (1)-(9), (16)-(18).

All sequences are time-major. A cell is anything with the seams of `cells.hidden.HiddenCell`.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from ..dynamics.noise import unpack_signs
from ..keras_version import keras_rnn
from .filters import filtered_noise_step
from .sensitivity import Perturbation


class Noise(NamedTuple):
    """Where the noise enters and how its effect is watched."""

    enters: str  # "current": I(t); "synapse": S(t-1) as W_rec sees it; "state": S(t-1) or h(t-1) itself, for good
    mode: str  # "tangent", "twin" or "replica"
    observe: str  # one of the cell's `OBSERVABLES`
    std: float  # of the noise a twin or a replica receives; a tangent has no scale
    bound: float  # largest effect, in units of the noise, before an example's perturbation starts anew


class PerturbedState(NamedTuple):
    """What the perturbed pass remembers: a cell state (of a noisy network, or changes), Omega and Gamma [B, R, H]."""

    cell: Any
    filtered_noise: Any
    filtered_noise_slope: Any


def pick(record):
    """The fields of a record that a loop has to write down."""
    return tuple(field for field in record if field is not None)


def unpick(like, fields):
    """A complete record from the fields that `pick` kept of `like`."""
    fields = iter(fields)
    return type(like)(*(None if field is None else next(fields) for field in like)).complete()


def unperturbed(mode, clean, like):
    """The `PerturbedState`, shaped like `like`, before any noise: a noisy network is where the clean one is."""
    start = type(clean)(*map(tf.zeros_like, clean)) if mode == "tangent" else clean
    return PerturbedState(start, *map(tf.zeros_like, like[1:]))


def run_clean(cell, p, weights, current, state, unroll):
    """Eq. (1)-(9) over a sequence.

    Args:
        cell, p: the cell and its `parameters()`.
        weights: W_rec [H, H].
        current: x(t) W_in + bias [T, B, H].
        state: `cell.State` before the first step.
        unroll: unroll the loop.

    Returns:
        `Record` [T, B, H] and the state after the last step.
    """
    kept = []

    def step(current, states):
        state = cell.State(*states)
        recurrent = tf.matmul(cell.presynaptic(state), weights)  # [B, H] x [H, H]
        now, state = cell.step(current + recurrent, state, p)
        record = cell.record(now, state)
        kept[:] = [record]
        return pick(record), list(state)

    fields, states = keras_rnn(step, current, state, unroll)
    return unpick(kept[0], fields), cell.State(*states)


def run_perturbed(cell, p, weights, current, state, unroll, noise, packed, decay, dt, perturbed, restart=None):
    """Eq. (1)-(9) and, beside it, the effect of noise: Eq. (16)-(18). The clean pass does not feel the noise.

    Args:
        cell, p, weights, current, state, unroll: as in `run_clean`.
        noise: `Noise`.
        packed: the signs of xi, from `draw_signs` [T, B, ceil(H / 32)].
        decay: exp(-gamma dt) [R, H].
        dt: ms.
        perturbed: `PerturbedState` before the first step.
        restart: [T, 1, 1], 1 at steps before which the perturbed pass forgets all noise; None for never.

    Returns:
        `Record`, the clean state after the last step, `Perturbation`, and the `PerturbedState` after the last step.
    """
    kept = []
    size = len(state)

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

    def step(inputs, states):
        current, packed, *flag = inputs
        xi = unpack_signs(packed, current.shape[-1], current.dtype)
        clean = cell.State(*states[:size])
        perturbed = PerturbedState(cell.State(*states[size : 2 * size]), *states[2 * size :])
        if flag:
            perturbed = forget(flag[0] < 0.5, clean, perturbed)
        now, clean, effect, other = advance(current, xi * scale, clean, perturbed.cell)
        record = cell.record(now, clean)
        kept[:] = [record]
        felt = xi * record.gate if noise.enters == "current" and record.gate is not None else xi
        filtered = filtered_noise_step(*perturbed[1:], felt, decay, dt)
        # A tangent grows where backpropagation's gradient would explode: such an example starts anew, and NaN never
        # passes this line (a maximum may: XLA's takes no notice of NaN).
        sane = tf.reduce_all(tf.abs(effect) <= noise.bound, -1, keepdims=True)  # [B, 1]
        perturbed = forget(sane, clean, PerturbedState(other, *filtered))
        effect = tf.where(sane, effect, tf.zeros_like(effect))
        return (effect, *perturbed[1:], *pick(record)), [*clean, *perturbed.cell, *perturbed[1:]]

    scale = 1.0 if noise.mode == "tangent" else noise.std
    inputs = (current, packed) if restart is None else (current, packed, restart)
    fields, states = keras_rnn(step, inputs, [*state, *perturbed.cell, *perturbed[1:]], unroll)
    return (
        unpick(kept[0], fields[3:]),
        cell.State(*states[:size]),
        Perturbation(*fields[:3]),
        PerturbedState(cell.State(*states[size : 2 * size]), *states[2 * size :]),
    )
