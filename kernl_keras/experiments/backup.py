"""What a run writes after every epoch: its best model, and a backup from which it goes on exactly."""

import dataclasses
import json
import math
import time

from ..callbacks.stream_backup import StreamBackup
from ..keras_version import keras
from ..training.optimizers import averaged
from ..whole_files import whole
from .experiment import Experiment
from .files import BACKUP, GOOD_COPY, MODEL
from .provenance import computed_with


@dataclasses.dataclass
class Progress:
    """What a run knows of itself, besides how many epochs and batches it has learned."""

    seconds: float = 0.0
    best_epoch: int = 0  # counted from 1
    best_score: float = -math.inf
    curve: list = dataclasses.field(default_factory=list)  # one dict an epoch
    counts: dict = dataclasses.field(default_factory=dict)  # `Feed.counts` at the end of the last epoch
    keras: str = keras.__version__
    computed_with: list = dataclasses.field(default_factory=lambda: [computed_with()])  # a second after a change


class Backup(StreamBackup):
    """Keeps `model.keras`, the best model so far by the `monitor` of the `feed`, and `backup.npz` to resume from.

    The model is written first: a kill between the two leaves the model of an epoch that a resumed run makes once more,
    to the bit. With `use_ema` the model has the averages of the weights, and the backup the weights, which training
    goes on with. `experiment` is that in the file, or that of the run where there is none.
    """

    _kind, _advice = "run", GOOD_COPY

    def __init__(self, run_dir, feed):
        super().__init__(run_dir / BACKUP)
        self.run_dir, self.feed = run_dir, feed
        self.progress, self.experiment = Progress(), feed.experiment
        self.begun = self.path.is_file()
        if self.begun:
            try:
                texts = [json.loads(self._texts.get(name, "null")) for name in ("progress", "experiment")]
                self.progress, self.experiment = Progress(**texts[0]), Experiment(**texts[1])
            except (TypeError, ValueError) as error:
                raise OSError(f"{self.path} is no backup of a run: {error}. {GOOD_COPY}") from error

    def begin(self, model):
        """Writes the backup of the beginning, before there is a model: a model without a backup has lost it."""
        self._write(model, 0, 0)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._time = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        if self.pieces % self.feed.every:  # the run had ended within this epoch, and goes on with it
            self.progress.curve.pop()
            self.feed.go_on_within_epoch(self.model, self.progress.counts)

    def on_test_begin(self, logs=None):
        self._averaged = averaged(self.model)
        self._averaged.__enter__()

    def on_test_end(self, logs=None):
        self._averaged.__exit__(None, None, None)

    def on_epoch_end(self, epoch, logs=None):
        progress, now = self.progress, time.monotonic()
        progress.seconds, self._time = progress.seconds + now - self._time, now
        progress.curve.append(self.feed.row(self.model, epoch + 1, self._heard(), progress.seconds, logs))
        progress.counts = self.feed.counts(self.model)
        score = self.feed.sign * float(logs[self.feed.monitor]) if self.feed.monitor else 0.0
        score = -math.inf if math.isnan(score) else score
        if score >= progress.best_score:
            progress.best_epoch, progress.best_score = epoch + 1, score
            with whole(self.run_dir / MODEL) as part, averaged(self.model):
                self.model.save(str(part))
        super().on_epoch_end(epoch, logs)

    def _write(self, model, epochs, pieces):
        parts = {"progress": self.progress, "experiment": self.experiment}
        self._texts = {name: json.dumps(dataclasses.asdict(part)) for name, part in parts.items()}
        super()._write(model, epochs, pieces)
