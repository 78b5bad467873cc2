"""`CompiledModel`: a model with a second optimizer, which is compiled, built, saved and loaded with it."""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

from ..checks import flag, integer, one_of
from ..keras_version import keras, writes_hdf5
from ..layers.names import rule_layers
from ..types import Config, OnNonfinite
from .diagnostics import Diagnostics
from .nonfinite import Record
from .optimizers import LeastSquares, build_optimizers


def default_of_m(model):
    """The optimizer of M and gamma of a model that is given none: least squares where they can find all M that learn.

    Else Adafactor, of which each step is a share of the variable's size. It multiplies a mean square of each row and of
    each column. If both have no gradient, as between units that no connection reaches and units that none leaves, the
    product of Keras' epsilon_1, 1e-30, with itself is 0 in float32, and 0 / 0 is NaN.
    """
    layers = [layer for layer in rule_layers(model) if layer.trainable]
    learning = [layer for layer in layers if getattr(layer.rule, "learn_sensitivity", False)]
    if learning and all(layer.rule.solvable(layer) for layer in learning):
        return LeastSquares(1.0)
    return keras.optimizers.Adafactor(learning_rate=0.1, relative_step=False, epsilon_1=1e-14)


def refuse_hdf5(received: str) -> None:
    """Raises a ValueError: a whole model is not saved in an HDF5 file."""
    raise ValueError(
        f"filepath must end in '.keras', or in '.weights.h5' with save_weights; received {received}. An HDF5 file has "
        "no place for sensitivity_optimizer."
    )


@contextlib.contextmanager
def gradients_released_with(model: Any) -> Iterator[None]:
    """Within, gradients that TensorFlow registers are removed when the model is garbage collected.

    Otherwise every `tf.custom_gradient` of a traced step would keep its graph for good, some 20 MB for each model.
    """
    registered = getattr(ops.gradient_registry, "_registry", {})  # not public: without it nothing is forgotten
    before = set(registered)
    try:
        yield
    finally:
        for name in set(registered) - before:
            if name.startswith("CustomGradient-"):
                weakref.finalize(model, registered.pop, name, None).atexit = False


def compiled_as(model, function):
    """The function, compiled as the steps of any Keras model are."""
    jit_compile = getattr(model, "jit_compile", getattr(model, "_jit_compile", None)) is True
    return function if model.run_eagerly else tf.function(function, jit_compile=jit_compile)


class CompiledModel(keras.Model):
    """A Keras model with a second optimizer for M and gamma. `Model` adds the training step.

    Keras 3's `MultiOptimizer` cannot take its place: it updates all groups at once and refuses to update one alone. But
    the weights' gradient needs the new M, and M has a schedule of its own. Keras 2 has none.
    """

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        loss: str | Callable[..., Any] | None = None,
        sensitivity_optimizer: str | keras.optimizers.Optimizer | None = None,
        sensitivity_only: int = 0,
        sensitivity_every: int = 8,
        on_nonfinite: OnNonfinite = "skip",
        diagnostics: bool = False,
        **kwargs: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: of the weights.
            loss: Keras loss.
            sensitivity_optimizer: of M and gamma. None for the least squares of each batch, Eq. (45), with which M is
                the effect of a spike in a single step and follows the weights at once; and where any M has the
                exponential kernel or learns without `kernl_keras.rules.Tangent`, for Adafactor with a learning rate of
                0.1: its steps are in proportion to M, whose size depends on the units, 10 % of its root mean square
                and less after 100 steps. The layers that there are now decide: give one where `build` makes more. By an
                optimizer M learns from F, see `kernl_keras.rules.KeRNL`.
            sensitivity_only: number of first steps in which M and gamma learn alone.
            sensitivity_every: M and gamma learn in every n-th step of `optimizer`, to which accumulated batches
                are one step; 1 for every step. More costs little accuracy and saves the perturbed pass of the others.
            on_nonfinite: what to do with a batch whose loss, gradients or new states have NaN or infinity: "skip"
                leaves it out, "stop" raises a `FloatingPointError`.
            diagnostics: whether `fit`, and `evaluate` with `return_dict=True`, report the `diagnostics()` as well.
            **kwargs: `metrics`, `jit_compile` and the rest of `keras.Model.compile`'s arguments.

        Raises:
            ValueError: for a setting out of range, one optimizer for both groups, or one of `keras.optimizers.legacy`.
        """
        self.sensitivity_only = integer("sensitivity_only", sensitivity_only, low=0)
        self.sensitivity_every = integer("sensitivity_every", sensitivity_every)
        self.on_nonfinite = one_of("on_nonfinite", on_nonfinite, ("skip", "stop"))
        self.reports_diagnostics = flag("diagnostics", diagnostics)
        if sensitivity_optimizer is optimizer and not isinstance(optimizer, str):
            raise ValueError(f"sensitivity_optimizer must not be the weights' optimizer; received {optimizer!r} twice.")
        for name, given in (("optimizer", optimizer), ("sensitivity_optimizer", sensitivity_optimizer)):
            if hasattr(given, "apply_gradients") and not hasattr(given, "build"):  # Keras 2 still has them
                raise ValueError(f"{name} must not be one of keras.optimizers.legacy; received {given!r}.")
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self.sensitivity_optimizer = keras.optimizers.get(sensitivity_optimizer or default_of_m(self))
        self._diagnostics = Diagnostics(self)
        self._nonfinite = Record(stop=on_nonfinite == "stop")
        if self.built:
            build_optimizers(self)

    def get_compile_config(self) -> Config | None:
        """The arguments of `compile`, for a saved model."""
        config = super().get_compile_config()
        if config:
            config |= {
                "sensitivity_optimizer": keras.saving.serialize_keras_object(self.sensitivity_optimizer),
                "sensitivity_only": self.sensitivity_only,
                "sensitivity_every": self.sensitivity_every,
                "on_nonfinite": self.on_nonfinite,
                "diagnostics": self.reports_diagnostics,
            }
        return config

    def compile_from_config(self, config: Config) -> None:
        """Compiles a loaded model as it was, so that its optimizers find their slots."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """`keras.Model.save`.

        Raises:
            ValueError: for an HDF5 file, which could hold neither the second optimizer nor the schedule.
        """
        if str(filepath).endswith((".h5", ".hdf5")) or kwargs.get("save_format") == "h5":
            refuse_hdf5(repr(str(filepath)))
        super().save(filepath, *args, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Keras 3's hook: builds the model by a symbolic call before the first step under a strategy."""
        strategy = self.distribute_strategy
        several = strategy.num_replicas_in_sync > 1
        if several and iterator is not None:
            # The first replica's part of the first batch. Keras would take the mean of all parts, which no two workers
            # can form (3.15), nor replicas with unlike numbers of examples.
            _, _, batches = next(iter(iterator))
            data_batch = tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
        if several and self.built:
            with strategy.scope():
                build_optimizers(self)


class NotInHDF5:
    """Base of models that `keras.saving.save_model` would write into an HDF5 file without calling `save`."""

    def get_config(self) -> Config:
        """The configuration.

        Raises:
            ValueError: where Keras asks for it to write it into an HDF5 file.
        """
        if writes_hdf5(self):
            refuse_hdf5("an HDF5 file")
        return super().get_config()  # type: ignore[misc]
