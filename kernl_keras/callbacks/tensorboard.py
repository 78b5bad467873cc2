"""`TensorBoard`: losses, weights, gradients and spikes in TensorBoard."""

import os
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from ..checks import flag
from ..keras_version import keras
from ..layers.names import learned_constants, output_kinds, weight_names
from ..layers.step import Step, running
from ..training.diagnostics import with_diagnostics
from ..training.state import state_kept
from .event_writer import EventWriter
from .examples import check_examples, fixed_examples
from .images import diverging, pictures, raster, sequential


class TensorBoard(EventWriter):
    """Writes losses, M, gamma, weights, their gradients and spikes for TensorBoard: `tensorboard --logdir logs`.

    The horizontal axis counts training steps, also those before a run was resumed. A tensor is named by its layer and
    itself, alike in Keras 2 and Keras 3.

    Each entry is a tag, with its kind and the run in which it is shown:

    - `fit/loss`, `fit/accuracy` and each other entry of the logs: scalar, train
    - `fit/explained_variance` and each other number of `Model.diagnostics`: scalar, train
    - the numbers of the validation, without Keras' `val_`: scalar, validation
    - `fit/learning_rate`, `fit/sensitivity_learning_rate`: scalar, train
    - `hidden/sensitivity_tensor` (M), `hidden/temporal_filter` (gamma): histogram, train
    - `hidden/kernel`, `hidden/recurrent_kernel`, `hidden/bias`: histogram, train
    - `hidden/tau_m` and each other constant that learns, in its own unit: histogram, train
    - `readout/kernel`, and each other trainable weight by `layer/weight`: histogram, train
    - `layer/weight/gradient` of each of them: histogram, train
    - `layer/weight/image`, `layer/weight/gradient/image` of each vector, matrix or stack of them: image, train
    - `hidden/spikes` of each `RNN` layer whose units spike, `hidden/activity` of all others: image, one an example,
      train

    A second weight of the same name in a layer is `layer/weight_1`. The gradients are those of `Model.gradients` for a
    few fixed examples, not for the last batch. In an image 0 is white, red is positive and blue negative; gamma
    goes from purple, 0, to yellow. In a raster time runs rightwards and unit 0 is at the top. Spikes are black there;
    activity has the colours of the images.

    The callback works between the training steps, and training is the same, bit for bit, without it (but for Keras 2's
    random layers, such as `Dropout`, under `run_eagerly`: they count their calls in Python).

    Args:
        log_dir: folder of the event files, in `train` and `validation` below it.
        update_freq: "epoch", or the number of training steps after which to write (the validation's scalars are written
            after an epoch all the same).
        examples: for gradients and rasters: the number of validation examples of `Model.fit` to use, or a batch
            `(x, y)`, or a `tf.data.Dataset` whose first batch is used. Without validation data, or with a generator,
            which cannot be read twice, there are neither. Any other Keras model needs a batch for rasters, and has no
            gradients.
        histograms: whether to write histograms.
        images: whether to write images of the weights and gradients.
        raster: whether to write rasters.

    Raises:
        OSError: when training begins, where `log_dir` cannot be written, and later, where the disk is full.
        ValueError: for an unknown `update_freq`, and for `examples` of another kind.

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
        super().__init__(log_dir, update_freq)
        self.examples = check_examples(examples)
        self.histograms = flag("histograms", histograms)
        self.images = flag("images", images)
        self.raster = flag("raster", raster)
        self._shown = examples if isinstance(examples, int) else None  # how many examples have a raster

    # When

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._open("train")
        self._batch = None  # (x, y), looked up when it is first needed
        self._gradients = tf.function(self.model.gradients) if hasattr(self.model, "gradients") else None
        self._outputs = tf.function(self._layer_outputs)
        self._kinds = output_kinds(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        logs = with_diagnostics(self.model, logs or {})
        validation = {name[4:]: value for name, value in logs.items() if name.startswith("val_")}
        self._write_scalars("validation", validation)
        self._flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_end(logs)
        self._batch = None

    # What, one method a quantity

    def _write(self, logs):
        logs = with_diagnostics(self.model, logs or {})
        training = {name: value for name, value in logs.items() if not name.startswith("val_")}
        self._write_scalars("train", {**training, **self._learning_rates()})
        if self.histograms or self.images:
            tensors = self._tensors()
            if self.histograms:
                constants = {name: value.numpy() for name, value in learned_constants(self.model).items()}
                self._write_histograms({**tensors, **constants})
            if self.images:
                self._write_images(tensors)
        if self.raster:
            self._write_rasters()
        self._flush()

    def _write_scalars(self, run, values):
        if values:
            with self._run(run):
                for name, value in values.items():
                    tf.summary.scalar(f"fit/{name}", value)

    def _write_histograms(self, tensors):
        with self._run("train"):
            for name, value in tensors.items():
                tf.summary.histogram(name, value[np.isfinite(value)])

    def _write_images(self, tensors):
        with self._run("train"):
            for name, value in tensors.items():
                if 1 <= value.ndim <= 3:
                    drawn = pictures(value, sequential if name.endswith("/temporal_filter") else diverging)
                    tf.summary.image(f"{name}/image", drawn, max_outputs=len(drawn))

    def _write_rasters(self):
        x, _ = self._fixed_examples()
        if x is not None:
            outputs_by_layer = self._outputs(x)
            with self._run("train"):
                for name, outputs in outputs_by_layer.items():
                    kind = self._kinds[name]
                    drawn = raster(outputs.numpy()[: self._shown], spikes=kind == "spikes")
                    tf.summary.image(f"{name}/{kind}", drawn, max_outputs=len(drawn))

    # Where from

    def _learning_rates(self):
        optimizers = {
            "learning_rate": self.model.optimizer,
            "sensitivity_learning_rate": getattr(self.model, "sensitivity_optimizer", None),
        }
        return {name: _learning_rate(optimizer) for name, optimizer in optimizers.items() if optimizer is not None}

    def _tensors(self):
        """The trainable weights and, if possible, their gradients: `{name: NumPy array}`."""
        x, y = self._fixed_examples()
        variables = self.model.trainable_variables
        gradients = [None] * len(variables) if x is None or self._gradients is None else self._gradients(x, y)
        tensors = {}
        for name, variable, gradient in zip(weight_names(self.model), variables, gradients):
            tensors[name] = variable.numpy()
            if gradient is not None:
                tensors[f"{name}/gradient"] = tf.convert_to_tensor(gradient).numpy()
        return tensors

    def _fixed_examples(self):
        """The examples `(x, y)`, the same in the whole run; `(None, None)` without any."""
        if self._batch is None:
            self._batch = fixed_examples(self.model, self.examples, self._validation_data)
        return self._batch

    def _layer_outputs(self, x):
        """The outputs of each `RNN` layer: `{layer's name: [B, T, H]}`."""
        with state_kept(self.model), running(Step()) as step:
            self.model(x, training=False)
        return {call.layer.name: tf.cast(call.outputs, tf.float32) for call in step.calls}


def _learning_rate(optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a `LossScaleOptimizer`
    # Keras 2's `learning_rate` is a schedule's value at the last step.
    rate = getattr(optimizer, "_learning_rate", optimizer.learning_rate)
    return rate(optimizer.iterations) if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else rate
