"""The floor of a training step: its matrix products alone, and how fast this machine multiplies."""

import math
from typing import NamedTuple

import tensorflow as tf

from .network import set_threads


class Product(NamedTuple):
    """`count` products [m, k] x [k, n], one after the other."""

    name: str
    m: int
    k: int
    n: int
    count: int = 1  # type: ignore[assignment]  # and not the method of a tuple

    @property
    def flop(self):  # a multiplication and an addition for each of the m k n
        return 2 * self.m * self.k * self.n * self.count


def products(settings):
    """Every matrix product of a step of KeRNL with an exponential kernel on the reference network.

    Those over all steps are one product each, however the code cuts them.

    Example:

    >>> reference = {"batch": 25, "steps": 838, "inputs": 81, "units": 200, "outputs": 10}
    >>> round(sum(product.flop for product in products(reference)) / 1e9, 1)
    13.3
    """
    b, t, i, h, o = (settings[name] for name in ("batch", "steps", "inputs", "units", "outputs"))
    n = t * b
    return [
        Product("input", n, i, h),  # x W_in
        Product("recurrent", 2 * b, h, h, count=t),  # S W_rec, clean and tangent: a step waits for the one before
        Product("residual", n, h, h),  # Omega M^T of Eq. (19)
        Product("M gradient", h, n, h),  # (D - Omega M^T)^T Omega
        Product("gamma gradient", h, n, h),  # (D - Omega M^T)^T Gamma
        Product("path", n, h, h),  # A M of Eq. (11)
        Product("weight gradient", i + h, n, h),  # s^T R of Eq. (14)
        Product("readout", n, h, o),  # z W_out
        Product("readout gradient", h, n, o),
        Product("readout error", n, o, h),
    ]


def run_product(product):
    """A function without arguments that runs the product once, compiled by XLA."""
    transpose = product.k > max(product.m, product.n)  # a sum over batch and steps: the first factor lies transposed
    left = tf.random.normal((product.k, product.m) if transpose else (product.m, product.k))
    right = tf.random.normal((product.k, product.n)) / math.sqrt(product.k)

    @tf.function(jit_compile=True)
    def once(left, right):
        return tf.matmul(left, right, transpose_a=transpose)

    @tf.function(jit_compile=True)
    def chain(left, right):
        return tf.while_loop(lambda t, _: t < product.count, lambda t, x: (t + 1, tf.matmul(x, right)), (0, left))[1]

    run = once if product.count == 1 else chain
    return lambda: tf.reduce_sum(run(left, right)[0]).numpy()


# In the place of a rule: the products of a step, or one that is as fast as this machine multiplies.
RULES = {"floor": products, "peak": lambda settings: [Product("large", 2048, 2048, 2048)]}


def build(settings):
    """The `build` of the floor's worker, see `peers.protocol.serve`: a step is all products, its loss their flop."""
    set_threads(settings)
    table = RULES[settings["rule"]](settings)
    runs = [run_product(product) for product in table]

    def step():
        for run in runs:
            run()
        return float(sum(product.flop for product in table))

    return step, {"tensorflow": tf.__version__}
