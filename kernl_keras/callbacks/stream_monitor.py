"""`StreamMonitor`: word errors and activity of a network while it learns from a stream."""

import collections
import os
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from ..checks import integer
from ..layers.names import named_rule_layers
from ..layers.step import Step, running
from ..training.compiled import compiled_as
from ..training.state import Kept, finite_goes_on, lasting
from .event_writer import EventWriter
from .images import raster

MEANS = {"spikes": "firing_rate", "activity": "mean_activity"}  # name of the mean output, by the kind of outputs


class StreamMonitor(EventWriter):
    """Reports, while `fit` learns from a `kk.data.stream`, the share of recent words that were answered wrongly.

    Each piece is tested before the network learns from it. The same words come again in later passes, and the first
    part of a word that is cut by the end of a piece has been learned when the word ends. A word is a run of steps in
    one row that ask for the same class, and its answer is the class with the largest mean output over them. The logs of
    an epoch, and so the line that Keras prints and the history, have:

    - `words`: number of words so far, which `StreamBackup` does not keep
    - `word_error`: the share of the last words that were answered wrongly
    - `firing_rate`: spikes a unit and step since the epoch began, the mean of the `RNN` layers whose units spike
    - `mean_activity`: the mean absolute output since then, the mean of all other `RNN` layers

    TensorBoard shows the same (`tensorboard --logdir logs`), in the run `stream`, over training steps:

    - `stream/words`, `stream/word_error`: scalars
    - `hidden/firing_rate` of each `RNN` layer whose units spike, since it was last written: scalar
    - `hidden/spikes` of the same, in the last steps of the first row: image, as by `TensorBoard`
    - `hidden/mean_activity` and `hidden/activity` of each other `RNN` layer: the same

    Training is the same, bit for bit, without the callback, which adds a forward pass for each piece.

    Args:
        log_dir: folder of the event files, in `stream` below it; None for the logs alone, which need no TensorBoard.
        update_freq: "epoch", or the number of pieces after which to write for TensorBoard.
        last: number of most recent words over which `word_error` is computed.
        steps: number of steps in the picture.

    Attributes:
        count: the words so far, also over several calls of `fit`.
        rates: mean absolute activity of each `RNN` layer since the epoch began.

    Raises:
        OSError: when training begins, where `log_dir` cannot be written, and later, where the disk is full.
        ValueError: for a setting out of range, and, when training begins, for others than a `kk.Model` and a stream
            with one class a step, and for epochs that are no whole number of `steps_per_execution`.

    Example: 5 stretches with a word in each of 2 rows, of which all but the last have surely ended.

    >>> import kernl_keras as kk
    >>> from kernl_keras.keras_version import keras
    >>> inputs = keras.Input(batch_shape=(2, 10, 1))
    >>> model = kk.Model(inputs, kk.Readout(2, stateful=True)(inputs))
    >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> words, classes = [[[1.0], [1.0]], [[2.0], [2.0]]], [0, 1]
    >>> pieces = kk.data.stream(words, classes, every=10, answer=3, piece=10, batch_size=2)
    >>> monitor = kk.StreamMonitor(log_dir=None)
    >>> history = model.fit(pieces, steps_per_epoch=5, callbacks=[monitor], verbose=0).history
    >>> 8 <= history["words"][0] <= 10, 0.0 <= history["word_error"][0] <= 1.0
    (True, True)

    Source: Dawid, Statistical theory: the prequential approach, Journal of the Royal Statistical Society A 147 (1984),
    who tests on each new observation before learning from it.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = "logs",
        update_freq: int | Literal["epoch"] = "epoch",
        last: int = 200,
        steps: int = 100,
    ) -> None:
        super().__init__(log_dir, update_freq)
        self.last, self.steps = integer("last", last), integer("steps", steps)
        self.count, self.rates = WordCount(self.last), Rates()
        self._pieces: Any = None

    def set_training_data(self, x: Any) -> None:
        """Called by `Model.fit` with its training data."""
        self._pieces = x

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        spec = self._pieces.element_spec if isinstance(self._pieces, tf.data.Dataset) else None
        if not isinstance(spec, tuple) or len(spec) != 3 or not isinstance(spec[0], tf.TensorSpec):
            raise ValueError(
                "StreamMonitor needs kernl_keras.Model.fit to learn from a kernl_keras.data.stream; received "
                f"{self._pieces!r}."
            )
        if self._pieces.cardinality() != tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "StreamMonitor needs a stream without end, each of whose pieces it takes twice, as a "
                f"kernl_keras.data.stream without take(n) is; received {self._pieces!r}. For an end, give `fit` "
                "steps_per_epoch and epochs. What comes live, as from a generator, cannot be taken twice."
            )
        if not spec[1].dtype.is_integer or spec[1].shape.rank != 2:
            raise ValueError(
                f"StreamMonitor needs targets that are classes, integers [batch, time]; received {spec[1].dtype.name} "
                f"of shape {spec[1].shape}."
            )
        self._at_once = steps_per_execution(self.model)
        if self.params["steps"] is None or self.params["steps"] % self._at_once:
            raise ValueError(
                f"steps_per_epoch must be a multiple of steps_per_execution, {self._at_once}; "
                f"received {self.params['steps']}."
            )
        self._coming = iter(self._pieces)  # the same pieces as those that `fit` takes
        named = named_rule_layers(self.model)
        self._hear = hearing(self.model, named)
        self._rates = Rates()
        self._kinds = {name: layer.cell.output_kind for name, layer in named.items()}
        self._recent: dict[str, np.ndarray] = {}  # {layer: the last steps of the first row}
        if self.log_dir is not None:
            self._open("stream")

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.rates = Rates()

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        with Kept(lasting(self.model)):
            for _ in range(self._at_once):
                x, classes, weights = next(self._coming)
                outputs, hidden = self._hear(x)
                self.count.add(outputs.numpy(), classes.numpy(), weights.numpy())
                for name, sent in hidden.items():  # [B, P, H]
                    sent = sent.numpy()
                    self._rates.add(name, sent)
                    self.rates.add(name, sent)
                    before = self._recent.get(name, sent[0, :0])
                    self._recent[name] = np.concatenate([before, sent[0]])[-self.steps :]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs |= {"words": self.count.heard, "word_error": self.count.error}
            rates = self.rates.result()
            for kind, name in MEANS.items():
                if selected := [rate for layer, rate in rates.items() if self._kinds[layer] == kind]:
                    logs.setdefault(name, float(np.mean(selected)))
        super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_end(logs)
        self._pieces = self._coming = self._hear = None

    def _write(self, logs):
        if self.log_dir is None:
            return
        with self._run("stream"):
            tf.summary.scalar("stream/words", self.count.heard)
            if self.count.heard:
                tf.summary.scalar("stream/word_error", self.count.error)
            for name, rate in self._rates.result().items():
                kind = self._kinds[name]
                tf.summary.scalar(f"{name}/{MEANS[kind]}", rate)
                tf.summary.image(f"{name}/{kind}", raster(self._recent[name][None], spikes=kind == "spikes"))
        self._rates = Rates()


class WordCount:
    """Counts the words of a stream as they end, and the errors among the last of them.

    A word is a run of steps in one row that ask for the same class. It is answered by the class with the largest mean
    output over these steps, and counts when the row no longer asks for it, in the same piece or in a later one.

    `last` is the number of recent words over which errors are counted, and `heard` that of all words that have ended.

    Example: two words in one row, of classes 1 and 0; the second, whose outputs are the same, is taken for a 1.

    >>> count = WordCount(last=10)
    >>> outputs = np.broadcast_to([0.2, 0.8], (1, 5, 2))
    >>> count.add(outputs, np.array([[1, 1, 0, 0, 0]]), np.array([[1, 1, 0, 1, 0]]))
    >>> count.heard, count.error
    (2, 0.5)
    """

    def __init__(self, last):
        self.heard = 0
        self._wrong = collections.deque(maxlen=last)
        self._open = None  # [B], True inside a word; `_class` [B] and `_sum` of outputs [B, O] belong to that word

    @property
    def error(self):
        """The share of the last words that were answered wrongly; NaN before the first."""
        return float(np.mean(self._wrong)) if self._wrong else float("nan")

    def add(self, outputs, classes, weights):
        """Adds a piece: outputs [B, P, O], classes [B, P] and weights [B, P], 0 where no answer is asked for."""
        rows, steps, count = outputs.shape
        if self._open is None:
            self._open, self._class, self._sum = np.zeros(rows, bool), np.zeros(rows, int), np.zeros((rows, count))
        for step in range(steps):
            asked, now = weights[:, step] > 0, classes[:, step]
            ended = self._open & ~(asked & (now == self._class))
            for row in np.flatnonzero(ended):
                finite = np.isfinite(self._sum[row]).all()
                self._wrong.append(not finite or int(np.argmax(self._sum[row])) != self._class[row])
            self.heard += int(ended.sum())
            begins = asked & (ended | ~self._open)
            self._sum[begins], self._class[begins] = 0.0, now[begins]
            self._sum[asked] += outputs[asked, step]
            self._open = asked

    def state(self):
        """The count in JSON types."""
        begun = None if self._open is None else [array.tolist() for array in (self._open, self._class, self._sum)]
        return {"heard": self.heard, "wrong": [int(wrong) for wrong in self._wrong], "open": begun}

    def restore(self, state):
        self.heard = state["heard"]
        self._wrong.clear()
        self._wrong.extend(map(bool, state["wrong"]))
        self._open = None
        if state["open"]:
            self._open, self._class, self._sum = (
                np.array(values, kind) for values, kind in zip(state["open"], (bool, int, float))
            )


class Rates:
    """Mean absolute outputs of layers; `sums` are {layer's name: [sum, count]}."""

    def __init__(self, sums=()):
        self.sums = dict(sums)

    def add(self, name, outputs):
        """Adds outputs of a layer, of any shape."""
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = [total + float(np.abs(outputs).sum(dtype=np.float64)), count + outputs.size]

    def result(self):
        """The means, `{layer's name: float}`."""
        return {name: total / count for name, (total, count) in self.sums.items()}


def steps_per_execution(model):
    """The number of pieces that Keras gives a model in one call."""
    steps = getattr(model, "steps_per_execution", None) or getattr(model, "_steps_per_execution", 1)
    return int(steps.numpy() if hasattr(steps, "numpy") else steps)


def hearing(model, named):
    """A compiled function from a piece x to the outputs of a model and of its `named_rule_layers`; it moves states."""

    def hear(x):
        with running(Step()) as step, finite_goes_on(model):
            outputs = model(x, training=False)
        return outputs, step.outputs(named)

    return compiled_as(model, hear)
