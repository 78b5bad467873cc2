"""The filters of the inputs in linear memory, and the weights with which they stand for the response of a network.

    X^g_j(t) = p_g X^g_j(t-1) + s_j(t)
    (40) dC/dW_ij += sum_g w_gi X^g_j(t0-1),    w the weights with which sum_g w_g p_g^n comes closest to R(n)

These w follow from the products of the filters' responses with each other, and from the sums b_g of the response at
each pole. R(n) is the error of the currents n + 1 steps before t0, from the errors ell of the own states and e of the
outputs there, see `rules.memory`. Where the linear step is the same at all times, the sums have a closed form:

    (39) b_g = sum_n p_g^n R(n):    r^h = r^0 + rho T M^T (R(t0) + p_g r^(h-1)) / drive
         r^0 = B . (1 - p_g A^T)^-1 ell + T kappa e(t0),    T = [g + p_g B . (1 - p_g A^T)^-1 D] / (1 - p_g kappa)

r^0 is what the own states alone make, r^h includes up to h hops from unit to unit. What a hop after the first adds,
over all poles and units, is scaled down where it is longer than what the hop before it added: a network of means may
let errors grow where the true gradient does not. Where the N steps of K segments lie between, they add their own
sum_n p_g^n R(n), n < N, and ell, e(t0) and R(t0) are those before them, times p_g^N.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from ..cells.linear import by_currents, nothing, plus, tensor, times, to_currents

RIDGE = 1e-5
"""As a share of the filters' mean square response. It keeps the weights of similar filters small, and with them the
rounding: in single precision up to 1 % of the gradient of resonators, and with 1e-6 several times as much."""


@dataclasses.dataclass(frozen=True)
class Complex:
    """A complex number as two tensors or numbers: small devices have no complex dtype."""

    real: Any
    imaginary: Any = 0.0

    def __add__(self, other):
        return Complex(plus(self.real, other.real), plus(self.imaginary, other.imaginary))

    def __sub__(self, other):
        return self + other.each(lambda x: -1.0 * x)

    def __mul__(self, other):
        real = plus(times(self.real, other.real), times(-1.0, times(self.imaginary, other.imaginary)))
        return Complex(real, plus(times(self.real, other.imaginary), times(self.imaginary, other.real)))

    def __truediv__(self, other):
        """The division comes last: XLA computes a quotient once, a product again in each loop that reads it."""
        if nothing(other.imaginary):
            one = isinstance(other.real, float) and other.real == 1.0
            return self if one else self.each(lambda x: x / other.real)
        size = other.real**2 + other.imaginary**2
        return (self * Complex(other.real, -other.imaginary)).each(lambda x: x / size)

    def each(self, function):
        """A function of real and imaginary part; the number 0 stays 0."""
        return Complex(*(0.0 if nothing(x) else function(x) for x in (self.real, self.imaginary)))

    def parts(self, count):
        """The real part, or with a `count` of 2 both, in a tuple."""
        return (self.real, self.imaginary)[:count]


class Sequences:
    """Sequences f(n) that stand for errors; a subclass has `count` of them."""

    def sums(self, poles, weights):
        """sum_n p^n f(n) over all n [P, B, H] for poles p, of f = sum_g w_g f_g with weights w [count, B, H]."""
        products = self.products(poles)
        return products.each(lambda x: tf.einsum("pg,gbh->pbh", tf.cast(x, weights.dtype), weights))


class Decays(Sequences):
    """d^n of one decay d, or of several [count]."""

    def __init__(self, d):
        self.d = tf.reshape(d, [-1])
        self.count = self.d.shape[0]

    def powers(self, n):
        """d^n [.., count], for a tensor n [..]."""
        return tf.pow(self.d, n[..., None])

    def shifted(self, weights, n):
        """The weights [count, B, H] of the same errors, counted from n [B] steps earlier."""
        return tf.transpose(self.powers(n))[..., None] * weights

    def over_steps(self, starts, m):
        """The sums over the m steps from each of the `starts` on [K, c], for K numbers m: [K, c, count]."""
        return self.powers(starts) * tf.stack([first_powers(self.d, each) for each in m])[:, None]

    def products(self, poles):
        """sum_n p^n d^n over all n, for poles p [P, count]."""
        p = Complex(*(tf.constant(x[:, None], self.d.dtype) for x in (poles.real, poles.imag)))
        return Complex(1.0) / (Complex(1.0) - p * Complex(self.d))


class Filters(Sequences):
    """The filters of the inputs: G poles p, real or complex, a NumPy array. Its sequences are Re p^n and Im p^n."""

    def __init__(self, poles):
        self.poles, self.swings = poles, bool(np.any(poles.imag))
        self.count = len(poles) * (1 + self.swings)  # of real responses: Re p^n, and Im p^n where they are complex
        gram = np.concatenate([np.asarray(x) for x in self.products(poles).parts(1 + self.swings)])
        # of the responses' products with each other, summed over all n [count, count]
        self.inverse = np.linalg.inv(gram + RIDGE * np.trace(gram) / self.count * np.eye(self.count))

    def powers(self, n):
        """p^n as real numbers [.., count], for a tensor n [..]."""
        return tf.concat(powers(self.poles, n).parts(1 + self.swings), -1)

    def shifted(self, weights, n):
        """The weights [count, B, H] of the same responses, counted from n [B] steps earlier."""
        powers = tf.transpose(self.powers(n))[..., None]  # [count, B, 1]
        if not self.swings:
            return powers * weights
        (real, imaginary), (a, b) = tf.split(powers, 2), tf.split(weights, 2)
        return tf.concat([real * a + imaginary * b, real * b - imaginary * a], 0)

    def products(self, poles):
        """sum_n p^n f_g(n) over all n, for poles p and each response f_g [P, count]."""
        plain, crossed = (1.0 / (1.0 - poles[:, None] * other) for other in (self.poles, self.poles.conj()))
        real = (plain + crossed) / 2.0  # sum x^n y^n = 1 / (1 - x y), and Re y = (y + conj y) / 2
        every = np.concatenate([real, (plain - crossed) / 2j], 1) if self.swings else real
        return Complex(every.real, every.imag if np.any(every.imag) else 0.0)

    def over_steps(self, starts, m):
        """The sums over the m steps from each of the `starts` on [K, c], for K numbers m: [K, c, count]."""
        return tf.concat(over_steps(self.poles, starts, m).parts(1 + self.swings), -1)

    def decayed(self, x, n):
        """Filtered inputs x [B, count, J] after n [B] steps without input."""
        powers = self.powers(n)[..., None]
        if not self.swings:
            return powers * x
        (real, imaginary), (a, b) = tf.split(powers, 2, 1), tf.split(x, 2, 1)
        return tf.concat([real * a - imaginary * b, real * b + imaginary * a], 1)

    def weights(self, b):
        """w of Eq. (40), [count, B, G H], from the sums b at the poles."""
        shape, inverse = tf.shape(b[0]), tf.constant(self.inverse, b[0].dtype)
        pairs = zip(tf.split(inverse, 1 + self.swings, 1), b)  # XLA's code for a concatenation is slow
        sums = [tf.matmul(columns, tf.reshape(part, (len(self.poles), -1))) for columns, part in pairs]
        return tf.reshape(tf.add_n(sums), tf.concat([[self.count], shape[1:]], 0))


def powers(poles, n):
    """p^n [.., P] of poles [P], for a tensor n [..]."""
    n = n[..., None]
    size, angle = (tf.constant(x, n.dtype) for x in (np.abs(poles), np.angle(poles)))
    size = tf.pow(size, n)
    if not np.any(poles.imag):
        return Complex(size)
    return Complex(size * once(tf.cos(angle * n)), size * once(tf.sin(angle * n)))


def first_powers(p, m):
    """The sum of p^k over all k < m, a power of 2: (1 + p) (1 + p^2) (1 + p^4) .."""
    total = p**0
    while m > 1:
        m //= 2
        total *= 1.0 + p ** float(m)
    return total


def over_steps(poles, starts, m):
    """The sums of p^n over the m steps from each of the `starts` on [K, c], for K numbers m: [K, c, P]."""
    block = np.array([first_powers(poles, each) for each in m])[:, None]
    block = Complex(*(tf.constant(x, starts.dtype) for x in (block.real, block.imag)[: 1 + bool(np.any(poles.imag))]))
    return powers(poles, starts) * block


def once(x):
    """x, computed by XLA before it is used: it would compute a sine again for each number of the tensors made of it."""
    return tf.cumsum(tf.stack([x, tf.zeros_like(x)]))[0]


def poles_of(cell, poles):
    """p [G], complex: as given, or with time constants and periods spread over those of the cell's units."""
    slowest = 1e5 * cell.dt  # in single precision 1 - p would be lost
    if isinstance(poles, list):
        pairs = np.array([pair if len(pair) == 2 else [pair[0], np.inf] for pair in poles])
        return np.exp(-cell.dt / np.minimum(pairs[:, 0], slowest) + 2j * np.pi * cell.dt / pairs[:, 1])
    (taus, own), periods = cell.time_scales(), cell.swings()
    longest = 20.0 * cell.dt if taus is None else min(taus[1], slowest)
    if periods is None:
        taus = np.geomspace(3.0 * cell.dt, max(1.5 * longest, 30.0 * cell.dt), poles or 8)
        return np.exp(-cell.dt / taus) + 0j
    # An adaptation current takes back what it follows, so that no unit keeps an input for its longest time constant.
    taus = np.array([[longest], [0.1 * longest]])[: poles or 2] if own else np.array([[0.1 * longest]])
    periods = np.unique(np.geomspace(*periods, max(1, (poles or (40 if own else 10)) // len(taus))))
    return np.exp(-cell.dt / taus + 2j * np.pi * cell.dt / periods).ravel()


def respond(poles, step, ell, arrived, kappa_e, above, hop, kappa, hops, earlier):
    """b of Eq. (39), real and, where a pole is not real, imaginary part, each [P, B, G H].

    Args:
        poles: p [P], NumPy.
        step: `Jacobian` of the steps before t0.
        ell: at t0, each [B, H].
        arrived: rho M^T (R(t0) / drive) [B, H]; None without hops.
        kappa_e: kappa e(t0), the error that comes through the decay of S.
        above: sum_n p^n L(t0-1-n), of the errors from layers above, `Complex` [P, B, H]; None for none.
        hop, kappa, hops: function R [.., H] -> rho M^T (R / drive); the decay of S; h.
        earlier: `Complex` factor of `ell`, `arrived` and `kappa_e`, p^N where these are the errors N steps before t0.
    """
    swings, d, dtype = bool(np.any(poles.imag)), range(len(ell)), ell[0].dtype
    p = Complex(*(tf.constant(x[:, None, None], dtype) for x in (poles.real, poles.imag)[: 1 + swings]))
    rows = [[Complex(float(i == j)) - p * Complex(step.A[j][i]) for j in d] for i in d]
    r = earlier * through(step.B, solve(rows, [Complex(x) for x in ell]))
    if arrived is not None or above is not None:
        T = Complex(step.g) + p * through(step.B, solve(rows, [Complex(x) for x in step.D]))
    if above is not None:
        r = r + T * above.each(lambda x: to_currents(x, T.real))
    if arrived is not None:
        T = T / (Complex(1.0) - p * Complex(kappa))
        if hops > 1:  # XLA would compute T again for each hop
            T = T.each(once)
        r = r + T * (earlier * Complex(kappa_e))  # r^0
        arrived = earlier * Complex(arrived)
        added, longest = r, None  # r^h - r^(h-1)
        for number in range(hops):
            hopped = p * added.each(hop)
            added = T * (hopped if number else arrived + hopped)
            if hops > 1:
                added, longest = no_longer(added, longest)
            r = r + added
    axis = tf.zeros_like(p.real)  # where nothing goes on to a further step, all poles have the same sum
    return tuple(tensor(x, like=r.real) + axis for x in r.parts(1 + swings))


def no_longer(x, longest):
    """`x` [P, B, H], scaled down in each example where it is longer than `longest` [1, B, 1], and its length then."""
    squares = sum(part**2 for part in x.parts(2) if not nothing(part))
    squares = tf.matmul(squares, tf.ones((squares.shape[-1], 1), squares.dtype))  # XLA's sums of tensors are slow
    length = tf.sqrt(tf.reduce_sum(squares, 0, keepdims=True))
    if longest is None:
        return x, length
    shorter = tf.minimum(tf.math.divide_no_nan(longest, length), 1.0)
    return x.each(lambda part: shorter * part), shorter * length


def solve(rows, right):
    """The solution x of a few equations, `rows` x = `right`, by elimination."""
    rows, right, d = [list(row) for row in rows], list(right), range(len(right))
    for k in d:
        for i in d[k + 1 :]:
            factor = rows[i][k] / rows[k][k]
            rows[i] = [x - factor * y for x, y in zip(rows[i], rows[k])]
            right[i] = right[i] - factor * right[k]
    for k in reversed(d):
        for j in d[k + 1 :]:
            right[k] = right[k] - rows[k][j] * right[j]
        right[k] = right[k] / rows[k][k]
    return right


def through(b, x):
    """B . x, once for each of the unit's currents."""
    return Complex(by_currents([each.real for each in x], b), by_currents([each.imaginary for each in x], b))
