"""Trained networks in Norse and snnTorch, by way of NIR, on real digits.

KERNL_KERAS_NIR_PYTHON names the Python of an environment with

    pip install norse==1.1.0 snntorch==1.0.0 nir==1.0.8 nirtorch==2.6

Theirs is PyTorch, ours TensorFlow. Both compute in single precision and sum in orders of their own, so a potential that
comes within a rounding of the threshold may spike in one alone, and others then follow. The report counts the spikes
that are not in both, and says of the first of each digit how far the potential was from the threshold, in double
precision.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import kernl_keras as kk
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.experiments.provenance import devices
from kernl_keras.keras_version import keras
from tests.reference.nir_executor import run as execute

from .options import Command
from .training import compiled

WINDOW = 14  # steps whose mean is the answer
PEERS = pathlib.Path(__file__).with_name("nir_peers.py")
NUMPY = "NumPy, double precision"  # our executor of NIR's definitions
STEPS = {"norse": 1e-3, "snntorch": 1e-4, "norse neurons": 1e-3}  # importer: the step it makes, s
ALL, MAPPED = ("norse", "snntorch", "norse neurons"), ("norse neurons",)
DRIVE = {"resistance": 1.0 / (1.0 - math.exp(-1.0 / 20.0))}  # of slow units
NETWORKS = {  # name: how digits are read, what the cell is, and which importers have all of its primitives
    "rows, hard reset": ("rows", dict(tau_s=None), ALL),
    "rows, soft reset, synapses": ("rows", dict(tau_s=5.0, reset="soft", use_bias=True), MAPPED),
    "pixels, hard reset": ("pixels", dict(tau_m=200.0, tau_s=None, **DRIVE), ALL),
    "pixels, soft reset": (
        "pixels",
        dict(tau_m=kk.LogUniform(20.0, 400.0, seed=1), tau_s=None, reset="soft", **DRIVE),
        MAPPED,
    ),
}


def digits(layout, **settings):
    """The packaged sample, a row or a pixel a step."""
    return kk.data.sequential_mnist("sample", layout=layout, context_steps=54 if layout == "pixels" else 0, **settings)


def network(layout, settings, units=100):
    """Leaky units without refractory time: the model, what its encoder sends, spikes and voltages."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((838, 2) if layout == "pixels" else (28, 28))
    encoder = {"units": 80, "context_switch": 784} if layout == "pixels" else {"units": 8}
    sent = kk.SpikeEncoder(code="threshold", **encoder)(inputs)
    rule = kk.rules.KeRNL(kernel="exponential")
    spikes = kk.RNN(kk.LIFCell(units, tau_ref=0.0, **settings), rule=rule, seed=3, name="hidden")(sent)
    voltage = kk.Readout(10, tau_out=20.0, name="readout")(spikes)
    return kk.Model(inputs, kk.TimeAverage(WINDOW)(voltage)), sent, spikes, voltage


def train(model, layout, steps):
    """Some batches; rows are quickly read."""
    batch, steps, rate = (16, steps, 1e-2) if layout == "pixels" else (64, 3 * steps, 5e-3)
    data = digits(layout, batch_size=batch, repeat=True)
    compiled(model, rate, jit_compile=True).fit(data.train, steps_per_epoch=steps, verbose=2)
    return steps


def elsewhere(python, importer, model, sent):
    """What a network gives in another simulator: outputs [B, T, n] for what the encoder sent, and versions."""
    import nir

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        nir.write(folder / "graph.nir", kk.to_nir(model, dt=STEPS[importer]))
        np.save(folder / "inputs.npy", sent)
        done = subprocess.run([python, PEERS, importer, folder], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{importer} failed.\n{done.stderr}")
        return np.load(folder / "outputs.npy", allow_pickle=False), json.loads(done.stdout.splitlines()[-1])


def compare(python, importers, inputs, ends, x):
    """A row for each importer: its spikes and, where it knows leaky integrators, its voltages beside ours."""
    sent, spikes, voltage = (np.asarray(each) for each in keras.Model(inputs, ends)(x))
    exact = execute(kk.to_nir(keras.Model(inputs, ends[2])), sent, 1e-3)
    rows = []
    for importer in (NUMPY, *importers):
        theirs, there, found = exact["hidden_units/output"], exact["output"], {}
        if importer != NUMPY:
            theirs, found = elsewhere(python, importer, keras.Model(inputs, ends[1]), sent)
            there = None
        if importer == "norse neurons":
            there, _ = elsewhere(python, importer, keras.Model(inputs, ends[2]), sent)
        different = theirs != spikes
        row = {
            "importer": importer,
            "versions": found,
            "spikes": int(spikes.sum()),
            "spikes_there": int(theirs.sum()),
            "places": spikes.size,
            "different": int(different.sum()),
            "digits_without_a_difference": int((~different.any((1, 2))).sum()),
            "distance_of_first_differences": first_distances(different, exact),
        }
        if there is not None:
            answers = [each[:, -WINDOW:].mean(1).argmax(-1) for each in (there, voltage)]
            row["largest_voltage"] = float(np.abs(voltage).max())
            row["largest_voltage_difference"] = float(np.abs(there - voltage).max())
            row["same_answers"] = int((answers[0] == answers[1]).sum())
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def first_distances(different, exact):
    """How far V was from b0 = 1 at the first spike of each digit that is not in both."""
    (v,) = (exact[name] for name in ("hidden_units/lif v", "hidden_units/membrane v") if name in exact)
    firsts = [(n, *np.argwhere(one)[0]) for n, one in enumerate(different) if one.any()]
    return [float(f"{abs(v[first] - 1.0):.1e}") for first in firsts]


def run(options, about):
    """Trains the networks, sends them there, and writes the results file."""
    if not (python := os.environ.get("KERNL_KERAS_NIR_PYTHON")):
        raise UserError("KERNL_KERAS_NIR_PYTHON must name the Python of an environment that has Norse and snnTorch.")
    report = []
    for name, (layout, settings, importers) in NETWORKS.items():
        model, *ends = network(layout, settings)
        steps = train(model, layout, options.steps)
        data = digits(layout, batch_size=options.digits)
        x, labels = (each.numpy() for each in next(iter(data.test)))
        predicted = keras.Model(model.input, model.output)(x)  # without XLA, which sums in another order again
        accuracy = float((np.argmax(predicted, -1) == labels).mean())
        rows = compare(python, importers, model.input, ends, x)
        report.append({"network": name, "training_steps": steps, "accuracy": accuracy, "comparisons": rows})
        measured = {"digits": len(x), "data": data.description, "device": devices()}
        write_json(options.output, {**measured, **about, "networks": report})


main = Command("nir_round_trip", __doc__, run)
main.option("--steps", type=int, default=300, metavar="N", help="training steps on pixels, 300 if not given")
main.option("--digits", type=int, default=100, metavar="N", help="test digits, 100 if not given")
main.option("--output", type=pathlib.Path, default=pathlib.Path("nir.json"), metavar="FILE")

if __name__ == "__main__":
    sys.exit(main())
