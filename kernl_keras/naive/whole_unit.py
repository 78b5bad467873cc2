"""Changes of a unit's own states, forward in time; and Eq. (36), the kernel of the whole unit that is moved."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np

from .loops import Array, traces_gradient, two_steps  # noqa: F401, two_steps is for the examples
from .sensitivity import squared_residual

Step = Callable[[tuple, float, int, int, int], tuple[float, float, tuple]]
"""`(change of k's state, what arrived at its potential, b, t, k)` -> the changes of V- - B, of z, and of the state."""


def arrivals(run: SimpleNamespace) -> Array:
    """The share of what arrives at a unit that has an effect [B, T, H]: f' of rate units; 0 of refractory ones."""
    return getattr(run, "gate" if hasattr(run, "z") else "slope", np.ones_like(run.psi))


def linear_step(run, adaptation=True):
    """A step of a change of V or U and of b: `(change, change of the potential, place)` -> as of `Step`.

    Args:
        adaptation: whether the threshold is a part of the state.
    """

    def step(change, added, place, raised=0.0):
        v, c = change
        k = place[-1]
        threshold = raised + (run.beta[k] * c if adaptation else 0.0)
        potential = run.leak[place] * v + added
        distance = np.real(potential) - threshold
        spike = run.psi[place] * distance
        v = run.keep[place] * potential
        if not adaptation:
            return distance, spike, (v, 0.0)
        return distance, spike, (v - run.threshold_keep[place] * threshold, run.p[k] * c + (1.0 - run.p[k]) * spike)

    return step


def own_step(run: SimpleNamespace) -> Step:
    """A step of a change of a unit's state, V or U and b, in the units of `spiking`, `resonator` and `rate`.

    Example: a change of 1 in the potential spikes, and the next threshold is by 0.5 higher.

    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> run = SimpleNamespace(psi=one, leak=one, keep=one, threshold_keep=zero, beta=[1.0], p=[0.5])
    >>> step = own_step(run)
    >>> distance, spike, change = step((0.0, 0.0), 1.0, 0, 0, 0)
    >>> float(distance), float(step(change, 0.0, 0, 1, 0)[0])
    (1.0, 0.5)
    """
    arrival, step = arrivals(run), linear_step(run)
    return lambda change, arrived, *place: step(change, arrival[place] * arrived, place)


def whole_unit(
    error: Array, s: Array, run: SimpleNamespace, m: Array, step: Step | None = None, gain: Array | None = None
) -> Array:
    """KeRNL with the kernel of the whole unit that is moved: dC/dW [J, H].

    Args:
        m: M [H, H].
        step: a step of a change of a unit's state; `own_step(run)` where None.
        gain: V-(t) by the current [B, T, H]; `run.gain` where None.

    Example: through the own leak 0.25, through the spike of the first step 0.5 M more.

    >>> error, s, run = two_steps()
    >>> whole_unit(error, s, run, m=np.ones((1, 1))).tolist()
    [[0.75]]
    """
    units, arrival = error.shape[-1], arrivals(run)
    step, gain = own_step(run) if step is None else step, run.gain if gain is None else gain

    def own(change, place, j):
        b, t, i = place
        drive = gain[place] / arrival[place] if arrival[place] else 0.0  # the arrival is in the gain as well
        _, spike, change = step(change, drive * s[b, t, j], b, t, i)
        return spike, spike, change

    def hop(moved, sent, place):
        b, t, i = place
        moved = [(0.0, 0.0)] * units if moved is None else moved
        done = [step(moved[k], m[k, i] * sent, b, t, k) for k in range(units)]
        return [spike for _, spike, _ in done], [change for _, _, change in done]

    return traces_gradient(error, s.shape[-1], own, hop)


def whole_unit_sensitivity(
    effect: Array, xi: Array, m: Array, step: Step, starts: Sequence[int] = (0,)
) -> tuple[float, Array]:
    """The loss F of M where the kernel is that of the whole unit that is moved, and dF/dM [H, H].

        F = mean (D - sum_i M_ki d_ki)^2

    d_ki is what the noise of i, had it moved k by itself, would do to it.

    Args:
        effect: D [B, T, H].
        m: M [H, H].
        step: as of `whole_unit`.
        starts: steps at which the noise before is forgotten.

    Example: an M that predicts all of D.

    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> run = SimpleNamespace(psi=zero, leak=0.5 * one, keep=one, threshold_keep=zero, beta=[0.0], p=[0.0])
    >>> xi, effect = np.array([[[1.0], [0.0]]]), np.array([[[2.0], [1.0]]])
    >>> loss, m_gradient = whole_unit_sensitivity(effect, xi, np.array([[2.0]]), own_step(run))
    >>> float(loss), m_gradient.tolist()
    (0.0, [[0.0]])
    """
    batch, time, units = xi.shape
    done = np.zeros((batch, time, units, units))
    for b, k, i in np.ndindex(batch, units, units):
        change = (0.0, 0.0)
        for t in range(time):
            change = (0.0, 0.0) if t in starts else change
            done[b, t, k, i], _, change = step(change, xi[b, t, i], b, t, k)
    return squared_residual(effect, done, m)
