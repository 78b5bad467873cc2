"""The states that layers carry from one piece of a sequence to the next."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_batch, flag
from ..keras_version import keras
from ..rules.perturbed_pass import PerturbedState


class StateLayout:
    """How the states of a `kernl_keras.RNN` lie in the flat list that Keras carries, of one axis a state.

    They are the cell's; then the perturbed pass's with its filtered noise [B, R, H], [B, S, H], whose `rows` are R and
    S, none for a rule without M; then the traces [B, .., H, J].
    """

    def __init__(self, cell, rows, trace_shapes):
        self.cell = cell
        self.rows = rows
        self.trace_shapes = trace_shapes
        own = list(cell.state_size)
        perturbed = [*own, *(each * cell.units for each in rows)] if rows else []
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
    """Base of layers without a cell whose `stateful=True` is that of Keras' recurrent layers.

    The states are variables of the layer that do not count among its weights, so that weights fit a layer for another
    batch size; `reset_state()` sets them to zero. What is not finite goes on like any other number, unless a
    `kernl_keras.Model` trains, evaluates or predicts, see there.

    Args:
        stateful: whether a call goes on where the one before ended, example by example.
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
            self._keep_states([tf.Variable(tf.zeros(*each), trainable=False, name="state") for each in shapes])

    def state_shapes(self, input_shape: Sequence[int | None]) -> list[tuple[tuple[Any, ...], Any]]:
        """Shape and dtype of each state."""
        raise NotImplementedError

    def check_batch(self, inputs: tf.Tensor) -> None:
        """Raises where there are not as many examples as states."""
        check_batch("inputs", inputs, [state for state in self.states or () if state.shape.rank])

    def go_on_with(self, states: Sequence[tf.Tensor], inputs: tf.Tensor) -> None:
        """The next call starts from these; not where the inputs never come, as at the end of a data set."""
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
        vars(self)["states"] = states  # past Keras, which would count them among the weights
