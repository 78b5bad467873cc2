"""`StatefulLayer`: a layer without a cell that carries states from one piece of a sequence to the next."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_batch, flag
from ..keras_version import keras


class StatefulLayer(keras.layers.Layer):
    """Base of layers whose `stateful=True` is that of Keras' recurrent layers.

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
            self._keep_states(
                [
                    tf.Variable(tf.zeros(shape, dtype), trainable=False, name="state")
                    for shape, dtype in self.state_shapes(input_shape)
                ]
            )

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
