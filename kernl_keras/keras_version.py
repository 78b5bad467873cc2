"""The one place that knows which Keras `tf.keras` is: 3 by default, 2 by ``TF_USE_LEGACY_KERAS=1`` and tf-keras."""

import functools
import re
from typing import Any, TypeVar

import tensorflow as tf

__all__ = ["IS_KERAS_3", "NO_AUTOCAST", "AbstractRNNCell", "Functional", "keras", "short_name", "writes_hdf5"]

T = TypeVar("T", bound=type[Any])

IS_KERAS_3 = not tf.keras.layers.Layer.__module__.startswith("tf_keras")

# Argument of `add_weight` for a variable that mixed precision does not round.
NO_AUTOCAST = {"autocast" if IS_KERAS_3 else "experimental_autocast": False}


if IS_KERAS_3:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            "kernl_keras needs the TensorFlow backend of Keras; "
            f"received KERAS_BACKEND={keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow."
        )

    from keras.src.backend.common import global_state
    from keras.src.backend.common.variables import AutocastScope
    from keras.src.models.functional import Functional

    class KerasRNN(keras.layers.RNN):
        """Keras 3's `RNN`, whose states are those that the layer, not the cell, lists in `state_size`."""

        def get_initial_state(self, batch_size):
            return [tf.zeros((batch_size, size), self.cell.compute_dtype) for size in self.state_size]

        def call(self, sequences, initial_state=None, mask=None, training=False):
            with AutocastScope(None):
                if initial_state is None and not self.stateful:
                    initial_state = self.get_initial_state(sequences.shape[0] or tf.shape(sequences)[0])
                output, *states = run_loop(self, sequences, initial_state, mask, training)
            return (output, *states) if self.return_state else output

else:
    from contextlib import nullcontext as AutocastScope

    import tf_keras as keras
    from tf_keras.src.engine.functional import Functional

    class KerasRNN(keras.layers.RNN):  # type: ignore[no-redef]
        """Keras 2's `RNN` with the two seams of Keras 3's: the layer, not the cell, says what `state_size` is, and
        `call` leaves the loop over time to `inner_loop`."""

        def __init__(self, cell, **kwargs):
            super().__init__(cell, **kwargs)
            self.state_size = list(cell.state_size)

        @property
        def states(self):
            return [None] * len(self.state_size) if self._states is None else self._states

        @states.setter
        @tf.__internal__.tracking.no_automatic_dependency_tracking  # or they would count among the weights
        def states(self, states):
            self._states = states

        @staticmethod
        def _validate_state_spec(cell_state_sizes, init_state_specs):
            """Nothing to validate against the cell: `state_size` is the layer's; `call` counts the states."""

        def build(self, input_shape):
            stateful, self.stateful = self.stateful, False
            super().build(input_shape)
            self.stateful = stateful
            if stateful:
                shape = input_shape[0] if isinstance(input_shape, list) else input_shape
                self.states = [
                    tf.Variable(tf.zeros((shape[0], size), self.variable_dtype), trainable=False, name="rnn_state")
                    for size in self.state_size
                ]

        def reset_state(self):
            for state in self._states or []:
                state.assign(tf.zeros_like(state))

        def reset_states(self, states=None):
            self.reset_state()
            for variable, value in zip(self._states or [], states or []):
                variable.assign(value)

        def get_initial_state(self, inputs):
            return [tf.zeros((tf.shape(inputs)[0], size), self.cell.compute_dtype) for size in self.state_size]

        def call(self, inputs, mask=None, training=None, initial_state=None):
            if initial_state is not None or not self.stateful or isinstance(inputs, list):
                inputs, initial_state, _ = self._process_inputs(inputs, initial_state, None)
            output, *states = run_loop(self, inputs, initial_state, mask, training)
            return [output, *states] if self.return_state else output


class AbstractRNNCell(keras.layers.Layer if IS_KERAS_3 else keras.layers.AbstractRNNCell):  # type: ignore[misc]
    """Keras 2's `AbstractRNNCell`, a cell with `state_size` and `output_size`, which Keras 3 no longer has.

    Its first states have its own dtype, which may be wider than that of the layers around it.
    """

    def get_initial_state(
        self: Any, inputs: tf.Tensor | None = None, batch_size: int | tf.Tensor | None = None, dtype: str | None = None
    ) -> list[tf.Tensor]:
        """Keras 2 passes all three arguments, Keras 3 the second."""
        batch_size = tf.shape(inputs)[0] if batch_size is None else batch_size
        sizes = self.state_size if isinstance(self.state_size, (list, tuple)) else [self.state_size]
        return [tf.zeros((batch_size, size), self.compute_dtype) for size in sizes]


def built_eagerly(build):
    """A `build` that leaves any graph that is being traced, as Keras 2 does: in the graph a weight has no value yet."""

    @functools.wraps(build)
    def outside(self, *args, **kwargs):
        with tf.init_scope():
            build(self, *args, **kwargs)

    return outside


def run_loop(layer, sequences, initial_state, mask, training):
    """`RNN.call` of Keras, but between the calls of a stateful layer the states are as precise as its cell."""
    states = tf.nest.flatten(layer.states if initial_state is None else initial_state)
    states = [tf.cast(tf.convert_to_tensor(state), layer.cell.compute_dtype) for state in states]
    last_output, outputs, states = layer.inner_loop(sequences, states, mask, training)
    if layer.stateful:
        dtype = layer.variable_dtype
        with tf.control_dependencies([sequences]):  # if the data set is over, Keras learns it within its compiled step
            with AutocastScope(dtype):  # where a scope names no dtype, Keras 3.12 rounds to single precision
                for variable, state in zip(layer.states, states):
                    variable.assign(tf.cast(state, dtype))
    return [
        tf.cast(each, layer.compute_dtype) for each in (outputs if layer.return_sequences else last_output, *states)
    ]


def writes_hdf5(model: Any) -> bool:
    """Whether Keras asks for a model's configuration to write it, alone or as a layer, into an HDF5 file."""
    if IS_KERAS_3:
        return bool(global_state.get_global_attribute("use_legacy_config"))
    asked = getattr(model, "use_legacy_config", False)
    if asked:
        model.use_legacy_config = False  # Keras 2 itself would leave it in a model that is a layer
    return asked


def serializable(cls: T) -> T:
    """Registers a class as one of this package, so that a saved model loads without `custom_objects`."""
    return keras.saving.register_keras_serializable(package="kernl_keras")(cls)


def loss_mean(model: Any) -> Any:
    """The `keras.metrics.Mean` of a compiled model's loss over an epoch."""
    return model._loss_tracker if IS_KERAS_3 else model.compiled_loss._loss_metric


def short_name(variable):
    """The last part of a variable's name, the same in both Kerases; "variable" for one without a name."""
    return re.sub(r"^[Vv]ariable(_\d+)?$", "variable", variable.name.split("/")[-1].split(":")[0])


def output_shape(*axes):
    """What `compute_output_shape` returns: Keras 2 wants a `tf.TensorShape`."""
    return axes if IS_KERAS_3 else tf.TensorShape(axes)
