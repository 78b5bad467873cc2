"""What other choices than the guide's do, on a held-out part of the training data.

    python -m notebooks.lab.recipe --output notebooks/results/recipe.json

Each line changes one choice, on some of `notebooks.lab.guide.DEVELOPMENT`: a third of the training data is held out,
each time another one. No test data are used.
"""

import itertools
import math
import pathlib
import sys

import numpy as np
import tensorflow as tf

from kernl_keras import cli
from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.experiments.provenance import git_revision, versions
from kernl_keras.keras_version import keras

from .guide import BATCH, DEVELOPMENT, UPDATES, Task, compiled, epochs_of, guide, learn
from .options import make_parser

# What is changed of `guide.guide`; `share` is what `tau_m` is of the length.
SERIES = {
    "the guide": {},
    "tau_m a quarter of T": {"share": 0.25},
    "input_gain=3": {"input_gain": 3.0},
    "the default tau_m and period": {"tau_m": 100.0, "period": None},
    "GaussianNoise(0.3)": {"noise": 0.3},
    "Dropout(0.3) of the spikes": {"dropout": 0.3},
}


def restart(model, task, network, seed):
    """New weights for a compiled network, and an optimizer as new; to compile again would take longer than to learn."""
    keras.utils.set_random_seed(seed)
    model.set_weights(guide(task, **network).get_weights())
    for variable in model.optimizer.variables:
        variable.assign(tf.zeros_like(variable))


def series(task, variant, splits):
    """A change on one set: accuracies on what was learned and on what was held out, of each split."""
    network = dict(SERIES[variant])
    if share := network.pop("share", None):
        network["tau_m"] = max(share * task.steps, 20.0)
    count = len(task.x) - len(task.x) // 3
    epochs = epochs_of(UPDATES, count)
    updates = epochs * math.ceil(count / BATCH)
    model = compiled(guide(task, **network), task, updates)
    reader, found = keras.Model(model.inputs, model.outputs), {"train": [], "held_out": []}
    for seed in range(splits):
        rows = np.random.default_rng(seed).permutation(len(task.x))
        restart(model, task, network, seed)
        learn(model, task.x[rows[:count]], task.y[rows[:count]], epochs, seed)
        right = reader.predict(task.x, batch_size=256, verbose=0).argmax(-1) == task.y
        found["train"].append(float(right[rows[:count]].mean()))
        found["held_out"].append(float(right[rows[count:]].mean()))
    return {"updates": updates, **found}


def run(options, command):
    """Makes the rows that the results file does not have; it is written after each of them."""
    path, revision = options.output, git_revision(__file__)
    results = read_json(path) if path.exists() else {"recipe": {"rows": []}}
    rows = results["recipe"]["rows"]
    for variant, name in itertools.product(SERIES, DEVELOPMENT):
        known = any((row["task"], row["variant"]) == (name, variant) for row in rows)
        if known or (options.only and variant not in options.only):
            continue
        found = series(Task(DEVELOPMENT[name]), variant, options.repeats)
        rows.append({"task": name, "variant": variant, **found, "versions": versions()})
        rows[-1] |= {"git_revision": revision, "command": command}
        write_json(path, results)
        print(f"{name:24} {variant:32}", *(f"{100 * each:.1f}" for each in found["held_out"]), flush=True)
        keras.backend.clear_session()


def main(arguments=None):
    """The command; returns the exit status."""
    parser = make_parser("recipe", __doc__, run)
    parser.add_argument("--repeats", type=int, default=3, help="how many splits")
    parser.add_argument("--only", nargs="+", metavar="VARIANT")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="results file; rows that it has stay")
    return cli.run_command(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
