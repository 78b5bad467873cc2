"""Eq. (36), the kernel of the whole unit that is moved: every trace by itself, forward in time."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np

Step = Callable[[tuple, float, int, int, int], tuple[float, float, tuple]]
"""`(change of k's state, what arrived at its potential, b, t, k)` -> the changes of V- - B, of z, and of the state."""


def arrivals(run: SimpleNamespace) -> np.ndarray:
    """How much of what arrives at a unit has an effect [B, T, H]: f' of rate units; nothing in refractory ones.

    Example:

    >>> arrivals(SimpleNamespace(psi=np.ones((1, 1, 2)))).tolist()
    [[[1.0, 1.0]]]
    """
    spiking = hasattr(run, "z")
    return getattr(run, "gate" if spiking else "slope", np.ones_like(run.psi))


def own_step(run: SimpleNamespace) -> Step:
    """How a change of a unit's state goes on, in the units of `spiking`, `resonator` and `rate`: of V or U and of b.

    Example: a change of 1 in the potential spikes, and the next threshold is by 0.5 higher.

    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> run = SimpleNamespace(psi=one, leak=one, keep=one, threshold_keep=zero, beta=[1.0], p=[0.5])
    >>> step = own_step(run)
    >>> distance, spike, change = step((0.0, 0.0), 1.0, 0, 0, 0)
    >>> float(distance), float(step(change, 0.0, 0, 1, 0)[0])
    (1.0, 0.5)
    """
    arrival = arrivals(run)

    def step(change, arrived, b, t, k):
        v, c = change
        potential = run.leak[b, t, k] * v + arrival[b, t, k] * arrived
        threshold = run.beta[k] * c
        distance = np.real(potential) - threshold
        spike = run.psi[b, t, k] * distance
        kept = run.keep[b, t, k] * potential - run.threshold_keep[b, t, k] * threshold
        return distance, spike, (kept, run.p[k] * c + (1.0 - run.p[k]) * spike)

    return step


def whole_unit(
    error: np.ndarray,
    s: np.ndarray,
    run: SimpleNamespace,
    m: np.ndarray,
    step: Step | None = None,
    gain: np.ndarray | None = None,
) -> np.ndarray:
    """KeRNL with the kernel of the whole unit that is moved.

    Args:
        m: M [H, H].
        step: how a change of a unit's state goes on; `own_step(run)` where None.
        gain: V-(t) by the current [B, T, H]; `run.gain` where None.

    Returns:
        dC/dW [J, H].

    Example: through the own leak 0.25, through the spike of the first step 0.5 M more.

    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> error, s = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]])
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, gain=0.5 * one,
    ...     threshold_keep=zero, beta=[0.0], p=[0.0])
    >>> whole_unit(error, s, run, m=np.ones((1, 1))).tolist()
    [[0.75]]
    """
    batch, time, units = error.shape
    step, gain = own_step(run) if step is None else step, run.gain if gain is None else gain
    gradient = np.zeros((s.shape[-1], units))
    arrival = arrivals(run)
    for b, i, j in np.ndindex(batch, units, s.shape[-1]):
        own, sent = (0.0, 0.0), 0.0
        moved = [(0.0, 0.0)] * units
        for t in range(time):
            for k in range(units):
                _, spike, moved[k] = step(moved[k], m[k, i] * sent, b, t, k)
                gradient[j, i] += error[b, t, k] * spike
            reached = arrival[b, t, i]  # is in the gain as well
            drive = gain[b, t, i] / reached if reached else 0.0
            _, sent, own = step(own, drive * s[b, t, j], b, t, i)
            gradient[j, i] += error[b, t, i] * sent
    return gradient


def whole_unit_sensitivity(
    effect: np.ndarray,
    xi: np.ndarray,
    m: np.ndarray,
    step: Step,
    starts: Sequence[int] = (0,),
) -> tuple[float, np.ndarray]:
    """What M learns from, where the kernel is that of the whole unit that is moved: F = mean (D - sum_i M_ki d_ki)^2.

    d_ki is what the noise of i, had it moved k by itself, would do to it.

    Args:
        effect: D [B, T, H].
        m: M [H, H].
        step: as of `whole_unit`.
        starts: steps at which the noise before is forgotten.

    Returns:
        F, and dF/dM [H, H].

    Example: an M that predicts all of D.

    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> run = SimpleNamespace(psi=zero, leak=0.5 * one, keep=one, threshold_keep=zero, beta=[0.0], p=[0.0])
    >>> xi, effect = np.array([[[1.0], [0.0]]]), np.array([[[2.0], [1.0]]])
    >>> loss, of_m = whole_unit_sensitivity(effect, xi, np.array([[2.0]]), own_step(run))
    >>> float(loss), of_m.tolist()
    (0.0, [[0.0]])
    """
    batch, time, units = xi.shape
    loss, of_m = 0.0, np.zeros((units, units))
    for b, k in np.ndindex(batch, units):
        change = [(0.0, 0.0)] * units
        for t in range(time):
            done = np.zeros(units)
            for i in range(units):
                before = (0.0, 0.0) if t in starts else change[i]
                done[i], _, change[i] = step(before, xi[b, t, i], b, t, k)
            residual = effect[b, t, k] - m[k] @ done
            loss += residual**2 / effect.size
            of_m[k] -= 2.0 * residual * done / effect.size
    return loss, of_m
