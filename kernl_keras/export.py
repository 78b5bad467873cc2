"""What makes a public class loadable from a saved model without `custom_objects`."""

from .keras_version import keras


def export(cls):
    """Registers a class under the package name `kernl_keras`; `kernl_keras/__init__.py` lists the public names."""
    return keras.saving.register_keras_serializable(package="kernl_keras")(cls)
