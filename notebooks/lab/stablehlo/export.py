"""A compiled training step as a pure function: weights, slots and states in, loss and the new ones out."""

import json
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kernl_keras.experiments.files import whole
from kernl_keras.keras_version import keras

from ..benchmark.network import build_model
from ..benchmark.peers import task

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
    x, y = tf.constant(np.stack([pixels, np.ones_like(pixels)], -1)), tf.constant(labels)
    function = tf.function(lambda x, y: model.train_step((x, y))["loss"], jit_compile=True)
    step = function.get_concrete_function(x, y)
    for _ in range(STEPS_BEFORE):
        step(x, y)
    model.reset_metrics()  # the loss of a step is the mean since then
    variables = captured_variables(step)
    before = values(variables)
    loss = step(x, y).numpy()
    after = values(variables)
    lower = function.experimental_get_compiler_ir(x, y)
    written = written_inputs(lower(stage="stablehlo"))
    return Module(
        code=lower(stage="stablehlo_serialized"),
        names=["x", "y", *(variable.name for variable in variables)],
        inputs=[x.numpy(), y.numpy(), *before],
        outputs=[loss, *(after[number - 2] for number in written)],
        feeds=[-1, *written],
    )


def captured_variables(step):
    """The variables of a concrete function, in the order in which its module takes them."""
    variables = {id(variable.handle): variable for variable in step.graph.variables}
    return [variables[id(handle)] for handle in step.captured_inputs]


def values(variables):
    """Copies of what they hold."""
    return [np.array(variable.numpy()) for variable in variables]


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
