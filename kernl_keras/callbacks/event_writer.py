"""`EventWriter`: base of the callbacks that write for TensorBoard, and the examples that these look at."""

import contextlib
import os
from typing import Any, Literal

import tensorflow as tf

from ..checks import integer
from ..keras_version import keras


class EventWriter(keras.callbacks.Callback):
    """Base of the callbacks that write event files, every `update_freq` training steps or after each epoch.

    A subclass writes in `_write(logs)`, within `_run(name)`.
    """

    def __init__(
        self, log_dir: str | os.PathLike[str] | None, update_freq: int | Literal["epoch"], examples: Any = 1
    ) -> None:
        super().__init__()
        pair = isinstance(examples, (tuple, list)) and len(examples) == 2
        number = isinstance(examples, int) and not isinstance(examples, bool) and examples >= 1
        if not (pair or number or isinstance(examples, tf.data.Dataset)):
            raise ValueError(
                f"examples must be an integer >= 1, a batch (x, y) or a tf.data.Dataset; received {examples!r}."
            )
        self.examples = examples
        self.log_dir = None if log_dir is None else str(log_dir)
        epochs = update_freq == "epoch"
        self.update_freq = update_freq if epochs else integer("update_freq, if not 'epoch',", update_freq)
        self._supports_tf_logs = True  # Keras 2 then gives the logs that it reports, and copies none to NumPy
        self._validation_data: Any = None
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._steps = self._first = 0

    def set_validation_data(self, data: Any) -> None:
        """Called by `Model.fit` with its validation data."""
        self._validation_data = data

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._first = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        before = self._steps
        self._steps += batch - self._first + 1  # more than 1 with `steps_per_execution`
        if self.update_freq != "epoch" and self._steps // self.update_freq > before // self.update_freq:
            self._write(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.update_freq == "epoch":
            self._write(logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        with writing(self.log_dir):
            for writer in self._writers.values():
                writer.close()
        self._validation_data = None

    def _fixed_examples(self):
        """The `examples` as `(x, y)`, or `(None, None)`; as many as a fixed batch size asks for."""
        if not isinstance(self.examples, int):
            return first_examples(self.examples)
        size = self.model.inputs[0].shape[0] if getattr(self.model, "inputs", None) else None
        return first_examples(self._validation_data, size or self.examples)

    def _write(self, logs):
        raise NotImplementedError

    def _open(self, run):
        """Makes the folder of a run, so that an error comes now."""
        self._steps, self._writers = 0, {}
        with self._run(run):
            pass

    @contextlib.contextmanager
    def _run(self, run):
        """Within, summaries go to a run, at the training step of the model. Nothing should be computed there."""
        with writing(self.log_dir):
            if run not in self._writers:
                tf.io.gfile.makedirs(self.log_dir)
                self._writers[run] = tf.summary.create_file_writer(f"{self.log_dir}/{run}")
            with self._writers[run].as_default(training_steps(self.model)):
                yield
            self._writers[run].flush()


def training_steps(model):
    """The number of training steps so far, as the optimizers count them, also in a resumed run."""
    steps = int(model.optimizer.iterations.numpy())
    if getattr(model, "sensitivity_only", 0):  # the first steps do not move the weights
        steps += min(int(model.sensitivity_optimizer.iterations.numpy()), model.sensitivity_only)
    return steps


@contextlib.contextmanager
def writing(log_dir):
    """Turns TensorFlow's error for a folder that cannot be written, or for a full disk, into an `OSError`."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0].split("}} ")[-1]
        raise OSError(f"log_dir must be a folder that can be written; received {log_dir!r}: {reason}") from error


def first_examples(data, count=None):
    """The first `count` examples, None for all, of the first batch of any data that `fit` takes, as tensors `(x, y)`.

    `(None, None)` without data, and for a generator, from which an example read would be lost.
    """
    if isinstance(data, tf.data.Dataset):
        data = next(iter(data.take(1)), None)
    elif isinstance(data, keras.utils.Sequence):
        data = data[0]
    if not isinstance(data, (tuple, list)):
        return None, None
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    return tf.nest.map_structure(lambda array: None if array is None else tf.convert_to_tensor(array[:count]), (x, y))
