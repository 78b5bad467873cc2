"""`GradientAlignment`: `gradient_alignment` while a model trains, in TensorBoard."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import tensorflow as tf

from ..checks import integer
from ..keras_version import keras
from ..training.alignment import Alignment, Alignments, check_rules
from .examples import check_examples, fixed_examples
from .steps import training_steps
from .writing import needs_tensorboard, writing


class GradientAlignment(keras.callbacks.Callback):
    """Logs how well each rule's gradient agrees with backpropagation's: `tensorboard --logdir logs`.

    Before the first step and then every `update_freq`, in the run `alignment` below `log_dir`; `history` holds the same
    as a list of `(step, kernl_keras.training.alignment.Alignment)`. See `kernl_keras.gradient_alignment` for what the
    numbers mean, and what they do not.

    - `alignment/hidden/kernel/eprop/cosine`, `.../norm_ratio`, `.../nonlocal_cosine`: each weight, each rule
    - `alignment/hidden/eprop/cosine`, ...: all weights of the layer together
    - `alignment/hidden/eprop/cosine_at_lag/105ms`: the same by the time between input and error
    - `alignment/hidden/explained_variance`: 1 - F / mean D^2

    A number that does not exist, such as the cosine of a gradient of zero, is left out.

    Args:
        log_dir: folder of the event files.
        update_freq: "epoch", or the number of training steps after which to measure.
        examples: how many of the validation examples of `Model.fit` to measure with, or a batch `(x, y)`, or a
            `tf.data.Dataset` whose first batch is taken.
        rules, windows: as in `kernl_keras.gradient_alignment`.

    Raises:
        ImportError: where TensorBoard is not installed.
        OSError: when training begins, where `log_dir` cannot be written, and later, where the disk is full.
        ValueError: for an unknown `update_freq`, for `examples` of another kind, and, when training begins, where there
            are no examples, and as `gradient_alignment`.

    Example:

    >>> import tempfile, kernl_keras as kk
    >>> callback = kk.GradientAlignment(tempfile.mkdtemp(), rules=("kernl", "eprop"))
    >>> # model.fit(..., callbacks=[callback])

    Source: Marschall, Cho, Savin, JMLR 21 (2020).
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        update_freq: int | Literal["epoch"] = "epoch",
        examples: int | tuple[Any, Any] | tf.data.Dataset = 16,
        rules: Sequence[Any] | Mapping[str, Any] | None = None,
        windows: int = 8,
    ) -> None:
        needs_tensorboard("GradientAlignment")
        super().__init__()
        self.log_dir = str(log_dir)
        self.update_freq = (
            update_freq if update_freq == "epoch" else integer("update_freq, if not 'epoch',", update_freq)
        )
        self.examples = check_examples(examples)
        check_rules(rules)
        self.rules, self.windows = rules, integer("windows", windows)
        self.history: list[tuple[int, Alignment]] = []
        self._validation_data = None
        self._supports_tf_logs = True  # Keras 2 then does not copy the logs of every batch to NumPy

    def set_validation_data(self, data: Any) -> None:
        """`Model.fit` tells here what it validates on."""
        self._validation_data = data

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._batch = fixed_examples(self.model, self.examples, self._validation_data)
        if self._batch[0] is None:
            raise ValueError(
                f"examples must be a batch (x, y) where Model.fit has no validation data; received {self.examples!r}."
            )
        self._measure: Alignments | None = Alignments(self.model, self.rules, self.windows)
        with writing(self.log_dir):
            self._writer = tf.summary.create_file_writer(f"{self.log_dir}/alignment")
        self._steps = training_steps(self.model)
        self._write()

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._first = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        before = self._steps
        self._steps += batch - self._first + 1  # more than 1 with `steps_per_execution`
        if self.update_freq != "epoch" and self._steps // self.update_freq > before // self.update_freq:
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.update_freq == "epoch":
            self._write()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        with writing(self.log_dir):
            self._writer.close()
        self._batch = self._validation_data = self._measure = None

    def _write(self):
        found = self._measure(*self._batch)
        self.history.append((self._steps, found))
        with writing(self.log_dir):
            with self._writer.as_default(self._steps):
                for name, value in scalars(found).items():
                    tf.summary.scalar(name, value)
            self._writer.flush()


def scalars(alignment):
    """`{tag: number}` of an `Alignment`, what does not exist left out."""
    found = {}
    for weight, rules in alignment.variables.items():
        for rule, agreement in rules.items():
            found |= {f"alignment/{weight}/{rule}/{name}": value for name, value in agreement._asdict().items()}
    for weight, rules in alignment.lags.items():
        if "/" not in weight:  # a layer
            for rule, lags in rules.items():
                for lag, cosine in zip(lags.lag, lags.cosine):
                    found[f"alignment/{weight}/{rule}/cosine_at_lag/{lag:g}ms"] = cosine
    for layer, share in alignment.explained_variance.items():
        found[f"alignment/{layer}/explained_variance"] = share
    return {name: value for name, value in found.items() if math.isfinite(value)}
