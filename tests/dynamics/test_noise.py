"""The noise of the perturbed pass: independent signs."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.dynamics.noise import draw_signs, unpack_signs


def test_unpacking_by_hand():
    """Bit n of a word is the sign of unit n: 0b101 is + - + and minus for all above; -1 has every bit."""
    signs = unpack_signs(tf.constant([[5, -1], [-1, 2]], tf.int32), 35, tf.float64)
    assert signs.dtype == tf.float64
    np.testing.assert_array_equal(signs[0], [1, -1, 1] + [-1] * 29 + [1, 1, 1])
    np.testing.assert_array_equal(signs[1], [1] * 32 + [-1, 1, -1])


@pytest.mark.parametrize("units", [1, 31, 32, 33, 70])
def test_shapes(units):
    packed = draw_signs(3, 2, units, [1, 2])
    assert packed.dtype == tf.int32 and packed.shape == (3, 2, -(-units // 32))
    assert unpack_signs(packed, units, tf.float32).shape == (3, 2, units)


def test_signs_are_balanced_and_independent():
    signs = unpack_signs(draw_signs(400, 5, 40, [3, 1]), 40, tf.float64).numpy()
    assert set(np.unique(signs)) == {-1.0, 1.0}
    flat = signs.reshape(-1, 40)
    error = len(flat) ** -0.5  # one standard error of a mean
    assert np.abs(flat.mean(0)).max() < 4.0 * error
    assert np.abs(flat.T @ flat / len(flat) - np.eye(40)).max() < 5.0 * error  # between units
    assert np.abs((signs[1:] * signs[:-1]).mean((0, 1))).max() < 4.0 * error  # between steps
    assert np.abs((signs[:, 1:] * signs[:, :-1]).mean((0, 1))).max() < 4.0 * error  # between examples


@pytest.mark.parametrize("options", [{}, {"jit_compile": True}])
def test_the_same_bits_in_every_mode(options):
    function = tf.function(lambda key: unpack_signs(draw_signs(4, 3, 40, key), 40, tf.float32), **options)
    one, other = (unpack_signs(draw_signs(4, 3, 40, key), 40, tf.float32) for key in ([1, 2], [1, 3]))
    np.testing.assert_array_equal(function(tf.constant([1, 2])), one)
    assert (one.numpy() != other.numpy()).any()
