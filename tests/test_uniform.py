"""The bits behind every spike: equal in all modes, and uniform."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.uniform import uniform

MODES = {"eager": lambda f: f, "graph": tf.function, "xla": lambda f: tf.function(f, jit_compile=True)}


def philox(key, counter):
    """Ten rounds of Philox 4x32, Salmon et al. 2011, in Python integers."""
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * counter[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * counter[2], 2**32)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(), (1,), (5, 3), (2, 7, 11)])
def test_draws_are_the_high_bits_of_philox(shape, mode):
    draws = MODES[mode](lambda key: uniform(shape, key))(tf.constant([3, 7]))
    made = tf.raw_ops.StatelessRandomGetKeyCounter(seed=[3, 7])  # TensorFlow first mixes the key
    (key,), (low, high) = made.key.numpy().tolist(), made.counter.numpy().tolist()
    bits = []
    for block in range(-(-int(np.prod(shape)) // 4)):
        bits += philox([key % 2**32, key >> 32], [(low + block) % 2**32, low >> 32, high % 2**32, high >> 32])
    expected = np.array([b >> 8 for b in bits[: int(np.prod(shape))]]).reshape(shape) / 2**24
    assert draws.dtype == tf.float32
    np.testing.assert_array_equal(draws, expected)


def test_uniform():
    draws = np.sort(uniform((4000,), [3, 7]).numpy())
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed once in a thousand
    assert np.abs(draws - np.arange(4000) / 4000).max() < 1.95 / np.sqrt(4000)
    assert draws[0] >= 0.0 and draws[-1] < 1.0
