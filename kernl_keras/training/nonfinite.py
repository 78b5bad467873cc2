"""A record of batches that are not finite: the tensor, the step, and advice.

A compiled step can neither raise nor print, so it writes numbers into a variable, which Python reads between the steps.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..layers.diagnostics import first_replicas
from ..layers.names import weight_names
from ..replicas import whole_sum
from .state import layer_states

ADVICE = {
    "weight": "Load or make the weights anew: nothing can be learned from here.",
    "state": "Start the sequence anew with reset_state() of that layer.",
    "left": "Scale the inputs, whose numbers are too large for it. If it came while the network learned, lower the "
    "learning rate or clip with global_clipnorm of the optimizer.",
    "input": "Clean the data, or mask the steps (keras.layers.Masking). Of an array x, "
    "np.unique(np.argwhere(~np.isfinite(x))[:, 0]) are the examples with NaN or infinity.",
    "target": "Clean the targets, or give those that are missing a sample_weight of 0. Of an array y, "
    "np.unique(np.argwhere(~np.isfinite(y))[:, 0]) are the examples with NaN or infinity.",
    "sample weight": "Clean the weights. Of an array w, np.unique(np.argwhere(~np.isfinite(w))[:, 0]) are the examples "
    "with NaN or infinity.",
    "result": "Lower the learning rate, clip with global_clipnorm of the optimizer, or make the initial weights "
    "smaller (input_gain, recurrent_gain).",
}


class Suspect(NamedTuple):
    """A tensor that may hold NaN or infinity."""

    name: str
    kind: str  # a key of `ADVICE`
    tensor: Any


class Summary(NamedTuple):
    """A `Record` since it was cleared: numbers of steps, and the first skipped step, from 1, with its culprit."""

    steps: int
    skipped: int = 0
    step: int = 0
    problem: str = ""
    advice: str = ""


class Record:
    """A record of batches that are not finite; with `stop`, no step after the first may update anything."""

    def __init__(self, stop):
        self.stop = stop
        self._suspects, self._starts = [], {}  # of all steps that were traced, and where those of each begin
        self._numbers = first_replicas(np.zeros(4, np.int64), "nonfinite")

    def goes_on(self):
        """False after a batch at which training stops, so that no step updates anything. Scalar bool."""
        return self._numbers[1] == 0 if self.stop else tf.constant(True)

    def write(self, good, suspects):
        """Counts a step and, where it is not `good`, looks for the first of the `suspects` that is not finite."""
        suspects = [suspect for suspect in suspects if can_be_nonfinite(suspect.tensor)]
        # Only a bad batch is looked at.
        bad = tf.cond(good, lambda: tf.zeros(len(suspects), tf.bool), lambda: tf.stack(not_finite(suspects)))
        known = tuple(x._replace(tensor=None) for x in suspects)  # no tensor of a traced step is kept
        if known not in self._starts:
            self._starts[known] = len(self._suspects)
            self._suspects += known
        first = self._starts[known] + tf.argmax(whole_sum(tf.cast(bad, tf.int32)) > 0)
        steps, skipped, step, suspect = tf.unstack(self._numbers)
        steps += 1
        new = tf.logical_and(tf.logical_not(good), skipped == 0)
        step, suspect = tf.where(new, steps, step), tf.where(new, first, suspect)
        skipped += tf.cast(tf.logical_not(good), skipped.dtype)
        self._numbers.assign(tf.stack([steps, skipped, step, suspect]))

    def read(self):
        steps, skipped, step, suspect = self._numbers.numpy().tolist()
        if not skipped:
            return Summary(steps)
        name, kind, _ = self._suspects[suspect]
        return Summary(steps, skipped, step, f"{name} holds NaN or infinity", ADVICE[kind])

    def clear(self):
        self._numbers.assign([0, 0, 0, 0])

    def check(self, epoch=None):
        """Raises if training has to stop, and clears the record. `epoch` counts from 1, None outside of `fit`."""
        if not self.stop or not (summary := self.read()).skipped:
            return
        self.clear()
        place = f"step {summary.step}" + (f" of epoch {epoch}" if epoch else "")
        raise FloatingPointError(
            f"Training stopped at {place}: {summary.problem}. All weights are as they were before. {summary.advice} "
            "compile(on_nonfinite='skip') leaves such batches out."
        )


def can_be_nonfinite(tensor):
    """True for a tensor, or an array, of floating point numbers."""
    return isinstance(tensor, (tf.Tensor, np.ndarray)) and tf.as_dtype(tensor.dtype).is_floating


def not_finite(suspects):
    """True for each of the suspects that holds NaN or infinity, a list of scalar bools."""
    return [tf.logical_not(tf.reduce_all(tf.math.is_finite(x.tensor))) for x in suspects]


def all_finite(suspects):
    """True if the tensors of all suspects are finite, on all replicas; scalar bool."""
    return tf.equal(whole_sum(tf.cast(tf.reduce_any(not_finite(suspects)), tf.int32)), 0)


def suspects_left(model, kept):
    """A `Suspect` for each new state, and for each other variable that the forward pass changed, where it was finite
    before, as `kept`."""
    states = [(layer.name, tf.convert_to_tensor(state)) for layer, state in layer_states(model)]
    left = [Suspect(f'new state of "{name}"', "left", state) for name, state in states if can_be_nonfinite(state)]
    for variable in model.non_trainable_variables:
        new = tf.convert_to_tensor(variable)
        if can_be_nonfinite(new) and id(variable) in kept.before:
            _, before = kept.before[id(variable)]
            new = tf.where(tf.math.is_finite(before), new, tf.zeros_like(new))
            left.append(Suspect(f'new value of "{getattr(variable, "path", variable.name)}"', "left", new))
    return left


def suspects_of_step(model, batch, results, groups):
    """Yields every `Suspect` of a training step, whose weights and states are put back, causes before effects.

    `batch` is `(x, y, sample_weight)`, `results` are the suspects of the forward pass, and `groups` both `Group`s.
    """
    names = {id(variable): name for name, variable in zip(weight_names(model), model.trainable_variables)}
    for variable in model.weights:
        name = names.get(id(variable), getattr(variable, "path", variable.name))
        yield Suspect(f'weight "{name}"', "weight", tf.convert_to_tensor(variable))
    for layer, state in layer_states(model):
        yield Suspect(f'state of "{layer.name}"', "state", tf.convert_to_tensor(state))
    inputs = [x._keras_history[0].name for x in getattr(model, "inputs", None) or []]  # the input layers'
    for kind, part, keys in zip(("input", "target", "sample weight"), batch, (inputs, (), ())):
        tensors = tf.nest.flatten(part)
        if isinstance(part, dict):
            keys = sorted(map(str, part))
        elif len(keys) != len(tensors):
            keys = range(len(tensors)) if len(tensors) > 1 else [""]
        for key, tensor in zip(keys, tensors):
            yield Suspect(kind + (f' "{key}"' if key != "" else "") + " of the batch", kind, tensor)
    yield from results
    for group, kind in zip(groups, ("sensitivity gradient", "gradient")):
        for variable, gradient in zip(group.variables, group.gradients):
            gradient = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
            yield Suspect(f'{kind} of "{names[id(variable)]}"', "result", gradient)
        yield Suspect(f"norm of the {kind}s", "result", group.norm)  # may overflow where no gradient does
