"""What other choices than the guide's do, on a held-out part of the training data.

Each line changes one choice, on some of `notebooks.lab.guide.DEVELOPMENT`: a third of the training data is held out,
each time another one. No test data are used.
"""

import itertools
import math
import sys

import numpy as np
import tensorflow as tf

from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.keras_version import keras

from .guide import BATCH, DEVELOPMENT, UPDATES, Task, epochs_of, guide, learn, ready
from .options import Command

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
    model = ready(guide(task, **network), task, updates)
    reader, found = keras.Model(model.inputs, model.outputs), {"train": [], "held_out": []}
    for seed in range(splits):
        rows = np.random.default_rng(seed).permutation(len(task.x))
        restart(model, task, network, seed)
        learn(model, task.x[rows[:count]], task.y[rows[:count]], epochs, seed)
        right = reader.predict(task.x, batch_size=256, verbose=0).argmax(-1) == task.y
        found["train"].append(float(right[rows[:count]].mean()))
        found["held_out"].append(float(right[rows[count:]].mean()))
    return {"updates": updates, **found}


def run(options, about):
    """Makes the rows that the results file does not have; it is written after each of them."""
    path = options.output
    results = read_json(path) if path.exists() else {"recipe": {"rows": []}}
    rows = results["recipe"]["rows"]
    for variant, name in itertools.product(SERIES, DEVELOPMENT):
        known = any((row["task"], row["variant"]) == (name, variant) for row in rows)
        if known or (options.only and variant not in options.only):
            continue
        found = series(Task(DEVELOPMENT[name]), variant, options.repeats)
        rows.append({"task": name, "variant": variant, **found, **about})
        write_json(path, results)
        print(f"{name:24} {variant:32}", *(f"{100 * each:.1f}" for each in found["held_out"]), flush=True)
        keras.backend.clear_session()


main = Command("recipe", __doc__, run)
main.option("--repeats", type=int, default=3, help="how many splits")
main.option("--only", nargs="+", metavar="VARIANT")
main.results(new=False)

if __name__ == "__main__":
    sys.exit(main())
