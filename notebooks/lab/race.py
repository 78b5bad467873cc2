"""Accuracy against seconds: the same digits on the same cores, for each rule here and for other packages.

All have the same number of units, the same input spikes and the same optimizer, and each the units of its package: here
the resonators of the experiment `smnist`, there leaky units with time constants of 20 to 400 ms. So it compares what
the packages come to, and not the rules alone; and nobody has looked for the best settings of the others, but for the
learning rate. It falls to zero over the time, and of three the one with the best accuracy on the 500 validation digits
counts. Seconds are those of building, compiling and training. One runs after the other.
"""

import pathlib
import sys
import tempfile
from typing import NamedTuple

import numpy as np

from kernl_keras.data.mnist import load_sample
from kernl_keras.experiments.experiment import MAX_SEED
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.experiments.provenance import cores

from .benchmark.environments import FOLDER, PEERS, environment
from .benchmark.workers import OURS, answers_of
from .options import Command, machine, made_before

VALIDATION, CONTEXT_STEPS = 500, 54  # as of the experiment `smnist`
MARKS = (30.0, 60.0)  # s, and the end
COMMON = {"inputs": 81, "outputs": 10, "batch": 16, "clip_norm": 1.0, "slowest": 400.0}


class Row(NamedTuple):
    """A line of the race."""

    label: str
    rule: str
    layer: dict  # settings of our `RNN`
    peer: str | None = None  # a key of `PEERS`; None for this package
    rates: tuple = (1e-3, 2e-3, 5e-3)  # learning rates to choose from


WIDE = 1e-3, 3e-3, 1e-2  # where nobody knows the best one from other runs
WINDOW = {"window": 64}
ROWS = {  # the word for --only
    "kernl": Row("KeRNL", "kernl", {}),
    "kernl-halves": Row("KeRNL, windows of half a sequence", "kernl", {"window": 419}),
    "kernl-64": Row("KeRNL, window 64, linear memory", "kernl", {**WINDOW, "traces": "linear"}),
    "eprop": Row("e-prop", "eprop", {}),
    "truncated-64": Row("truncated backpropagation, window 64", "bptt", WINDOW),
    "bptt": Row("backpropagation", "bptt", {}),
    "pp_prop": Row("BrainTrace, pp_prop", "pp_prop", {}, "braintrace", WIDE),
    "D_RTRL": Row("BrainTrace, D_RTRL", "D_RTRL", {}, "braintrace", WIDE),
    "snntorch": Row("snnTorch, backpropagation", "bptt", {}, "snntorch", WIDE),
    "norse": Row("Norse, backpropagation", "bptt", {}, "norse", (3e-3, 1e-2, 3e-2)),
}


def digits():
    """The packaged digits as all workers get them, a dict: pixels [N, T] in [0, 1], 0 in the steps to answer in."""
    sample = load_sample()
    pixels = sample.images.reshape(len(sample.labels), -1).astype(np.float32) / 255.0
    every = {"pixels": np.pad(pixels, [(0, 0), (0, CONTEXT_STEPS)]), "labels": sample.labels.astype(np.int64)}
    held_out = slice(sample.train - VALIDATION, sample.train)
    parts = {"": slice(held_out.start), "validation_": held_out, "test_": slice(sample.train, None)}
    return {f"{part}{name}": x[which] for part, which in parts.items() for name, x in every.items()}


def best_of_row(row, *args):
    """The run of a row with the learning rate that is best on the validation digits, and what each rate had there."""
    runs = {rate: run_row(row, rate, *args) for rate in row.rates}
    found = {rate: run["points"][-1]["accuracy"] for rate, run in runs.items()}
    return {**runs[max(found, key=found.get)], "tried": list(found.items())}


def run_row(row, rate, settings, data, peers_folder):
    """Runs a row to its end; returns a dict of what it was and how good it became. `data` are those of `digits`."""
    python, script = sys.executable, OURS
    if row.peer:
        python, script = environment(row.peer, peers_folder), PEERS[row.peer].script
    steps = data["pixels"].shape[1]
    settings = {**COMMON, "steps": steps, "context_steps": CONTEXT_STEPS, "marks": MARKS, **settings}
    settings |= {"rule": row.rule, "layer": row.layer, "learning_rate": rate}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "digits.npz")
        np.savez(path, **data)
        first, *points = answers_of(row.label, python, script, {**settings, "data": str(path)})
    return {"label": row.label, "settings": settings, "versions": first["versions"], "points": points}


def rows_before(path, header):
    """The rows that a results file has; raises `UserError` where they ran with other settings or elsewhere."""
    before = made_before(path, "race", "rows") or {**header, "rows": {}}
    if any(before[name] != value for name, value in header.items()):
        raise UserError(f"{path} is of a race with other settings or on another machine: name another --output.")
    return before["rows"]


def run(options, about):
    """A results file, to which each row is added when it has run; what failed is said after all others have run.

    Several commands may run at once, on a core each, and add to one file.
    """
    if not options.seconds > 0.0:
        raise UserError(f"--seconds must be > 0; received {options.seconds}.")
    if not 0 <= options.seed <= MAX_SEED:
        raise UserError(f"--seed must be from 0 to {MAX_SEED}; received {options.seed}.")
    settings = {name: getattr(options, name) for name in ("seconds", "units", "seed", "threads")}
    header, data, failed = {"machine": machine(), **settings}, digits(), []
    rows_before(options.output, header)
    for name in options.only:
        try:
            found = best_of_row(ROWS[name], settings, data, options.peers_dir)
        except RuntimeError as error:
            failed.append(str(error))
            print(f"{ROWS[name].label:40} failed")
            continue
        rows = {**rows_before(options.output, header), name: {**about, **found}}  # with the versions of its package
        rows = {each: rows[each] for each in ROWS if each in rows}
        write_json(options.output, {"race": {**header, "rows": rows}})
        points = [f"{point['accuracy']:.3f} at {point['seconds']:.0f} s" for point in found["points"]]
        print(f"{found['label']:40} {', '.join(points)}, {found['points'][-1]['test']:.3f} of the test digits")
    if failed:
        raise UserError("\n".join(failed))


main = Command("race", __doc__, run)
main.option("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
main.option("--seconds", type=float, default=120.0, metavar="X", help="of training, 120 if not given")
main.count("--units", 200, "hidden units")
main.option("--seed", type=int, default=0, metavar="N", help="of weights, noise and order of the digits")
main.count("--threads", cores(), "one a core")
main.option("--peers-dir", default=FOLDER, metavar="DIR", help="where their environments are built")
main.results("race.json", new=False)

if __name__ == "__main__":
    sys.exit(main())
