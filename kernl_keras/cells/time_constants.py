"""Time constants given per unit: one number for all units, a list with one number a unit, or an initializer."""

from collections.abc import Mapping
from numbers import Real

import numpy as np
import tensorflow as tf

from ..checks import keras_object, number, numbers
from ..initializers import LogSpaced
from ..keras_version import NO_AUTOCAST, keras


def check_time_constant(name, value, units):
    """What a cell's constructor keeps of `value`: a float, a list of floats or a Keras initializer.

    Args:
        name: the argument's name, for the error.
        value: a number > 0 in ms; `units` such numbers; or an initializer: an instance, its config, a function. Of
            `LogSpaced` the values are kept, as a list: they are known without drawing.
        units: number of units H of the cell.

    Raises:
        ValueError: for a number that is not > 0, a list of another length than `units`, or anything else.
    """
    if isinstance(value, (Mapping, keras.initializers.Initializer)) or callable(value):
        initializer = keras_object("initializers", name, value)
        return initializer.values(units) if isinstance(initializer, LogSpaced) else initializer
    if isinstance(value, Real):
        return number(name, value, above=0.0)
    return numbers(name, value, units, forms="a number, a list or an initializer", above=0.0)


def check_period(value, units, dt):
    """The same for the argument `period`, which must be longer than two steps, or another period is seen."""
    period = check_time_constant("period", value, units)
    every = period if isinstance(period, list) else [period]
    if any(isinstance(each, float) and each <= 2.0 * dt for each in every):
        raise ValueError(f"period must be > 2 dt = {2.0 * dt:g} ms; received {value!r}.")
    return period


def time_constant(layer, name, value, units, above=0.0):
    """What a cell's `build` makes of a checked `value`, and `dynamics.decays` takes.

    Args:
        layer: the cell.
        name: name of the weight.
        value: what `check_time_constant` returned, or None.
        units: number of units H of the cell.
        above: what the values that an initializer draws must exceed.

    Returns:
        A number as it is, a list as a constant [H], an initializer as an untrained weight [H] that is saved with the
        model; None for None. The last two have the variable dtype, under mixed precision as well: half precision
        would round exp(-1/700) to a tau of 683 ms.

    Raises:
        ValueError: where an initializer drew a value that is not > `above`.
    """
    if isinstance(value, list):
        with tf.init_scope():  # a cell may be built while some graph is traced, and must outlive it
            return tf.constant(value, layer.variable_dtype)
    if value is None or isinstance(value, Real):
        return value
    weight = layer.add_weight(name=name, shape=(units,), initializer=value, trainable=False, **NO_AUTOCAST)
    if tf.executing_eagerly() and not np.all((drawn := weight.numpy()) > above):  # in a graph there is no value yet
        raise ValueError(f"{name} must be > {above:g} ms; its initializer {value!r} drew {drawn.min():g}.")
    return weight


def serialize_time_constant(value):
    """What `get_config` stores of a checked `value`; the constructor accepts it again."""
    if isinstance(value, list):
        return list(value)
    return value if value is None or isinstance(value, Real) else keras.initializers.serialize(value)
