"""What a run writes after every epoch: its best model, and a backup from which it goes on exactly."""

import dataclasses
import json
import math
import time

import numpy as np

from ..keras_version import keras
from .files import BACKUP, MODEL, whole


@dataclasses.dataclass
class Progress:
    """How far a run is."""

    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    best_epoch: int = 0  # counted from 1
    best_score: float = -math.inf
    curve: list = dataclasses.field(default_factory=list)  # one dict an epoch
    keras: str = keras.__version__


class Backup(keras.callbacks.Callback):
    """Keeps `model.keras`, the best model so far, and `backup.npz`, all that a resumed run needs.

    The backup is one file: every weight (the counters of the noise are weights), every variable of both optimizers, and
    `Progress`. The order of the data follows from the number of steps. Keras' `BackupAndRestore` and `ModelCheckpoint`
    write several files in place, which a kill can leave half written or at odds, and forget which model was the best.

    Args:
        run_dir: `pathlib.Path`.
        monitor: the logged value that tells which model is the best; None takes the last. Of equals the latest counts.
        sign: 1 where more is better, -1 where less is.
    """

    def __init__(self, run_dir, monitor=None, sign=1):
        super().__init__()
        self.run_dir = run_dir
        self.monitor = monitor
        self.sign = sign
        self.progress = Progress()

    def on_train_begin(self, logs=None):
        self._since = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in logs.items()}
        progress, now = self.progress, time.monotonic()
        progress.epochs = epoch + 1
        progress.steps += self.params["steps"]
        progress.seconds, self._since = progress.seconds + now - self._since, now
        progress.curve.append({"epoch": epoch + 1, "steps": progress.steps, **finite(logs)})
        score = self.sign * logs[self.monitor] if self.monitor else 0.0
        score = -math.inf if math.isnan(score) else score
        if score >= progress.best_score:
            progress.best_epoch, progress.best_score = epoch + 1, score
            with whole(self.run_dir / MODEL) as part:
                self.model.save(str(part))
        write_backup(self.run_dir, self.model, progress)


def finite(values):
    """The dict of numbers with None for those that JSON does not know."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def variables(model):
    """All that training changes: weights, and the variables of both optimizers."""
    return [*model.weights, *model.optimizer.variables, *model.sensitivity_optimizer.variables]


def write_backup(run_dir, model, progress):
    """Writes `backup.npz`."""
    values = {str(i): v.numpy() for i, v in enumerate(variables(model))}
    with whole(run_dir / BACKUP) as part:
        np.savez(part, progress=json.dumps(dataclasses.asdict(progress)), **values)


def read_progress(run_dir):
    """`Progress` of the backup; None where there is none."""
    path = run_dir / BACKUP
    if not path.is_file():
        return None
    with np.load(path) as file:
        return Progress(**json.loads(str(file["progress"])))


def restore(run_dir, model):
    """Sets all that training changes as the backup has it."""
    with np.load(run_dir / BACKUP) as file:
        for i, variable in enumerate(variables(model)):
            variable.assign(file[str(i)])
