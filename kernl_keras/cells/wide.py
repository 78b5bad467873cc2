"""Base of all cells: they compute in float32 or wider, whatever the dtype policy around them."""

import inspect
from typing import Any

import tensorflow as tf

from ..checks import nearest_name
from ..dynamics.surrogate import serialize_surrogate
from ..keras_version import NO_AUTOCAST, AbstractRNNCell, keras
from ..types import Config


def wide_dtype(policy=None):
    """The dtype of a cell under a dtype policy (None: the global one): that of its variables, at least float32."""
    dtype = keras.layers.Layer(dtype=policy).variable_dtype
    return dtype if tf.as_dtype(dtype).size >= 4 else "float32"


def wide_policy(policy):
    """The dtype policy of a layer around such a cell: "mixed_float16" for "float16", or its states would be narrow."""
    name = policy if isinstance(policy, str) else getattr(policy, "name", None)
    return f"mixed_{name}" if name in ("float16", "bfloat16") else policy


def serialized(name, value):
    """The checked argument `name` of a cell, for `get_config`."""
    if name == "surrogate":
        return serialize_surrogate(name, value)
    if isinstance(value, (list, tuple)):
        return list(value)
    return keras.saving.serialize_keras_object(value) if callable(value) else value


class WideCell(AbstractRNNCell):
    """A cell that computes in float32 or wider; a layer around it may have any dtype policy.

    Half precision has no decay factor between 0.996 and 1, bfloat16 counts no further than 256, and a sum over many
    steps leaves the range of float16.
    """

    def __init__(self, **kwargs: Any) -> None:
        with nearest_name(type(self), kwargs, also=getattr(self, "unit_constants", ())):
            super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or wide_dtype()})
        if tf.as_dtype(self.compute_dtype).size < 4:
            raise ValueError(f"dtype must compute in float32 or more; received {self.compute_dtype!r}.")

    @classmethod
    def arguments(cls) -> list[str]:
        """The names of the constructor's arguments and those of the base classes, but not those of a Keras layer."""
        package = __name__.partition(".")[0]  # a user's subclass sees to its own arguments
        classes = [base for base in cls.__mro__ if issubclass(base, WideCell) and base.__module__.startswith(package)]
        given = [inspect.signature(base.__init__).parameters.values() for base in classes]
        return list(dict.fromkeys(p.name for one in given for p in one if p.name not in ("self", "kwargs")))

    def get_config(self) -> Config:
        """The constructor's arguments, which are kept under their names; the constructor accepts them again."""
        return {**super().get_config(), **{name: serialized(name, getattr(self, name)) for name in self.arguments()}}

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """A weight that keeps its dtype where a layer with another dtype policy reads it."""
        return super().add_weight(*args, **{**NO_AUTOCAST, **kwargs})
