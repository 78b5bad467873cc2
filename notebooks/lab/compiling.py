"""How long the first call of a training step takes: tracing, compiling by XLA, and the step itself.

    python -m notebooks.lab.compiling --output notebooks/results/compiling.json

All rules, windows and traces that go together, on resonators of 20 periods; and exact traces where each unit has a time
constant of its own. A later call stands beside. Seconds of the processor are given besides those of the clock: they
depend less on what else runs on the machine. The same command goes on with a results file that is not complete.
"""

import gc
import itertools
import pathlib
import sys
import time

import numpy as np

import kernl_keras as kk
from kernl_keras import cli
from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.experiments.provenance import git_revision, versions
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, PlainKeRNL, ReadoutOnly

from .benchmark.run import machine
from .options import make_parser

RULES = {
    "bptt": BPTT,
    "kernl": KeRNL,
    "kernl, exponential kernel": lambda: KeRNL(Exponential()),
    "plain_kernl": PlainKeRNL,
    "eprop": EProp,
    "rflo": RFLO,
    "readout_only": ReadoutOnly,
}
STEPS, PIECE, WINDOWS, TRACES = 838, 100, (1, 64, "T"), (False, "linear", True)
BATCH, INPUTS = 16, 81


def cases():
    """All that is measured, a list of dicts; those that the layer refuses among them."""
    found = [
        {"rule": rule, "window": window, "traces": traces, "units": 200, "distinct": 20}
        for rule, window, traces in itertools.product(RULES, WINDOWS, TRACES)
    ]
    whole = {"rule": "bptt", "window": None, "traces": False, "units": 200, "distinct": 20}
    own = {"rule": "kernl", "window": 1, "traces": True}
    return [whole, *({**own, "units": units, "distinct": units} for units in (60, 100)), *found]


def build(case):
    """The network of a case, compiled: whole sequences without traces, and pieces of them with traces.

    Raises:
        ValueError: for a rule, a window and traces that do not go together.
    """
    steps = PIECE if case["traces"] else STEPS
    units, distinct = case["units"], case["distinct"]
    cell = kk.ResonatorCell(
        units, tau_m=300.0, period=[12.0 + 30.0 * (unit % distinct) / distinct for unit in range(units)]
    )
    window = steps if case["window"] == "T" else case["window"]
    settings = {"traces": case["traces"], "stateful": bool(case["traces"])}
    hidden = kk.RNN(cell, RULES[case["rule"]](), window=window, seed=0, **settings)
    inputs = keras.Input(batch_shape=(BATCH, steps, INPUTS))
    model = kk.Model(inputs, kk.Readout(10)(hidden(inputs)))
    model.compile("adam", "mse", jit_compile=True)
    return model


def measure(case):
    """Seconds of the first call, and of a later one, by the clock and of the processor."""
    model = build(case)
    steps = model.input_shape[1]
    x = np.random.default_rng(0).normal(size=(BATCH, steps, INPUTS)).astype("float32")
    y = np.zeros((BATCH, steps, 10), "float32")

    def call():
        clock, processor = time.perf_counter(), time.process_time()
        model.train_on_batch(x, y)
        return time.perf_counter() - clock, time.process_time() - processor

    names = ("seconds", "processor_seconds")
    first, later = call(), call()
    return {**dict(zip(names, first)), **{f"later_{name}": value for name, value in zip(names, later)}}


def main(arguments=None):
    """The command; returns the exit status."""
    parser = make_parser("compiling", __doc__, run)
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES), metavar="RULE", help=", ".join(RULES))
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", default=pathlib.Path("compiling.json"))
    return cli.run_command(parser, arguments)


def run(options, command):
    """Measures all that the results file does not have yet, and writes it anew after each."""
    path, revision = options.output, git_revision()
    found = read_json(path)["compiling"] if path.exists() else {"rows": [], "refused": []}
    rows, refused = found["rows"], found["refused"]
    known = [{name: row[name] for name in cases()[0]} for row in (*rows, *refused)]
    found.update(machine=machine(), versions=versions(), command=command, batch=BATCH, steps=STEPS, piece=PIECE)
    measure({**cases()[0], "units": 3})  # what TensorFlow does once is in no row
    for case in cases():
        if case in known or case["rule"] not in options.rules:
            continue
        try:
            rows.append({**case, **measure(case), "git_revision": revision})
        except ValueError:  # the layer refuses it
            refused.append(case)
            write_json(path, {"compiling": found})
            continue
        keras.backend.clear_session()
        gc.collect()
        write_json(path, {"compiling": found})
        label = f"{case['rule']}, window {case['window']}, traces {case['traces']}, {case['units']} units"
        print(f"{label:64}{rows[-1]['seconds']:8.1f} s{rows[-1]['processor_seconds']:8.1f} s", flush=True)
    print(f"Results    {path}")


if __name__ == "__main__":
    sys.exit(main())
