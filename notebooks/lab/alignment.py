"""How the rules' gradients agree with backpropagation's while an experiment trains, for several seeds.

python -m notebooks.lab.alignment --experiment smnist-alif --every 150
"""

import dataclasses
import math
import pathlib
import sys
import tempfile

from kernl_keras import cli
from kernl_keras.callbacks.alignment import GradientAlignment
from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.configs import DEFAULT, EXPERIMENTS
from kernl_keras.experiments.files import UserError, explained, write_json
from kernl_keras.experiments.provenance import devices
from kernl_keras.rules import EProp

from .options import check_file, check_seeds, make_parser, provenance

RULES = {"kernl": "kernl", "eprop": EProp(adaptation=False), "eprop_alif": EProp(), "rflo": "rflo"}


def measure_alignment(experiment, seeds, path, every=50, examples=16, windows=8, command="", verbose="auto"):
    """Trains an experiment once a seed, and measures as it goes; after each seed the results file is written anew.

    It measures in every so many training steps, with so many validation `examples`.
    """
    path, about = check_file(path), provenance(command)  # now: the checkout may move on while this runs
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
                history = model.fit(data.train, steps_per_epoch=total_steps, callbacks=[callback], verbose=verbose)
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
            **about,
            "runs": runs,
        }
        write_json(path, results)
    return results


def plain(found):
    """An `Alignment` as dicts and lists of numbers; None for a number that does not exist."""
    if hasattr(found, "_asdict"):
        found = found._asdict()
    if isinstance(found, dict):
        return {name: plain(value) for name, value in found.items()}
    if isinstance(found, list):
        return [plain(value) for value in found]
    return found if math.isfinite(found) else None


def main(arguments=None):
    """The command; returns the exit status."""
    parser = make_parser("alignment", __doc__, run)
    parser.add_argument(
        "--experiment", choices=EXPERIMENTS, default=DEFAULT, help=f"see `kernl-keras list`; {DEFAULT} if not given"
    )
    cli.add_data_options(parser)
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="batches to train on, 300 if not given")
    parser.add_argument(
        "--every", type=int, default=50, metavar="N", help="steps between measurements, 50 if not given"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="0 1 2 if not given")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("alignment.json"), metavar="FILE")
    cli.add_machine_options(parser)
    return cli.run_command(parser, arguments)


def run(options, command):
    """A results file; `notebooks.lab.pictures` draws its plot."""
    cli.set_threads(options.threads)
    experiment = cli.override(EXPERIMENTS[options.experiment], options)
    cli.at_least_one("--every", options.every)
    check_seeds(options.seeds)
    settings = {"command": command, "verbose": options.verbose}
    measure_alignment(experiment, options.seeds, options.output, options.every, **settings)
    print(f"Results    {options.output}")


if __name__ == "__main__":
    sys.exit(main())
