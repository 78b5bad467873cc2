"""What other choices than the guide's do, on a held-out part of the training data.

    python -m notebooks.lab.recipe series --output notebooks/results/recipe.json
    python -m notebooks.lab.recipe pixels --output notebooks/results/recipe-pixels.json

Each line changes one choice. "series" are some of `notebooks.lab.guide.DEVELOPMENT`: a third of the training data is
held out, each time another one. "pixels" is the network of the README on the packaged digits, and its
validation data. No test data are used.
"""

import math
import pathlib
import sys

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import cli
from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.experiments.provenance import git_revision, versions
from kernl_keras.keras_version import keras

from .guide import BATCH, DEVELOPMENT, UPDATES, Task, compiled, epochs_of, guide, learn
from .options import make_parser

SETS, DIGITS = ("ItalyPowerDemand", "JapaneseVowels", "digits, pixel by pixel", "GunPoint"), "pixels"

# What is changed of `guide.guide`, and of how it is trained.
SERIES = {
    "the guide": ({}, {}),
    "tau_m a quarter of T": ({"share": 0.25}, {}),
    "input_gain=3": ({"input_gain": 3.0}, {}),
    "GaussianNoise(0.1)": ({"noise": 0.1}, {}),
    "GaussianNoise(0.3)": ({"noise": 0.3}, {}),
    "Dropout(0.3) of the spikes": ({"dropout": 0.3}, {}),
    "weight_decay=0.1": ({}, {"weight_decay": 0.1}),
    "1,200 updates": ({}, {"updates": 1200}),
    "averages of the weights": ({}, {"use_ema": True, "ema_momentum": 0.98}),
    "30 units": ({"units": 30}, {}),
    "the default tau_m and period": ({"tau_m": 100.0, "period": None}, {}),
    "the default tau_out": ({"tau_out": 10.0}, {}),
    "learning rate 2e-3": ({}, {"rate": 2e-3}),
}

GUIDE = {"encoder": False, "input_gain": 1.0, "period": (4, 838), "tau_out": None, "last": None, "rate": 5e-3}
GUIDE |= {"falling": True, "sensitivity_every": 8}
PIXELS = {
    "README": {},
    "the guide": GUIDE,
    "the guide, no steps after the last pixel": GUIDE | {"context_steps": 0},
    "the guide, the default tau_m and period": GUIDE | {"context_steps": 0, "tau_m": 100.0, "period": (4, 300)},
    "the guide, with the encoder and input_gain=3": GUIDE | {"encoder": True, "input_gain": 3.0},
    "mean of all steps": {"last": None},
    "tau_out=10": {"tau_out": 10.0},
    "no encoder": {"encoder": False},
    "input_gain=1": {"input_gain": 1.0},
    "period from 4 to T": {"period": (4, 838)},
    "learning rate 5e-3, falling": {"rate": 5e-3, "falling": True},
    "sensitivity_every=8": {"sensitivity_every": 8},
}


def restart(model, task, network, seed):
    """New weights for a compiled network, and an optimizer as new; to compile again would take longer than to learn."""
    keras.utils.set_random_seed(seed)
    model.set_weights(guide(task, **network).get_weights())
    for variable in model.optimizer.variables:
        variable.assign(tf.zeros_like(variable))


def series(task, variant, splits):
    """A change on one set: accuracies on what was learned and on what was held out, of each split."""
    network, training = (dict(each) for each in SERIES[variant])
    if share := network.pop("share", None):
        network["tau_m"] = max(share * task.steps, 20.0)
    count = len(task.x) - len(task.x) // 3
    epochs = epochs_of(training.pop("updates", UPDATES), count)
    updates = epochs * math.ceil(count / BATCH)
    model = compiled(guide(task, **network), task, updates, **training)
    reader, found = keras.Model(model.inputs, model.outputs), {"train": [], "held_out": []}
    for seed in range(splits):
        rows = np.random.default_rng(seed).permutation(len(task.x))
        restart(model, task, network, seed)
        learn(model, task.x[rows[:count]], task.y[rows[:count]], epochs, seed)
        right = reader.predict(task.x, batch_size=256, verbose=0).argmax(-1) == task.y
        found["train"].append(float(right[rows[:count]].mean()))
        found["held_out"].append(float(right[rows[count:]].mean()))
    return {"updates": updates, **found}


def digits(variant, seeds):
    """A change of the README's network: validation accuracies, of each seed."""
    settings = {"encoder": True, "period": (12, 42), "tau_m": 300.0, "input_gain": 3.0, "tau_out": 20.0, "last": 20}
    settings |= {"context_steps": 54, "rate": 2e-3, "falling": False, "sensitivity_every": 4, **PIXELS[variant]}
    context = settings["context_steps"]
    found = []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        data = kk.data.sequential_mnist("sample", context_steps=context, batch_size=BATCH, repeat=True)
        x = inputs = keras.Input((data.time_steps, data.features))
        if settings["encoder"]:
            x = kk.SpikeEncoder(80, code="threshold", context_switch=784)(x)
        else:
            x = keras.layers.Normalization(mean=[0.12, 0.0][: data.features], variance=[0.09, 1.0][: data.features])(x)
        names = ("tau_m", "input_gain")
        cell = kk.ResonatorCell(200, period=kk.LogSpaced(*settings["period"]), **{n: settings[n] for n in names})
        v = kk.Readout(10, tau_out=settings["tau_out"])(kk.RNN(cell, rule="kernl")(x))
        model = kk.Model(inputs, kk.TimeAverage(settings["last"])(v))
        rate = keras.optimizers.schedules.CosineDecay(settings["rate"], UPDATES)
        model.compile(
            keras.optimizers.Adam(rate if settings["falling"] else settings["rate"], global_clipnorm=1.0),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            sensitivity_every=settings["sensitivity_every"],
            jit_compile=True,
        )
        model.fit(data.train, steps_per_epoch=UPDATES, shuffle=False, verbose=0)
        reader = keras.Model(model.inputs, model.outputs)
        right = [reader.predict_on_batch(x).argmax(-1) == y.numpy() for x, y in data.validation]
        found.append(float(np.concatenate(right).mean()))
    return {"updates": UPDATES, "held_out": found}


def run(options, command):
    """Makes the rows that the results file does not have; it is written after each of them."""
    path, revision = options.output, git_revision(__file__)
    results = read_json(path) if path.exists() else {"recipe": {"rows": []}}
    rows = results["recipe"]["rows"]
    cases = [(each, variant) for variant in SERIES for each in SETS]
    for name, variant in {"series": cases, "pixels": [(DIGITS, each) for each in PIXELS]}[options.task]:
        known = any((row["task"], row["variant"]) == (name, variant) for row in rows)
        if known or (options.only and variant not in options.only):
            continue
        if name == DIGITS:
            found = digits(variant, options.repeats)
        else:
            found = series(Task(DEVELOPMENT[name]), variant, options.repeats)
        rows.append({"task": name, "variant": variant, **found, "versions": versions()})
        rows[-1] |= {"git_revision": revision, "command": command}
        write_json(path, results)
        print(f"{name:24} {variant:32}", *(f"{100 * each:.1f}" for each in found["held_out"]), flush=True)
        keras.backend.clear_session()


def main(arguments=None):
    """The command; returns the exit status."""
    parser = make_parser("recipe", __doc__, run)
    parser.add_argument("task", choices=("series", "pixels"))
    parser.add_argument("--repeats", type=int, default=3, help="how many splits, or seeds")
    parser.add_argument("--only", nargs="+", metavar="VARIANT")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="results file; rows that it has stay")
    return cli.run_command(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
