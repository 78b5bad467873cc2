"""What makes a public class loadable from a saved model without `custom_objects`."""

from typing import Any, TypeVar

from .keras_version import keras

T = TypeVar("T", bound=type[Any])


def serializable(cls: T) -> T:
    """Registers a class under the package name `kernl_keras`; `kernl_keras/__init__.py` lists the public names."""
    return keras.saving.register_keras_serializable(package="kernl_keras")(cls)
