"""The filters of the inputs in linear memory, and the weights with which they stand for a response.

    X^g_j(t) = p_g X^g_j(t-1) + s_j(t)
    (40) dC/dW_ij += sum_g w_gi X^g_j(t0-1),    w the weights with which sum_g w_g p_g^n comes closest to R(n)

These w follow from the sums b_g of `rules.response` and the products of the filters' responses with each other.
"""

import numpy as np
import tensorflow as tf

RIDGE = 1e-5
"""As a share of the filters' mean square response. It keeps the weights of similar filters small, and with them the
rounding: in single precision 0.1 % of the gradient, where with 1e-6 it is 1 %."""


class Filters:
    """The filters of the inputs: G poles p, real or complex.

    Args:
        poles: p [G], NumPy.

    Attributes:
        count: number of real responses: Re p^n of all, and Im p^n where they are complex.
        inverse: the inverse of the responses' products with each other, summed over all n [count, count].
    """

    def __init__(self, poles):
        self.poles, self.swings = poles, bool(np.any(poles.imag))
        self.count = len(poles) * (1 + self.swings)
        products = self.products(poles)
        gram = np.concatenate([products.real, products.imag][: 1 + self.swings])
        self.inverse = np.linalg.inv(gram + RIDGE * np.trace(gram) / self.count * np.eye(self.count))

    def powers(self, n):
        """p^n as real numbers [.., count], for a tensor n [..]."""
        return tf.concat(powers(self.poles, n)[: 1 + self.swings], -1)

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
        return np.concatenate([real, (plain - crossed) / 2j], 1) if self.swings else real

    def sums(self, poles, weights):
        """Real and imaginary part [P, B, H] of sum_n p^n f(n) for poles p, of f = sum_g w_g p_g^n [count, B, H]."""
        products = self.products(poles)
        parts = (products.real, products.imag)[: 1 + bool(np.any(products.imag))]
        return (*(tf.einsum("pg,gbh->pbh", tf.constant(part, weights.dtype), weights) for part in parts), 0.0)[:2]

    def decayed(self, x, n):
        """Filtered inputs x [B, count, J] after n [B] steps without input."""
        powers = self.powers(n)[..., None]
        if not self.swings:
            return powers * x
        (real, imaginary), (a, b) = tf.split(powers, 2, 1), tf.split(x, 2, 1)
        return tf.concat([real * a - imaginary * b, real * b + imaginary * a], 1)

    def weights(self, response):
        """w of Eq. (40), [count, B, G H], from the `response` at the poles."""
        sums = tf.concat(response[: 1 + self.swings], 0)
        inverse = tf.constant(self.inverse, sums.dtype)
        return tf.reshape(tf.matmul(inverse, tf.reshape(sums, (self.count, -1))), tf.shape(sums))


def powers(poles, n):
    """p^n of poles [P], for a tensor n [..]: real and imaginary part [.., P], or the number 0 if all poles are real."""
    n = n[..., None]
    size, angle = (tf.constant(x, n.dtype) for x in (np.abs(poles), np.angle(poles)))
    size = tf.pow(size, n)
    return (size * tf.cos(angle * n), size * tf.sin(angle * n)) if np.any(poles.imag) else (size, 0.0)


def poles_of(cell, poles):
    """p [G], complex: as given, or with time constants and periods spread over those of the cell's units."""
    if isinstance(poles, list):
        pairs = np.array([pair if len(pair) == 2 else [pair[0], np.inf] for pair in poles])
        return np.exp(-cell.dt / pairs[:, 0] + 2j * np.pi * cell.dt / pairs[:, 1])
    taus, periods = cell.time_scales()
    longest = 20.0 * cell.dt if taus is None else taus[1]
    if periods is None:
        taus = np.geomspace(3.0 * cell.dt, max(1.5 * longest, 30.0 * cell.dt), poles or 8)
        return np.exp(-cell.dt / taus) + 0j
    taus = np.array([[longest], [0.1 * longest]])[: poles or 2]
    periods = np.unique(np.geomspace(*periods, max(1, (poles or 40) // len(taus))))
    return np.exp(-cell.dt / taus + 2j * np.pi * cell.dt / periods).ravel()
