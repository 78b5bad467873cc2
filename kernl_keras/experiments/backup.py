"""What a run writes after every epoch: its best model, and a backup from which it goes on exactly."""

import dataclasses
import json
import math
import re
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ..archives import read_arrays
from ..keras_version import keras
from ..training.diagnostics import with_diagnostics
from ..training.optimizers import averaged
from ..training.state import moved
from .errors import GOOD_COPY, UserError
from .experiment import Experiment
from .files import BACKUP, MODEL, whole
from .same_bits import computed_with


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
    computed_with: list = dataclasses.field(default_factory=lambda: [computed_with()])  # a second after a change


class Saved(NamedTuple):
    """What a backup holds.

    Attributes:
        progress: `Progress`.
        experiment: `Experiment` of the run.
        values: `{name: array}` of all that training moves, in the order of `moved`.
    """

    progress: Progress
    experiment: Experiment
    values: dict


class Backup(keras.callbacks.Callback):
    """Keeps `model.keras`, the best model so far, and `backup.npz`, all that a resumed run needs.

    The backup is one file: every weight (the counters of the noise are weights), the seeds of Keras 3's `Dropout`
    (Keras 2 lets no one read them), every variable of both optimizers, `Progress`, and the experiment, so that a
    foreign file is known for one. The order of the data follows from the number of steps. The model is written first: a
    kill between the two leaves the model of an epoch that a resumed run makes once more, to the bit. Keras'
    `BackupAndRestore` goes on exactly, too, but writes two files in place, which a kill can leave half written or at
    odds, and keeps neither the curve nor which model was the best.

    Of optimizers with `use_ema` the model has the averages of the weights, which the validation measures; the backup
    has the weights, with which training goes on.

    Args:
        run_dir: `pathlib.Path`.
        experiment: `Experiment` of the run.
        monitor: the logged value that tells which model is the best; None takes the last. Of equals the latest counts.
        sign: 1 where more is better, -1 where less is.
    """

    def __init__(self, run_dir, experiment, monitor=None, sign=1):
        super().__init__()
        self.run_dir = run_dir
        self.experiment = experiment
        self.monitor = monitor
        self.sign = sign
        self.progress = Progress()

    def on_train_begin(self, logs=None):
        self._since = time.monotonic()

    def on_test_begin(self, logs=None):
        self._averaged = averaged(self.model)
        self._averaged.__enter__()

    def on_test_end(self, logs=None):
        self._averaged.__exit__(None, None, None)

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in with_diagnostics(self.model, logs).items()}
        progress, now = self.progress, time.monotonic()
        progress.epochs = epoch + 1
        progress.steps += self.params["steps"]
        progress.seconds, self._since = progress.seconds + now - self._since, now
        progress.curve.append({"epoch": epoch + 1, "steps": progress.steps, **finite(logs)})
        score = self.sign * logs[self.monitor] if self.monitor else 0.0
        score = -math.inf if math.isnan(score) else score
        if score >= progress.best_score:
            progress.best_epoch, progress.best_score = epoch + 1, score
            with whole(self.run_dir / MODEL) as part, averaged(self.model):
                self.model.save(str(part))
        write_backup(self.run_dir, self.model, progress, self.experiment)


def finite(values):
    """The dict of numbers with None for those that JSON does not know."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def named_variables(model):
    """What training moves, by names that are the same in every process: Keras numbers what a process makes twice."""
    named = {}
    for place, variable in enumerate(moved(model)):
        name = getattr(variable, "path", variable.name)
        named[f"{place:03d}/{re.sub('_[0-9]+(?![0-9a-zA-Z])|:0$', '', name)}"] = variable
    return named


def write_backup(run_dir, model, progress, experiment):
    """Writes `backup.npz`."""
    values = {name: variable.numpy() for name, variable in named_variables(model).items()}
    progress, experiment = (json.dumps(dataclasses.asdict(each)) for each in (progress, experiment))
    with whole(run_dir / BACKUP) as part:
        np.savez(part, progress=progress, experiment=experiment, **values)


def read_backup(run_dir):
    """`Saved` of the backup; None where there is none.

    Raises:
        UserError: where it cannot be read, or is no backup.
    """
    path = run_dir / BACKUP
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path, GOOD_COPY)
        progress, experiment = (json.loads(str(arrays.pop(name, "null"))) for name in ("progress", "experiment"))
        return Saved(Progress(**progress), Experiment(**experiment), arrays)
    except OSError as error:
        raise UserError(str(error)) from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is no backup of a run: {error}. {GOOD_COPY}") from error


def restore(run_dir, saved, model):
    """Sets all that training changes as the backup has it: all of it or, where it does not fit, nothing.

    Raises:
        UserError: where the backup is that of another network.
    """
    ours = named_variables(model)
    for name in {**ours, **saved.values}:
        here, there = (describe(values.get(name)) for values in (ours, saved.values))
        if here != there:
            raise UserError(
                f"{run_dir / BACKUP} is of another network: {name} is {there} in it and {here} here. {GOOD_COPY}"
            )
    for name, variable in ours.items():
        variable.assign(saved.values[name])


def describe(value):
    """Kind and shape of a variable or an array, in words."""
    return "missing" if value is None else f"{tf.as_dtype(value.dtype).name} {list(value.shape)}"
