"""A run: a configuration trained into a directory, gone on with, and evaluated."""

import contextlib
import dataclasses
import pathlib

import tensorflow as tf

from ..archives import checked
from ..keras_version import keras
from ..whole_files import PART
from .backup import Backup
from .build import assemble, build_model
from .experiment import Experiment
from .feeds import Epochs, Stream, StreamSettings
from .files import (
    BACKUP,
    CONFIG,
    EVENTS,
    GOOD_COPY,
    MODEL,
    RESULTS,
    UserError,
    alone,
    as_user_error,
    explained,
    read_json,
    remove_parts,
    write_json,
)
from .pretrained import load_pretrained, start_from
from .provenance import devices, git_revision, going_on_with, versions


def train(experiment, run_dir, resume=False, command="", verbose="auto", stream=None):
    """Trains an experiment, tests its best model, writes the run directory; returns what `results.json` holds, a dict.

    Args:
        experiment: `Experiment`; for a stream, as `for_stream` makes it.
        run_dir: directory of the run: new or empty, or, with `resume`, that of a run with the same configuration, which
            goes on exactly as if it had never stopped.
        command: the command line, for the record.
        stream: `StreamSettings` of a run on a stream, which may go on for more pieces; None for one in epochs.

    Raises:
        UserError: for a directory that does not fit, that another run writes in, that cannot be written, or where a
            file is damaged, and for data that cannot be had.
    """
    run_dir, revision = pathlib.Path(run_dir), git_revision()  # now: the checkout may move on while this runs
    feed = Epochs(experiment, verbose) if stream is None else Stream(experiment, stream, verbose)
    with contextlib.ExitStack() as stack:
        if exists := run_dir.is_dir():  # else it is made when all is ready
            stack.enter_context(alone(run_dir))
        backup = open_backup(run_dir, feed, resume)
        feed.load(backup.pieces)
        with as_user_error():
            model = build_model(experiment, *feed.shape, feed.total, feed.rows)
            if experiment.start is not None and not backup.begun:
                start_from(experiment.start, model)
        _print_plan(run_dir, feed, model)
        if backup.begun:
            print(f"Goes on after epoch {backup.epochs}, step {backup.pieces}.")
            backup.progress.computed_with = going_on_with(backup.progress.computed_with)
        try:
            backup.restore(model)
        except ValueError as error:
            raise UserError(f"{error} {GOOD_COPY}") from error
        if not exists:
            with explained(f"{run_dir} cannot be made", "Name another --run-dir."):
                run_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone(run_dir))
            check_empty(run_dir)  # another run may have begun there in the meantime
        with explained(f"{run_dir} cannot be written", "Name another --run-dir."):
            remove_parts(run_dir)
        write_json(run_dir / CONFIG, feed.config())  # from now on the run can be gone on with
        with explained("The run stopped", "When that is put right, go on with it by --resume."):
            if not backup.begun:
                backup.begin(model)
            fit(model, feed, backup, run_dir)
        print("Test set", flush=True)
        test = feed.test(load_saved(run_dir, experiment, feed.shape, feed.rows))
        results = {
            "experiment": experiment.name,
            "rule": experiment.rule,
            **feed.results(backup, test),
            "seconds": backup.progress.seconds,
            "seed": experiment.seed,
            "data": feed.description,
            "device": devices(),
            "computed_with": backup.progress.computed_with,
            "versions": versions(),
            "git_revision": revision,
            "command": command,
            "curve": backup.progress.curve,
        }
        write_json(run_dir / RESULTS, results)
    minutes, seconds = divmod(round(backup.progress.seconds), 60)
    print(
        f"Trained for {backup.pieces:,} steps in {minutes} min {seconds} s; tested the model of epoch "
        f"{backup.progress.best_epoch}, the {'best on the validation set' if feed.monitor else 'last'}."
    )
    feed.print_test(test)
    print(f"Results    {run_dir / RESULTS}")
    print(f"Model      {run_dir / MODEL}")
    print(f"Events     tensorboard --logdir {run_dir / EVENTS}")
    return results


def check_empty(run_dir):
    """Raises `UserError` for a directory that holds anything but the parts that a process killed at once leaves."""
    with explained(f"{run_dir} cannot be read", "Name another --run-dir."):
        if any(not path.name.startswith(PART) for path in run_dir.iterdir()):
            raise UserError(
                f"{run_dir} already holds something: name another --run-dir, or go on with its run by --resume."
            )


def open_backup(run_dir, feed, resume):
    """The `Backup` of a run, with all that it goes on from; raises `UserError` where the directory does not fit."""
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"{run_dir} is a file: name another --run-dir.")
    if not resume and run_dir.exists():
        check_empty(run_dir)
    if resume:
        before, settings = read_settings(run_dir, stream=feed.settings is not None)
        changes = differences(before, feed.experiment)
        if changes := changes or (settings and differences(settings, feed.settings, besides=("pieces",))):
            raise UserError(
                f"{run_dir} was started with another configuration: {changes}. Leave the setting out to resume."
            )
    with as_user_error(OSError):
        backup = Backup(run_dir, feed)
    if resume:
        feed.check_unfinished(run_dir, backup.pieces)
        if not backup.begun and (run_dir / MODEL).exists():
            raise UserError(f"nothing to resume: {run_dir} has a {MODEL} but no {BACKUP}. Train in another --run-dir.")
        if changes := differences(backup.experiment, feed.experiment):
            raise UserError(f"{run_dir / BACKUP} is that of another run: {changes}. {GOOD_COPY}")
        written_by = backup.progress.keras
        if written_by.split(".")[0] != keras.__version__.split(".")[0]:
            raise UserError(
                f"{run_dir} was written by Keras {written_by}, this is {keras.__version__}; resume with the former."
            )
        if backup.epochs:
            with as_user_error(OSError), checked(run_dir / MODEL, GOOD_COPY):
                pass  # only read: it may be the best to the end, so better said now
    return backup


def differences(before, now, besides=("description", "data_dir")):
    """The changes from one `Experiment`, or `StreamSettings`, to another, in words; another name says it all."""
    before, now = dataclasses.asdict(before), dataclasses.asdict(now)
    different = [name for name in now if now[name] != before[name] and name not in besides]
    different = ["name"] if "name" in different else different
    return ", ".join(f"{name} was {before[name]!r}, now {now[name]!r}" for name in different)


def read_config(run_dir):
    """The `Experiment` of the directory of a run in epochs."""
    return read_settings(run_dir)[0]


def read_settings(run_dir, stream=False):
    """The `Experiment` of a run directory, and the `StreamSettings` if it is one of a `stream`, or None."""
    path = pathlib.Path(run_dir) / CONFIG
    if not path.is_file():
        raise UserError(f"{run_dir} holds no run: it has no {CONFIG}. Train one there, or name another --run-dir.")
    try:
        config = read_json(path)
        if (config.keys() == {"experiment", "stream"}) != stream:
            holds, asked = ("train", "stream") if stream else ("stream", "train")
            raise UserError(f"{run_dir} holds a run of `{holds}`, not of `{asked}`: name another --run-dir.")
        if not stream:
            return Experiment(**config), None
        return Experiment(**config["experiment"]), StreamSettings(**config["stream"])
    except (AttributeError, OSError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _print_plan(run_dir, feed, model):
    experiment = feed.experiment
    print(f"Experiment {experiment.name}: {experiment.description}")
    print(f"Data       {feed.description}")
    for line in feed.plan(weights=sum(int(tf.size(weight)) for weight in model.trainable_variables)):
        print(line)
    print(
        f"Backend    TensorFlow {tf.__version__}, {devices()}; Keras {keras.__version__}; "
        f"XLA {'yes' if experiment.jit_compile else 'no'}"
    )
    if experiment.jit_compile:
        print("Compiling  takes from some seconds to a minute or two, before the first step and before the first test")
    print(f"Writes to  {run_dir}", flush=True)


def fit(model, feed, backup, run_dir):
    """Learns all batches that are left."""
    shown = feed.callbacks(run_dir, backup.progress.counts)
    for epochs, steps in stretches(backup.pieces, feed.total, feed.every):
        model.fit(
            feed.batches(backup.pieces),
            initial_epoch=backup.epochs,
            epochs=backup.epochs + epochs,
            steps_per_epoch=steps,
            validation_data=feed.validation,
            callbacks=[*shown, backup],  # the backup last: an epoch that it has is not learned, or shown, again
            verbose=feed.verbose,
        )


def stretches(learned, total, every):
    """The batches that are left of a run, in epochs that end at each `every`-th of the run: how many, and how long.

    >>> stretches(0, 250, 100), stretches(20, 40, 100), stretches(20, 250, 100)
    ([(2, 100), (1, 50)], [(1, 20)], [(1, 80), (1, 100), (1, 50)])
    """
    begun = min(-learned % every, total - learned)  # what is left of one
    whole_ones, rest = divmod(total - learned - begun, every)
    return [(count, steps) for count, steps in ((1, begun), (whole_ones, every), (1, rest)) if count and steps]


def load_saved(run_dir, experiment, shape, rows=None):
    """The saved model of a run, made as `assemble` does: numbers alone come from the file, and no code in it is run."""
    path = pathlib.Path(run_dir) / MODEL
    if not path.is_file():
        raise UserError(f"{run_dir} holds no {MODEL}: the run stopped before its first epoch ended; resume it.")
    with as_user_error(OSError), checked(path, GOOD_COPY):
        pass  # only read: nothing of it is used yet
    try:
        model = assemble(experiment, *shape, total_steps=1, rows=rows)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path.with_name(CONFIG)} describes no network: {error}") from error
    try:
        model.load_weights(str(path))
    except Exception as error:  # Keras raises what it happens to meet
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is no model of this run: {reason} {GOOD_COPY}") from error
    return model


def evaluate(run_dir=None, experiment=None, verbose="auto", pretrained=None):
    """Tests the saved model of a run, or the `pretrained` network of a name, on the test set of an `experiment`.

    Returns a dict of loss and metrics; raises `UserError` for a model or data that are missing, damaged or foreign.
    """
    feed = Epochs(experiment or read_config(run_dir), verbose)
    feed.load()
    if pretrained:
        print(f"Network    {pretrained}: {experiment.summary()}")
    print(f"Data       {feed.description}")
    test = feed.test(load_pretrained(pretrained) if pretrained else load_saved(run_dir, feed.experiment, feed.shape))
    feed.print_test(test)
    return test
