"""The two ways to feed an experiment: sequences in epochs, or the pieces of a stream of words."""

import dataclasses
import math

import numpy as np

from ..callbacks.stream_monitor import Rates, StreamMonitor, WordCount, hearing
from ..callbacks.tensorboard import TensorBoard
from ..checks import integer
from ..data.stream import arrays, stream
from ..keras_version import loss_mean
from ..training.diagnostics import with_diagnostics
from .build import load_data
from .files import EVENTS, RESULTS, UserError, read_json

REPORT_EVERY = 100  # pieces of a stream from one line to the next
STREAM_TASKS = ("mnist", "spoken_digits")  # that have one class for each sequence


class Feed:
    """Base of the ways to feed an experiment. What a run needs of one, and a subclass has:

    - `config()`: what `config.json` holds
    - `check_unfinished(run_dir, learned)`: raises `UserError` where the run there has learned all, and is tested
    - `load(learned)`: reads the data, of which so many batches are learned, and sets all attributes
    - `batches(learned)`: the `tf.data.Dataset` of the training batches after those
    - `plan(weights)`: lines that say what will be learned, by so many trained numbers
    - `callbacks(run_dir, counts)`: what shows the run, which goes on with the `counts(model)` of its last epoch, if any
    - `go_on_within_epoch(model, counts)`: where a stream had ended within an epoch
    - `row(model, epoch, learned, seconds, logs)`: the entry of the learning curve for an epoch
    - `test(model)`, `print_test(test)`: the test of the saved model, a dict
    - `results(backup, test)`: the part of `results.json` that is of this kind of run

    Attributes:
        total, every: int, batches of the whole run, and from one validation or report to the next. A stretch of
            `every` batches is an epoch to Keras.
        shape, rows: `(time_steps, features)` of the data; the batch size of a stateful network, or None.
        description: str, of the data.
        monitor, sign: the logged value that tells which model is the best, or None; 1 where more is better, else -1.
        validation: data to validate on, or None.
        settings: `StreamSettings`, or None.
    """

    monitor, sign, rows, validation, settings = None, 1, None, None, None

    def __init__(self, experiment, verbose="auto"):
        self.experiment, self.verbose = experiment, verbose


class Epochs(Feed):
    """Sequences of a data set, validated after each epoch or `validate_every` batches, tested on its test set."""

    def config(self):
        return dataclasses.asdict(self.experiment)

    def check_unfinished(self, run_dir, learned):
        if (run_dir / RESULTS).is_file():
            raise UserError(f"nothing to resume: the run in {run_dir} is complete, see {run_dir / RESULTS}.")

    def load(self, learned=0):
        experiment = self.experiment
        self.data, self._learned = load_data(experiment, learned), learned
        self.total = experiment.total_steps(self.data.steps_per_epoch.train)
        self.every = experiment.validate_every or self.data.steps_per_epoch.train
        self.shape, self.description = (self.data.time_steps, self.data.features), self.data.description
        self.validation = self.data.validation
        self.monitor = f"val_{experiment.metric}" if self.data.examples.validation else None
        self.sign = -1 if experiment.metric == "mse" else 1

    def batches(self, learned):
        return (self.data if learned == self._learned else load_data(self.experiment, learned)).train

    def plan(self, weights):
        experiment, passes = self.experiment, self.data.steps_per_epoch.train
        yield f"Sequences  {self.data.time_steps} steps of {self.data.features} values"
        yield f"Learning   {experiment.summary()}; {weights:,} trained numbers"
        yield (
            f"Steps      {self.total:,}, validated and saved every {min(self.every, self.total):,}; a pass over the "
            f"data has {passes:,}; seed {experiment.seed}"
        )
        if experiment.sensitivity_only:
            yield f"           the first {experiment.sensitivity_only:,} of M and gamma alone"

    def callbacks(self, run_dir, counts):
        return [TensorBoard(str(run_dir / EVENTS))]

    def counts(self, model):
        return {}

    def row(self, model, epoch, learned, seconds, logs):
        return {"epoch": epoch, "steps": learned, **_finite(with_diagnostics(model, logs))}

    def test(self, model):
        test = model.evaluate(self.data.test, return_dict=True, verbose=self.verbose)
        return {**test, **model.diagnostics(training=False)}

    def results(self, backup, test):
        metric = self.experiment.metric
        return {
            "metric": metric,
            f"test_{metric}": _finite(test)[metric],
            "chance": self.experiment.chance,
            "test": _finite(test),
            "best_epoch": backup.progress.best_epoch,
            "steps": backup.pieces,
            "examples": self.data.examples._asdict(),
        }

    def print_test(self, test):
        value, chance = test[self.experiment.metric], self.experiment.chance
        print(f"Test {self.experiment.metric} {value:.4f} (chance {chance:.2f}), loss {test['loss']:.4f}")


@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """How an experiment's words become a stream, and how long it is; a `ValueError` for a setting out of range."""

    pieces: int = 2000
    piece: int = 100  # steps
    answer: int = 10  # steps in which a word is asked for

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            integer(name, value)


def for_stream(experiment):
    """The experiment as it is on a stream: it answers at every step, the learning rate stays, no words are held back.

    There is no weight decay, as nobody knows how long the stream goes on. Words are not moved, for the stream has them
    at random steps anyway, and counts a word where it is.
    """
    if experiment.task not in STREAM_TASKS:
        raise UserError(
            f"a stream needs an experiment whose sequences have one class each; received {experiment.name}."
        )
    settings = {name: value for name, value in experiment.task_settings.items() if name != "shift"} | {"validation": 0}
    changes = {"answer_steps": 0, "schedule": "constant", "weight_decay": 0.0, "task_settings": settings}
    return dataclasses.replace(experiment, **changes)


class Stream(Feed):
    """Pieces of a stream of words, with a report after every `REPORT_EVERY` of them, tested on a stream, too."""

    def __init__(self, experiment, settings, verbose=1):
        super().__init__(experiment, verbose=0)
        self.settings, self._reports = settings, verbose != 0
        self.total, self.every, self.rows = settings.pieces, REPORT_EVERY, experiment.batch_size

    def config(self):
        return {"experiment": dataclasses.asdict(self.experiment), "stream": dataclasses.asdict(self.settings)}

    def check_unfinished(self, run_dir, learned):
        tested = read_json(run_dir / RESULTS)["stream"]["pieces"] if (run_dir / RESULTS).is_file() else 0
        if learned > self.total or tested == self.total:
            raise UserError(f"{run_dir} has learned {learned:,} pieces: give more by --pieces to go on.")

    def load(self, learned):
        data = load_data(dataclasses.replace(self.experiment, batch_size=1), repeat=False)  # so that none is left out
        self._words, self._test_words, self.description = arrays(data.train), arrays(data.test), data.description
        self.shape = (self.settings.piece, data.features)
        # a word, its answer, and a quarter more of pauses
        self._stretch = 5 * (self._words[0].shape[1] + self.settings.answer) // 4

    def batches(self, learned):
        return self._pieces(self._words, skip_pieces=learned)

    def _pieces(self, words, skip_pieces=0):
        layout = {"every": self._stretch, "answer": self.settings.answer, "piece": self.settings.piece}
        return stream(*words, **layout, batch_size=self.rows, seed=self.experiment.seed, skip_pieces=skip_pieces)

    def plan(self, weights):
        yield f"Stream     {self.total:,} pieces of {self.settings.piece} steps, {self.rows} rows"
        yield f"Learning   {self.experiment.rule}, an update after each piece; {weights:,} trained numbers"

    def callbacks(self, run_dir, counts):
        self._monitor = StreamMonitor(run_dir / EVENTS)
        if counts:
            self._monitor.count.restore(counts["words"])
        return [self._monitor]

    def go_on_within_epoch(self, model, counts):
        self._monitor.rates = Rates(counts["rates"])
        for variable, value in zip(loss_mean(model).variables, counts["loss"], strict=True):
            variable.assign(value)

    def counts(self, model):
        return {
            "words": self._monitor.count.state(),
            "rates": self._monitor.rates.sums,
            "loss": [float(variable) for variable in loss_mean(model).variables],
        }

    def row(self, model, epoch, learned, seconds, logs):
        names = "word_error", "firing_rate", "mean_activity", "loss"
        values = _finite({name: logs.get(name, np.nan) for name in names})
        words = self._monitor.count.heard
        if self._reports:
            error = "-" if values["word_error"] is None else f"{100 * values['word_error']:.1f} %"
            activity = f"mean activity {logs.get('mean_activity', np.nan):.3f}"
            if "firing_rate" in logs:
                activity = f"{logs['firing_rate']:.3f} spikes a unit and step"
            print(
                f"{learned:>7,} pieces, {words:>7,} words heard, errors of the last {min(self._monitor.last, words)}: "
                f"{error}; loss {logs['loss']:.4f}, {activity}",
                flush=True,
            )
        return {"pieces": learned, "seconds": seconds, "words": words, **values}

    def test(self, model):
        """The errors on a stream in which each of the test words comes about once."""
        stretches = -(-len(self._test_words[0]) // self.rows)
        pieces = stretches * self._stretch // self.settings.piece + 1  # the last step asks no more
        hear, count = hearing(model, {}), WordCount(last=stretches * self.rows)
        for x, classes, weights in self._pieces(self._test_words).take(pieces):
            count.add(hear(x)[0].numpy(), classes.numpy(), weights.numpy())
        return {"words": count.heard, "word_error": count.error}

    def results(self, backup, test):
        last = backup.progress.curve[-1]
        return {
            "metric": "word_error",
            "test_word_error": test["word_error"],
            "chance": 1.0 - self.experiment.chance,
            "test_words": test["words"],
            "words": last["words"],
            "word_error": last["word_error"],
            "stream": {**dataclasses.asdict(self.settings), "rows": self.rows, "every": self._stretch},
            "configuration": {**dataclasses.asdict(self.experiment), "data_dir": None},
        }

    def print_test(self, test):
        chance = 100 * (1.0 - self.experiment.chance)
        print(f"Test words {test['words']:,}, errors {100 * test['word_error']:.1f} % (chance {chance:.0f} %)")


def _finite(values):
    """The dict of numbers with None for those that JSON does not know."""
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
