"""What the callbacks need to write event files, and what goes wrong with them in the words of files."""

import contextlib
import importlib.util

import tensorflow as tf


def needs_tensorboard(callback):
    """Raises `ImportError` without TensorBoard, which TensorFlow does not bring along and cannot log without."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ImportError(f"{callback} needs the package tensorboard: pip install tensorboard")


@contextlib.contextmanager
def writing(log_dir):
    """Turns what TensorFlow says of a folder that cannot be written, or of a full disk, into an `OSError`."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0].split("}} ")[-1]
        raise OSError(f"log_dir must be a folder that can be written; received {log_dir!r}: {reason}") from error
