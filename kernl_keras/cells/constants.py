"""Constants of units: time constants given for all units or for each, and constants that learn.

A constant that learns has a weight [H], the logarithm of its values, which a constraint keeps in a range.

    (30) dC/dtheta_i = sum_b sum_t dC/dy_i(t) dy_i(t)/dtheta_i        over all values y that theta moves in step t

`Effects` are the derivatives dy/dtheta. The rules know the errors dC/dy, see `cells.linear.Errors`.
"""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..checks import keras_object, number, numbers
from ..initializers import LogSpaced
from ..keras_version import NO_AUTOCAST, keras, serializable

LONGEST = 1e5  # steps; of time constants and periods that learn
STRENGTHS = (1e-3, 1e3)  # range of thresholds and of their adaptation


def check_constant(name, value, units, **bounds):
    """The argument `name` as a cell keeps it: a number, a list of `units`, or an initializer that draws.

    Numbers are checked to be within `bounds` here, what is drawn by `built_constant`.
    """
    if isinstance(value, (Mapping, keras.initializers.Initializer)) or callable(value):
        initializer = keras_object("initializers", name, value)
        return initializer.values(units) if isinstance(initializer, LogSpaced) else initializer
    if isinstance(value, Real):
        return number(name, value, **bounds)
    return numbers(name, value, units, forms="a number, a list or an initializer", **bounds)


def check_time_constant(name, value, units):
    """`check_constant` for a time constant, which must be > 0 ms."""
    return check_constant(name, value, units, above=0.0)


def check_period(value, units, dt):
    """`check_time_constant` for `period`, which must be longer than two steps: anything faster would be aliased."""
    period = check_time_constant("period", value, units)
    values = period if isinstance(period, list) else [period]
    if any(isinstance(x, float) and x <= 2.0 * dt for x in values):
        raise ValueError(f"period must be > 2 dt = {2.0 * dt:g} ms; received {value!r}.")
    return period


def built_constant(layer, name, value, units, above=0.0):
    """A checked constant as a built cell keeps it: a number or None as it is, a list as a NumPy array [H].

    (A tensor made here would be an input of a graph that is exported to ONNX.) An initializer becomes an untrained
    weight [H]; what it draws must exceed `above`, in ms, or for None be finite. Both have the variable dtype: half
    precision would round exp(-1/700) to a tau of 683 ms.
    """
    if isinstance(value, list):
        return np.array(value, layer.variable_dtype)
    if value is None or isinstance(value, Real):
        return value
    weight = layer.add_weight(name=name, shape=(units,), initializer=value, trainable=False, **NO_AUTOCAST)
    drawn = weight.numpy()
    if not np.all(np.isfinite(drawn) if above is None else drawn > above):
        wanted = "finite" if above is None else f"> {above:g} ms"
        raise ValueError(f"{name} must be {wanted}; its initializer {value!r} drew {drawn.min():g}.")
    return weight


class Effects(NamedTuple):
    """Derivatives of a step's states by a constant in that step. Each [.., H], or None for nothing."""

    y: tuple = ()  # the states before a spike, the potential first
    distance: Any = None  # the distance to the threshold
    x: tuple = ()  # the own states after the step
    synapse: Any = None  # S(t)


@serializable
class Between(keras.constraints.Constraint):
    """A Keras constraint that keeps values in a range."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(tf.convert_to_tensor(w), self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}


def learned_constant(cell: Any, name: str) -> tf.Variable:
    """The weight of a constant: the logarithm of its values [H], which start at the argument's, in the range.

    A 0 in a list stays 0, see `TrainedCell.constant`.
    """
    value = getattr(cell, name)
    low, high = STRENGTHS
    if name in cell.TIME_CONSTANTS:
        shortest = 0.1
        if name == "period":
            shortest = 2.01  # steps cannot follow a faster oscillation
        elif cell.discretization == "euler":
            shortest = 1.001
        low, high = shortest * cell.dt, LONGEST * cell.dt

    shape, dtype = (cell.units,), cell.variable_dtype
    if isinstance(value, (Real, list)):
        start = tf.broadcast_to(tf.constant(value, dtype), shape)
    else:
        start = tf.cast(value(shape, dtype=dtype), dtype)
    values = start.numpy()
    within = (values >= low * (1.0 - 1e-6)) & (values <= high * (1.0 + 1e-6))  # but for rounding
    stays = (values == 0.0) & isinstance(value, list)
    if not np.all(within | stays):
        raise ValueError(f"{name} must be from {low:g} to {high:g} where it learns; received {value!r}.")
    logarithms = tf.math.log(tf.clip_by_value(start, low, high))
    return cell.add_weight(
        name=f"log_{name}",
        shape=shape,
        initializer=lambda *_, **__: logarithms,
        constraint=Between(math.log(low), math.log(high)),
        **NO_AUTOCAST,
    )
