"""Writes the training step of the reference network as StableHLO modules, for `timing.py` to run under JAX's XLA.

    python -m notebooks.lab.stablehlo --output modules

Of each rule and batch there are two files: `RULE-BATCH.stablehlo`, the module, and `RULE-BATCH.npz`, what it is given
and what TensorFlow made of it. `timing.py` needs these files, NumPy and JAX, and nothing else of this checkout. A
module is a pure function: weights, slots and states in, loss and the new ones out.
"""

import json
import pathlib
import re
import sys
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kernl_keras import cli
from kernl_keras.experiments.files import explained, whole
from kernl_keras.keras_version import keras

from ..benchmark.network import build_model, with_context
from ..benchmark.peers import task
from ..benchmark.plan import REFERENCE, RULES
from ..options import Command, check_file

DEFAULT_RULES = ("kernl", "eprop", "bptt")
BATCHES = (25, 64, 128, 256, 512, 1024)
STEPS_BEFORE = 2  # so that no slot of an optimizer is zero
ALIAS = re.compile(r"parameter_number = (\d+) : i64}, output_index = array<i64: (\d+)>")


class Module(NamedTuple):
    """A training step, and one example of what it does."""

    code: bytes  # StableHLO, as MLIR bytecode
    names: list  # of the inputs: x, y, then the variables
    inputs: list  # arrays
    outputs: list  # arrays: the loss, then what became of the variables that the step writes
    feeds: list  # of each output, the number of the input whose next value it is; -1 for the loss


def export(settings):
    """The `Module` of the reference network's training step; settings as of `benchmark.network.build_model`."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(task.SEED)
    model = build_model(settings)
    pixels, labels = task.batch(settings)
    x, y = tf.constant(with_context(pixels)), tf.constant(labels)
    function = tf.function(lambda x, y: model.train_step((x, y))["loss"], jit_compile=True)
    step = function.get_concrete_function(x, y)
    for _ in range(STEPS_BEFORE):
        step(x, y)
    model.reset_metrics()  # the loss of a step is the mean since then
    by_handle = {id(variable.handle): variable for variable in step.graph.variables}
    variables = [by_handle[id(handle)] for handle in step.captured_inputs]  # in the order of the module's inputs
    before = [np.array(variable.numpy()) for variable in variables]
    loss = step(x, y).numpy()
    after = [np.array(variable.numpy()) for variable in variables]
    lower = function.experimental_get_compiler_ir(x, y)
    written = written_inputs(lower(stage="stablehlo"))
    return Module(
        code=lower(stage="stablehlo_serialized"),
        names=["x", "y", *(variable.name for variable in variables)],
        inputs=[x.numpy(), y.numpy(), *before],
        outputs=[loss, *(after[number - 2] for number in written)],
        feeds=[-1, *written],
    )


def written_inputs(text):
    """Of each output of a module but the first: the number of the input that it may take the place of.

    A step writes variables, and the module says which output belongs to which.

    Example:

    >>> alias = "{alias = {kind = k, parameter_number = %d : i64}, output_index = array<i64: %d>}"
    >>> written_inputs(alias % (4, 2) + alias % (2, 1))
    [2, 4]
    """
    inputs = {int(output): int(parameter) for parameter, output in ALIAS.findall(text)}
    return [inputs[output] for output in range(1, len(inputs) + 1)]


def write(path, module, record):
    """Writes the two files of a module at a path without its ending; `record` says where it came from."""
    arrays = {f"input_{number}": array for number, array in enumerate(module.inputs)}
    arrays |= {f"output_{number}": array for number, array in enumerate(module.outputs)}
    with whole(path.with_name(f"{path.name}.npz")) as part:
        np.savez_compressed(part, names=module.names, feeds=module.feeds, record=json.dumps(record), **arrays)
    with whole(path.with_name(f"{path.name}.stablehlo")) as part:
        part.write_bytes(module.code)


def run(options, about):
    """The files of all rules and batches."""
    folder = options.output
    check_file(folder)
    cli.set_threads(options.threads)
    sizes = {**REFERENCE, "steps": options.steps, "units": options.units, "threads": options.threads}
    with explained(f"{folder} cannot be made", "Name another --output."):
        folder.mkdir()
    for rule in options.rules:
        word, of_rule = RULES[rule]
        for batch in options.batches:
            settings = {**sizes, "batch": batch, "rule": word, "rule_settings": of_rule}
            path = folder / f"{rule.replace(' ', '-')}-{batch}"
            write(path, export(settings), {"rule": rule, "settings": settings, **about})
            print(f"Module     {path}.stablehlo", flush=True)


main = Command("stablehlo", __doc__, run)
main.option("--rules", nargs="+", choices=RULES, default=DEFAULT_RULES, metavar="RULE", help=", ".join(RULES))
main.count("--batches", BATCHES, f"{BATCHES} if not given", nargs="+")
main.count("--steps", REFERENCE["steps"])
main.count("--units", REFERENCE["units"])
main.count("--threads", cli.THREADS, "of TensorFlow's operations")
main.option("--output", type=pathlib.Path, required=True, metavar="DIR", help="a new directory")

if __name__ == "__main__":
    sys.exit(main())
