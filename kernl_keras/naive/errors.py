"""Errors that cross the border of a window, Eq. (44), (39): back over virtual steps, segments, or without end.

`step`, a mean linear step, has A [B, H, d, d] and so on. Errors of the states are [H, d], those of what the recurrent
weights see [H], and those of the currents [n H].
"""

from types import SimpleNamespace

import numpy as np

from .units import Array


def back(step, state, output_error, seen_error, b):
    """One step back, Eq. (44): the errors of the currents and of the states before, from those of the states after it.

    A step without `D` and `g` hears nothing of the errors of its output.
    """
    current_error = np.einsum("idn,id->ni", step.B[b], state) + step.seen_g[b].T * seen_error
    before = np.einsum("ide,id->ie", step.A[b], state) + step.seen_D[b] * seen_error[:, None]
    if hasattr(step, "D"):
        current_error, before = current_error + step.g[b].T * output_error, before + step.D[b] * output_error[:, None]
    return current_error.ravel(), before


def errors_behind(
    means: list[SimpleNamespace],
    state: Array,
    seen_error: Array,
    w_rec: Array,
    b: int,
    hops: int | None = None,
    damping: float = 1.0,
    output_errors: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Eq. (39): errors that cross a border, back over the virtual steps.

    They are kept apart by the number of units on their path; of all hops there are two sorts, none and any number.

    Args:
        means: what `means_before` returns, or as many of the first of them as steps are to be followed.
        state, seen_error: errors at the border, of the states [H, d] and of what the recurrent weights see [H].
        b: the example.
        hops: how many units may lie on a path from the border to a current; None for any number, 0 for the own state.
        damping: factor of an error for each unit that it came through.
        output_errors: errors of the outputs at the virtual steps, from layers above [N, H]; None for none.

    Returns:
        R at the steps first-1, first-2, .. [N, n H], and what is left after them, of the states [sorts, H, d] and of
        what is seen [sorts, H].

    Example: each step leaves half of an error; with the hop, what arrives at the step before comes on top.

    >>> half = np.full((1, 1, 1, 1), 0.5)
    >>> step = SimpleNamespace(A=half, B=2 * half, seen_D=half[0], seen_g=0 * half[0])
    >>> start = np.ones((1, 1)), np.zeros(1), np.eye(1), 0
    >>> [errors_behind(3 * [step], *start, hops)[0].ravel().tolist() for hops in (0, 1)]
    [[1.0, 0.5, 0.25], [1.0, 0.5, 0.75]]
    """
    sorts = 2 if hops is None else hops + 1
    states, seen = np.zeros((sorts, *state.shape)), np.zeros((sorts, len(seen_error)))
    states[0] = state
    if sorts > 1:
        seen[1] = damping * seen_error
    R = np.zeros((len(means), w_rec.shape[1]))
    for n, step in enumerate(means):
        current_error = np.zeros((sorts, w_rec.shape[1]))
        for sort in range(sorts):
            output_error = np.zeros(len(seen_error)) if sort or output_errors is None else output_errors[n]
            current_error[sort], states[sort] = back(step, states[sort], output_error, seen[sort], b)
        seen = np.zeros(seen.shape)
        for sort in range(1, sorts):
            seen[sort] = damping * (w_rec @ current_error[sort - 1])
        if hops is None:
            seen[1] += damping * (w_rec @ current_error[1])
        R[n] = current_error.sum(0)
    return R, states, seen


def errors_through_segments(segments, state, seen_error, w_rec, b, damping=1.0, hops=True, output_errors=None):
    """Eq. (44) back over `recent_segments`, twice as many steps at once where a segment is twice as long.

    The errors from other units and from layers above are the same in all of these steps, and what comes from their
    currents arrives in the next ones. With `hops` (errors go from unit to unit) those of the states are then scaled
    down to the length that they had at the border, and that layers above have added since. Of steps that are not all
    there, a part is taken. Returns R at each of the steps [N, n H], and what is left after them, of the states [H, d]
    and of what is seen [H].

    Example: two steps at once have their mean, and what they send on arrives after them.

    >>> half = np.full((1, 1, 1, 1), 0.5)
    >>> step = SimpleNamespace(A=half, B=half, seen_D=half[0], seen_g=0 * half[0])
    >>> start = np.ones((1, 1)), np.zeros(1), np.eye(1), 0
    >>> [x.tolist() for x in errors_through_segments([(step, 2, 2)], *start)]
    [[[0.375], [0.375]], [[0.25]], [0.75]]
    """
    R, limit = [], np.linalg.norm(state)
    seen = damping * seen_error if hops else np.zeros(len(seen_error))  # of all the steps at once
    for mean, steps, m in segments:
        for start in range(0, steps, m):
            part, at_start = min((steps - start) / m, 1.0), (state, seen)
            added, output_error = np.zeros(state.shape), np.zeros(len(seen_error))
            if output_errors is not None:
                output_error = output_errors[len(R) : len(R) + m].mean(0)
            current_errors = []
            for _ in range(m):
                one, state = back(mean, state, output_error, seen / m, b)
                added = back(mean, added, output_error, np.zeros(len(seen_error)), b)[1]
                current_errors.append(one)
            R += m * [part * np.mean(current_errors, 0)]
            limit += part * np.linalg.norm(added)
            after = state, damping * (w_rec @ np.sum(current_errors, 0)) if hops else seen
            state, seen = (part * x + (1.0 - part) * y for x, y in zip(after, at_start))
            if hops:
                shorter = limit / max(limit, np.linalg.norm(state)) if limit else 1.0
                state, seen = shorter * state, shorter * seen
    return np.array(R).reshape(-1, w_rec.shape[1]), state, seen


def errors_without_end(step, states, seen, w_rec, b, pole, hops=None, damping=1.0):
    """The sum over all n of p^n R_n where one mean stands for all steps: a closed form instead of virtual steps.

        r^h = B^T (1 - p A^T)^-1 l^h + T (e^h + damping p W r^(h-1)),        T = g + p B^T (1 - p A^T)^-1 D

    h counts the units on the path; `states` and `seen` are what `errors_behind` leaves, `pole` is p. Returns what each
    number of units on the path adds to the sum, [hops + 1, n H]; of all hops the whole sum, [1, n H].

    Example: 1 + p/2 + p^2/4 + ..

    >>> half = np.full((1, 1, 1, 1), 0.5)
    >>> step = SimpleNamespace(A=half, B=2 * half, seen_D=half[0], seen_g=0 * half[0])
    >>> errors_without_end(step, np.ones((1, 1, 1)), np.zeros((1, 1)), np.eye(1), 0, 0.5, 0).real.round(3).tolist()
    [[1.333]]
    """
    units, currents = step.B.shape[1], step.B.shape[-1]
    own, gain = np.zeros((len(states), units * currents), complex), np.zeros((units * currents, units), complex)
    for i in range(units):
        inverse = np.linalg.inv(np.eye(states.shape[-1]) - pole * step.A[b, i].T)
        gain[i::units, i] = step.seen_g[b, i] + pole * step.B[b, i].T @ inverse @ step.seen_D[b, i]
        for sort in range(len(states)):
            own[sort, i::units] = step.B[b, i].T @ inverse @ states[sort, i] + gain[i::units, i] * seen[sort, i]
    again = damping * pole * gain @ w_rec
    if hops is None:
        return np.linalg.solve(np.eye(units * currents) - again, own.sum(0))[None]
    added = [own[0]]
    for sort in range(1, hops + 1):
        added.append(own[sort] + again @ added[-1])
    return np.array(added)


def bounded(added):
    """The sum of what each hop adds at each pole [G, hops + 1, n H], where no hop adds more than the one before it.

    From the second hop on, each is scaled down to the length of the one before, over all poles and units. What the next
    ones add is in proportion to it. Returns [G, n H].

    Example: the own state adds 1, and the first hop 2; so each further one adds no more than 2.

    >>> bounded(np.array([[[1.0], [2.0], [4.0], [6.0]]])).tolist()
    [[7.0]]
    """
    scale, total = 1.0, added[:, :2].sum(1)
    for hop in range(2, added.shape[1]):
        before, length = np.linalg.norm(added[:, hop - 1]), np.linalg.norm(added[:, hop])
        scale *= min(1.0, before / length) if length else 1.0
        total = total + scale * added[:, hop]
    return total
