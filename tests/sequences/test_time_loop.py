"""The loop in blocks is the loop: any block size, either direction, eager, graph, XLA, unrolled, unknown length.

A maximum that fades, and its gradient, are those of a loop that TensorFlow differentiates by itself.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.sequences.leaky import leaky
from kernl_keras.sequences.time_loop import blockwise, scan, take, take_before

from ..reference.cases import draw
from ..reference.tools import MODES

T, B, H = 7, 2, 3
X = draw(50, T, B, H)
START = draw(51, B, H)
SIZES = [1, 2, 3, T - 1, T, T + 1]


def filtered(reverse):
    """y(t) = y(t-1) / 2 + x(t)^2, in NumPy; and sums of y and of the products x^T y."""
    y, every = START, np.zeros((T, B, H))
    for t in reversed(range(T)) if reverse else range(T):
        every[t] = y = 0.5 * y + X[t] ** 2
    return y, every, every.sum(), np.einsum("tbi,tbj->ij", X, every)


def in_blocks(x, length, reverse, **settings):
    def begin(start, size, carry):
        block = take(x, start, size)
        return {"x": block**2, "nothing": None}, block

    def step(y, now):
        y = 0.5 * y + now["x"]
        return y, (y, None, y > 1.0), y

    def end(total, block, local):
        return total[0] + tf.reduce_sum(local), total[1] + tf.einsum("tbi,tbj->ij", block, local)

    total = tf.zeros((), x.dtype), tf.zeros((H, H), x.dtype)
    last, (every, nothing, above), (sum_, products), _ = blockwise(
        begin, step, end, tf.constant(START), total, length, reverse=reverse, **settings
    )
    assert nothing is None
    return last, every, sum_, products, above


MODES = {
    **MODES,
    "unknown": lambda run: tf.function(run, [tf.TensorSpec((None, None, H), tf.float64)]),
    "unknown, xla": lambda run: tf.function(run, [tf.TensorSpec((None, None, H), tf.float64)], jit_compile=True),
}
ROWS = [*((size, "eager", reverse) for size in SIZES for reverse in (False, True)), (None, "unroll", True)]
ROWS += [(3, "graph", False), (2, "xla", True), (T + 1, "xla", False), (3, "unknown", True), (3, "unknown, xla", False)]


@pytest.mark.parametrize(("size", "mode", "reverse"), ROWS)
def test_blocks_of_any_size(size, mode, reverse):
    settings = {"unroll": True} if mode == "unroll" else {"size": size}
    length = (lambda x: tf.shape(x)[0]) if "unknown" in mode else lambda x: T
    run = MODES.get(mode, tf.function)(lambda x: in_blocks(x, length(x), reverse, **settings))
    found, expected = run(tf.constant(X)), filtered(reverse)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    np.testing.assert_array_equal(found[-1], expected[1] > 1.0)
    assert expected[1].min() < 1.0 < expected[1].max()
    if mode == "unroll":
        operations = run.get_concrete_function(tf.constant(X)).graph.get_operations()
        assert not any("While" in operation.type for operation in operations)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_keeps_every_step_and_has_a_gradient(reverse, unroll):
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        last, every = scan(lambda y, x: (0.5 * y + x**2,) * 2, tf.constant(START), x, reverse, unroll)
        loss = tf.reduce_sum(last)
    expected = filtered(reverse)
    np.testing.assert_allclose(last, expected[0], rtol=1e-12)
    np.testing.assert_allclose(every, expected[1], rtol=1e-12)
    to_the_end = np.arange(T) if reverse else np.arange(T)[::-1]
    np.testing.assert_allclose(tape.gradient(loss, x), 2.0 * X * 0.5 ** to_the_end[:, None, None], rtol=1e-12)


@pytest.mark.parametrize("start", range(T - 2))
def test_rows_and_the_rows_before(start):
    np.testing.assert_array_equal(take(tf.constant(X), start, 3), X[start : start + 3])
    before = np.concatenate([START[None], X])[start : start + 3]
    np.testing.assert_array_equal(take_before(tf.constant(X), tf.constant(START), tf.constant(start), 3), before)


def looped_max(x, decay, start):
    v, found = start, []
    for now, d in zip(tf.unstack(x), tf.unstack(decay)):
        v = tf.where(now >= d * v, now, d * v)
        found.append(v)
    return tf.stack(found)


def test_values_and_gradients_of_a_fading_maximum():
    rng = np.random.default_rng(0)
    x, start = tf.constant(rng.random((9, 3, 2))), tf.constant(2.0 * rng.random((3, 2)))
    decay, errors = tf.constant(rng.choice([0.5, 0.9, 1.0], (9, 3, 1))), tf.constant(rng.normal(size=(9, 3, 2)))
    found = []
    for function in (functools.partial(leaky, maximum=True), looped_max):
        with tf.GradientTape() as tape:
            tape.watch([x, start])
            v = function(x, decay, start)
            value = tf.reduce_sum(v * errors)
        found.append([v, *tape.gradient(value, [x, start])])
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert np.any(found[0][2]) and 0 < np.mean(np.asarray(found[0][1]) == 0.0) < 1
