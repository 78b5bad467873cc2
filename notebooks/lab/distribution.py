"""How far replicas are from one device, strategy by strategy.

    python -m notebooks.lab.distribution --output FILE

Both Kerases write into one file. A row is a network of `tests/training/replicas.py`, trained for 4 steps; a difference
is the largest one, divided by the largest value of the same variable.
"""

import pathlib
import sys
import tempfile

import numpy as np

from kernl_keras import cli
from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.experiments.provenance import devices, git_revision, versions
from kernl_keras.keras_version import keras
from tests.training.replicas import BATCH, EPOCHS, EXAMPLES, STRATEGIES, elsewhere
from tests.training.replicas import run as run_networks

from .options import make_parser

NETWORKS = ("membrane kernel",)  # of `CASES`
KINDS = {"weights": "variable", "slots": "optimizer", "reported": "logged"}  # name here: first word there


def difference(ours, processes, name, kind):
    """The largest relative difference, over all processes and over all that is of a kind."""
    keys = [key for key in ours if key.startswith(f"{name}/{kind}")]
    return max(
        float(np.nanmax(np.abs(found[key] - ours[key])) / max(np.nanmax(np.abs(ours[key])), np.finfo("float32").tiny))
        for found in processes
        for key in keys
    )


def main(arguments=None):
    """The command; returns the exit status."""
    parser = make_parser("distribution", __doc__, run)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("distribution.json"), metavar="FILE")
    return cli.run_command(parser, arguments)


def run(options, command):
    """Trains the networks everywhere, and writes the results file."""
    revision = git_revision()  # now: the checkout may move on while this runs
    names = [f"{dtype}/{case}" for dtype in ("float64", "float32") for case in NETWORKS]
    ours, rows = run_networks(names), []
    for strategy in STRATEGIES:
        with tempfile.TemporaryDirectory() as folder:
            processes = elsewhere(strategy, names, pathlib.Path(folder), timeout=1800.0)
        for name in names:
            dtype, case = name.split("/")
            differences = {label: difference(ours, processes, name, kind) for label, kind in KINDS.items()}
            rows.append({"strategy": strategy, "dtype": dtype, "network": case, "differences": differences})
    content = read_json(options.output) if options.output.is_file() else {"distribution": {}}
    content["distribution"][f"Keras {keras.__version__}"] = {
        "command": command,
        "git_revision": revision,
        "versions": versions(),
        "device": devices(),
        "replicas": 2,
        "steps": EPOCHS * -(-EXAMPLES // BATCH),
        "rows": rows,
    }
    write_json(options.output, content)


if __name__ == "__main__":
    sys.exit(main())
