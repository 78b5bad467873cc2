"""Eq. (28): backpropagation inside windows of C steps, and what crosses their borders. A sweep for every window."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from .linear import back
from .units import Array

HopBack = Callable[[Array, int, int], Array]
"""`(errors of y at a window's first step [B, H, d], that step, t before it)` -> errors of the outputs at t [B, H]."""


def windows(
    error: Array,
    exact: SimpleNamespace,
    w_rec: Array,
    size: int,
    *,
    synapse: Array | float = 0.0,
    behind: SimpleNamespace | None = None,
    hop: HopBack | None = None,
) -> Array:
    """The errors of each window by themselves, back to the first step of the sequence.

    Args:
        exact: the linear step inside a window, what `linear` returns.
        synapse: decay of S in one step, [H] or a number.
        behind: the linear step that the own state follows before its window; None where nothing crosses a border.

    Returns:
        dC/dI(t) [B, T, n H].

    Example: the error of the second step reaches the first through the own leak; a window of two steps adds W_rec.

    >>> one = np.ones((1, 2, 1))
    >>> vector, matrix = one[..., None], one[..., None, None]
    >>> steps = SimpleNamespace(psi=one, P=0.5 * matrix, Q=matrix, r=vector, K=matrix, s=0 * vector, past=0 * vector)
    >>> error, w_rec = np.array([[[0.0], [1.0]]]), np.array([[2.0]])
    >>> [windows(error, steps, w_rec, size, behind=steps).ravel().tolist() for size in (1, 2)]
    [[0.5, 1.0], [2.5, 1.0]]
    """
    batch, time, units = error.shape
    current_error, silence = np.zeros((batch, time, exact.Q.shape[-1], units)), np.zeros((batch, units))
    for first in range(0, time, size):
        x_error, seen_error = np.zeros((batch, units, exact.P.shape[-1])), silence
        for t in reversed(range(first, min(first + size, time))):
            y_error, R, x_error = back(exact, t, error[:, t] + seen_error, x_error)
            current_error[:, t] += R
            seen_error = synapse * seen_error + R.reshape(batch, -1) @ w_rec.T
        for t in reversed(range(0 if behind is None else first)):
            _, R, x_error = back(behind, t, silence if hop is None else hop(y_error, first, t), x_error)
            current_error[:, t] += R
    return current_error.reshape(batch, time, -1)


def exponential_back(m: Array, gamma: Array, dt: float) -> HopBack:
    """The hop of `windows` by exponential kernels.

    Example: half of the error of the potential two steps later.

    >>> exponential_back(np.ones((1, 1, 1)), np.log([[2.0]]), 1.0)(np.ones((1, 1, 1)), 2, 0).round(3).tolist()
    [[0.5]]
    """

    def hop(y_error, first, t):
        return np.einsum("ri,rki,bk->bi", np.exp(-gamma * dt * (first - 1 - t)), m, y_error[..., 0])

    return hop


def unit_back(kernel: SimpleNamespace, arrival: Array, m: Array) -> HopBack:
    """The hop of `windows` by the unit that is moved.

    Example: the error of the potential two steps later, half of which the leak leaves.

    >>> one = np.ones((1, 3, 1))
    >>> vector, matrix = one[..., None], one[..., None, None]
    >>> steps = SimpleNamespace(psi=one, P=0.5 * matrix, Q=matrix, r=vector, K=matrix, s=0 * vector, past=0 * vector)
    >>> unit_back(steps, vector, np.ones((1, 1)))(np.ones((1, 1, 1)), 2, 0).tolist()
    [[0.5]]
    """

    def hop(y_error, first, t):
        for step in range(first - 1, t, -1):
            x_error = np.einsum("bkde,bkd->bke", kernel.P[:, step + 1], y_error)
            y_error, _, _ = back(kernel, step, np.zeros(y_error.shape[:2]), x_error)
        return np.einsum("ki,bkd,bkd->bi", m, arrival[:, t + 1], y_error)

    return hop
