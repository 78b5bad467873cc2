"""A run: a configuration trained into a directory, gone on with, and evaluated."""

import dataclasses
import pathlib

from ..callbacks.tensorboard import KeRNLTensorBoard
from ..keras_version import keras
from .backup import Backup, finite, read_progress, restore, write_backup
from .build import build_data, build_model
from .configs import Experiment
from .files import BACKUP, CONFIG, EVENTS, MODEL, RESULTS, read_json, write_json
from .progress import Progress
from .provenance import devices, git_revision, versions
from .report import print_plan, print_results, print_test


class UserError(Exception):
    """What the user can put right; the message says how."""


def train(experiment, run_dir, resume=False, command="", verbose="auto"):
    """Trains an experiment, tests the model that was best on the validation set, and writes the run directory.

    Args:
        experiment: `Experiment`.
        run_dir: directory of the run: new or empty, or, with `resume`, that of a run with the same configuration.
        resume: go on with the run, exactly as if it had never stopped.
        command: the command line, for the record.
        verbose: as in `keras.Model.fit`.

    Returns:
        dict, what `results.json` holds.

    Raises:
        UserError: for a directory that does not fit, and for data that cannot be had.
    """
    run_dir, revision = pathlib.Path(run_dir), git_revision()  # now: the checkout may move on while this runs
    before = check_directory(run_dir, experiment, resume)
    data = load_data(experiment, before.steps if before else 0)
    total_steps = experiment.total_steps(data.steps_per_epoch.train)
    model = build_model(experiment, data.time_steps, data.features, total_steps)
    print_plan(experiment, run_dir, data, model, total_steps)

    monitor = f"val_{experiment.metric}" if data.examples.validation else None
    backup = Backup(run_dir, monitor, sign=-1 if experiment.metric == "mse" else 1)
    if before:
        print(f"Goes on after epoch {before.epochs}, step {before.steps}.")
        backup.progress = before
        restore(run_dir, model)
    else:
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{run_dir} cannot be made: {error.strerror}. Name another --run-dir.") from error
        write_json(run_dir / CONFIG, dataclasses.asdict(experiment))
        write_backup(run_dir, model, backup.progress)
    # TensorBoard comes first: once the backup has counted an epoch, nothing writes it again.
    callbacks = [KeRNLTensorBoard(str(run_dir / EVENTS)), backup]
    if verbose != 0:
        callbacks.append(Progress(experiment.metric))
    fit(model, experiment, data, total_steps, backup.progress, callbacks, verbose)

    print("Test set", flush=True)
    test = test_model(run_dir, data, verbose)
    tested = finite(test)
    results = {
        "experiment": experiment.name,
        "rule": experiment.rule,
        "metric": experiment.metric,
        f"test_{experiment.metric}": tested[experiment.metric],
        "chance": experiment.chance,
        "test": tested,
        "best_epoch": backup.progress.best_epoch,
        "steps": backup.progress.steps,
        "seconds": backup.progress.seconds,
        "seed": experiment.seed,
        "examples": data.examples._asdict(),
        "data": data.description,
        "device": devices(),
        "versions": versions(),
        "git_revision": revision,
        "command": command,
        "curve": backup.progress.curve,
    }
    write_json(run_dir / RESULTS, results)
    print_results(experiment, run_dir, results, test)
    return results


def check_directory(run_dir, experiment, resume):
    """The `Progress` to go on from, None for a new run; raises `UserError` where the directory does not fit."""
    if not resume:
        if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            raise UserError(
                f"{run_dir} already holds something: name another --run-dir, or go on with its run by --resume."
            )
        return None
    saved = read_config(run_dir)
    if (run_dir / RESULTS).is_file():
        raise UserError(f"nothing to resume: the run in {run_dir} is complete, see {run_dir / RESULTS}.")
    if changes := differences(saved, experiment):
        raise UserError(
            f"{run_dir} was started with another configuration: {changes}. Leave the setting out to resume."
        )
    progress = read_progress(run_dir)
    if progress is None:
        raise UserError(f"nothing to resume: {run_dir} has no {BACKUP}. Remove it and train again.")
    if progress.keras.split(".")[0] != keras.__version__.split(".")[0]:
        raise UserError(
            f"{run_dir} was written by Keras {progress.keras}, this is {keras.__version__}; resume with the former."
        )
    return progress


def differences(saved, experiment):
    """What has changed from one `Experiment` to another, in words. Data may move; then they are still the same."""
    ours, theirs = dataclasses.asdict(experiment), dataclasses.asdict(saved)
    different = [key for key in ours if ours[key] != theirs[key] and key != "data_dir"]
    return ", ".join(f"{key} was {theirs[key]!r}, now {ours[key]!r}" for key in different)


def read_config(run_dir):
    """The `Experiment` of a run directory."""
    path = pathlib.Path(run_dir) / CONFIG
    if not path.is_file():
        raise UserError(f"{run_dir} holds no run: it has no {CONFIG}. Train one there, or name another --run-dir.")
    try:
        return Experiment(**read_json(path))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def load_data(experiment, skip_batches=0):
    """`build_data`, its complaints to the user as `UserError`."""
    try:
        return build_data(experiment, skip_batches)
    except (ImportError, OSError, ValueError) as error:
        raise UserError(str(error)) from error


def fit(model, experiment, data, total_steps, progress, callbacks, verbose):
    """Trains to `total_steps`, Keras' epochs being the stretches between two validations, the last one what is left."""
    first, per_epoch = progress.steps, experiment.validate_every or data.steps_per_epoch.train
    whole_epochs, rest = divmod(total_steps, per_epoch)
    for last, steps in ((whole_epochs, per_epoch), (whole_epochs + 1, rest)):
        if steps and progress.epochs < last:
            stream = data if progress.steps == first else load_data(experiment, progress.steps)
            model.fit(
                stream.train,
                initial_epoch=progress.epochs,
                epochs=last,
                steps_per_epoch=steps,
                validation_data=data.validation,
                shuffle=False,  # the stream is shuffled already
                callbacks=callbacks,
                verbose=verbose,
            )


def test_model(run_dir, data, verbose):
    """Loss and metrics of the saved model on the test set."""
    model = keras.models.load_model(str(run_dir / MODEL))
    return model.evaluate(data.test, return_dict=True, verbose=verbose)


def evaluate(run_dir, experiment=None, verbose="auto"):
    """Tests the saved model of a run.

    Args:
        run_dir: directory of the run.
        experiment: `Experiment` whose test set to take; None for the run's own.
        verbose: as in `keras.Model.evaluate`.

    Returns:
        dict of the loss and the metrics.

    Raises:
        UserError: for a directory without a model, and for data that cannot be had.
    """
    run_dir = pathlib.Path(run_dir)
    experiment = experiment or read_config(run_dir)
    if not (run_dir / MODEL).is_file():
        raise UserError(f"{run_dir} holds no {MODEL}: the run stopped before its first epoch ended; resume it.")
    data = load_data(experiment)
    print(f"Data       {data.description}")
    test = test_model(run_dir, data, verbose)
    print_test(experiment, test)
    return test
