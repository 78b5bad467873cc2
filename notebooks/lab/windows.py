"""How well gradients with a window agree with backpropagation's: by its length, and by the memory that it takes.

    python -m notebooks.lab.windows RUN_DIR [RUN_DIR ...] --output notebooks/results/windows.json

Each directory holds a finished run of `train`. Nothing, the unit's own state, or that and one hop by M cross the border
of a window: in exact traces or in linear memory; with M as the run learned it, as its weights give it, or learned from
zero while the weights stand still.
"""

import argparse
import dataclasses
import pathlib
import sys

import numpy as np
import tensorflow as tf

from kernl_keras import cli
from kernl_keras.experiments.build import build_model
from kernl_keras.experiments.files import MODEL, RESULTS, read_json, write_json
from kernl_keras.experiments.pretrained import NAMES, experiment_of, load_pretrained
from kernl_keras.experiments.pretrained import record as record_of
from kernl_keras.experiments.provenance import devices, git_revision, versions
from kernl_keras.experiments.run import load_data, read_config
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, EProp
from kernl_keras.rules.backward import Past
from kernl_keras.rules.linear_memory import LinearMemory
from kernl_keras.rules.window import way_back
from kernl_keras.sequences.clean_pass import clean_pass
from kernl_keras.training.alignment import backpropagated_errors, trained

from .options import check_file

WINDOWS = (1, 16, 32, 64, 128, 256, 512)
EXAMPLES = 32
CROSSES = ("nothing", "own state", "own state and M")
SENSITIVITIES = ("learned", "from the weights", "learned from zero")


def gradient_of(layer, call, error):
    """A function of `(rule, window, linear)`: dC/dW [J, H] of the layer's call, for errors L [B, T, H]."""
    cell, x = layer.cell, tf.transpose(call.sequences, (1, 0, 2))
    error = tf.transpose(error, (1, 0, 2))
    before = cell.State(*call.initial_state[: len(cell.State._fields)])

    def found(rule, window=None, linear=False):
        @tf.function(jit_compile=True)
        def gradient(x, error):
            p = cell.parameters()
            residuals, _ = clean_pass(cell, p, cell.recurrent_weights(), cell.input_current(x), before)
            past, memory, traces = Past(layer, x, before, residuals, p), None, ()
            if linear:
                memory = LinearMemory(cell, rule, None, presynaptic(layer))
                traces = [tf.zeros((x.shape[1], *shape), x.dtype) for shape in memory.shapes if shape is not None]
            return way_back(rule, past, window, memory=memory)(error, traces)[1]

        return gradient(x, error).numpy() * trained(layer)

    return found


def presynaptic(layer):
    """J: inputs, units and bias."""
    return layer.cell.kernel.shape[0] + layer.cell.units + 1


def agreement(one, other):
    """Cosine of the angle between two gradients, and the length of the first, the other's being 1."""
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    return {"cosine": float(np.sum(one * other) / np.prod(lengths)), "length": float(lengths[0] / lengths[1])}


def numbers_behind(layer, rule, linear):
    """How many numbers an example needs for what was before the window."""
    if rule is None:
        return 0
    if linear:
        shapes = LinearMemory(layer.cell, rule, None, presynaptic(layer)).shapes
        return sum(int(np.prod(shape)) for shape in shapes if shape is not None)
    return sum(int(np.prod(shape)) for shape in rule.carry_shapes(layer.cell, traces=True)) * presynaptic(layer)


def numbers_inside(layer, window):
    """How many numbers an example needs for the steps of a window: inputs, potentials, thresholds and what is sent."""
    return window * (layer.cell.kernel.shape[0] + 3 * layer.cell.units)


def rows_of(layer, gradient, crosses, rule, sensitivity=None):
    """The rows of what crosses the border, a list of dicts; `rule` is None for nothing."""
    exact, rows = gradient(BPTT()), []
    for linear in (False, True) if rule else (False,):
        behind = numbers_behind(layer, rule, linear)
        for window in WINDOWS:
            made = gradient(rule or BPTT(), window, linear)
            rows.append(
                {
                    "crosses": crosses,
                    "sensitivity": sensitivity,
                    "memory": "linear" if linear else "exact",
                    "window": window,
                    "numbers": numbers_inside(layer, window) + behind,
                    **agreement(made, exact),
                }
            )
    return rows


def measure(experiment, load, zero_steps):
    """The rows of one network.

    Args:
        experiment: `Experiment` that trained it.
        load: a function that loads the network.
        zero_steps: steps in which M learns from zero.
    """
    data, model = load_data(experiment), load()
    layer = model.get_layer("hidden")
    batch = next(iter(data.validation.unbatch().batch(EXAMPLES)))
    (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
    gradient = gradient_of(layer, call, error)
    rule = type(layer.rule).from_config({**layer.rule.get_config(), "adaptation": True})
    rows = rows_of(layer, gradient, CROSSES[0], None) + rows_of(layer, gradient, CROSSES[1], EProp())
    rows += rows_of(layer, gradient, CROSSES[2], rule, SENSITIVITIES[0])
    layer.reset_sensitivity()
    rows += rows_of(layer, gradient, CROSSES[2], rule, SENSITIVITIES[1])
    layer.sensitivity_tensor.assign(learned_from_zero(experiment, data, model, zero_steps))
    return rows + rows_of(layer, gradient, CROSSES[2], rule, SENSITIVITIES[2])


def learned_from_zero(experiment, data, model, steps):
    """M [H, H] after it has learned from zero, while the weights stand still."""
    alone = dataclasses.replace(
        experiment, steps=steps, epochs=None, sensitivity_only=steps, sensitivity_every=1, validate_every=None
    )
    copy = build_model(alone, data.time_steps, data.features, steps)
    copy.set_weights(model.get_weights())
    copied = copy.get_layer("hidden")
    copied.sensitivity_tensor.assign(tf.zeros_like(copied.sensitivity_tensor))
    copy.fit(data.train, steps_per_epoch=steps, shuffle=False, verbose=0)
    np.testing.assert_array_equal(copied.cell.kernel, model.get_layer("hidden").cell.kernel)
    return copied.sensitivity_tensor


def measure_all(networks, path, zero_steps, command=""):
    """Measures networks, and writes the results file; returns what it holds.

    Args:
        networks: list of directories of runs, or names of pretrained networks.
        path: the results file.
        zero_steps: as of `measure`.
        command: the command line, for the record.
    """
    path, found = check_file(path), []
    for name in networks:
        if name in NAMES:
            experiment, record, load = experiment_of(name), record_of(name), lambda name=name: load_pretrained(name)
        else:
            folder = pathlib.Path(name)
            experiment, record = read_config(folder), read_json(folder / RESULTS)
            load = lambda folder=folder: keras.models.load_model(str(folder / MODEL))  # noqa: E731
        kept = ("experiment", "rule", "steps", "seed", "git_revision", "command")
        run = {key: record[key] for key in kept}
        print(f"Network    {name}", flush=True)
        found.append({"run": run, "rows": measure(experiment, load, zero_steps)})
    results = {
        "windows": {
            "networks": found,
            "examples": EXAMPLES,
            "zero_steps": zero_steps,
            "device": devices(),
            "versions": versions(),
            "git_revision": git_revision(),
            "command": command,
        }
    }
    write_json(path, results)
    return results


def main(arguments=None):
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.lab.windows", description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", metavar="RUN_DIR", help="directory of a run, or a pretrained network")
    parser.add_argument("--zero-steps", type=int, default=400, metavar="N", help="steps in which M learns from zero")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE")
    parser.set_defaults(
        run=lambda options, command: measure_all(options.networks, options.output, options.zero_steps, command) and 0
    )
    return cli.run_command(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
