"""Messages between a `Model` and its layers in one call, of one thread: each replica of a strategy has its own."""

import contextlib
import contextvars
import dataclasses
from typing import Any, NamedTuple

import tensorflow as tf

RUNNING = contextvars.ContextVar("kernl_keras_step", default=None)
running_step = RUNNING.get  # the `Step` of the model that calls; None where a layer is called by anything else


class Call(NamedTuple):
    """Inputs and outputs of one call of a layer."""

    layer: Any
    sequences: Any  # [B, T, I], as they were read: backward with `go_backwards`, the valid steps first
    initial_state: Any  # list of [B, n]
    steps: Any  # `ValidSteps`, or None
    outputs: Any  # [B, T, H]; later layers use this very tensor


@dataclasses.dataclass
class Step:
    """Settings from the model to its layers, and reports from the layers."""

    present: Any = None  # [B], 0 for examples that F and the activity leave out; None for all
    learns: Any = None  # scalar bool, whether M and gamma learn in this call; None for True
    solves: bool = False  # whether M learns by least squares, Eq. (45), where its rule is `solvable`
    exact: bool = False  # whether the layers' gradients are those of backpropagation, whatever their rule
    reports: list = dataclasses.field(default_factory=list)  # `(layer, Report)` of every call of a layer
    calls: list = dataclasses.field(default_factory=list)  # the `Call`, likewise
    earlier: list = dataclasses.field(default_factory=list)  # `rules.above.Earlier` of layers with linear memory

    def earlier_outputs(self, sequences, marks):
        """The `Earlier` of the layer whose outputs these sequences are; None if there is none, or it does not fit."""
        return next((each for each in self.earlier if each.outputs is sequences and each.fits(marks)), None)

    def outputs(self, named):
        """The outputs [B, T, H] of layers `{name: layer}`, each in its last call, by the same names."""
        last = {id(call.layer): tf.cast(call.outputs, tf.float32) for call in self.calls}
        return {name: last[id(layer)] for name, layer in named.items() if id(layer) in last}

    def own_reports(self):
        """The reports of this graph. Keras 3 builds a subclassed model by a call in another one."""
        here = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        return [
            (layer, report) for layer, report in self.reports if getattr(report.unit_activity, "graph", None) is here
        ]


@contextlib.contextmanager
def running(step):
    """Within, `running_step()` is `step`."""
    token = RUNNING.set(step)
    try:
        yield step
    finally:
        RUNNING.reset(token)
