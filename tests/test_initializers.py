"""LogUniform against its distribution function."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.initializers import LogUniform
from kernl_keras.keras_version import keras


def test_the_logarithm_is_uniform():
    values = np.sort(LogUniform(10.0, 1000.0, seed=4)((4000,)).numpy())
    expected = np.log(values / 10.0) / np.log(100.0)  # the distribution function at every value
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed once in a thousand
    assert np.abs(expected - np.arange(4000) / 4000).max() < 1.95 / np.sqrt(4000)
    assert values[0] < 10.2 and values[-1] > 980.0


@pytest.mark.parametrize("low, high", [(10.0, 1000.0), (0.3, 0.3), (7.0, 7.0001)])
def test_bounds_hold_exactly(low, high):
    values = LogUniform(low, high, seed=0)((5000,)).numpy()
    assert values.min() >= np.float32(low) and values.max() <= np.float32(high)


def test_the_seed_fixes_the_values():
    draw = LogUniform(1.0, 9.0, seed=3)
    np.testing.assert_array_equal(draw((5, 2)), draw((5, 2)))
    np.testing.assert_array_equal(draw((5, 2)), LogUniform(1.0, 9.0, seed=3)((5, 2)))
    assert np.all(draw((5, 2)) != LogUniform(1.0, 9.0, seed=4)((5, 2)))


def test_without_a_seed_keras_seeds_it():
    keras.utils.set_random_seed(5)
    one, other = LogUniform(1.0, 9.0)((5,)), LogUniform(1.0, 9.0)((5,))
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(one, LogUniform(1.0, 9.0)((5,)))
    assert np.all(one != other)


@pytest.mark.parametrize("dtype", ["float32", "float64", tf.float16])
def test_dtype(dtype):
    assert LogUniform(1.0, 9.0, seed=3)((5,), dtype=dtype).dtype == tf.as_dtype(dtype)


def test_config_covers_the_signature():
    settings = {"low": 2.0, "high": 5.0, "seed": 6}
    assert set(inspect.signature(LogUniform).parameters) == set(settings)
    assert LogUniform(**settings).get_config() == settings
    again = keras.initializers.get(keras.initializers.serialize(LogUniform(**settings)))
    assert isinstance(again, LogUniform) and again.get_config() == settings


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"low": 0.0, "high": 1.0}, r"low must be > 0; received 0\.0"),
        ({"low": 2.0, "high": 1.0}, r"high must be >= 2; received 1\.0"),
        ({"low": 1.0, "high": "9"}, r"high must be a finite number; received '9'"),
        ({"low": 1.0, "high": 9.0, "seed": -1}, r"seed must be an integer >= 0; received -1"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        LogUniform(**settings)
