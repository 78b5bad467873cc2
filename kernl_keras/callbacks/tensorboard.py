"""`TensorBoard`: losses, weights, gradients and spikes in TensorBoard."""

import os
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from ..checks import flag
from ..layers.names import layers_that_learn_constants, named_layers, named_rule_layers, weight_names
from ..layers.step import Step, running
from ..training.diagnostics import with_diagnostics
from ..training.optimizers import learning_rate
from ..training.state import Kept, lasting
from .event_writer import EventWriter
from .images import diverging, pictures, raster, sequential


class TensorBoard(EventWriter):
    """Writes losses, M, gamma, weights, their gradients and spikes for TensorBoard: `tensorboard --logdir logs`.

    The horizontal axis counts training steps, also those before a run was resumed. A tensor is named by its layer and
    itself, alike in Keras 2 and Keras 3.

    Each entry is a tag, with its kind and the run in which it is shown:

    - `fit/loss` and each other entry of the logs, and each number of `Model.diagnostics`: scalar, train
    - the numbers of the validation, without Keras' `val_`: scalar, validation
    - `fit/learning_rate`, `fit/sensitivity_learning_rate`: scalar, train
    - `hidden/kernel`, `hidden/sensitivity_tensor` (M), `hidden/temporal_filter` (gamma), and each other trainable
      weight by `layer/weight`: histogram, train
    - `hidden/tau_m` and each other constant that learns, in its own unit: histogram, train
    - `layer/weight/gradient` of each weight: histogram, train
    - `layer/weight/image`, `layer/weight/gradient/image` of each vector, matrix or stack of them: image, train
    - `hidden/spikes` of each `RNN` layer whose units spike, `hidden/activity` of all others: image, one an example,
      train

    A second weight of the same name in a layer is `layer/weight_1`, and a second layer of the same name `layer_1`. The
    gradients are those of `Model.gradients` for a few fixed examples, not for the last batch. In an image 0 is white,
    red is positive and blue negative; gamma goes from purple, 0, to yellow. In a raster time runs rightwards and unit 0
    is at the top; spikes are black.

    Training is the same, bit for bit, without the callback (but for Keras 2's random layers, such as `Dropout`, under
    `run_eagerly`: they count their calls in Python).

    Args:
        log_dir: folder of the event files, in `train` and `validation` below it.
        update_freq: "epoch", or the number of training steps after which to write (the validation's scalars are written
            after an epoch all the same).
        examples: for gradients and rasters: the number of validation examples of `Model.fit` to use, or a batch
            `(x, y)`, or a `tf.data.Dataset` whose first batch is used. Without validation data, or with a generator,
            there are neither. Any other Keras model needs a batch for rasters, and has no gradients.
        histograms, images, raster: whether to write histograms, images of weights and gradients, and rasters.

    Raises:
        OSError: when training begins, where `log_dir` cannot be written, and later, where the disk is full.
        ValueError: for a setting out of range.

    Example:

    >>> import tempfile, kernl_keras as kk
    >>> callback = kk.TensorBoard(tempfile.mkdtemp(), update_freq=100)  # model.fit(..., callbacks=[callback])

    Source: `keras.callbacks.TensorBoard`, whose arguments and lazily opened writers it follows.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        update_freq: int | Literal["epoch"] = "epoch",
        examples: int | tuple[Any, Any] | tf.data.Dataset = 4,
        histograms: bool = True,
        images: bool = True,
        raster: bool = True,
    ) -> None:
        super().__init__(log_dir, update_freq, examples)
        self.histograms = flag("histograms", histograms)
        self.images = flag("images", images)
        self.raster = flag("raster", raster)
        self._shown = examples if isinstance(examples, int) else None  # how many examples have a raster

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._open("train")
        self._batch = None  # (x, y), looked up when it is first needed
        self._gradients = tf.function(self.model.gradients) if hasattr(self.model, "gradients") else None
        self._outputs = tf.function(self._layer_outputs)
        self._named = named_rule_layers(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        logs = with_diagnostics(self.model, logs or {})
        if validation := {name[4:]: value for name, value in logs.items() if name.startswith("val_")}:
            with self._run("validation"):
                for name, value in validation.items():
                    tf.summary.scalar(f"fit/{name}", value)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_end(logs)
        self._batch = None

    def _write(self, logs):
        logs = with_diagnostics(self.model, logs or {})
        logs["learning_rate"] = learning_rate(self.model.optimizer)
        if hasattr(self.model, "sensitivity_optimizer"):
            logs["sensitivity_learning_rate"] = learning_rate(self.model.sensitivity_optimizer)
        learn, layers = layers_that_learn_constants(self.model), named_layers(self.model).items()
        cells = [(name, layer.cell) for name, layer in layers if layer in learn]
        constants = {f"{name}/{each}": cell.constant(each).numpy() for name, cell in cells for each in cell.learn}
        if self._batch is None and (self.histograms or self.images or self.raster):
            self._batch = self._fixed_examples()
        tensors = self._tensors() if self.histograms or self.images else {}
        outputs = self._outputs(self._batch[0]) if self.raster and self._batch[0] is not None else {}
        outputs = {name: output.numpy()[: self._shown] for name, output in outputs.items()}
        with self._run("train"):
            for name, value in logs.items():
                if not name.startswith("val_"):
                    tf.summary.scalar(f"fit/{name}", value)
            if self.histograms:
                for name, value in {**tensors, **constants}.items():
                    tf.summary.histogram(name, value[np.isfinite(value)])
            if self.images:
                for name, value in tensors.items():
                    if 1 <= value.ndim <= 3:
                        drawn = pictures(value, sequential if name.endswith("/temporal_filter") else diverging)
                        tf.summary.image(f"{name}/image", drawn, max_outputs=len(drawn))
            for name, output in outputs.items():
                kind = self._named[name].cell.output_kind
                drawn = raster(output, spikes=kind == "spikes")
                tf.summary.image(f"{name}/{kind}", drawn, max_outputs=len(drawn))

    def _tensors(self):
        """The trainable weights and, if possible, their gradients: `{name: NumPy array}`."""
        x, y = self._batch
        variables = self.model.trainable_variables
        gradients = [None] * len(variables) if x is None or self._gradients is None else self._gradients(x, y)
        tensors = {}
        for name, variable, gradient in zip(weight_names(self.model), variables, gradients):
            tensors[name] = variable.numpy()
            if gradient is not None:
                tensors[f"{name}/gradient"] = tf.convert_to_tensor(gradient).numpy()
        return tensors

    def _layer_outputs(self, x):
        """The outputs of each `RNN` layer: `{its name: [B, T, H]}`."""
        with Kept(lasting(self.model)), running(Step()) as step:
            self.model(x, training=False)
        return step.outputs(self._named)
