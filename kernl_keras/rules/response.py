"""The response of a network whose linear step is the same at all times, summed at each pole, Eq. (39).

R(n) is the error of the currents n + 1 steps before t0, from the errors l of the own states and e of the outputs there,
see `rules.memory`. r^0 is what the own states alone make, r^h includes up to h hops from unit to unit:

    (39) b_g = sum_n p_g^n R(n):    r^h = r^0 + rho T M^T (R(t0) + p_g r^(h-1)) / drive
         r^0 = B . (1 - p_g A^T)^-1 l + T kappa e(t0),    T = [g + p_g B . (1 - p_g A^T)^-1 D] / (1 - p_g kappa)

A finite number of hops cannot explode, as the gradient of a network of means with all of them might. Where the N steps
of K segments lie between, they add their own sum_n p_g^n R(n), n < N, and l, e(t0) and R(t0) are those before them,
times p_g^N.
"""

import numpy as np
import tensorflow as tf

from ..cells.linear import dot, nothing, plus, tensor, times, to_currents


def respond(poles, step, later, error=None, synapse=0.0, above=None, hop=None, decay=0.0, hops=0, earlier=(1.0, 0.0)):
    """b of Eq. (39), real and, where a pole is not real, imaginary part, each [P, B, G H].

    Args:
        poles: p [P], NumPy.
        step: `Jacobian` of the steps before t0.
        later: l at t0, each [B, H].
        error: the part of e that comes through currents [B, H], times rho; None without hops.
        synapse: the rest of e, through the decay of S.
        above: E(p) of Eq. (42), real and imaginary part [P, B, H]; None for none.
        hop: function R [.., H] -> rho M^T (R / drive).
        decay: kappa.
        hops: h.
        earlier: factor of `later`, `error` and `synapse`, p^N where these are the errors N steps before t0.
    """
    like = later[0]
    p = [tf.constant(x[:, None, None], like.dtype) for x in (poles.real, poles.imag)]
    p = p[0], p[1] if np.any(poles.imag) else 0.0
    d = range(len(later))
    rows = [[minus((float(i == j), 0.0), product(p, (step.A[j][i], 0.0))) for j in d] for i in d]
    own = product(earlier, through(step.B, solve(rows, [(x, 0.0) for x in later])))  # r^0
    if error is not None or above is not None:
        gain = product(p, through(step.B, solve(rows, [(x, 0.0) for x in step.D])))
        gain = add((step.g, 0.0), gain)
    if above is not None:
        own = add(own, product(gain, tuple(to_currents(x, gain[0]) for x in above)))
    response = own
    if error is not None:
        gain = quotient(gain, minus((1.0, 0.0), product(p, (decay, 0.0))))  # T
        response = own = add(own, product(gain, product(earlier, (synapse, 0.0))))
        error = product(earlier, (error, 0.0))
        for _ in range(hops):
            arrived = product(p, tuple(x if nothing(x) else hop(x) for x in response))
            response = add(own, product(gain, add(error, arrived)))
    axis = tf.zeros_like(p[0])  # where nothing goes on to a further step, all poles have the same sum
    parts = 1 + tf.is_tensor(p[1])
    return tuple(tensor(x, like=response[0]) + axis for x in response[:parts])


# Complex numbers as pairs of tensors or numbers: small devices have no complex dtype.


def product(a, b):
    """The product a b."""
    return add(
        (times(a[0], b[0]), times(a[0], b[1])),
        (times(-1.0, times(a[1], b[1])), times(a[1], b[0])),
    )


def add(a, b):
    """The sum a + b."""
    return tuple(map(plus, a, b))


def minus(a, b):
    """The difference a - b."""
    return tuple(plus(x, times(-1.0, y)) for x, y in zip(a, b))


def quotient(a, b):
    """The quotient a / b."""
    if not nothing(b[1]):
        a, b = product(a, (b[0], -b[1])), (b[0] ** 2 + b[1] ** 2, 0.0)
    return tuple(x if nothing(x) else x / b[0] for x in a)


def solve(rows, right):
    """The solution x of a few equations, `rows` x = `right`, by elimination."""
    rows, right, d = [list(row) for row in rows], list(right), range(len(right))
    for k in d:
        for i in d[k + 1 :]:
            factor = quotient(rows[i][k], rows[k][k])
            rows[i] = [minus(x, product(factor, y)) for x, y in zip(rows[i], rows[k])]
            right[i] = minus(right[i], product(factor, right[k]))
    for k in reversed(d):
        for j in d[k + 1 :]:
            right[k] = minus(right[k], product(rows[k][j], right[j]))
        right[k] = quotient(right[k], rows[k][k])
    return right


def through(b, x):
    """B . x, once for each of the unit's currents."""
    return tuple(dot([to_currents(part, q) for part, q in zip(parts, b)], b) for parts in zip(*x))
