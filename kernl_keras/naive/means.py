"""Eq. (39), (40): the memory of means, step by step."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from .errors import back, bounded, errors_behind, errors_through_segments, errors_without_end
from .units import Array


def means_before(
    steps: SimpleNamespace, first: int, segment: int, ring: int | None, tau: float | None
) -> list[SimpleNamespace]:
    """The mean linear steps that stand for the steps first-1, first-2, .. 0.

    Args:
        steps: what `linear_steps` returns.
        first: the first step of the window.
        segment: number of steps that have one mean; segments begin at steps 0, segment and so on.
        ring: how many of the last segments have their own mean; None for all.
        tau: what is older has one leaky mean: a segment's steps count by exp(-1/tau) less for each step that follows
            the segment. In steps; None for the mean of all.

    Returns:
        a list of namespaces like `steps`, of [B, H, ..].

    Example: a ring of one step, and the mean of the two before it.

    >>> x = np.array([1.0, 2.0, 6.0]).reshape(1, 3, 1)
    >>> steps = SimpleNamespace(A=x, B=x, seen_D=x, seen_g=x)
    >>> [step.A.item() for step in means_before(steps, 3, segment=1, ring=1, tau=None)]
    [6.0, 1.5, 1.5]
    """
    cuts = [slice(start, min(start + segment, first)) for start in range(0, first, segment)][::-1]  # newest first
    own = [SimpleNamespace(**{name: x[:, cut].mean(1) for name, x in vars(steps).items()}) for cut in cuts]
    ring = len(cuts) if ring is None else min(ring, len(cuts))
    keep = 1.0 if tau is None else np.exp(-1.0 / tau)
    weights = [(cut.stop - cut.start) * keep ** (first - cut.stop) for cut in cuts]
    older = SimpleNamespace()
    for name in vars(steps):
        values = [weight * getattr(mean, name) for weight, mean in zip(weights[ring:], own[ring:])]
        setattr(older, name, sum(values) / sum(weights[ring:]) if values else None)
    return [own[n] if n < ring else older for n, cut in enumerate(cuts) for _ in range(cut.start, cut.stop)]


def recent_steps(first: int, size: int, segment: int, count: int, grow: bool = True) -> list[tuple[Array, int, int]]:
    """What the means of the last segments are means of, before step `first`.

    The newest segment has `segment` steps, and the one after it as many. With `grow` the next two have twice as many,
    and so on, else all have as many. They are cut anew after each window of `size` steps, from its steps and those that
    the old segments stand for, which are all the same in each. Returns a weight for each of the steps before `first`
    [first], how many steps there are, and how many times `segment` there can be; `count` of these, the newest first.

    Example: five steps in windows of one. Of the two steps of the third segment, one is as it was, and one the mean of
    the two before it.

    >>> [(x.tolist(), *rest) for x, *rest in recent_steps(5, size=1, segment=1, count=3)]
    [([0.0, 0.0, 0.0, 0.0, 1.0], 1, 1), ([0.0, 0.0, 0.0, 1.0, 0.0], 1, 1), ([0.25, 0.25, 0.5, 0.0, 0.0], 2, 2)]
    """
    lengths = [2 ** (k // 2) if grow else 1 for k in range(count)]
    stops = segment * np.cumsum(lengths)
    every, steps, cut = np.eye(first), np.zeros((0, first)), []  # the steps, the newest first
    for start in range(0, first, size):
        steps = np.concatenate([every[start : start + size][::-1], steps])
        cut = [x for x in np.split(steps, stops)[:-1] if len(x)]
        steps = np.concatenate([np.repeat(x.mean(0)[None], len(x), 0) for x in cut] or [steps[:0]])
    return [(x.mean(0), len(x), length) for x, length in zip(cut, lengths)]


def recent_segments(steps, first, size, segment, count, grow=True):
    """The mean linear step of each of the segments that `recent_steps` names, how many steps it has, and its length."""
    segments = []
    for weights, *rest in recent_steps(first, size, segment, count, grow):
        mean = {name: np.einsum("t,bt...->b...", weights, x[:, :first]) for name, x in vars(steps).items()}
        segments.append((SimpleNamespace(**mean), *rest))
    return segments


def kernels(poles, count):
    """The sequences Re p^n and Im p^n of all poles, those that are zero left out [count, basis]."""
    return in_parts(poles, np.array([[complex(pole) ** n for n in range(count)] for pole in poles])).T


def in_parts(poles, rows):
    """The real parts of G rows, and the imaginary parts of those whose poles have one.

    >>> in_parts([0.5, 1j], np.array([[1.0], [2.0 + 3.0j]])).tolist()
    [[1.0], [2.0], [3.0]]
    """
    return np.array([row.real for row in rows] + [row.imag for row, pole in zip(rows, poles) if np.imag(pole) != 0.0])


def gram_matrix(poles, count=None):
    """The products of the sequences of `kernels` with each other [basis, basis]; count=None for all steps, if |p| < 1.

    Example: 1 / (1 - p^2), p = 1/2.

    >>> gram_matrix([0.5]).round(3).tolist()
    [[1.333]]
    """
    if count is not None:
        return kernels(poles, count).T @ kernels(poles, count)
    # sum x^n y^n = 1 / (1 - x y), and Re p^n and Im p^n are sums of p^n and its conjugate.
    both, one = np.concatenate([poles, np.conj(poles)]), np.eye(len(poles))
    shares = np.concatenate([np.hstack([one, one]) / 2.0, np.hstack([one, -one]) / 2.0j])
    shares = shares[np.concatenate([np.full(len(poles), True), np.imag(poles) != 0.0])]
    return (shares @ (1.0 / (1.0 - np.outer(both, both))) @ shares.T).real


def filtered_inputs(poles, s):
    """X^g = p_g X^g + s(t) after the last step of s [T, J], in the order of `kernels`: [basis, J]."""
    filters = np.zeros((len(poles), s.shape[-1]), complex)
    for now in s:
        filters = np.array(poles)[:, None] * filters + now
    return in_parts(poles, filters)


def projected(gram, products, filters, ridge=1e-8):
    """Eq. (40): the gradient from the filtered inputs.

    `products` are those of the kernels with the errors R_n [basis, n H]; `ridge`, times the mean of the Gram matrix's
    diagonal, is added to that.

    Example: errors of 2 and 1 fall as the filter does, and the inputs were 3 and 1: 2 * 3 + 1 * 1.

    >>> products = np.array([[2.5]])
    >>> projected(gram_matrix([0.5], 2), products, np.array([[3.5]])).round(6).tolist()
    [[7.0]]
    """
    return filters.T @ np.linalg.solve(gram + ridge * np.trace(gram) / len(gram) * np.eye(len(gram)), products)


def memory_of_means(
    error: Array,
    s: Array,
    steps: SimpleNamespace,
    w_rec: Array,
    size: int,
    *,
    segment: int | None = None,
    ring: int | None = 0,
    tau: float | None = None,
    hops: int | None = None,
    damping: float = 1.0,
    horizon: int | None = None,
    poles: Sequence[complex] | None = None,
    endless: bool = False,
    grow: bool = True,
    followed: SimpleNamespace | None = None,
    behind: Array | None = None,
    ridge: float = 1e-8,
) -> Array:
    """Windows of C steps, exact inside, Eq. (38); before them the memory of means, Eq. (39), (40).

    Args:
        steps: what `linear_steps` returns.
        segment, ring, tau: as of `means_before`; a segment has C steps where None.
        hops, damping: as of `errors_behind`.
        horizon: how many virtual steps are followed; None for all.
        poles: of the G filters; None where the inputs themselves are remembered.
        endless: whether the virtual steps are those of the `ring` segments that `recent_segments` returns, and the
            leaky mean of all steps stands for what is older, without end: in closed form, and so is the Gram matrix.
            It needs `poles`.
            All hops are followed in the segments, as by `errors_through_segments`, and `hops` of them before these,
            `bounded`.
        grow: as of `recent_steps`, in an endless memory.
        followed: the linear steps whose means stand behind the border; `steps` where None.
        behind: the recurrent weights that M stands for, across the border and behind it; `w_rec` where None.
        ridge: as of `projected`.

    Returns:
        dC/dW [J, n H].

    Example: the error of the second step reaches the first through the own leak of 0.5.

    >>> from .linear import linear_steps
    >>> one, c = np.ones((1, 2, 1)), SimpleNamespace(turn=[0.5], drive=[1.0], period=None)
    >>> steps = linear_steps("rate", SimpleNamespace(slope=one, output=one), c)
    >>> error, s = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]])
    >>> memory_of_means(error, s, steps, np.zeros((1, 1)), size=1).tolist()
    [[0.5]]
    """
    batch, time, units = error.shape
    gradient = np.zeros((s.shape[-1], w_rec.shape[1]))
    for b in range(batch):
        for first in range(0, time, size):
            state, seen = np.zeros((units, steps.A.shape[-1])), np.zeros(units)
            for t in reversed(range(first, min(first + size, time))):
                now = SimpleNamespace(**{name: x[:, t] for name, x in vars(steps).items()})
                current_error, state = back(now, state, error[b, t], seen, b)
                seen = w_rec @ current_error
                gradient += np.outer(s[b, t], current_error)
            if behind is not None:
                seen = behind @ current_error
            if not first:
                continue
            behind_it, again = followed or steps, w_rec if behind is None else behind
            if endless:
                segments = recent_segments(behind_it, first, size, segment or size, ring, grow)
                arguments = segments, state, seen, again, b, damping, hops != 0
                R, state, damped = errors_through_segments(*arguments)
                sorts = 2 if hops is None else hops + 1
                states, left = np.zeros((sorts, *state.shape)), np.zeros((sorts, units))
                states[0], left[1:2] = state, damped
            else:
                means = means_before(behind_it, first, segment or size, ring, tau)[:horizon]
                R = errors_behind(means, state, seen, again, b, hops, damping)[0]
            count = sum(steps for _, steps, _ in segments) if endless else len(R)
            if poles is None:
                gradient += sum(np.outer(s[b, first - 1 - n], R[n]) for n in range(len(R)))
                continue
            products = kernels(poles, len(R)).T @ R
            if endless:
                mean = means_before(behind_it, first, 1, 0, tau)[-1]
                older = [errors_without_end(mean, states, left, again, b, p, hops, damping) for p in poles]
                older = bounded(np.array([p**count * added for p, added in zip(poles, older)]))
                products += in_parts(poles, older)
            gram = gram_matrix(poles, None if endless else len(R))
            gradient += projected(gram, products, filtered_inputs(poles, s[b, :first]), ridge)
    return gradient
