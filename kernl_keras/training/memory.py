"""What the steps of a model leave behind in TensorFlow goes when the model goes.

TensorFlow registers every gradient that a traced step defines by `tf.custom_gradient` for good, those of Keras'
optimizers among them, and by it holds the graph: some 20 MB for each model, `clear_session` or not. Nothing can ask for
such a gradient once the step's graph is gone.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from tensorflow.python.framework import ops

T = TypeVar("T", bound=Callable[..., Any])


def released_with_model(step: T) -> T:
    """A method of a model, such that the gradients it registers are forgotten when the model is garbage collected."""

    @functools.wraps(step)
    def recorded(model, *args, **kwargs):
        registered = getattr(ops.gradient_registry, "_registry", {})  # not public: without it nothing is forgotten
        before = set(registered)
        try:
            return step(model, *args, **kwargs)
        finally:
            new = set(registered) - before
            names = [name for name in new if name.startswith("CustomGradient-")]
            if names:
                weakref.finalize(model, forget, registered, names).atexit = False

    return recorded  # type: ignore[return-value]


def forget(registered, names):
    """Takes gradients out of the registry."""
    for name in names:
        registered.pop(name, None)
