"""Makes the runs of a sweep that are missing, and writes their results into one file; `sweeps` says which there are.

python -m notebooks.lab.sweep rules-smnist14 --output notebooks/results/rules-smnist14.json
"""

import dataclasses
import pathlib
import sys

from kernl_keras.experiments.experiment import Experiment
from kernl_keras.experiments.files import CONFIG, RESULTS, UserError, read_json, write_json
from kernl_keras.experiments.run import differences, read_config, train
from kernl_keras.keras_version import keras

from .options import Command, check_folder, provenance
from .sweeps import SWEEPS


def run_sweep(sweep, folder, output, data_dir=None, command="", only=None, seeds=None, verbose=0):
    """Runs what is missing of a sweep and writes its results.

    Every run has a directory of its own in `folder` and goes on where it was stopped.

    `only` are names of variants, and `seeds` stand instead of the sweep's. A row of the results file is made anew if it
    is of these variants and seeds; all others stay, and a learning rate that was chosen with one of them holds for the
    rest of its variant.
    """
    known = [variant.name for variant in sweep.variants]
    if unknown := sorted(set(only or ()) - set(known)):
        raise UserError(f"--only must name variants of {sweep.name}, {known}; received {unknown}.")
    rows = {name: [] for name in known}
    for each in earlier_rows(sweep, output):
        rows.setdefault(each["variant"], []).append(each)
    for variant in sweep.variants:
        if only and variant.name not in only:
            continue
        base = variant.of(sweep.experiment)
        if base.source == "tfds":
            base = dataclasses.replace(base, data_dir=data_dir)
        first, *rest = seeds or sweep.seeds
        others = [each for each in rows[variant.name] if each["seed"] not in (first, *rest)]
        chosen = [each["learning_rate"] for each in others if "chosen_from" in each]
        rates = chosen or sweep.learning_rates
        runs = [run_one(base, variant, first, rate, folder, command, verbose) for rate in rates]
        best = max(runs, key=lambda run: score(base, run))
        choice = None if chosen else [[run["learning_rate"], run["validation"]] for run in runs]
        made = [row(variant, best, choice)]
        for seed in rest:
            made.append(row(variant, run_one(base, variant, seed, best["learning_rate"], folder, command, verbose)))
        rows[variant.name] = sorted(others + made, key=lambda each: each["seed"])
        results = write_results(sweep, sum(rows.values(), []), output, command)
    return results


def earlier_rows(sweep, output):
    """The rows that a results file already has; raises `UserError` for a file that is not the sweep's as it is."""
    if not output.exists():
        check_folder(output)
        return []
    results = read_results(output) if output.is_file() else {}
    if results.get("sweep") != sweep.name or not isinstance(results.get("runs"), list):
        raise UserError(f"{output} already exists, and holds no results of {sweep.name}: name another --output.")
    try:
        changes = differences(Experiment(**results["experiment"]), sweep.experiment)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{output} cannot be read: its experiment is none. Name another --output.") from error
    if changes:
        raise UserError(f"{output} holds results of another configuration: {changes}. Name another --output.")
    return results["runs"]


def read_results(path):
    """The dict in a results file."""
    try:
        results = read_json(path)
        if not isinstance(results, dict):
            raise ValueError("it holds no results")
        return results
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}. Remove it to make it anew.") from error


def score(experiment, run):
    """What is to be large; a run that diverged has none."""
    value = run["validation"]
    return float("-inf") if value is None else value if experiment.metric == "accuracy" else -value


def folder_of(name, learning_rate, seed):
    """What the folder of a run is called; `name` is that of its variant."""
    return f"{name}, {learning_rate:g}, seed {seed}".replace(" ", "-").replace(",", "").replace("/", "-")


def run_one(base, variant, seed, learning_rate, folder, command, verbose):
    """One run, or what it left if it is finished: a dict of its settings and its results."""
    experiment = dataclasses.replace(base, seed=seed, learning_rate=learning_rate)
    place = folder / folder_of(variant.name, learning_rate, seed)
    if (place / RESULTS).is_file():
        if changes := differences(read_config(place), experiment):
            raise UserError(f"{place} holds a run of another configuration: {changes}. Name another --run-dir.")
        results = read_results(place / RESULTS)
    else:
        keras.backend.clear_session()
        begun = (place / CONFIG).is_file()
        results = train(experiment, place, resume=begun, command=command, verbose=verbose)
    curve = results["curve"]
    monitored = [point.get(f"val_{experiment.metric}") for point in curve]
    known = [value for value in monitored if value is not None]
    best = (max if experiment.metric == "accuracy" else min)(known) if known else None
    tested = results["test"][experiment.metric]
    found = {"seed": seed, "learning_rate": learning_rate, "validation": best, "test": tested}
    found |= {name: curve[-1].get(name) for name in ("explained_variance", "firing_rate")}
    found |= {name: results[name] for name in ("steps", "seconds", "command", "git_revision")}
    return {**found, "keras": results["versions"]["keras"]}


def row(variant, run, chosen_from=None):
    """A row of the results file."""
    return {"variant": variant.name, **run, **({"chosen_from": chosen_from} if chosen_from else {})}


def write_results(sweep, rows, output, command):
    """The results file, whole."""
    experiment = sweep.experiment
    results = {
        "sweep": sweep.name,
        "description": sweep.description,
        "metric": experiment.metric,
        "chance": experiment.chance,
        "experiment": {**dataclasses.asdict(experiment), "data_dir": None},
        **provenance(command),
        "runs": rows,
    }
    write_json(output, results)
    return results


def run(options, about):
    """What is missing of a sweep; returns the exit status."""
    sweep = SWEEPS[options.name]
    folder = options.run_dir or pathlib.Path("runs", sweep.name)
    output = options.output or pathlib.Path(f"{sweep.name}.json")
    what = options.data_dir, about["command"], options.only, options.seeds, options.verbose
    try:
        run_sweep(sweep, folder, output, *what)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on.", file=sys.stderr)
        return 130
    print(f"Results    {output}")


main = Command("sweep", __doc__, run)
main.option("name", choices=SWEEPS, metavar="SWEEP", help=", ".join(SWEEPS))
main.option("--only", nargs="+", metavar="VARIANT", help="some of its variants")
main.seeds()
main.data_dir()
main.option("--run-dir", type=pathlib.Path, metavar="DIR", help="runs/SWEEP if not given")
main.option("--output", type=pathlib.Path, metavar="FILE", help="SWEEP.json if not given")
main.machine()

if __name__ == "__main__":
    sys.exit(main())
