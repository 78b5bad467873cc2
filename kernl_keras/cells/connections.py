"""Sparse recurrent connections, and excitatory and inhibitory units: a mask and signs for W_rec [H, H].

Row j of W_rec holds the weights of all connections that leave unit j.
Source: Song, Yang, Wang, Training excitatory-inhibitory recurrent neural networks for cognitive tasks: a simple and
flexible framework, PLoS Computational Biology 12:e1004792 (2016).
"""

from collections.abc import Iterable, Mapping, Set
from numbers import Real

import numpy as np
import tensorflow as tf

from ..checks import number
from ..draws import fixed_key, uniform
from ..keras_version import NO_AUTOCAST, keras


def check_connectivity(name, value, units):
    """The argument `name` as a cell keeps it: None, a probability, or a matrix [H, H] as lists of bools."""
    if value is None or isinstance(value, Real):
        return None if value is None else number(name, value, low=0.0, high=1.0)
    if not _is_sequence(value):
        raise ValueError(f"{name} must be a probability or a matrix of True and False; received {value!r}.")
    try:
        matrix = np.asarray(value)
        received = f"shape {matrix.shape}"
    except ValueError:
        matrix, received = np.empty(0), "rows of several lengths"
    if matrix.shape != (units, units):
        raise ValueError(f"{name} must have shape ({units}, {units}), a row for each unit; received {received}.")
    if matrix.dtype.kind not in "biuf" or not np.isin(matrix, (0, 1)).all():
        raise ValueError(f"{name} must be a matrix of True and False; received {value!r}.")
    return matrix.astype(bool).tolist()


def check_excitatory(name, value, units):
    """The argument `name` as a cell keeps it: None, a share of the units, or a list of H bools."""
    if value is None or isinstance(value, Real):
        return None if value is None else number(name, value, low=0.0, high=1.0)
    values = None
    if _is_sequence(value):
        values = np.asarray(value).tolist() if hasattr(value, "shape") else list(value)
    if not isinstance(values, list) or not all(isinstance(x, bool) for x in values):
        raise ValueError(f"{name} must be a share of the units or a list of True and False; received {value!r}.")
    if len(values) != units:
        raise ValueError(f"{name} must have one value a unit ({units}); received {len(values)} values.")
    return values


def _is_sequence(value):
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Set, Mapping))


def unit_signs(excitatory, units):
    """1 for an excitatory unit and -1 for an inhibitory one [H]; None where units have no sign. The share comes first.

    Example:
        >>> unit_signs(0.8, 5).tolist()
        [1.0, 1.0, 1.0, 1.0, -1.0]
    """
    if excitatory is None:
        return None
    if isinstance(excitatory, float):
        excitatory = np.arange(units) < round(excitatory * units)
    return np.where(excitatory, 1.0, -1.0)


def connection_mask(cell):
    """The mask of the connections, 1 or 0 [H, H]: a constant, or a drawn, untrained weight; None where all exist."""
    connectivity = cell.recurrent_connectivity
    if connectivity is None:
        return None
    if isinstance(connectivity, list):
        return tf.constant(connectivity, cell.variable_dtype)

    def drawn(shape, dtype=None, **_):
        return tf.cast(uniform(shape, fixed_key(cell.connectivity_seed)) < connectivity, dtype or cell.variable_dtype)

    shape = (cell.units, cell.units)
    return cell.add_weight(name="recurrent_mask", shape=shape, initializer=drawn, trainable=False, **NO_AUTOCAST)


def connected_initializer(initializer, mask, signs):
    """A Keras initializer of W_rec: weights are 0 without a connection, and have the sign of the unit they leave.

    Weights that leave inhibitory units are larger by (excitatory units) / (inhibitory units), so that the two cancel in
    the mean; then all are made smaller so that their mean square stays. Each argument may be None.
    """
    if mask is None and signs is None:
        return initializer
    initializer = initializer or keras.initializers.GlorotUniform()

    def connected(shape, dtype=None, **_):
        values = tf.convert_to_tensor(initializer(shape, dtype=dtype))
        if signs is not None:
            excitatory = np.mean(signs > 0.0)
            balance = excitatory / (1.0 - excitatory) if 0.0 < excitatory < 1.0 else 1.0
            factor = np.where(signs > 0.0, 1.0, balance)
            factor = signs * factor / np.sqrt(np.mean(factor**2))
            values = tf.abs(values) * tf.constant(factor[:, None], values.dtype)
        return values if mask is None else values * tf.cast(tf.convert_to_tensor(mask), values.dtype)

    return connected


class UnitSigns(keras.constraints.Constraint):
    """Dale's law as a Keras constraint, W_ji <- s_j max(0, s_j W_ji), which another one, `then`, may follow."""

    def __init__(self, signs, then=None):
        self.signs, self.then = signs, then

    def __call__(self, w):
        w = tf.convert_to_tensor(w)
        signs = tf.constant(self.signs[:, None], w.dtype)
        w = signs * tf.nn.relu(signs * w)
        return w if self.then is None else self.then(w)
