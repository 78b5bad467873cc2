"""Argument checks: an error names the argument, the requirement and what was received."""

import contextlib
import difflib
import inspect
import math
from collections.abc import Iterable, Mapping, Set
from numbers import Real

import numpy as np
import tensorflow as tf

from .keras_version import keras

LARGEST = 2**31 - 1  # TensorFlow counts steps and units in int32


@contextlib.contextmanager
def nearest_name(cls, given, also=()):
    """Within, Keras' error for an unknown one of the `given` arguments names the nearest that the class has.

    `also` are names of arguments that are in no signature of the class and its bases.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        signatures = [inspect.signature(base.__init__).parameters.values() for base in cls.__mro__]
        own = [p.name for one in signatures for p in one if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        names = [name for name in (*own, *also) if name != "self"]
        for name in given:
            if name not in names and name in str(error):
                likeness = {known: difflib.SequenceMatcher(None, name, known).ratio() for known in names}
                nearest = max(names, key=likeness.get)  # of equals the first
                if likeness[nearest] >= 0.6:  # as of difflib.get_close_matches
                    message = f"{cls.__name__} has no argument {name!r}; did you mean {nearest!r}? "
                    raise type(error)(f"{message}Received {name}={given[name]!r}.") from None
        raise


def one_of(name, value, allowed):
    """`value` if it is in `allowed` (a sequence or a table)."""
    if not any(isinstance(value, type(word)) and value == word for word in allowed):
        words = [word for word in allowed if isinstance(word, str)]
        nearest = difflib.get_close_matches(str(value).lower().replace("-", ""), words, 1, 0.7)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"{name} must be one of {sorted(allowed, key=str)}; received {value!r}.{hint}")
    return value


def number(name, value, low=-math.inf, above=-math.inf, high=math.inf):
    """`value` as a float in [low, high] and > above."""
    if not is_finite(value):
        raise ValueError(f"{name} must be a finite number; received {value!r}.")
    if value < low or value <= above or value > high:
        bounds = [f"> {above:g}"] * (above > -math.inf) + [f">= {low:g}"] * (low > -math.inf)
        bounds += [f"<= {high:g}"] * (high < math.inf)
        raise ValueError(f"{name} must be {' and '.join(bounds)}; received {value!r}.")
    return float(value)


def is_finite(value):
    """True for a finite number of Python or NumPy that is no bool."""
    try:
        return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # an int that no float holds
        return False


def integer(name, value, low=1):
    """`value` as an int in [low, 2^31)."""
    if not is_finite(value) or int(value) != value or value < low:
        raise ValueError(f"{name} must be an integer >= {low}; received {value!r}.")
    if value > LARGEST:
        raise ValueError(f"{name} must be an integer <= {LARGEST}; received {value!r}.")
    return int(value)


def flag(name, value):
    """`value` as a bool; raises a ValueError for other numbers and words."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; received {value!r}.")
    return bool(value)


def numbers(name, values, length, forms="a number or a list", **bounds):
    """`values` as a list of `length` floats, each within `bounds`; `forms` are the allowed forms, for the error."""
    if isinstance(values, (str, bytes, Set, Mapping)) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be {forms}; received {values!r}.")
    values = values.numpy() if hasattr(values, "numpy") else values  # a tensor's own entries are no numbers
    if np.ndim(values) == 0 and hasattr(values, "ndim"):
        raise ValueError(f"{name} must be {forms}; received {values!r}.")
    values = list(values)
    if len(values) != length:
        raise ValueError(f"{name} must have one value a unit ({length}); received {len(values)} values.")
    return [number(name, value, **bounds) for value in values]


def per_unit(name, value, units, **bounds):
    """`value` as a float, or as a list of `units` floats, within `bounds`."""
    return number(name, value, **bounds) if isinstance(value, Real) else numbers(name, value, units, **bounds)


def keras_object(kind, name, value, words=()):
    """Keras' object for `value`, of the `kind` "initializers", "regularizers" or "constraints"; or one of `words`."""
    if isinstance(value, str) and value in words:
        return value
    also = f"{', '.join(map(repr, words))} or " if words else ""
    message = f"{name} must be {also}one of Keras' {kind}; received {value!r}."
    try:
        keras_value = getattr(keras, kind).get(value)
    except Exception as error:  # Keras raises errors of many kinds
        raise ValueError(message) from error
    if keras_value is not None and not callable(keras_value):  # Keras 2 returns an unknown word as it is
        raise ValueError(message)
    return keras_value


def check_features(name, tensor, features=None):
    """Raises a ValueError unless `tensor` is dense and real, with `features` on its last axis (None for any number)."""
    if isinstance(tensor, (tf.RaggedTensor, tf.SparseTensor)):
        advice = "tf.sparse.to_dense(x) makes a dense one of it."
        if isinstance(tensor, tf.RaggedTensor):
            advice = (
                "x.to_tensor() fills it up with 0, and a keras.layers.Masking() before the layer leaves out the steps "
                "that are 0."
            )
        raise ValueError(f"{name} must be a dense tensor; received a {type(tensor).__name__}. {advice}")
    check_last_axis(name, tensor.shape, features)
    dtype = tf.as_dtype(tensor.dtype)
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise ValueError(f"{name} must be real numbers; received dtype {dtype.name!r}.")


def check_last_axis(name, shape, features):
    """Raises a ValueError if the last axis has another length than `features`; None for an unknown one."""
    if None not in (features, shape[-1]) and shape[-1] != features:
        raise ValueError(f"{name} must have {features} features, as built; received shape {tuple(shape)}.")


def check_batch(name, tensor, states):
    """Raises a ValueError if a stateful layer gets another batch size than its states have; `states` may be empty."""
    for state in states[:1]:
        batch = tf.TensorShape(state.shape[:1])
        if not batch.is_compatible_with(tensor.shape[:1]):
            raise ValueError(
                f"{name} must have {batch[0]} examples, as the states of a stateful layer; "
                f"received shape {tuple(tensor.shape)}."
            )


def check_static_batch(shape):
    """Raises a ValueError for the inputs of a stateful layer whose number of examples is not known."""
    if shape[0] is None:
        raise ValueError(
            f"stateful=True needs a static batch size; received input shape {tuple(shape)}. "
            "keras.Input(batch_shape=(batch, time, features)) has one; time may be None."
        )


def time_steps(name, shape):
    """The static number of time steps of a [B, T, ...] shape (or None), which must not be 0."""
    if shape is None or (isinstance(shape, tf.TensorShape) and shape.rank is None):
        raise ValueError(f"{name} must be a tensor [batch, time, features]; received None, or no known shape.")
    if len(shape) != 3:
        raise ValueError(f"{name} must have shape [batch, time, features]; received {tuple(shape)}.")
    if shape[1] == 0:
        raise ValueError(f"{name} must have at least one time step; received shape {tuple(shape)}.")
    return shape[1]
