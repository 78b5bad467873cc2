"""What layers with states share: bases of those over a cell and of those without, and the order of the states."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_batch, check_features, check_static_batch, flag, nearest_name, time_steps
from ..keras_version import KerasRNN, keras
from ..rules.perturbed_pass import PerturbedState
from ..sequences.masks import marks


class LayerOverCell(KerasRNN):
    """Base of `RNN` and `Readout`: Keras' `RNN` with checks of what it is given, and `reset`."""

    STATES = ""  # what `return_state=True` gives, for an error
    CELL_ARGUMENTS: Sequence[str] = ()  # arguments of the cell that the layer takes besides its own

    def __init__(self, cell: Any, return_sequences: bool = True, **kwargs: Any) -> None:
        flag("stateful", kwargs.get("stateful", False))  # Keras takes anything
        with nearest_name(type(self), kwargs, also=self.CELL_ARGUMENTS):
            super().__init__(cell, return_sequences=return_sequences, **kwargs)
        if not self.trainable:
            cell.trainable = False  # Keras asks the cell alone

    def build_cell(self, shape: Any) -> Any:
        """Builds the cell, and returns the shape of the sequences. `shape` is None where they were None."""
        if isinstance(shape, (list, tuple)) and isinstance(shape[0], (list, tuple, tf.TensorShape)):
            shape = shape[0]  # Keras 2 adds the states'
        time_steps("sequences", shape)
        if self.stateful:
            check_static_batch(shape)
        if not self.cell.built:
            self.cell.build((shape[0], shape[-1]))
        return shape

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
        reset: tf.Tensor | None = None,
    ) -> tf.Tensor | list[tf.Tensor]:
        x, *states = tf.nest.flatten(sequences)
        features, rank = self.cell.kernel.shape[0], x.shape.rank
        if rank is None or (rank == 3 and x.shape[-1] is None):  # in `fit`, once batches of two shapes have come
            x = tf.ensure_shape(x, (None, None, features))
            sequences = tf.nest.pack_sequence_as(sequences, [x, *states])
        time_steps("sequences", x.shape)
        check_features("sequences", x, features)
        check_batch("sequences", x, self.states if self.stateful else ())
        count = len(self.state_size)
        given = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
        if initial_state is not None and len(given) != count:
            raise ValueError(
                f"initial_state must be the {count} states that return_state=True gives ({self.STATES}); "
                f"received {len(given)}."
            )
        mask = marks(x, mask, reset)
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = super().compute_mask(inputs, mask)
        if not self.go_backwards:
            return masks
        # The mask of the outputs is reversed as they are; Keras hands it on as it came.
        outputs_mask, *states_masks = masks if isinstance(masks, list) else [masks]
        outputs_mask = None if outputs_mask is None else outputs_mask[:, ::-1]
        return [outputs_mask, *states_masks] if isinstance(masks, list) else outputs_mask


class StateLayout:
    """The states of a `RNN` in the flat list that Keras carries, each [B, n]: the cell's; those of the perturbed pass,
    and its noise, `rows` [B, R, H] and [B, S, H], if any; and the traces [B, .., H, J]."""

    def __init__(self, cell, rows, trace_shapes):
        self.cell, self.rows, self.trace_shapes = cell, rows, trace_shapes
        own = list(cell.state_size)
        perturbed = [*own, *(count * cell.units for count in rows)] if rows else []
        self.sizes = [*own, *perturbed, *map(math.prod, trace_shapes)]

    def unpack(self, states):
        """`(cell state, PerturbedState or None, tuple of traces)` from the flat list."""
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

    The states are no weights of the layer, so that weights fit a layer for another batch size. NaN and infinity stay in
    them, unless a `kernl_keras.Model` trains, evaluates or predicts.
    """

    def __init__(self, stateful: bool = False, **kwargs: Any) -> None:
        with nearest_name(type(self), kwargs):
            super().__init__(**kwargs)
        self.stateful = flag("stateful", stateful)
        self.__dict__["states"] = None  # not by setattr: Keras would count them among the weights
        self.supports_masking = True

    def build_states(self, input_shape: Sequence[int | None], *shapes: Any) -> None:
        """Makes the states, `(shape, dtype)` each, if the layer is stateful."""
        if not self.stateful:
            return
        check_static_batch(input_shape)
        with tf.init_scope():
            states = [tf.Variable(tf.zeros(*shape), trainable=False, name="state") for shape in shapes]
        self.__dict__["states"] = states

    def check_inputs(self, inputs: tf.Tensor) -> Any:
        """The shape of the outputs; raises a ValueError for inputs that do not fit the layer, or its states if any."""
        shape = self.compute_output_shape(inputs.shape)  # it may be called with another shape than it was built on
        check_features("inputs", inputs)
        check_batch("inputs", inputs, [state for state in self.states or () if state.shape.rank])
        return shape

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
