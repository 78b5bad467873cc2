"""`GradientAlignment`: `gradient_alignment` while a model trains, in TensorBoard."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import tensorflow as tf

from ..checks import integer
from ..training.alignment import Alignment, Alignments, check_rules
from .event_writer import EventWriter, training_steps


class GradientAlignment(EventWriter):
    """Logs how well each rule's gradient agrees with backpropagation's: `tensorboard --logdir logs`.

    It measures before the first step and then every `update_freq`, and writes in the run `alignment` below `log_dir`;
    `history` is a list of `(step, Alignment)`. `kernl_keras.gradient_alignment` explains the numbers.

    - `alignment/hidden/kernel/eprop/cosine`, `.../norm_ratio`, `.../nonlocal_cosine`: each weight, each rule
    - `alignment/hidden/eprop/cosine`, ...: all weights of the layer together
    - `alignment/hidden/eprop/cosine_at_lag/105ms`: the cosine by the time between input and error
    - `alignment/hidden/explained_variance`: 1 - F / mean D^2

    A number that does not exist, such as the cosine of a gradient of zero, is left out.

    Args:
        log_dir: folder of the event files.
        update_freq: "epoch", or the number of training steps after which to measure.
        examples: how many of the validation examples of `Model.fit` to measure with, or a batch `(x, y)`, or a
            `tf.data.Dataset` whose first batch is taken.
        rules, windows: as in `kernl_keras.gradient_alignment`.

    Raises:
        OSError: when training begins, where `log_dir` cannot be written, and later, where the disk is full.
        ValueError: for a setting out of range, and, when training begins, without examples, and where
            `gradient_alignment` raises one.

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
        super().__init__(log_dir, update_freq, examples)
        check_rules(rules)
        self.rules, self.windows = rules, integer("windows", windows)
        self.history: list[tuple[int, Alignment]] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._batch = self._fixed_examples()
        if self._batch[0] is None:
            raise ValueError(
                f"examples must be a batch (x, y) where Model.fit has no validation data; received {self.examples!r}."
            )
        self._measure: Alignments | None = Alignments(self.model, self.rules, self.windows)
        self._open("alignment")
        self._write(logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_end(logs)
        self._batch = self._measure = None

    def _write(self, logs):
        alignment = self._measure(*self._batch)
        self.history.append((training_steps(self.model), alignment))
        with self._run("alignment"):
            for name, value in scalars(alignment).items():
                tf.summary.scalar(name, value)


def scalars(alignment):
    """The numbers of an `Alignment` by their tags, without those that do not exist."""
    tags = {f"{layer}/explained_variance": share for layer, share in alignment.explained_variance.items()}
    for weight, rules in alignment.variables.items():
        for rule, agreement in rules.items():
            tags |= {f"{weight}/{rule}/{name}": value for name, value in agreement._asdict().items()}
    for weight, rules in alignment.lags.items():
        for rule, lags in rules.items() if "/" not in weight else ():  # all weights of a layer
            tags |= {f"{weight}/{rule}/cosine_at_lag/{lag:g}ms": cosine for lag, cosine in zip(lags.lag, lags.cosine)}
    return {f"alignment/{name}": value for name, value in tags.items() if math.isfinite(value)}
