"""How well gradients with a window agree with backpropagation's: by its length, and by the memory that it takes.

    python -m notebooks.lab.windows RUN_DIR [RUN_DIR ...] --output notebooks/results/window-agreement.json

Each directory holds a finished run of KeRNL by `train`. Nothing, the unit's own state, or that and one hop by M cross
the border of a window: in exact traces or in linear memory; with M as the run learned it, as its weights give it, or
learned from zero while the weights stand still. All networks are measured on the packaged sample, and with the same
kernel, that of the membrane. Where a run had another kernel, the M that it learned is measured with that one, which
linear memory does not have.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from kernl_keras import cli
from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.experiment import NETWORKS
from kernl_keras.experiments.files import MODEL, RESULTS, UserError, read_json, write_json
from kernl_keras.experiments.pretrained import experiment_of, load_pretrained, variables
from kernl_keras.experiments.pretrained import record as record_of
from kernl_keras.experiments.provenance import devices, git_revision, versions
from kernl_keras.experiments.run import read_config
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, EProp, KeRNL, Membrane
from kernl_keras.rules.backward import Past
from kernl_keras.rules.memory import LinearMemory, LinearTraces
from kernl_keras.rules.window import way_back
from kernl_keras.sequences.clean_pass import clean_pass
from kernl_keras.sequences.time_loop import tensors
from kernl_keras.training.alignment import backpropagated_errors, trained

from .options import add_network_options, check_folder

WINDOWS = (1, 16, 32, 64, 128, 256, 512)
EXAMPLES = 32
CROSSES = ("nothing", "own state", "own state and M")
SENSITIVITIES = ("learned", "from the weights", "learned from zero")


class Gradients:
    """dC/dW [J, H] of a layer's call, by a rule, a window and a memory. Each is compiled once, by XLA if at all."""

    def __init__(self, layer, jit_compile=True):
        self.layer, self.jit_compile, self._compiled = layer, jit_compile, {}

    def __call__(self, call, error, rule, window=None, linear=False):
        """The gradient for errors of the outputs [B, T, H]; `linear` memory, or its settings, may stand for earlier."""
        x, error = (tf.transpose(part, (1, 0, 2)) for part in (call.sequences, error))
        key = repr(rule), window, repr(linear)
        if key not in self._compiled:
            found = functools.partial(self._gradient, rule=rule, window=window, linear=linear)
            self._compiled[key] = tf.function(found, jit_compile=True) if self.jit_compile else found
        before = list(call.initial_state[: len(self.layer.cell.State._fields)])
        mask = trained(self.layer)
        return self._compiled[key](x, error, before).numpy()[: len(mask)] * mask  # without constants that learn

    def _gradient(self, x, error, before, rule, window, linear):
        layer, cell = self.layer, self.layer.cell
        before, p = cell.State(*before), cell.parameters()
        residuals, _ = clean_pass(cell, p, cell.recurrent_weights(), cell.input_current(x), before)
        past, memory, traces = Past(layer, x, before, residuals, p), None, ()
        if linear:
            with tf.init_scope():  # time constants may be drawn
                memory = linear_memory(layer, rule, linear)
            traces = [tf.zeros((x.shape[1], *shape), x.dtype) for shape in memory.shapes if shape is not None]
        return way_back(rule, past, window, memory=memory)(error, traces)[1]


def linear_memory(layer, rule, linear):
    """The `LinearMemory` of a layer under a rule; `linear` is True for the default settings, or `LinearTraces`."""
    settings = LinearTraces() if linear is True else linear
    return LinearMemory(layer.cell, rule, settings, presynaptic(layer))


def presynaptic(layer):
    """J: inputs, units and bias."""
    return layer.cell.kernel.shape[0] + layer.cell.units + 1


def agreement(one, other):
    """Cosine of the angle between two gradients, and the length of the first, the other's being 1."""
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    return {"cosine": float(np.sum(one * other) / np.prod(lengths)), "length": float(lengths[0] / lengths[1])}


def numbers_behind(layer, rule, linear):
    """How many numbers an example needs for what was before the window; `rule` is None where nothing crosses."""
    if rule is None:
        return 0
    if linear:
        shapes = linear_memory(layer, rule, linear).shapes
        return sum(int(np.prod(shape)) for shape in shapes if shape is not None)
    return sum(int(np.prod(shape)) for shape in rule.carry_shapes(layer.cell, traces=True)) * presynaptic(layer)


def numbers_inside(layer, window):
    """How many numbers an example needs for the steps of a window: inputs, and what the cell keeps of each step."""
    cell = layer.cell
    silence = tf.zeros((1, cell.kernel.shape[-1]), cell.compute_dtype)  # a current for each gate, where there are gates
    state = cell.State(*cell.get_initial_state(batch_size=1))
    kept = tensors(cell.save_residuals(*cell.step(silence, state, cell.parameters())))
    units = sum(x.shape[-1] * (0.25 if x.dtype == tf.bool else 1.0) for x in kept)  # a bool has a byte
    return round(window * (cell.kernel.shape[0] + units))


def measure(experiment, model, gradients, zero_steps):
    """The rows of one network, a list of dicts; M learns from zero in `zero_steps`."""
    data, layer = load_data(experiment), gradients.layer
    batch = next(iter(data.validation.unbatch().batch(EXAMPLES)))
    (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
    exact, rows = gradients(call, error, BPTT()), []

    def add(crosses, rule, memories, **settings):
        for memory in memories:
            linear = memory == "linear"
            for window in WINDOWS:
                made = gradients(call, error, rule or BPTT(), window, linear)
                numbers = numbers_inside(layer, window) + numbers_behind(layer, rule, linear)
                row = {"crosses": crosses, "memory": memory, "window": window, "numbers": numbers}
                rows.append({**row, **settings, **agreement(made, exact)})

    own = KeRNL.from_config({**layer.rule.get_config(), "adaptation": True})
    membrane = with_membrane(own)
    kernel = "membrane" if isinstance(own.kernel, Membrane) else "exponential"
    add(CROSSES[0], None, ("none",))
    add(CROSSES[1], EProp(reset_gradient=own.reset_gradient), ("exact", "linear"))
    memories = ("exact", "linear") if kernel == "membrane" else ("exact",)
    add(CROSSES[2], own, memories, sensitivity=SENSITIVITIES[0], kernel=kernel)
    layer.reset_sensitivity()
    add(CROSSES[2], membrane, ("exact", "linear"), sensitivity=SENSITIVITIES[1], kernel="membrane")
    layer.sensitivity_tensor.assign(learned_from_zero(experiment, data, model, zero_steps))
    add(CROSSES[2], membrane, ("exact", "linear"), sensitivity=SENSITIVITIES[2], kernel="membrane")
    return rows


def with_membrane(rule):
    """A rule as it is, with the membrane's kernel."""
    return KeRNL.from_config({**rule.get_config(), "kernel": "membrane"})


def learned_from_zero(experiment, data, model, steps):
    """M [H, H] after it has learned from zero, with the membrane's kernel, while the weights stand still."""
    alone = dataclasses.replace(
        experiment,
        rule_settings=with_membrane(experiment.make_rule()).get_config(),
        layer_settings={},
        steps=steps,
        epochs=None,
        sensitivity_only=steps,
        sensitivity_every=1,
        validate_every=None,
    )
    copy = build_model(alone, data.time_steps, data.features, steps)
    weights = variables(model)
    for name, variable in variables(copy).items():
        variable.assign(weights[name])
    copied = copy.get_layer("hidden")
    copied.sensitivity_tensor.assign(tf.zeros_like(copied.sensitivity_tensor))
    copy.fit(data.train, steps_per_epoch=steps, verbose=0)
    np.testing.assert_array_equal(copied.cell.kernel, model.get_layer("hidden").cell.kernel)
    return copied.sensitivity_tensor


def read_network(name):
    """`(experiment, record, model)` of a directory of a run, or of a network that comes with the package."""
    if name in NETWORKS:
        return experiment_of(name), record_of(name), load_pretrained(name)
    folder = pathlib.Path(name)
    experiment, record = read_config(folder), read_json(folder / RESULTS)
    return experiment, record, keras.models.load_model(str(folder / MODEL))


def measure_all(networks, path, zero_steps, command=""):
    """Measures networks, and writes the results file after each; other networks that it holds already stay in it."""
    path, kept, revision = pathlib.Path(path), {}, git_revision()
    found = earlier(path) if path.exists() else []
    check_folder(path)
    results = {
        "windows": {
            "networks": found,
            "examples": EXAMPLES,
            "zero_steps": zero_steps,
            "device": devices(),
            "versions": versions(),
        }
    }
    for name in networks:
        experiment, record, model = read_network(name)
        if experiment.rule != "kernl":
            raise UserError(f"RUN_DIR must hold a run of rule 'kernl'; received {name}, a run of {experiment.rule!r}.")
        form = json.dumps([experiment.cell_settings, experiment.rule_settings, experiment.readout_settings])
        if form in kept:  # what is compiled reads the weights of this network
            kept[form][0].set_weights(model.get_weights())
        else:
            kept[form] = model, Gradients(model.get_layer("hidden"), experiment.jit_compile)
        print(f"Network    {name}", flush=True)
        run = {key: record[key] for key in ("experiment", "rule", "steps", "seed", "git_revision")}
        trained_on, digits = experiment.source, "sample" if experiment.task == "mnist" else None
        measured = dataclasses.replace(experiment, source=digits, data_dir=None)
        run["data"] = trained_on
        rows = measure(measured, *kept[form], zero_steps)
        found[:] = [each for each in found if identity(each["run"]) != identity(run)]
        found.append({"run": run, "rows": rows, "git_revision": revision, "command": command})
        write_json(path, results)
    return results


def earlier(path):
    """The networks that a results file has; raises `UserError` for another file."""
    try:
        return read_json(path)["windows"]["networks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} already exists, and holds no such results: name another --output.") from error


def identity(run):
    """Which network it is, however often it was trained."""
    return [run[key] for key in ("experiment", "rule", "steps", "seed")]


def main(arguments=None):
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.lab.windows", description=__doc__.splitlines()[0])
    add_network_options(parser)
    parser.add_argument("--zero-steps", type=int, default=400, metavar="N", help="steps in which M learns from zero")
    parser.set_defaults(
        run=lambda options, command: measure_all(options.networks, options.output, options.zero_steps, command) and 0
    )
    return cli.run_command(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
