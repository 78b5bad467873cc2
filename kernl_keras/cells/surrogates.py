"""The argument `surrogate` of the cells that spike: a word, or a function of the user's."""

from collections.abc import Mapping

import tensorflow as tf

from ..dynamics.surrogate import SURROGATES
from ..keras_version import keras


def check_surrogate(name, value, dtype):
    """What a cell's constructor keeps of `value`: a word of `SURROGATES`, or a function.

    Args:
        name: the argument's name, for the error.
        value: such a word; a function f(u) -> slope of TensorFlow tensors of one shape; or the configuration of one, as
            `keras.saving.serialize_keras_object` makes it.
        dtype: that the cell computes in.

    Raises:
        ValueError: for anything else, and for a function that does not return a tensor of the shape and dtype of u.
    """
    if isinstance(value, str) and value in SURROGATES:
        return value
    made = value
    if isinstance(value, Mapping):
        try:
            made = keras.saving.deserialize_keras_object(value)
        except (KeyError, TypeError, ValueError) as error:  # Keras' own, which does not say of which argument
            raise ValueError(
                f"{name} must be a configuration that Keras can load; received {value!r}. {error}"
            ) from error
    if not callable(made) or isinstance(made, type):
        raise ValueError(f"{name} must be one of {sorted(SURROGATES)}, or a function f(u); received {value!r}.")
    wanted = f"{name} must be a function of a tensor u [B, H] to a slope of the same shape and dtype, in TensorFlow"
    try:
        slope = tf.function(made, autograph=False).get_concrete_function(tf.TensorSpec((None, 3), dtype))
        received = slope.structured_outputs
    except Exception as error:  # what a function of another kind does with a tensor is of many kinds
        raise ValueError(f"{wanted}; received {value!r}, which raised {type(error).__name__}: {error}") from error
    if not tf.is_tensor(received) or received.dtype != dtype or not received.shape.is_compatible_with((None, 3)):
        raise ValueError(f"{wanted}; received {value!r}, which returned {received!r}.")
    return made


def serialize_surrogate(name, value):
    """What `get_config` stores of a checked `value`; the constructor accepts it again.

    Raises:
        ValueError: for a function, or an object of a class, that is not registered with Keras.
    """
    if isinstance(value, str):
        return value
    registered = value if hasattr(value, "__name__") else type(value)
    found = keras.saving.get_registered_object(keras.saving.get_registered_name(registered))
    if found is not registered:
        raise ValueError(
            f"{name} must be registered with keras.saving.register_keras_serializable, so that Keras can save it and "
            f"load it again; received {value!r}."
        )
    return keras.saving.serialize_keras_object(value)
