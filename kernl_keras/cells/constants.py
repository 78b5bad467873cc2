"""Constants that learn: of each a weight [H], the logarithm of its values. It stays in a range, whatever the optimizer.

    (30) dC/dtheta_i = sum_b sum_t (error of what the constant moves in step t) x (how much it moves it)

`Effects` says how much. The rules know the errors, see `cells.linear.Errors`.
"""

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..keras_version import NO_AUTOCAST, keras
from ..serialization import serializable

LONGEST = 1e5  # steps; of time constants and periods that learn
STRENGTHS = (1e-3, 1e3)  # range of thresholds and of their adaptation


class Effects(NamedTuple):
    """What one more of a step's constant adds to the states in that step. Each [.., H], or None for nothing."""

    y: tuple = ()  # what there is before a spike, the potential first
    distance: Any = None  # the distance to the threshold
    x: tuple = ()  # the own states after the step
    synapse: Any = None  # S(t)


@serializable
class Between(keras.constraints.Constraint):
    """Values below a range become its lowest, values above it its highest. Keras' optimizers apply it.

    Args:
        low, high: the range.

    Example:

    >>> Between(0.0, 1.0)([-1.0, 0.5, 7.0]).numpy().tolist()
    [0.0, 0.5, 1.0]
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(tf.convert_to_tensor(w), self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}


def check_learn(learn: Any, cell: Any) -> tuple[str, ...]:
    """The argument `learn` of a cell as a tuple: the names of constants that the cell has.

    Raises:
        ValueError: for another name, and for a constant that the cell as it is set does without.
    """
    names = [learn] if isinstance(learn, str) else learn
    known = cell.LEARNABLE
    if not isinstance(names, Iterable) or isinstance(names, Mapping) or any(name not in known for name in names):
        raise ValueError(f"learn must be names out of {list(known)}; received {learn!r}.")
    for name in names:
        if (value := getattr(cell, name)) is None or not np.any(value if isinstance(value, list) else [value]):
            raise ValueError(f"learn must name constants that are in use; received {name!r}, with {name}={value!r}.")
    return tuple(name for name in known if name in names)


def range_of(name: str, cell: Any) -> tuple[float, float]:
    """The lowest and the highest value that a constant has while it learns."""
    if name not in cell.TIME_CONSTANTS:
        return STRENGTHS
    shortest = 0.1
    if name == "period":
        shortest = 2.01  # steps cannot follow a faster oscillation
    elif getattr(cell, "discretization", "exponential") == "euler":
        shortest = 1.001
    return shortest * cell.dt, LONGEST * cell.dt


def learned_constant(cell: Any, name: str, value: Any) -> tf.Variable:
    """The weight of a constant: the logarithm of its values [H], which start at `value`.

    Args:
        cell: the cell.
        name: the argument that has the value.
        value: a number, a list of numbers, or an initializer. A value of 0 stays 0, see `value_of`.

    Raises:
        ValueError: for a value out of the range in which it may learn.
    """
    low, high = range_of(name, cell)

    def initializer(shape, dtype=None, **_):
        if isinstance(value, (Real, list)):
            start = tf.broadcast_to(tf.constant(value, dtype), shape)
        else:
            start = tf.cast(value(shape, dtype=dtype), dtype)
        if tf.executing_eagerly() and np.any(outside(start.numpy(), low, high)):
            raise ValueError(f"{name} must be from {low:g} to {high:g} where it learns; received {value!r}.")
        return tf.math.log(tf.clip_by_value(start, low, high))

    return cell.add_weight(
        name=f"log_{name}",
        shape=(cell.units,),
        initializer=initializer,
        constraint=Between(math.log(low), math.log(high)),
        **NO_AUTOCAST,
    )


def outside(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which values are out of the range, by more than rounding; 0 is in it."""
    return (values != 0.0) & ((values < low * (1.0 - 1e-6)) | (values > high * (1.0 + 1e-6)))


def value_of(weight: tf.Variable, start: Any) -> tf.Tensor:
    """The values [H] of a constant that learns; 0 where `start`, as the constructor has it, is 0."""
    values = tf.exp(tf.convert_to_tensor(weight))
    if isinstance(start, list) and 0.0 in start:
        values *= tf.constant([float(each != 0.0) for each in start], values.dtype)
    return values
