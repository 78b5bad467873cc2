"""The bits behind every spike and every sign of the noise: equal in all modes, uniform and independent."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.draws import draw_signs, uniform, unpack_signs

from .reference.tools import MODES


def philox(key, counter):
    """Ten rounds of Philox 4x32, Salmon et al. 2011, in Python integers."""
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * counter[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * counter[2], 2**32)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(), (2, 7, 11)])
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


def test_unpacking_by_hand():
    """Bit n of a word is the sign of unit n: 0b101 is + - + and minus for all above; -1 has every bit."""
    signs = unpack_signs(tf.constant([[5, -1], [-1, 2]], tf.int32), 35, tf.float64)
    assert signs.dtype == tf.float64
    np.testing.assert_array_equal(signs[0], [1, -1, 1] + [-1] * 29 + [1, 1, 1])
    np.testing.assert_array_equal(signs[1], [1] * 32 + [-1, 1, -1])


def test_signs_are_balanced_and_independent():
    signs = unpack_signs(draw_signs(400, 5, 40, [3, 1]), 40, tf.float64).numpy()
    assert set(np.unique(signs)) == {-1.0, 1.0}
    flat = signs.reshape(-1, 40)
    error = len(flat) ** -0.5  # one standard error of a mean
    assert np.abs(flat.mean(0)).max() < 4.0 * error
    assert np.abs(flat.T @ flat / len(flat) - np.eye(40)).max() < 5.0 * error  # between units
    assert np.abs((signs[1:] * signs[:-1]).mean((0, 1))).max() < 4.0 * error  # between steps
    assert np.abs((signs[:, 1:] * signs[:, :-1]).mean((0, 1))).max() < 4.0 * error  # between examples


def signs(key, units=40):
    return unpack_signs(draw_signs(4, 3, units, key), units, tf.float32)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_signs_in_every_mode(mode):
    one, other = signs([1, 2]), signs([1, 3])
    np.testing.assert_array_equal(MODES[mode](signs)(tf.constant([1, 2])), one)
    assert (one.numpy() != other.numpy()).any()
    for units in (1, 31, 32, 33, 70):  # of a word and more
        assert draw_signs(4, 3, units, [1, 2]).shape == (4, 3, -(-units // 32))
        assert signs([1, 2], units).shape == (4, 3, units)
