"""What each rule is good for: accuracy, memory of the past and speed where a past can be kept, and where it cannot.

    python -m notebooks.lab.purpose --output notebooks/results/purpose.json

The accuracies are those of other results files, test data and all seeds: each row says of which, and the table takes
them from there. That on a device is of the same network and the same updates in Keras. Memory and speed are measured
here, on the networks that these files are of, one thread, a few calls of each rule in turn: numbers of 4 bytes that one
example needs for the past, and steps a second, each of a whole batch; on a device, of one example in LiteRT.
"""

import dataclasses
import functools
import itertools
import pathlib
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import kernl_keras as kk
from kernl_keras.experiments.build import build_model
from kernl_keras.experiments.configs import SMNIST
from kernl_keras.experiments.files import read_json, write_json

from . import streams
from .gradients import numbers_inside
from .options import Command, litert_interpreter, machine

STEPS, PIECE, EVERY = 838, 64, 8  # of a digit; of a piece; M learns in each so many updates
WHOLE, PIECES, STREAM, DEVICE = (
    "whole sequences in memory",
    f"long sequences, in pieces of {PIECE} steps",
    f"a stream, an update every {PIECE} steps",
    "a stream on a device, an update at every step",
)
PIXELS = {  # rule: (variant of `windows-decay`, settings of the layer, steps of a call)
    WHOLE: {
        "KeRNL": ("KeRNL, window T/2", {"window": STEPS // 2}, STEPS),
        "e-prop": ("e-prop", {}, STEPS),
        "backpropagation": ("backpropagation", {}, STEPS),
    },
    PIECES: {
        "KeRNL": ("KeRNL, window 64, linear memory", {"window": PIECE, "traces": "linear"}, PIECE),
        "e-prop": ("e-prop, window 64, linear memory", {"window": PIECE, "traces": "linear"}, PIECE),
        "truncated backpropagation": ("truncated backpropagation, window 98", {}, 98),
    },
}
NAMES = {"KeRNL": "kernl", "e-prop": "eprop", "truncated backpropagation": "bptt", "backpropagation": "bptt"}


class Row(NamedTuple):
    """A line of the table, before its speed is measured."""

    situation: str
    rule: str
    accuracy_of: str  # results file and rows
    numbers: int  # of the past that an example needs
    call: Callable  # that learns
    steps: int  # of one call

    def measured(self, seconds):
        """The row of the results file, for the seconds of a call."""
        about = {name: getattr(self, name) for name in ("situation", "rule", "accuracy_of")}
        return {**about, "kilobytes": 4.0 * self.numbers / 1e3, "steps_a_second": self.steps / seconds}


def of_pixels(situation):
    """A `Row` for each rule on 784 pixels, whole or in pieces."""
    rows = []
    for rule, (variant, layer, steps) in PIXELS[situation].items():
        stateful = steps < STEPS
        experiment = dataclasses.replace(SMNIST.with_rule(NAMES[rule]), layer_settings=layer, sensitivity_every=EVERY)
        batch = experiment.batch_size
        model = build_model(experiment, steps, 2, 1_000, rows=batch if stateful else None)
        x = np.random.default_rng(0).random((batch, steps, 2), "float32")
        y = np.zeros(batch, "int32")
        hidden = model.get_layer("hidden")
        call = functools.partial(model.train_on_batch, x, y)
        numbers = numbers_inside(hidden, steps) + getattr(hidden, "trace_size", 0)
        rows.append(Row(situation, rule, f"windows-decay: {variant}, weight decay", numbers, call, steps))
    return rows


def of_stream(runs, task):
    """A `Row` for each rule on the stream of digits; `runs` say with which windows."""
    rows = []
    for rule, compared in (("KeRNL", 0), ("e-prop", 0), ("truncated backpropagation", 1), ("backpropagation", None)):
        of_rule = [run for run in runs if run["rule"] == NAMES[rule]]
        if compared is None:
            of_rule = [run for run in of_rule if run["compared"] is None]
        else:
            of_rule = [run for run in of_rule if run["compared"] == PIECE and (run["window"] > PIECE) == bool(compared)]
        window = of_rule[0]["window"]
        model = streams.build(task, NAMES[rule], window, 1e-3, 0)
        call = functools.partial(model.train_on_batch, *next(iter(streams.stream(task, "train", window, 0))))
        hidden = model.get_layer("hidden")
        numbers = numbers_inside(hidden, window) + getattr(hidden, "trace_size", 0)
        rows.append(Row(STREAM, rule, f"streams: digits, window {window}", numbers, call, window))
    return rows


def of_device(task):
    """A `Row` for each rule that learns in every step: the network of the stream, the learner in LiteRT."""
    Interpreter = litert_interpreter()
    rows = []
    for rule in ("KeRNL", "e-prop"):
        model = streams.build(task, NAMES[rule], 1, 1e-3, 0, falls=False)
        hidden = model.get_layer("hidden")
        loaded = Interpreter(model_content=kk.learner(model).to_litert(), num_threads=1)
        learn = loaded.get_signature_runner("learn")
        x, y, weight = (np.asarray(part)[:1, 0] for part in next(iter(streams.stream(task, "train", 1, 0))))
        given = {"x": x, "y": y, "sample_weight": np.ones_like(weight)}
        numbers = numbers_inside(hidden, 1) + hidden.trace_size
        call = functools.partial(learn, **given)
        rows.append(Row(DEVICE, rule, "streams: digits, window 1", numbers, call, 1))
    return rows


def seconds_of(calls, rounds):
    """Seconds of one of each of the calls: the shortest mean of `EVERY`, after the first, which compiles."""
    means = [[] for _ in calls]
    for call in calls:
        call()
    for _, (call, found) in itertools.product(range(rounds), zip(calls, means)):
        start = time.perf_counter()
        for _ in range(EVERY):
            call()
        found.append((time.perf_counter() - start) / EVERY)
    return map(min, means)


def run(options, about):
    """Measures, and writes the results file."""
    runs = read_json(options.results / "streams.json")["streams"]["tasks"]["digits"]
    task = streams.TASKS["digits"](None)
    rows = [*of_pixels(WHOLE), *of_pixels(PIECES), *of_stream(runs, task), *of_device(task)]
    seconds = seconds_of([row.call for row in rows], options.rounds)
    rows = [row.measured(each) for row, each in zip(rows, seconds)]
    write_json(options.output, {"purpose": rows, **about, "machine": machine()})


main = Command("purpose", __doc__, run)
main.count("--rounds", 20)
main.option("--results", type=pathlib.Path, default=pathlib.Path("notebooks/results"), metavar="DIR")
main.results()
main.machine()

if __name__ == "__main__":
    sys.exit(main())
