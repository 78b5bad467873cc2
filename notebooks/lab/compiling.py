"""How long the first call of a training step takes: tracing, compiling by XLA, and the step itself.

All rules, windows and traces that go together, on resonators of 20 periods; and exact traces where each unit has a time
constant of its own. A later call stands beside. Seconds of the processor are given besides those of the clock: they
depend less on what else runs on the machine. The same command goes on with a results file that is not complete.
"""

import gc
import itertools
import sys
import time

import numpy as np

import kernl_keras as kk
from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, PlainKeRNL, ReadoutOnly

from .options import Command, machine

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
CASE = ("rule", "window", "traces", "units", "distinct")


def cases():
    """All that is measured, a list of dicts; those that the layer refuses among them."""
    few = [("kernl", 1, True, units, units) for units in (60, 100)]
    every = [(*case, 200, 20) for case in itertools.product(RULES, WINDOWS, TRACES)]
    return [dict(zip(CASE, case)) for case in (("bptt", None, False, 200, 20), *few, *every)]


def build(case):
    """The compiled network of a case: whole sequences, or pieces with traces; a `ValueError` where it is refused."""
    traces, units, distinct = case["traces"], case["units"], case["distinct"]
    steps = PIECE if traces else STEPS
    periods = [12.0 + 30.0 * (unit % distinct) / distinct for unit in range(units)]
    cell = kk.ResonatorCell(units, tau_m=300.0, period=periods)
    window = steps if case["window"] == "T" else case["window"]
    hidden = kk.RNN(cell, RULES[case["rule"]](), window=window, seed=0, traces=traces, stateful=bool(traces))
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


def run(options, about):
    """Measures all that the results file does not have yet, and writes it anew after each."""
    path = options.output
    found = read_json(path)["compiling"] if path.exists() else {"rows": [], "refused": []}
    rows, refused = found["rows"], found["refused"]
    known = [{name: row[name] for name in CASE} for row in (*rows, *refused)]
    found |= {"machine": machine(), "versions": about["versions"], "command": about["command"]}
    found |= {"batch": BATCH, "steps": STEPS, "piece": PIECE}
    measure({**cases()[0], "units": 3})  # what TensorFlow does once is in no row
    for case in cases():
        if case in known or case["rule"] not in options.rules:
            continue
        try:
            row = {**case, **measure(case), "git_revision": about["git_revision"]}
        except ValueError:  # the layer refuses it
            refused.append(case)
        else:
            rows.append(row)
            label = f"{case['rule']}, window {case['window']}, traces {case['traces']}, {case['units']} units"
            print(f"{label:64}{row['seconds']:8.1f} s{row['processor_seconds']:8.1f} s", flush=True)
            keras.backend.clear_session()
            gc.collect()
        write_json(path, {"compiling": found})


main = Command("compiling", __doc__, run)
main.option("--rules", nargs="+", choices=RULES, default=list(RULES), metavar="RULE", help=", ".join(RULES))
main.results("compiling.json", new=False)

if __name__ == "__main__":
    sys.exit(main())
