"""What `fit` was given: callbacks that need examples, which Keras does not show them, receive it here."""

import inspect
import math
import types

import tensorflow as tf


def arguments(fit, args, kwargs):
    """The arguments of `fit(*args, **kwargs)` by name."""
    return inspect.signature(fit).bind(*args, **kwargs).arguments


def has_an_order(x):
    """Whether data come in an order of their own, which `fit` cannot shuffle."""
    return isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset, types.GeneratorType))


def show_data(fit, args, kwargs):
    """Calls `set_validation_data(data)` and `set_training_data(x)` of every callback that has them.

    Args:
        fit: `fit` of a Keras model.
        args, kwargs: its arguments. `data` is `validation_data` as it was given, or `(x, y)` of the examples that
            `validation_split` holds out, or None; `x` is the first argument as it was given.
    """
    given = arguments(fit, args, kwargs)
    data = given.get("validation_data")
    if data is None and given.get("validation_split"):
        data = held_out(given["x"], given.get("y"), given["validation_split"])
    callbacks = given.get("callbacks")
    for callback in tf.nest.flatten(getattr(callbacks, "callbacks", callbacks)):
        if hasattr(callback, "set_validation_data"):
            callback.set_validation_data(data)
        if hasattr(callback, "set_training_data"):
            callback.set_training_data(given.get("x"))


def held_out(x, y, share):
    """The last examples, as `validation_split` takes them before `fit` shuffles."""
    first = math.floor(len(tf.nest.flatten(x)[0]) * (1.0 - share))
    return tf.nest.map_structure(lambda array: None if array is None else array[first:], (x, y))
