"""Eq. (37)-(40): the linear step of every unit, and the memory of means, step by step and unit by unit."""

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Literal, TypeAlias

import numpy as np

from .lstm import slopes

Kind: TypeAlias = Literal["spiking", "resonator", "adlif", "rate", "lstm"]


def linear_steps(
    kind: Kind, run: SimpleNamespace, c: SimpleNamespace | None = None, reset_gradient: bool = True
) -> SimpleNamespace:
    """The linear step of every unit: of its d own states, where it is n currents that move them.

        y(t) = P x(t-1) + Q I(t),        z(t) = spike(r . y(t)),        x(t) = K y(t) + s z(t)
        (37) dx(t) = A dx(t-1) + B dI(t),        dz(t) = D . dx(t-1) + g dI(t)
             A = S P,  B = S Q,  D = psi P^T r,  g = psi Q^T r (+ what passes the state by),  S = K + psi s r^T

    Args:
        kind: the unit, by the name of the function that made the run. Its states are V and b of "spiking", Re U, Im U
            and b of "resonator", V and w of "adlif", h, or Re U and Im U, of "rate", and c of "lstm", the only one
            with four currents. A synaptic trace S is one state more, the last.
        reset_gradient: whether what a reset takes follows the derivative of the spike.

    Returns:
        namespace of A [B, T, H, d, d], B [B, T, H, d, n], D [B, T, H, d], g [B, T, H, n], and `seen_D`, `seen_g`:
        D and g of what the recurrent weights see, S where there is a synaptic trace.

    Example: half of a potential of 1 is left, and a slope of 1 passes it on.

    >>> one = np.ones((1, 1, 1))
    >>> run = SimpleNamespace(slope=one, output=one)
    >>> steps = linear_steps("rate", run, SimpleNamespace(turn=[0.5], drive=[0.5], period=None))
    >>> steps.A.ravel().tolist(), steps.B.ravel().tolist(), steps.D.ravel().tolist()
    ([0.5], [0.5], [0.5])
    """
    step = {"spiking": _spiking, "resonator": _resonator, "adlif": _adlif, "rate": _rate, "lstm": _lstm}[kind]
    shape = (run.h if kind == "lstm" else run.output).shape
    trace = getattr(c, "tau_s", None) is not None
    found: dict = {name: np.empty(shape, object) for name in ("A", "B", "D", "g")}
    for b, t, i in np.ndindex(*shape):
        psi, P, Q, r, K, s, reset, past = (np.array(x, "float64") for x in step(run, c, b, t, i))
        if c is not None and trace:  # S(t) = exp(-dt/tau_s) S(t-1) + z(t)
            d = len(r)
            P, K = (np.block([[x, np.zeros((d, 1))], [np.zeros((1, d)), last]]) for x, last in ((P, c.s[i]), (K, 1.0)))
            Q = np.concatenate([Q, np.zeros((1, Q.shape[1]))])
            r, s, reset = np.append(r, 0.0), np.append(s, 1.0), np.append(reset, 0.0)
        S = K + psi * np.outer(s + reset if reset_gradient else s, r)
        found["A"][b, t, i], found["B"][b, t, i] = S @ P, S @ Q
        found["D"][b, t, i], found["g"][b, t, i] = psi * P.T @ r, psi * Q.T @ r + past
    steps = SimpleNamespace(**{k: np.array([*map(np.array, x.ravel())]).reshape(*shape, *x[0, 0, 0].shape)
                               for k, x in found.items()})  # fmt: skip
    steps.seen_D, steps.seen_g = (steps.A[..., -1, :], steps.B[..., -1, :]) if trace else (steps.D, steps.g)
    return steps


# What happens to a unit at a step: psi, P, Q, r, K, s, the reset's part of s, and what passes the state by.


def _spiking(run, c, b, t, i):
    on, z, p, beta = run.on[b, t, i], run.z[b, t, i], c.p[i], c.beta[i]
    P, Q = [[c.a[i] if on else 1.0, 0.0], [0.0, 1.0]], [[on * c.drive[i]], [0.0]]
    if c.reset == "soft":
        K, taken = [[1.0, -beta * z], [0.0, p]], run.threshold[b, t, i]
    else:
        K, taken = [[1.0 - z, 0.0], [0.0, p]], run.potential[b, t, i] - c.reset_potential
    return run.psi[b, t, i], P, Q, [1.0, -beta], K, [0.0, 1.0 - p], [-taken, 0.0], 0.0


def _resonator(run, c, b, t, i):
    turn, p = c.turn[i], c.p[i]
    P = [[turn.real, -turn.imag, 0.0], [turn.imag, turn.real, 0.0], [0.0, 0.0, 1.0]]
    Q, r, K = [[c.dt], [0.0], [0.0]], [1.0, 0.0, -c.beta[i]], np.diag([1.0, 1.0, p])
    return run.psi[b, t, i], P, Q, r, K, [0.0, 0.0, 1.0 - p], [0.0, 0.0, 0.0], 0.0


def _adlif(run, c, b, t, i):
    z, v, a, p, coupling = run.z[b, t, i], run.potential[b, t, i], c.a[i], c.p[i], (1.0 - c.p[i]) * c.couples[i]
    P, Q = [[a, -(1.0 - a)], [0.0, 1.0]], [[c.drive[i]], [0.0]]
    K = [[1.0 - z, 0.0], [coupling * (1.0 - z), p]]
    return run.psi[b, t, i], P, Q, [1.0, 0.0], K, [0.0, (1.0 - p) * c.beta[i]], [-v, -coupling * v], 0.0


def _rate(run, c, b, t, i):
    turn, f = c.turn[i], run.slope[b, t, i]
    if c.period is None:
        return 1.0, [[turn]], [[c.drive[i] * f]], [1.0], [[1.0]], [0.0], [0.0], 0.0
    P = [[turn.real, -turn.imag], [turn.imag, turn.real]]
    return 1.0, P, [[c.drive[i] * f], [0.0]], [1.0, 0.0], np.eye(2), [0.0, 0.0], [0.0, 0.0], 0.0


def _lstm(run, c, b, t, i):
    by_memory, by_output, seen = (x[..., i] for x in slopes(run, b, t))
    return seen, [[run.f[b, t, i]]], [by_memory], [1.0], [[1.0]], [0.0], [0.0], by_output


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


def recent_steps(first: int, size: int, segment: int, count: int) -> list[tuple[list[int], int]]:
    """Which of the steps before `first` have means of their own.

    After each window, its steps come in segments, counted from its end. Two of them are kept; when a third one comes,
    the two become one that is kept in the same way among those of twice the length, and so on.

    Args:
        first: the first step of a window.
        size: C, steps of a window.
        segment: how many steps the newest have, at most.
        count: K, how many are kept.

    Returns:
        the steps of each, the newest first, and how many times `segment` such a segment has at most.

    Example: of five steps, in windows of one, the first two and the next two are one segment each.

    >>> recent_steps(5, size=1, segment=1, count=4)
    [([4], 1), ([2, 3], 2), ([0, 1], 2)]
    """
    levels: list[list[list[int]]] = [[] for _ in range(-(-count // 2))]

    def push(level, new):
        if level == len(levels):
            return
        if len(levels[level]) == 2 and level + 1 < len(levels):
            newer, older = levels[level].pop(0), levels[level].pop(0)
            push(level + 1, older + newer)
        levels[level].insert(0, new)

    for start in range(0, first, size):
        window = list(range(start, min(start + size, first)))
        for stop in reversed(range(len(window), 0, -segment)):
            push(0, window[max(0, stop - segment) : stop])
    return [(steps, 2**level) for level, every in enumerate(levels) for steps in every[: count - 2 * level]]


def recent_segments(
    steps: SimpleNamespace, first: int, size: int, segment: int, count: int
) -> list[tuple[SimpleNamespace, int, int]]:
    """The mean linear step of each of the segments that `recent_steps` names, how many steps it has, and its length.

    Args:
        steps, first: as of `means_before`.
        size, segment, count: as of `recent_steps`.

    Example:

    >>> x = np.array([1.0, 3.0, 5.0, 7.0, 9.0]).reshape(1, 5, 1)
    >>> steps = SimpleNamespace(A=x, B=x, seen_D=x, seen_g=x)
    >>> [(mean.A.item(), *rest) for mean, *rest in recent_segments(steps, 5, size=1, segment=1, count=4)]
    [(9.0, 1, 1), (6.0, 2, 2), (2.0, 2, 2)]
    """
    return [
        (SimpleNamespace(**{name: x[:, cut].mean(1) for name, x in vars(steps).items()}), len(cut), length)
        for cut, length in recent_steps(first, size, segment, count)
    ]


def back(
    step: SimpleNamespace, state: np.ndarray, of_output: np.ndarray, of_seen: np.ndarray, b: int
) -> tuple[np.ndarray, np.ndarray]:
    """One step back, Eq. (38), unit by unit.

    Args:
        step: A [B, H, d, d] and so on, of one step; without `D` and `g` nothing is heard of `of_output`.
        state: errors l of the states after it [H, d].
        of_output, of_seen: errors of its output, and of what the recurrent weights see at the next step [H].

    Returns:
        The errors of its currents [n H], and of the states before it [H, d].

    Example: half of an error of 1 is left a step earlier.

    >>> half = np.full((1, 1, 1, 1), 0.5)
    >>> step = SimpleNamespace(A=half, B=half, seen_D=0 * half[0], seen_g=0 * half[0])
    >>> [x.tolist() for x in back(step, np.ones((1, 1)), np.zeros(1), np.zeros(1), 0)]
    [[0.5], [[0.5]]]
    """
    units, currents = step.B.shape[1], step.B.shape[-1]
    of_current, before = np.zeros(units * currents), np.zeros(state.shape)
    for i in range(units):
        of_i = step.B[b, i].T @ state[i] + step.seen_g[b, i] * of_seen[i]
        before[i] = step.A[b, i].T @ state[i] + step.seen_D[b, i] * of_seen[i]
        if hasattr(step, "D"):
            of_i, before[i] = of_i + step.g[b, i] * of_output[i], before[i] + step.D[b, i] * of_output[i]
        of_current[i::units] = of_i
    return of_current, before


def through(w_rec: np.ndarray, of_current: np.ndarray) -> np.ndarray:
    """The errors of what the recurrent weights see [H], from those of the currents [n H].

    Example:

    >>> through(np.array([[0.0, 2.0], [3.0, 0.0]]), np.array([1.0, 10.0])).tolist()
    [20.0, 3.0]
    """
    return np.array([sum(row[k] * of_current[k] for k in range(len(of_current))) for row in w_rec])


def errors_behind(
    means: list[SimpleNamespace],
    state: np.ndarray,
    of_seen: np.ndarray,
    w_rec: np.ndarray,
    b: int,
    hops: int | None = None,
    damping: float = 1.0,
    of_outputs: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eq. (39): errors that cross a border, back over the virtual steps.

    They are kept apart by the number of units on their path; of all hops there are two sorts, none and any number.

    Args:
        means: what `means_before` returns, or as many of the first of them as steps are to be followed.
        state, of_seen: errors at the border, of the states [H, d] and of what the recurrent weights see [H].
        b: the example.
        hops: how many units may lie on a path from the border to a current; None for any number, 0 for the own state.
        damping: factor of an error for each unit that it came through.
        of_outputs: errors of the outputs at the virtual steps, from layers above [N, H]; None for none.

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
    states, seen = np.zeros((sorts, *state.shape)), np.zeros((sorts, len(of_seen)))
    states[0] = state
    if sorts > 1:
        seen[1] = damping * of_seen
    found = np.zeros((len(means), w_rec.shape[1]))
    for n, step in enumerate(means):
        of_current = np.zeros((sorts, w_rec.shape[1]))
        for sort in range(sorts):
            of_output = np.zeros(len(of_seen)) if sort or of_outputs is None else of_outputs[n]
            of_current[sort], states[sort] = back(step, states[sort], of_output, seen[sort], b)
        seen = np.zeros(seen.shape)
        for sort in range(1, sorts):
            seen[sort] = damping * through(w_rec, of_current[sort - 1])
        if hops is None:
            seen[1] += damping * through(w_rec, of_current[1])
        found[n] = of_current.sum(0)
    return found, states, seen


def errors_through_segments(
    segments: list[tuple[SimpleNamespace, int, int]],
    state: np.ndarray,
    of_seen: np.ndarray,
    w_rec: np.ndarray,
    b: int,
    stride: int = 1,
    damping: float = 1.0,
    hops: bool = True,
    of_outputs: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eq. (38) back over segments, of which each has a mean step, several steps at once, and kept from growing.

    The errors from other units, and those from layers above, are the same in all of these steps, and all that comes
    from their currents arrives in the next ones. Where errors go from unit to unit they are scaled down after that, in
    each example, so that those of the states are not longer than at the border, and than what layers above have added
    to them since.

    Args:
        segments: what `recent_segments` returns.
        state, of_seen, w_rec, b, damping: as of `errors_behind`.
        stride: how many steps at once, as often as the segment has several times the length of the newest. Segments
            are multiples of it.
        hops: whether errors go from unit to unit.
        of_outputs: errors of the outputs at the steps, from layers above [N, H]; None for none.

    Returns:
        R at each of the steps [N, n H], and what is left after them, of the states [H, d] and of what is seen [H].

    Example: two steps at once have their mean, and what they send on arrives after them.

    >>> half = np.full((1, 1, 1, 1), 0.5)
    >>> step = SimpleNamespace(A=half, B=half, seen_D=half[0], seen_g=0 * half[0])
    >>> start = np.ones((1, 1)), np.zeros(1), np.eye(1), 0
    >>> [x.tolist() for x in errors_through_segments([(step, 2, 1)], *start, stride=2)]
    [[[0.375], [0.375]], [[0.25]], [0.75]]
    """
    found: list[np.ndarray] = []
    state, limit = state.copy(), np.linalg.norm(state)
    seen = damping * of_seen if hops else np.zeros(len(of_seen))  # of all the steps at once
    for mean, steps, times in segments:
        m = stride * times
        for _ in range(steps // m):
            added, of_output = np.zeros(state.shape), np.zeros(len(of_seen))
            if of_outputs is not None:
                of_output = of_outputs[len(found) : len(found) + m].mean(0)
            of_current = []
            for _ in range(m):
                one, state = back(mean, state, of_output, seen / m, b)
                added = back(mean, added, of_output, np.zeros(len(of_seen)), b)[1]
                of_current.append(one)
            found += m * [np.mean(of_current, 0)]
            limit += np.linalg.norm(added)
            if hops:
                seen = damping * through(w_rec, np.sum(of_current, 0))
                shorter = limit / max(limit, np.linalg.norm(state)) if limit else 1.0
                state, seen = shorter * state, shorter * seen
    return np.array(found), state, seen


def errors_without_end(
    step: SimpleNamespace,
    states: np.ndarray,
    seen: np.ndarray,
    w_rec: np.ndarray,
    b: int,
    pole: complex,
    hops: int | None = None,
    damping: float = 1.0,
) -> np.ndarray:
    """The sum over all n of p^n R_n where one mean stands for all steps: a closed form instead of virtual steps.

        r^h = B^T (1 - p A^T)^-1 l^h + T (e^h + damping p W r^(h-1)),        T = g + p B^T (1 - p A^T)^-1 D

    h counts the units on the path. The sum of a finite number of hops always exists: what a unit does by itself fades.

    Args:
        states, seen: what `errors_behind` leaves, [sorts, H, d] and [sorts, H].
        pole: p.
        hops, damping: as of `errors_behind`.

    Returns:
        b [n H], complex.

    Example: 1 + p/2 + p^2/4 + ..

    >>> half = np.full((1, 1, 1, 1), 0.5)
    >>> step = SimpleNamespace(A=half, B=2 * half, seen_D=half[0], seen_g=0 * half[0])
    >>> errors_without_end(step, np.ones((1, 1, 1)), np.zeros((1, 1)), np.eye(1), 0, 0.5, 0).real.round(3).tolist()
    [1.333]
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
        return np.linalg.solve(np.eye(units * currents) - again, own.sum(0))
    total = last = own[0]
    for sort in range(1, hops + 1):
        last = own[sort] + again @ last
        total = total + last
    return total


def kernels(poles: Sequence[complex], count: int) -> np.ndarray:
    """The sequences Re p^n and Im p^n of all poles, those that are zero left out [count, basis].

    Example:

    >>> kernels([0.5, 1j], 3).T.tolist()
    [[1.0, 0.5, 0.25], [1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]
    """
    return in_parts(poles, np.array([[complex(pole) ** n for n in range(count)] for pole in poles])).T


def in_parts(poles: Sequence[complex], rows: np.ndarray) -> np.ndarray:
    """The real parts of G rows, and the imaginary parts of those whose poles have one.

    Example:

    >>> in_parts([0.5, 1j], np.array([[1.0], [2.0 + 3.0j]])).tolist()
    [[1.0], [2.0], [3.0]]
    """
    return np.array([row.real for row in rows] + [row.imag for row, pole in zip(rows, poles) if np.imag(pole) != 0.0])


def gram_matrix(poles: Sequence[complex], count: int | None = None) -> np.ndarray:
    """The products of the sequences of `kernels` with each other [basis, basis].

    Args:
        count: the number of steps; None for all, where |p| < 1.

    Example: 1 / (1 - p^2), p = 1/2.

    >>> gram_matrix([0.5]).round(3).tolist()
    [[1.333]]
    """
    if count is not None:
        basis = kernels(poles, count)
        return np.array([[one @ other for other in basis.T] for one in basis.T])
    # Of x and y: sum x^n y^n = 1 / (1 - x y), and Re a Re b = Re (a b + a conj b) / 2, and so on.
    parts = [(pole, False) for pole in poles] + [(pole, True) for pole in poles if np.imag(pole) != 0.0]
    gram = np.zeros((len(parts), len(parts)))
    for (k, (x, x_imaginary)), (n, (y, y_imaginary)) in itertools.product(enumerate(parts), repeat=2):
        plain, crossed = 1.0 / (1.0 - x * y), 1.0 / (1.0 - x * np.conj(y))
        if x_imaginary == y_imaginary:
            gram[k, n] = np.real(crossed - plain if x_imaginary else crossed + plain) / 2.0
        else:
            gram[k, n] = np.imag(plain + crossed if x_imaginary else plain - crossed) / 2.0
    return gram


def filtered_inputs(poles: Sequence[complex], s: np.ndarray) -> np.ndarray:
    """X^g = p_g X^g + s(t) after the last step of s [T, J], in the order of `kernels`: [basis, J].

    Example:

    >>> filtered_inputs([0.5], np.array([[1.0], [1.0]])).tolist()
    [[1.5]]
    """
    filters = np.zeros((len(poles), s.shape[-1]), complex)
    for now in s:
        filters = np.array(poles)[:, None] * filters + now
    return in_parts(poles, filters)


def projected(gram: np.ndarray, products: np.ndarray, filters: np.ndarray, ridge: float = 1e-8) -> np.ndarray:
    """Eq. (40): the gradient from the filtered inputs.

    Args:
        gram: products of the kernels with each other [basis, basis].
        products: of the kernels with the errors R_n, b [basis, n H].
        filters: X [basis, J].
        ridge: is added to the diagonal of the Gram matrix, times its mean.

    Example: errors of 2 and 1 fall as the filter does, and the inputs were 3 and 1: 2 * 3 + 1 * 1.

    >>> products = np.array([[2.5]])
    >>> projected(gram_matrix([0.5], 2), products, np.array([[3.5]])).round(6).tolist()
    [[7.0]]
    """
    weights = np.linalg.solve(gram + ridge * np.trace(gram) / len(gram) * np.eye(len(gram)), products)
    return np.sum([np.outer(x, w) for x, w in zip(filters, weights)], 0)


def memory_of_means(
    error: np.ndarray,
    s: np.ndarray,
    steps: SimpleNamespace,
    w_rec: np.ndarray,
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
    stride: int = 1,
    followed: SimpleNamespace | None = None,
    behind: np.ndarray | None = None,
    ridge: float = 1e-8,
) -> np.ndarray:
    """Windows of C steps, exact inside, Eq. (38); before them the memory of means, Eq. (39), (40).

    Args:
        steps: what `linear_steps` returns.
        size: C, steps of a window; windows begin at steps 0, C, 2C and so on.
        segment, ring, tau: as of `means_before`; a segment has C steps where None.
        hops, damping: as of `errors_behind`.
        horizon: how many virtual steps are followed; None for all.
        poles: of the G filters; None where the inputs themselves are remembered.
        endless: whether the virtual steps are those of the `ring` segments that `recent_segments` returns, and the
            leaky mean of all steps stands for what is older, without end: in closed form, and so is the Gram matrix.
            All hops are followed in the segments, as by `errors_through_segments`, and `hops` of them before these.
        stride: as of `errors_through_segments`, in an endless memory.
        followed: the linear steps whose means stand behind the border; `steps` where None.
        behind: the recurrent weights that M stands for, across the border and behind it; `w_rec` where None.
        ridge: as of `projected`.

    Returns:
        dC/dW [J, n H].

    Example: the error of the second step reaches the first through the own leak of 0.5.

    >>> one = np.ones((1, 2, 1))
    >>> steps = linear_steps("rate", SimpleNamespace(slope=one, output=one),
    ...     SimpleNamespace(turn=[0.5], drive=[1.0], period=None))
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
                of_current, state = back(now, state, error[b, t], seen, b)
                seen = through(w_rec, of_current)
                gradient += np.outer(s[b, t], of_current)
            if behind is not None:
                seen = through(behind, of_current)
            if not first:
                continue
            means = means_before(followed or steps, first, segment or size, ring, tau)
            again = w_rec if behind is None else behind
            if endless:
                found, damped = np.zeros((0, w_rec.shape[1])), damping * seen
                if ring:
                    segments = recent_segments(followed or steps, first, size, segment or size, ring)
                    found, state, damped = errors_through_segments(
                        segments, state, seen, again, b, stride, damping, hops != 0
                    )
                sorts = 2 if hops is None else hops + 1
                states, left = np.zeros((sorts, *state.shape)), np.zeros((sorts, units))
                states[0], left[1:2] = state, damped
            else:
                found = errors_behind(means[:horizon], state, seen, again, b, hops, damping)[0]
            if poles is None:
                gradient += sum(np.outer(s[b, first - 1 - n], found[n]) for n in range(len(found)))
                continue
            products = np.zeros((1, w_rec.shape[1]))
            if len(found):
                products = kernels(poles, len(found)).T @ found
            if endless:
                mean = means_before(followed or steps, first, 1, 0, tau)[-1]
                older = [
                    p ** len(found) * errors_without_end(mean, states, left, again, b, p, hops, damping) for p in poles
                ]
                products = products + in_parts(poles, np.array(older))
            gram = gram_matrix(poles, None if endless else len(found))
            gradient += projected(gram, products, filtered_inputs(poles, s[b, :first]), ridge)
    return gradient
