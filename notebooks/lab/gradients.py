"""Gradients of a layer by a rule, a window and a memory of what was before it, and how well two of them agree."""

import functools

import numpy as np
import tensorflow as tf

from kernl_keras.rules.backward import Past
from kernl_keras.rules.memory import LinearMemory, LinearTraces
from kernl_keras.rules.window import way_back
from kernl_keras.sequences.clean_pass import clean_pass
from kernl_keras.sequences.time_loop import tensors
from kernl_keras.training.alignment import trained


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
    """How many numbers an example needs for what was before the window."""
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
