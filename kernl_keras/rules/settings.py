"""`Settings`: the base of rules, kernels and perturbations, which are saved and loaded by their settings."""

import inspect
from typing import Any

from ..checks import one_of
from ..keras_version import keras
from ..types import Config


class Settings:
    """Base of objects that keep each argument of their constructor in an attribute of the same name."""

    @classmethod
    def names(cls) -> list[str]:
        """The names of the settings: those of this class and, if it takes `**kwargs`, of its base classes."""
        names: list[str] = []
        for base in cls.__mro__:
            if "__init__" not in vars(base) or base is object:
                continue
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            names += [x.name for x in parameters if x.kind not in (x.VAR_POSITIONAL, x.VAR_KEYWORD)]
            if not any(x.kind is x.VAR_KEYWORD for x in parameters):
                break
        return list(dict.fromkeys(names))

    def get_config(self) -> Config:
        """The settings, as Keras serializes them."""
        for name in self.names():
            if not hasattr(self, name):
                raise ValueError(
                    f"{type(self).__name__} must keep its argument {name!r} in self.{name}, and call "
                    "super().__init__ with the arguments that it inherits; received no such attribute."
                )
        return {name: serialized(getattr(self, name)) for name in self.names()}

    @classmethod
    def from_config(cls, config: Config) -> Any:
        """The object with these settings."""
        return cls(**config)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.names())
        return f"{type(self).__name__}({settings})"


def serialized(value: Any) -> Any:
    """A setting as Keras writes it into a configuration."""
    if isinstance(value, keras.initializers.Initializer):
        return keras.initializers.serialize(value)
    return keras.saving.serialize_keras_object(value) if isinstance(value, Settings) else value


def get_settings(name: str, value: Any, base: type, table: dict[str, Any]) -> Any:
    """The object that a setting stands for: itself if it is a `base`, else by a word of `table` or a configuration.

    `table` has a class, or a function without arguments, for each word. Raises a ValueError for anything else.
    """
    if isinstance(value, base):
        return value
    if isinstance(value, str):
        return table[one_of(name, value, table)]()
    if isinstance(value, dict):
        try:
            loaded = keras.saving.deserialize_keras_object(value)
        except TypeError as error:  # Keras' own, which does not say of which argument
            raise ValueError(
                f"{name} must be a configuration that Keras can load; received {value!r}. {error}"
            ) from error
        if isinstance(loaded, base):
            return loaded
    if isinstance(value, type) and issubclass(value, base):
        raise ValueError(f"{name} must be an object, {value.__name__}(); received the class {value.__name__}.")
    raise ValueError(f"{name} must be one of {sorted(table)} or a {base.__name__}; received {value!r}.")
