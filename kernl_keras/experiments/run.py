"""A run: a configuration trained into a directory, gone on with, and evaluated."""

import contextlib
import dataclasses
import pathlib

from ..archives import checked
from ..callbacks.tensorboard import TensorBoard
from ..keras_version import keras
from ..whole_files import PART
from .alone import alone
from .backup import Backup, finite, read_backup, restore, write_backup
from .build import assemble, build_data, build_model
from .errors import GOOD_COPY, UserError, as_user_error, explained
from .experiment import Experiment
from .files import BACKUP, CONFIG, EVENTS, MODEL, RESULTS, read_json, remove_parts, write_json
from .packaged import start_from
from .provenance import devices, git_revision, versions
from .report import print_plan, print_results, print_test
from .same_bits import going_on_with


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
        UserError: for a directory that does not fit, that another run writes in, that cannot be written, or where a
            file is damaged, and for data that cannot be had.
    """
    run_dir, revision = pathlib.Path(run_dir), git_revision()  # now: the checkout may move on while this runs
    with contextlib.ExitStack() as stack:
        if run_dir.is_dir():  # else it is made when all is ready
            stack.enter_context(alone(run_dir))
        saved = check_directory(run_dir, experiment, resume)
        events = load_tensorboard(run_dir / EVENTS)
        data = load_data(experiment, saved.progress.steps if saved else 0)
        total_steps = experiment.total_steps(data.steps_per_epoch.train)
        with as_user_error():
            model = build_model(experiment, data.time_steps, data.features, total_steps)
            if experiment.start is not None and not saved:
                start_from(experiment.start, model)
        print_plan(experiment, run_dir, data, model, total_steps)

        monitor = f"val_{experiment.metric}" if data.examples.validation else None
        backup = Backup(run_dir, experiment, monitor, sign=-1 if experiment.metric == "mse" else 1)
        if saved:
            print(f"Goes on after epoch {saved.progress.epochs}, step {saved.progress.steps}.")
            backup.progress = saved.progress
            saved.progress.computed_with = going_on_with(saved.progress.computed_with)
            restore(run_dir, saved, model)
        if not run_dir.is_dir():
            with explained(f"{run_dir} cannot be made", "Name another --run-dir."):
                run_dir.mkdir(parents=True)
            stack.enter_context(alone(run_dir))
        with explained(f"{run_dir} cannot be written", "Name another --run-dir."):
            remove_parts(run_dir)
        if not resume:
            write_json(run_dir / CONFIG, dataclasses.asdict(experiment))  # from now on the run can be gone on with
        if not saved:  # before there is a model: one without a backup has lost it
            write_backup(run_dir, model, backup.progress, experiment)
        # TensorBoard comes first: once the backup has counted an epoch, nothing writes it again.
        callbacks = [events, backup]
        with explained("The run stopped", "When that is put right, go on with it by --resume."):
            fit(run_dir, model, experiment, data, total_steps, backup.progress, callbacks, verbose)

        print("Test set", flush=True)
        test = test_model(run_dir, experiment, data, verbose)
        results = results_of(experiment, backup.progress, data, test, revision, command)
        write_json(run_dir / RESULTS, results)
    print_results(experiment, run_dir, results, test)
    return results


def results_of(experiment, progress, data, test, revision, command):
    """What `results.json` holds, a dict."""
    tested = finite(test)
    return {
        "experiment": experiment.name,
        "rule": experiment.rule,
        "metric": experiment.metric,
        f"test_{experiment.metric}": tested[experiment.metric],
        "chance": experiment.chance,
        "test": tested,
        "best_epoch": progress.best_epoch,
        "steps": progress.steps,
        "seconds": progress.seconds,
        "seed": experiment.seed,
        "examples": data.examples._asdict(),
        "data": data.description,
        "device": devices(),
        "computed_with": progress.computed_with,
        "versions": versions(),
        "git_revision": revision,
        "command": command,
        "curve": progress.curve,
    }


def check_directory(run_dir, experiment, resume):
    """What to go on from, `Saved`, or None from the start; raises `UserError` where the directory does not fit."""
    if not resume:
        if run_dir.exists() and (not run_dir.is_dir() or holds_something(run_dir)):
            raise UserError(
                f"{run_dir} already holds something: name another --run-dir, or go on with its run by --resume."
            )
        return None
    config = read_config(run_dir)
    if (run_dir / RESULTS).is_file():
        raise UserError(f"nothing to resume: the run in {run_dir} is complete, see {run_dir / RESULTS}.")
    if changes := differences(config, experiment):
        raise UserError(
            f"{run_dir} was started with another configuration: {changes}. Leave the setting out to resume."
        )
    saved = read_backup(run_dir)
    if saved is None:  # stopped in its first epoch
        if (run_dir / MODEL).exists():
            raise UserError(f"nothing to resume: {run_dir} has a {MODEL} but no {BACKUP}. Train in another --run-dir.")
        return None
    if changes := differences(saved.experiment, experiment):
        raise UserError(f"{run_dir / BACKUP} is that of another run: {changes}. {GOOD_COPY}")
    if saved.progress.keras.split(".")[0] != keras.__version__.split(".")[0]:
        raise UserError(
            f"{run_dir} was written by Keras {saved.progress.keras}, this is {keras.__version__}; "
            "resume with the former."
        )
    if saved.progress.epochs:
        check_model(run_dir / MODEL)  # it may be the best to the end: better said now
    return saved


def holds_something(run_dir):
    """Whether there is more in a directory than a process that was killed at once leaves there."""
    with explained(f"{run_dir} cannot be read", "Name another --run-dir."):
        return any(not path.name.startswith(PART) for path in run_dir.iterdir())


def differences(saved, experiment):
    """What has changed from one `Experiment` to another, in words; not its description, nor where its data lie."""
    ours, theirs = dataclasses.asdict(experiment), dataclasses.asdict(saved)
    different = [key for key in ours if ours[key] != theirs[key] and key not in ("description", "data_dir")]
    if "name" in different:  # that says it all
        different = ["name"]
    return ", ".join(f"{key} was {theirs[key]!r}, now {ours[key]!r}" for key in different)


def read_config(run_dir):
    """The `Experiment` of a run directory."""
    path = pathlib.Path(run_dir) / CONFIG
    if not path.is_file():
        raise UserError(f"{run_dir} holds no run: it has no {CONFIG}. Train one there, or name another --run-dir.")
    try:
        kept = read_json(path)
        if isinstance(kept, dict) and kept.keys() == {"experiment", "stream"}:
            raise UserError(f"{run_dir} holds a run of `stream`, not of `train`.")
        return Experiment(**kept)
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def load_tensorboard(folder):
    """The callback, its complaint to the user as `UserError`."""
    try:
        return TensorBoard(str(folder))
    except ImportError as error:
        raise UserError(str(error)) from error


def load_data(experiment, skip_batches=0):
    """`build_data`, its complaints to the user as `UserError`."""
    with as_user_error(ImportError, OSError):
        return build_data(experiment, skip_batches)


def fit(run_dir, model, experiment, data, total_steps, progress, callbacks, verbose):
    """Trains to `total_steps`, Keras' epochs being the stretches between two validations, the last one what is left."""
    first, per_epoch = progress.steps, experiment.validate_every or data.steps_per_epoch.train
    whole_epochs, rest = divmod(total_steps, per_epoch)
    for last, steps in ((whole_epochs, per_epoch), (whole_epochs + 1, rest)):
        if steps and progress.epochs < last:
            stream = data
            if progress.steps != first:
                stream = load_data(experiment, progress.steps)
                # With `use_ema` the `fit` before has left averages, and training goes on with the weights.
                restore(run_dir, read_backup(run_dir), model)
            model.fit(
                stream.train,
                initial_epoch=progress.epochs,
                epochs=last,
                steps_per_epoch=steps,
                validation_data=data.validation,
                callbacks=callbacks,
                verbose=verbose,
            )


def check_model(path):
    """Raises `UserError` where a saved model cannot be read; nothing of it is used yet."""
    try:
        with checked(path, GOOD_COPY):
            pass
    except OSError as error:
        raise UserError(str(error)) from error


def test_model(run_dir, experiment, data, verbose):
    """Loss and metrics of the saved model on the test set.

    The network is built of the experiment, and numbers alone are taken from the file: what else may stand in it, such
    as code, is never run.
    """
    path = run_dir / MODEL
    check_model(path)
    try:
        model = assemble(experiment, data.time_steps, data.features, total_steps=1)
    except (TypeError, ValueError) as error:
        raise UserError(f"{run_dir / CONFIG} describes no network: {error}") from error
    try:
        model.load_weights(str(path))
    except Exception as error:  # Keras raises what it happens to meet
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is no model of this run: {reason} {GOOD_COPY}") from error
    test = model.evaluate(data.test, return_dict=True, verbose=verbose)
    return {**test, **model.diagnostics(training=False)}


def evaluate(run_dir, experiment=None, verbose="auto"):
    """Tests the saved model of a run.

    Args:
        run_dir: directory of the run.
        experiment: `Experiment` whose test set to take; None for the run's own.
        verbose: as in `keras.Model.evaluate`.

    Returns:
        dict of the loss and the metrics.

    Raises:
        UserError: for a directory without a model, for a damaged or foreign one, and for data that cannot be had.
    """
    run_dir = pathlib.Path(run_dir)
    experiment = experiment or read_config(run_dir)
    if not (run_dir / MODEL).is_file():
        raise UserError(f"{run_dir} holds no {MODEL}: the run stopped before its first epoch ended; resume it.")
    data = load_data(experiment)
    print(f"Data       {data.description}")
    test = test_model(run_dir, experiment, data, verbose)
    print_test(experiment, test)
    return test
