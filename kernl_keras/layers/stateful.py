"""The states that layers carry from one piece of a sequence to the next."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_batch, flag
from ..keras_version import keras
from ..rules.perturbed_pass import PerturbedState


class StateLayout:
    """Order and shapes of the states of a `kernl_keras.RNN` in the flat list that Keras carries, each [B, n].

    The cell's states come first; then those of the perturbed pass with its filtered noise [B, R, H] and [B, S, H]
    (`rows` are R and S, none for a rule without M); then the traces [B, .., H, J].
    """

    def __init__(self, cell, rows, trace_shapes):
        self.cell = cell
        self.rows = rows
        self.trace_shapes = trace_shapes
        own = list(cell.state_size)
        perturbed = [*own, *(count * cell.units for count in rows)] if rows else []
        self.sizes = [*own, *perturbed, *map(math.prod, trace_shapes)]

    def unpack(self, states):
        """`(cell state, PerturbedState or None, tuple of traces)` from the flat list, each state [B, n]."""
        states, fields, perturbed = iter(states), len(self.cell.state_size), None
        cell_state = self.cell.State(*(next(states) for _ in range(fields)))
        if self.rows:
            changes = self.cell.State(*(next(states) for _ in range(fields)))
            noise = (tf.reshape(next(states), (-1, rows, self.cell.units)) for rows in self.rows)
            perturbed = PerturbedState(changes, *noise)
        return cell_state, perturbed, tuple(tf.reshape(x, (-1, *shape)) for x, shape in zip(states, self.trace_shapes))

    def pack(self, cell_state, perturbed, traces):
        """The flat list that `unpack` takes apart."""
        own, noise = ((), ()) if perturbed is None else (perturbed.cell, perturbed[1:])
        return [*cell_state, *own, *(tf.reshape(x, (-1, math.prod(x.shape[1:]))) for x in (*noise, *traces))]


class StatefulLayer(keras.layers.Layer):
    """Base of layers without a cell that have `stateful=True` as Keras' recurrent layers do.

    The states are variables of the layer, but not among its weights, so that weights fit a layer for another batch
    size; `reset_state()` sets them to zero. NaN and infinity stay in the states, unless a `kernl_keras.Model` trains,
    evaluates or predicts, see there.

    Args:
        stateful: whether a call continues where the one before ended, example by example.
        **kwargs: of a Keras layer.
    """

    def __init__(self, stateful: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stateful = flag("stateful", stateful)
        self._keep_states(None)

    def build_states(self, input_shape: Sequence[int | None]) -> None:
        """Makes the states that `state_shapes` lists."""
        if not self.stateful:
            return
        if input_shape[0] is None:
            raise ValueError(f"stateful=True needs a static batch size; received input shape {tuple(input_shape)}.")
        with tf.init_scope():
            shapes = self.state_shapes(input_shape)
            self._keep_states([tf.Variable(tf.zeros(*shape), trainable=False, name="state") for shape in shapes])

    def state_shapes(self, input_shape: Sequence[int | None]) -> list[tuple[tuple[Any, ...], Any]]:
        """Shape and dtype of each state."""
        raise NotImplementedError

    def check_batch(self, inputs: tf.Tensor) -> None:
        """Raises a ValueError if the batch size is not that of the states."""
        check_batch("inputs", inputs, [state for state in self.states or () if state.shape.rank])

    def go_on_with(self, states: Sequence[tf.Tensor], inputs: tf.Tensor) -> None:
        """Sets the states for the next call, once the inputs have arrived: at the end of a data set they never do."""
        with tf.control_dependencies([inputs]):
            for variable, state in zip(self.states, states):
                variable.assign(state)

    def reset_state(self) -> None:
        """The next call begins new sequences."""
        for state in self.states or []:
            state.assign(tf.zeros_like(state))

    def reset_states(self) -> None:
        """`reset_state`, by its other name."""
        self.reset_state()

    def _keep_states(self, states):
        vars(self)["states"] = states  # not by setattr: Keras would count them among the weights
