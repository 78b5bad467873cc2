"""Compares the choices of the guide with the beginning that the README had before, on public series.

python -m pip install --no-deps aeon==1.6.0 sktime==1.2.0 tslearn==0.10.0 scikit-learn==1.9.1
python -m notebooks.lab.guide --output notebooks/results/guide.json

The series are files inside these packages, which are not imported. A package that is not there is skipped, and the
results say so. The defaults were chosen on parts of the training sets of the series in DEVELOPMENT. Those in HELD_OUT
were not looked at before.
"""

import argparse
import csv
import gzip
import importlib.util
import json
import math
import pathlib
import sys
import time

import numpy as np

import kernl_keras as kk
from kernl_keras import cli
from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.experiments.provenance import git_revision, versions
from kernl_keras.keras_version import keras

UNITS, BATCH, UPDATES = 100, 16, 300


def file_of(package, path):
    """The path of a file inside an installed package."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise FileNotFoundError(f"the package {package} is not installed")
    return pathlib.Path(spec.origin).parent / path


def read_ts(package, name, part):
    """The sequences [time, features] and the labels of one part of a set in the .ts format."""
    path = file_of(package, f"datasets/data/{name}/{name}_{part}.ts")
    lines = path.read_text("utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.lower().startswith("@data"))
    sequences, labels = [], []
    for line in filter(None, (line.strip() for line in lines[start + 1 :])):
        *features, label = line.split(":")
        sequences.append(np.array([[float(x) for x in each.split(",")] for each in features], "float32").T)
        labels.append(label)
    return sequences, labels


def whole(package, name, regression=False):
    """A set with one answer for each sequence: training and test sequences and answers."""
    (x, y), (x_test, y_test) = (read_ts(package, name, part) for part in ("TRAIN", "TEST"))
    names = sorted(set(y))
    answers = [
        np.float32(each)[:, None] if regression else np.array([names.index(n) for n in each]) for each in (y, y_test)
    ]
    return x, answers[0], x_test, answers[1]


def trace():
    """The set Trace."""
    arrays = np.load(file_of("tslearn", ".cached_datasets/Trace.npz"), allow_pickle=False)
    x, x_test = (list(np.float32(arrays[name])) for name in ("X_train", "X_test"))
    y, y_test = (arrays[name].astype(int) - 1 for name in ("y_train", "y_test"))
    return x, y, x_test, y_test


def digits():
    """Digits of 8 x 8 pixels, one pixel a step."""
    with gzip.open(file_of("sklearn", "datasets/data/digits.csv.gz"), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype="float32")
    x, y = list(rows[:, :64, None]), rows[:, 64].astype(int)
    return x[:1200], y[:1200], x[1200:], y[1200:]


def ahead(package, path, column, steps, length=200, rows=None):
    """A recording whose value some steps later is asked at every step; the last third is the test."""
    with open(file_of(package, path), encoding="utf-8") as file:
        values = np.float32([row[column] for row in csv.DictReader(file)][:rows])[:, None]

    def pieces(part, hop):
        starts = range(0, len(part) - length - steps, hop)
        return [part[s : s + length] for s in starts], np.stack([part[s + steps : s + steps + length] for s in starts])

    border = 2 * len(values) // 3
    return *pieces(values[:border], 20), *pieces(values[border:], length // 4)


DEVELOPMENT = {
    "ItalyPowerDemand": lambda: whole("aeon", "ItalyPowerDemand"),
    "JapaneseVowels": lambda: whole("aeon", "JapaneseVowels"),
    "digits, pixel by pixel": digits,
    "GunPoint": lambda: whole("aeon", "GunPoint"),
    "BasicMotions": lambda: whole("aeon", "BasicMotions"),
    "ArrowHead": lambda: whole("aeon", "ArrowHead"),
    "blood pressure, 10 steps ahead": lambda: ahead(
        "aeon", "datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TRAIN.csv", "value", 10
    ),
}
HELD_OUT = {
    "Trace": trace,
    "PickupGestureWiimoteZ": lambda: whole("aeon", "PickupGestureWiimoteZ"),
    "OSULeaf": lambda: whole("aeon", "OSULeaf"),
    "Tecator": lambda: whole("sktime", "Tecator", regression=True),
    "CardanoSentiment": lambda: whole("aeon", "CardanoSentiment", regression=True),
    "ECG (mitdb), 5 steps ahead": lambda: ahead("sktime", "datasets/data/mitdb/mitdb.csv", "data", 5, rows=6000),
}


class Task:
    """A set as arrays: padded sequences, which steps count, answers."""

    def __init__(self, load):
        x, self.y, x_test, self.y_test = load()
        self.steps = max(map(len, x + x_test))
        self.equal = min(map(len, x + x_test)) == self.steps
        self.regression = self.y.dtype == np.float32
        self.every_step = self.y.ndim == 3
        self.outputs = self.y.shape[-1] if self.regression else int(self.y.max()) + 1
        every = np.concatenate(x)
        self.mean, self.std = every.mean(0), every.std(0) + 1e-7
        self.y_mean, self.y_std = (self.y.mean(), self.y.std()) if self.regression else (0.0, 1.0)
        self.sequences = x, x_test

    def arrays(self, scaled):
        """Training and test inputs [examples, time, features], filled up with zeros."""
        made = []
        for part in self.sequences:
            padded = np.zeros((len(part), self.steps, part[0].shape[1]), "float32")
            for row, each in zip(padded, part):
                row[: len(each)] = (each - self.mean) / self.std if scaled else each
            made.append(padded)
        return made


def before(task, rule):
    """The README's beginning: an encoder, resonators made for MNIST, a readout that adds up."""
    x = inputs = keras.Input((task.steps, task.sequences[0][0].shape[1]))
    x = kk.SpikeEncoder(80, code="threshold")(x)
    cell = kk.ResonatorCell(UNITS, tau_m=300.0, period=kk.LogUniform(12, 42), input_gain=3.0)
    v = kk.Readout(task.outputs, tau_out=10.0, gain=None, use_bias=False)(kk.RNN(cell, rule=rule)(x))
    return kk.Model(inputs, v if task.every_step else kk.TimeAverage(min(54, task.steps))(v)), 2e-3


def after(task, rule):
    """The guide: scaled inputs, no encoder, time constants of the length; scaled answers of a regression."""
    x = inputs = keras.Input((task.steps, task.sequences[0][0].shape[1]))
    if not task.equal:
        x = keras.layers.Masking()(x)
    if task.every_step and task.regression:
        cell = kk.LeakyRNNCell(UNITS, tau=kk.LogSpaced(1, 30))
        readout = kk.Readout(task.outputs, tau_out=None, gain=1.0)
    else:
        tau_m = min(max(task.steps / 2, 20.0), 300.0)
        cell = kk.ResonatorCell(UNITS, tau_m=tau_m, period=kk.LogSpaced(4, task.steps))
        readout = kk.Readout(task.outputs, tau_out=None)
    v = readout(kk.RNN(cell, rule=rule)(x))
    updates = keras.optimizers.schedules.CosineDecay(5e-3, UPDATES)
    return kk.Model(inputs, v if task.every_step else kk.TimeAverage()(v)), updates


def score(task, make, rule, seed):
    """Trains one network; its accuracy on the test set, or its mean squared error relative to the variance."""
    keras.utils.set_random_seed(seed)
    guided = make is after
    model, rate = make(task, rule)
    x, x_test = task.arrays(scaled=guided)
    y = (task.y - task.y_mean) / task.y_std if guided and task.regression else task.y
    loss = "mse" if task.regression else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), loss, sensitivity_every=4)
    order = np.random.default_rng(seed)
    epochs = math.ceil(UPDATES * BATCH / len(x))
    rows = np.concatenate([order.permutation(len(x)) for _ in range(epochs)])[: UPDATES * BATCH]
    start = time.time()
    model.fit(x[rows], y[rows], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    seconds = time.time() - start
    predicted = model.predict(x_test, batch_size=BATCH, verbose=0)
    if task.regression:
        if guided:
            predicted = predicted * task.y_std + task.y_mean
        return float(np.mean((predicted - task.y_test) ** 2) / np.var(task.y_test)), seconds
    return float(np.mean(predicted.argmax(-1) == task.y_test)), seconds


def run(output, rule, seeds, only, command):
    """Makes the rows that the results file does not have; it is written after each of them."""
    results = read_json(output) if output.exists() else {"guide": {"rows": [], "skipped": {}}}
    known = results["guide"]
    known["settings"] = {"units": UNITS, "batch_size": BATCH, "updates": UPDATES}
    revision = git_revision(__file__)
    for role, sets in (("development", DEVELOPMENT), ("held out", HELD_OUT)):
        for name, load in sets.items():
            if only and name not in only:
                continue
            try:
                task = Task(load)
            except FileNotFoundError as error:
                known["skipped"][name] = str(error)
                continue
            known["skipped"].pop(name, None)
            for seed in seeds:
                if any((row["set"], row["seed"], row["rule"]) == (name, seed, rule) for row in known["rows"]):
                    continue
                found = {each.__name__: score(task, each, rule, seed) for each in (before, after)}
                row = {
                    "set": name,
                    "role": role,
                    "steps": task.steps,
                    "features": int(task.sequences[0][0].shape[1]),
                    "examples": {"train": len(task.sequences[0]), "test": len(task.sequences[1])},
                    "metric": "relative error" if task.regression else "accuracy",
                    "rule": rule,
                    "seed": seed,
                    **{key: value[0] for key, value in found.items()},
                    "seconds": {key: round(value[1], 1) for key, value in found.items()},
                    "versions": versions(),
                    "git_revision": revision,
                    "command": command,
                }
                known["rows"].append(row)
                write_json(output, results)
                print(
                    json.dumps({key: row[key] for key in ("set", "role", "metric", "before", "after", "seconds")}),
                    flush=True,
                )
    write_json(output, results)


def main(arguments=None):
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.lab.guide", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="results file; rows that it has stay")
    parser.add_argument("--rule", default="kernl", help="learning rule of both networks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets")
    parser.set_defaults(
        run=lambda options, command: run(options.output, options.rule, options.seeds, options.only, command)
    )
    return cli.run_command(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
