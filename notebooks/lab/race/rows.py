"""Who takes part in the race, and how a row of it is run."""

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

import numpy as np

from kernl_keras.data.digits import load_sample

from ..benchmark.environments import PEERS, environment

OURS = pathlib.Path(__file__).with_name("ours.py")
VALIDATION, CONTEXT_STEPS = 500, 54  # as of the experiment `smnist`
MARKS = (30.0, 60.0, 120.0)  # s, and the end
COMMON = {"inputs": 81, "outputs": 10, "batch": 16, "clip_norm": 1.0, "slowest": 400.0}


class Row(NamedTuple):
    """A line of the race."""

    label: str
    rule: str
    layer: dict  # settings of our `RNN`
    peer: str | None = None  # a key of `PEERS`; None for this package
    learning_rate: float = 2e-3  # that of `smnist`; Norse's readout has larger weights


WINDOW = {"window": 64}
ROWS = {  # the word for --only
    "kernl": Row("KeRNL", "kernl", {}),
    "kernl-64": Row("KeRNL, window 64, linear memory", "kernl", {**WINDOW, "traces": "linear"}),
    "eprop": Row("e-prop", "eprop", {}),
    "truncated-64": Row("truncated backpropagation, window 64", "bptt", WINDOW),
    "bptt": Row("backpropagation", "bptt", {}),
    "pp_prop": Row("BrainTrace, pp_prop", "pp_prop", {}, "braintrace"),
    "D_RTRL": Row("BrainTrace, D_RTRL", "D_RTRL", {}, "braintrace"),
    "snntorch": Row("snnTorch, backpropagation", "bptt", {}, "snntorch"),
    "norse": Row("Norse, backpropagation", "bptt", {}, "norse", 1e-2),
}


def digits():
    """The packaged digits as all workers get them, a dict: pixels [N, T] in [0, 1], 0 in the steps to answer in."""
    sample = load_sample()
    pixels = sample.images[: sample.train].reshape(sample.train, -1).astype(np.float32) / 255.0
    pixels = np.pad(pixels, [(0, 0), (0, CONTEXT_STEPS)])
    labels = sample.labels[: sample.train].astype(np.int64)
    return {
        "pixels": pixels[:-VALIDATION],
        "labels": labels[:-VALIDATION],
        "validation_pixels": pixels[-VALIDATION:],
        "validation_labels": labels[-VALIDATION:],
    }


def run_row(row, settings, data, peers_folder):
    """Runs a row to its end; returns a dict of what it was and how good it became.

    `settings` are `seconds`, `units`, `seed` and `threads`, `data` those of `digits`.

    Raises:
        RuntimeError: where it fails, with what it said.
    """
    python, script = sys.executable, OURS
    if row.peer:
        python, script = environment(row.peer, peers_folder), PEERS[row.peer].script
    steps = data["pixels"].shape[1]
    settings = {**COMMON, "steps": steps, "context_steps": CONTEXT_STEPS, "marks": MARKS, **settings}
    settings |= {"rule": row.rule, "layer": row.layer, "learning_rate": row.learning_rate}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "digits.npz")
        np.savez(path, **data)
        command = [str(python), str(script), json.dumps({**settings, "data": str(path)})]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace"
        )
    first, *points = [json.loads(line) for line in done.stdout.splitlines()] or [{"error": "the process ended"}]
    last = (points or [first])[-1]
    if done.returncode or "error" in last:
        raise RuntimeError(f"{row.label}: {last.get('error', 'the process ended')}\n{done.stderr[-2000:]}")
    return {"label": row.label, "settings": settings, "versions": first["versions"], "points": points}
