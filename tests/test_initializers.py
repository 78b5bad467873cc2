"""LogSpaced against values by hand, LogUniform against its distribution function."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.cells.lif import LIFCell
from kernl_keras.initializers import LogSpaced, LogUniform
from kernl_keras.keras_version import keras


def test_log_spaced_values():
    """Four values from 3 to 81, each three times the one before; then they start again."""
    initializer = LogSpaced(3.0, 81.0, count=4)
    np.testing.assert_allclose(initializer.values(6), [3.0, 9.0, 27.0, 81.0, 3.0, 9.0], rtol=1e-12)
    np.testing.assert_allclose(initializer((2, 4)), [[3.0, 9.0, 27.0, 81.0]] * 2, rtol=1e-6)
    np.testing.assert_allclose(initializer((3,)), [3.0, 243.0**0.5, 81.0], rtol=1e-6)  # few units have both ends, too
    assert initializer.values(1) == [3.0]
    assert initializer((5,), dtype="float64").dtype == tf.float64
    assert repr(initializer) == "LogSpaced(3, 81, count=4)"


def test_cells_keep_the_values_of_log_spaced():
    """As a list, so that nothing is drawn, and units of the same value share a trace."""
    cell = LIFCell(5, tau_m=LogSpaced(2.0, 8.0, count=3))
    assert cell.tau_m == pytest.approx([2.0, 4.0, 8.0, 2.0, 4.0])
    assert cell.kernel_groups() == [0, 1, 2, 0, 1]
    cell.build((None, 3))
    assert len(cell.weights) == len(cell.trainable_weights)
    config = keras.initializers.serialize(LogSpaced(2.0, 8.0, count=3))
    assert LIFCell(5, tau_m=config).tau_m == cell.tau_m


def test_the_logarithm_is_uniform():
    values = np.sort(LogUniform(10.0, 1000.0, seed=4)((4000,)).numpy())
    expected = np.log(values / 10.0) / np.log(100.0)  # the distribution function at every value
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed once in a thousand
    assert np.abs(expected - np.arange(4000) / 4000).max() < 1.95 / np.sqrt(4000)
    assert values[0] < 10.2 and values[-1] > 980.0


def test_the_seed_fixes_the_values_and_keras_seeds_one_without():
    draw = LogUniform(1.0, 9.0, seed=3)
    np.testing.assert_array_equal(draw((5, 2)), draw((5, 2)))
    np.testing.assert_array_equal(draw((5, 2)), LogUniform(1.0, 9.0, seed=3)((5, 2)))
    assert np.all(draw((5, 2)) != LogUniform(1.0, 9.0, seed=4)((5, 2)))
    keras.utils.set_random_seed(5)
    one, other = LogUniform(1.0, 9.0)((5,)), LogUniform(1.0, 9.0)((5,))
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(one, LogUniform(1.0, 9.0)((5,)))
    assert np.all(one != other)
    for dtype in ("float32", "float64", tf.float16):
        assert draw((5, 2), dtype=dtype).dtype == tf.as_dtype(dtype)


@pytest.mark.parametrize("kind, more", [(LogUniform, {"seed": 6}), (LogSpaced, {"count": 7})])
def test_config_covers_the_signature_and_bounds_have_an_order(kind, more):
    settings = {"low": 2.0, "high": 5.0, **more}
    assert set(inspect.signature(kind).parameters) == set(settings)
    assert kind(**settings).get_config() == settings
    again = keras.initializers.get(keras.initializers.serialize(kind(**settings)))
    assert isinstance(again, kind) and again.get_config() == settings
    assert repr(again).startswith(f"{kind.__name__}(2, 5, ")
    with pytest.raises(ValueError, match=r"high must be >= 2; received 1\.0"):
        kind(**{**settings, "high": 1.0})
