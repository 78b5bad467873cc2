"""How the rules' gradients agree with backpropagation's while an experiment trains, for several seeds.

python -m notebooks.lab.alignment --experiment smnist --every 50
"""

import dataclasses
import math
import sys
import tempfile

from kernl_keras import cli
from kernl_keras.callbacks.alignment import GradientAlignment
from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.configs import DEFAULT, EXPERIMENTS
from kernl_keras.experiments.files import as_user_error, explained, write_json
from kernl_keras.experiments.provenance import devices
from kernl_keras.rules import EProp

from .options import Command

RULES = {"kernl": "kernl", "eprop": EProp(adaptation=False), "eprop_alif": EProp(), "rflo": "rflo"}
EXAMPLES, WINDOWS = 16, 8  # validation examples of a measurement, and lags


def run(options, about):
    """Trains once a seed, and measures as it goes; the results file is written anew after each seed."""
    chosen, runs = cli.override(EXPERIMENTS[options.experiment], options), []
    for experiment in [dataclasses.replace(chosen, seed=seed) for seed in options.seeds]:
        data = load_data(experiment)
        windows = min(WINDOWS, data.time_steps)
        total_steps = experiment.total_steps(data.steps_per_epoch.train)
        model = build_model(experiment, data.time_steps, data.features, total_steps)
        digits = data.validation.unbatch().batch(EXAMPLES)
        with tempfile.TemporaryDirectory() as events:
            print(f"Experiment {experiment.name}, seed {experiment.seed}: {experiment.summary()}")
            print(f"Data       {data.description}")
            print(f"Measures   {', '.join(RULES)} against bptt, every {options.every} steps with {EXAMPLES} digits")
            with as_user_error(ImportError):
                callback = GradientAlignment(events, options.every, digits, RULES, windows)
            with explained("The measurement stopped"):
                history = model.fit(
                    data.train, steps_per_epoch=total_steps, callbacks=[callback], verbose=options.verbose
                )
        last = plain(history.history[experiment.metric][-1])
        measurements = [{"step": step, **plain(found)} for step, found in callback.history]
        runs.append({"seed": experiment.seed, experiment.metric: last, "measurements": measurements})
        measured = {"experiment": experiment.name, "rule": experiment.rule, "steps": total_steps}
        measured |= {"examples": EXAMPLES, "windows": windows, "data": data.description, "device": devices()}
        write_json(options.output, {**measured, **about, "runs": runs})


def plain(found):
    """An `Alignment` as dicts and lists of numbers; None for a number that does not exist."""
    if hasattr(found, "_asdict"):
        found = found._asdict()
    if isinstance(found, dict):
        return {name: plain(value) for name, value in found.items()}
    if isinstance(found, list):
        return [plain(value) for value in found]
    return found if math.isfinite(found) else None


main = Command("alignment", __doc__, run)
main.option("--experiment", choices=EXPERIMENTS, default=DEFAULT, help=f"see `kernl-keras list`; {DEFAULT} otherwise")
cli.add_data_options(main.parser)
main.option("--steps", type=int, default=300, metavar="N", help="batches to train on, 300 if not given")
main.count("--every", 50, "steps between measurements")
main.seeds(0, 1, 2)
main.results("alignment.json")
main.machine()

if __name__ == "__main__":
    sys.exit(main())
