"""A run on a stream: a network that learns from words without end."""

import contextlib
import dataclasses
import pathlib
import time

import numpy as np
import tensorflow as tf

from ..callbacks.stream_backup import StreamBackup
from ..callbacks.stream_monitor import StreamMonitor, hearing
from ..callbacks.words import WordCount
from ..checks import integer
from ..data.stream import arrays, stream
from ..keras_version import keras, loss_mean
from ..training.state import fresh_states
from .alone import alone
from .build import assemble, build_data
from .errors import GOOD_COPY, UserError, as_user_error, explained
from .experiment import Experiment
from .files import BACKUP, CONFIG, EVENTS, MODEL, RESULTS, read_json, remove_parts, whole, write_json
from .provenance import devices, git_revision, versions
from .report import print_compiling
from .run import differences, holds_something
from .same_bits import computed_with, going_on_with

PROGRESS = "progress.json"
REPORT_EVERY = 100  # pieces from one line to the next
TASKS = ("mnist", "spoken_digits")  # that have one class for each sequence


@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """How an experiment's words become a stream, and how long it is.

    Raises:
        ValueError: for a setting out of range.
    """

    pieces: int = 2000
    piece: int = 100  # steps
    answer: int = 10  # steps in which a word is asked for

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            integer(name, value)


def for_stream(experiment):
    """The experiment as it is on a stream: it answers at every step, the learning rate stays, no words are held back.

    Words are not moved, for the stream has them at random steps anyway, and counts a word where it is.

    Raises:
        UserError: for one whose sequences have not one class each.
    """
    if experiment.task not in TASKS:
        raise UserError(
            f"a stream needs an experiment whose sequences have one class each; received {experiment.name}."
        )
    settings = {name: value for name, value in experiment.task_settings.items() if name != "shift"} | {"validation": 0}
    return dataclasses.replace(experiment, window=0, schedule="constant", task_settings=settings)


def train_stream(experiment, settings, run_dir, resume=False, command="", verbose=1):
    """Trains a network on a stream of an experiment's words, tests it on a stream of test words, and writes both.

    Args:
        experiment: `Experiment`, as `for_stream` makes it.
        settings: `StreamSettings`.
        run_dir: directory of the run, new or empty; with `resume` that of a run, which may go on for more pieces.
        resume: go on with the run, exactly as if it had never stopped.
        command: the command line, for the record.
        verbose: 0 to print no lines while it learns.

    Returns:
        dict, what `results.json` holds.

    Raises:
        UserError: for a directory that does not fit or cannot be written, and for data that cannot be had.
    """
    run_dir, revision = pathlib.Path(run_dir), git_revision()
    if not resume and run_dir.exists() and (not run_dir.is_dir() or holds_something(run_dir)):
        raise UserError(f"{run_dir} already holds something: name another --run-dir, or go on with it by --resume.")
    if resume:
        check_resumed(run_dir, experiment, settings)
    words, tested, about = load_words(experiment)
    keras.utils.set_random_seed(experiment.seed)
    rows, features = experiment.batch_size, words[0].shape[2]
    with as_user_error():
        model = assemble(experiment, settings.piece, features, settings.pieces, rows=rows)
    with contextlib.ExitStack() as stack:
        with explained(f"{run_dir} cannot be made", "Name another --run-dir."):
            run_dir.mkdir(parents=True, exist_ok=True)
        stack.enter_context(alone(run_dir))
        with explained(f"{run_dir} cannot be written", "Name another --run-dir."):
            remove_parts(run_dir)
        write_json(run_dir / CONFIG, {"experiment": dataclasses.asdict(experiment), "stream": vars(settings)})
        say_plan(experiment, settings, run_dir, model, about)
        with explained("The run stopped", "When that is put right, go on with it by --resume."):
            progress = learn(model, experiment, settings, words, run_dir, verbose)
        count = listen(model, experiment, settings, tested)
        with whole(run_dir / MODEL) as part:
            model.save(str(part))
        results = {
            "experiment": experiment.name,
            "rule": experiment.rule,
            "metric": "word_error",
            "test_word_error": count.error,
            "chance": 1.0 - experiment.chance,
            "test_words": count.heard,
            **{name: progress.curve[-1][name] for name in ("words", "word_error")},
            "seconds": progress.seconds,
            "seed": experiment.seed,
            "stream": {**vars(settings), "rows": rows, "every": stretch(words, settings)},
            "configuration": {**dataclasses.asdict(experiment), "data_dir": None},
            "data": about,
            "device": devices(),
            "computed_with": progress.computed_with,
            "versions": versions(),
            "git_revision": revision,
            "command": command,
            "curve": progress.curve,
        }
        write_json(run_dir / RESULTS, results)
    print(f"Test words {count.heard:,}, errors {100 * count.error:.1f} % (chance {100 * results['chance']:.0f} %)")
    print(f"Results    {run_dir / RESULTS}")
    print(f"Events     tensorboard --logdir {run_dir / EVENTS}")
    return results


def load_words(experiment):
    """Words (x, y) to learn from, those of the test part, and where they come from; complaints as `UserError`."""
    try:
        data = build_data(dataclasses.replace(experiment, batch_size=1), repeat=False)  # so that none is left out
    except (ImportError, OSError, ValueError) as error:
        raise UserError(str(error)) from error
    return arrays(data.train), arrays(data.test), data.description


def stretch(words, settings):
    """Steps from the begin of one stretch to the next: a word, its answer, and a quarter more of pauses."""
    return 5 * (words[0].shape[1] + settings.answer) // 4


def say_plan(experiment, settings, run_dir, model, about):
    """Says what will be done."""
    weights = sum(int(tf.size(weight)) for weight in model.trainable_variables)
    print(f"Experiment {experiment.name}: {experiment.description}")
    print(f"Data       {about}")
    print(f"Stream     {settings.pieces:,} pieces of {settings.piece} steps, {experiment.batch_size} rows")
    print(f"Learning   {experiment.rule}, an update after each piece; {weights:,} trained numbers")
    print_compiling(experiment)
    print(f"Writes to  {run_dir}", flush=True)


def learn(model, experiment, settings, words, run_dir, verbose):
    """Learns all pieces, or those that are left; returns the `Progress`."""
    backup = open_backup(run_dir / BACKUP)
    try:
        monitor = StreamMonitor(run_dir / EVENTS)
    except ImportError as error:
        raise UserError(str(error)) from error
    progress = Progress(run_dir / PROGRESS, monitor, backup, verbose)
    backup.restore(model)  # it may have learned all pieces already
    for epochs, steps in reports(backup.pieces, settings.pieces):
        model.fit(
            pieces_of(experiment, settings, words, skip_pieces=backup.pieces),
            initial_epoch=backup.epochs,
            epochs=backup.epochs + epochs,
            steps_per_epoch=steps,
            callbacks=[monitor, progress, backup],  # the backup last: an epoch that it has is not learned again
            verbose=0,
        )
    return progress


def reports(learned, pieces):
    """The reports that are left, each an epoch: lists of how many there are and of how many pieces each.

    They end at each `REPORT_EVERY`-th piece of the whole run, and at its last.

    >>> reports(0, 250), reports(20, 40), reports(20, 250)
    ([(2, 100), (1, 50)], [(1, 20)], [(1, 80), (1, 100), (1, 50)])
    """
    begun = min(-learned % REPORT_EVERY, pieces - learned)  # what is left of one
    whole_ones, rest = divmod(pieces - learned - begun, REPORT_EVERY)
    return [(count, steps) for count, steps in ((1, begun), (whole_ones, REPORT_EVERY), (1, rest)) if count and steps]


def pieces_of(experiment, settings, words, **more):
    """The stream of some words (x, y)."""
    return stream(
        *words,
        every=stretch(words, settings),
        answer=settings.answer,
        piece=settings.piece,
        batch_size=experiment.batch_size,
        seed=experiment.seed,
        **more,
    )


def listen(model, experiment, settings, words):
    """The `WordCount` of a stream in which each of the words comes about once."""
    stretches = -(-len(words[0]) // experiment.batch_size)
    pieces = stretches * stretch(words, settings) // settings.piece + 1  # the last step asks no more
    hear, count = hearing(model), WordCount(last=stretches * experiment.batch_size)
    with fresh_states(model):
        for x, classes, weights in pieces_of(experiment, settings, words).take(pieces):
            count.add(hear(x)[0].numpy(), classes.numpy(), weights.numpy())
    return count


class Progress(keras.callbacks.Callback):
    """Keeps what the monitor says of each epoch in a file, and prints it.

    The file is written before the backup. What it has of an epoch that the backup has not is left out when a run goes
    on, and so the words are counted as if the run had never stopped. A run that ended within a report and learns more
    pieces goes on with the counts of that report.
    """

    def __init__(self, path, monitor, backup, verbose):
        super().__init__()
        self.path, self.monitor, self.backup, self.verbose = path, monitor, backup, verbose
        self.curve, self.counts, self.computed_with = [], {}, [computed_with()]
        if backup.pieces:
            try:
                kept = read_json(path)
                self.curve = [row for row in kept["curve"] if row["pieces"] <= backup.pieces]
                self.counts = {name: count for name, count in kept["counts"].items() if int(name) <= backup.pieces}
                monitor.count.restore(self.counts[str(backup.pieces)]["words"])
                self.computed_with = going_on_with(kept["computed_with"])
            except (KeyError, OSError, TypeError, ValueError) as error:
                raise UserError(f"{path} cannot be read: {error!r}. {GOOD_COPY}") from error
        self.seconds = self.curve[-1]["seconds"] if self.curve else 0.0

    def on_train_begin(self, logs=None):
        self._since = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        if self.backup.pieces % REPORT_EVERY:  # the report was begun, and said what it had at the end of the run
            begun = self.counts[str(self.backup.pieces)]
            self.monitor.rates.restore(begun["rates"])
            for variable, value in zip(loss_mean(self.model).variables, begun["loss"], strict=True):
                variable.assign(value)
            self.curve.pop()

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        pieces = self.backup.pieces + self.params["steps"]
        row = {"pieces": pieces, "seconds": self.seconds, "words": self.monitor.count.heard}
        for name in ("word_error", "firing_rate", "loss"):
            row[name] = float(logs[name]) if np.isfinite(logs.get(name, np.nan)) else None
        self.curve.append(row)
        counts = {
            "words": self.monitor.count.state(),
            "rates": self.monitor.rates.state(),
            "loss": [float(variable) for variable in loss_mean(self.model).variables],
        }
        self.counts = {**dict(list(self.counts.items())[-1:]), str(pieces): counts}
        write_json(self.path, {"curve": self.curve, "counts": self.counts, "computed_with": self.computed_with})
        if self.verbose:
            error = "-" if row["word_error"] is None else f"{100 * row['word_error']:.1f} %"
            print(
                f"{pieces:>7,} pieces, {row['words']:>7,} words heard, errors of the last "
                f"{min(self.monitor.last, row['words'])}: {error}; loss {logs['loss']:.4f}, "
                f"{logs['firing_rate']:.3f} spikes a unit and step",
                flush=True,
            )


def open_backup(path):
    """The `StreamBackup`, its complaint as `UserError`."""
    try:
        return StreamBackup(path)
    except OSError as error:
        raise UserError(str(error)) from error


def read_stream_config(run_dir):
    """The `Experiment` and the `StreamSettings` of a run directory.

    Raises:
        UserError: where it holds no run on a stream.
    """
    path = pathlib.Path(run_dir) / CONFIG
    if not path.is_file():
        raise UserError(f"{run_dir} holds no run: it has no {CONFIG}. Train one there, or name another --run-dir.")
    try:
        found = read_json(path)
        if "stream" not in found:
            raise UserError(f"{run_dir} holds a run of `train`, not of `stream`: name another --run-dir.")
        return Experiment(**found["experiment"]), StreamSettings(**found["stream"])
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def check_resumed(run_dir, experiment, settings):
    """Raises `UserError` where the run in a directory is another, or has learned all pieces."""
    saved, before = read_stream_config(run_dir)
    changes = differences(saved, experiment)
    for name in ("piece", "answer"):
        if getattr(before, name) != getattr(settings, name):
            changes = f"{name} was {getattr(before, name)}, now {getattr(settings, name)}"
    if changes:
        raise UserError(f"{run_dir} was started with another configuration: {changes}. Leave it out to resume.")
    learned = open_backup(run_dir / BACKUP).pieces
    if learned > settings.pieces or (learned == settings.pieces and (run_dir / RESULTS).is_file()):
        raise UserError(f"{run_dir} has learned {learned:,} pieces: give more by --pieces to go on.")
