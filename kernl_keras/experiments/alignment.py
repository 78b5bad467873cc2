"""How the rules' gradients agree with backpropagation's while an experiment trains, for several seeds."""

import dataclasses
import math
import pathlib
import tempfile

from ..callbacks.alignment import GradientAlignment
from .build import build_model
from .errors import UserError, explained
from .files import write_json
from .provenance import devices, git_revision, versions
from .run import load_data

RULES = ("kernl", "eprop", "eprop_alif", "rflo")


def measure_alignment(experiment, seeds, path, every=50, examples=16, windows=8, command="", verbose="auto"):
    """Trains an experiment once a seed, and measures as it goes; after each seed the results file is written anew.

    Args:
        experiment: `Experiment`; its `steps` are how long.
        seeds: list of int.
        path: the results file.
        every: training steps between two measurements.
        examples: how many validation digits to measure with.
        windows: as in `kernl_keras.gradient_alignment`.
        command: the command line, for the record.
        verbose: as in `keras.Model.fit`.

    Returns:
        dict, what the file holds.
    """
    path, revision = check_file(path), git_revision()  # now: the checkout may move on while this runs
    runs = []
    for experiment in [dataclasses.replace(experiment, seed=seed) for seed in seeds]:
        data = load_data(experiment)
        windows = min(windows, data.time_steps)
        total_steps = experiment.total_steps(data.steps_per_epoch.train)
        model = build_model(experiment, data.time_steps, data.features, total_steps)
        with tempfile.TemporaryDirectory() as events:
            print(f"Experiment {experiment.name}, seed {experiment.seed}: {experiment.summary()}")
            print(f"Data       {data.description}")
            print(f"Measures   {', '.join(RULES)} against bptt, every {every} steps with {examples} digits", flush=True)
            try:
                callback = GradientAlignment(events, every, data.validation.unbatch().batch(examples), RULES, windows)
            except ImportError as error:
                raise UserError(str(error)) from error
            with explained("The measurement stopped"):
                history = model.fit(
                    data.train, steps_per_epoch=total_steps, shuffle=False, callbacks=[callback], verbose=verbose
                )
        runs.append(
            {
                "seed": experiment.seed,
                experiment.metric: plain(history.history[experiment.metric][-1]),
                "measurements": [{"step": step, **plain(found)} for step, found in callback.history],
            }
        )
        results = {
            "experiment": experiment.name,
            "rule": experiment.rule,
            "steps": total_steps,
            "examples": examples,
            "windows": windows,
            "data": data.description,
            "device": devices(),
            "versions": versions(),
            "git_revision": revision,
            "command": command,
            "runs": runs,
        }
        write_json(path, results)
    return results


def check_file(path):
    """The path of a file that is still to be written; raises `UserError` where it cannot be."""
    path = pathlib.Path(path)
    if path.exists():
        raise UserError(f"{path} already exists: name another --output.")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no directory: make it, or name another --output.")
    return path


def plain(found):
    """An `Alignment` as dicts and lists of numbers; None for a number that does not exist."""
    if hasattr(found, "_asdict"):
        found = found._asdict()
    if isinstance(found, dict):
        return {name: plain(value) for name, value in found.items()}
    if isinstance(found, list):
        return [plain(value) for value in found]
    return found if math.isfinite(found) else None
