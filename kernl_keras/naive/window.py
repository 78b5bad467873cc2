"""Eq. (28): backpropagation inside windows of C steps, and what crosses their borders. A sweep for every window."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from .whole_unit import arrivals

Hop = Callable[[np.ndarray, tuple, int, int, int], np.ndarray]


def windows(
    error: np.ndarray,
    run: SimpleNamespace,
    w_rec: np.ndarray,
    size: int,
    *,
    exact: SimpleNamespace | None = None,
    synapse: np.ndarray | float = 0.0,
    crosses: bool = True,
    adaptation: bool = True,
    hop: Hop | None = None,
) -> np.ndarray:
    """The errors of each window by themselves, back to the first step of the sequence.

    Args:
        run: the run whose own state the errors follow before their window.
        size: C, steps of a window; windows begin at steps 0, C, 2C and so on.
        exact: the run, with the reset followed, inside a window; `run` where None.
        synapse: decay of S in one step, [H] or a number.
        crosses: whether the own state crosses a border; else nothing does.
        adaptation: whether the threshold is a part of what crosses.
        hop: `(c, own, d, b, t) -> [H]`: what errors c [H] of the potentials at the first step of a window, and `own`
            of the states before it, are for the outputs 1 + d steps before it, at step t of example b; None for no hop.

    Returns:
        dC/dI(t) [B, T, H].

    Example: the error of the second step reaches the first through the own leak; a window of two steps adds W_rec.

    >>> from types import SimpleNamespace
    >>> error, one, zero = np.array([[[0.0], [1.0]]]), np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, gain=one, threshold_keep=zero, beta=[0.0], p=[0.0])
    >>> [windows(error, run, np.array([[2.0]]), size).ravel().tolist() for size in (1, 2)]
    [[0.5, 1.0], [2.5, 1.0]]
    """
    batch, time, units = error.shape
    exact = run if exact is None else exact
    synapse = np.broadcast_to(synapse, units)
    of_current = np.zeros(error.shape)
    for b in range(batch):
        for first in range(0, time, size):
            own = np.zeros(units, complex), np.zeros(units)
            of_trace = np.zeros(units)
            for t in reversed(range(first, min(first + size, time))):
                c, own = own_back(error[b, t] + of_trace, own, exact, b, t)
                found = np.real(c) * exact.gain[b, t]
                of_current[b, t] += found
                of_trace = synapse * of_trace + [
                    sum(w_rec[i, k] * found[k] for k in range(units)) for i in range(units)
                ]
            if not crosses:
                continue
            left, own = own, (own[0], own[1] if adaptation else np.zeros(units))
            for t in reversed(range(first)):
                through = np.zeros(units) if hop is None else hop(c, left, first - 1 - t, b, t)
                before, own = own_back(through, own, run, b, t, adaptation)
                of_current[b, t] += np.real(before) * run.gain[b, t]
    return of_current


def whole_unit_hop(m: np.ndarray, run: SimpleNamespace, adaptation: bool = True) -> Hop:
    """The hop of `windows` by the kernel of the whole unit that is moved, Eq. (36).

    Args:
        m: M [H, H].
        adaptation: whether the threshold is a part of the unit's state.

    Example: the error of the potential two steps later, half of which the leak leaves.

    >>> one, zero = np.ones((1, 3, 1)), np.zeros((1, 3, 1))
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, threshold_keep=zero, beta=[0.0], p=[0.0])
    >>> whole_unit_hop(np.ones((1, 1)), run)(np.ones(1), (np.full(1, 0.5), np.zeros(1)), 1, 0, 0).tolist()
    [0.5]
    """

    def hop(c, own, distance, b, t):
        for step in range(t + distance, t, -1):
            c, own = own_back(np.zeros(len(c)), own, run, b, step, adaptation)
        return m.T @ (arrivals(run)[b, t + 1] * np.real(c))

    return hop


def own_back(
    error: np.ndarray,
    own: tuple[np.ndarray, np.ndarray],
    run: SimpleNamespace,
    b: int,
    t: int,
    adaptation: bool = True,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """One step back through the own state, unit by unit.

    Args:
        error: of the outputs z(t) [H].
        own: of the states after t: of V(t) or U(t), complex, and of b(t), each [H].

    Returns:
        The errors of the potentials before the spike, complex [H], and `own` of the states before t.

    Example:

    >>> run = SimpleNamespace(psi=np.ones((1, 1, 1)), leak=np.full((1, 1, 1), 0.5), keep=np.ones((1, 1, 1)),
    ...     threshold_keep=np.zeros((1, 1, 1)), beta=[2.0], p=[0.0])
    >>> c, (v, a) = own_back(np.ones(1), (np.zeros(1), np.zeros(1)), run, 0, 0)
    >>> c.real.tolist(), v.real.tolist(), a.tolist()
    ([1.0], [0.5], [-2.0])
    """
    units = len(error)
    c, v, a = np.zeros(units, complex), np.zeros(units, complex), np.zeros(units)
    for i in range(units):
        psi = run.psi[b, t, i]
        spike = psi * (error[i] + ((1.0 - run.p[i]) * own[1][i] if adaptation else 0.0))
        c[i] = spike + run.keep[b, t, i] * own[0][i]
        v[i] = np.conj(run.leak[b, t, i]) * c[i]
        if adaptation:
            a[i] = run.p[i] * own[1][i] - run.beta[i] * (spike + run.threshold_keep[b, t, i] * own[0][i].real)
    return c, (v, a)
