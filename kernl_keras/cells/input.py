"""Cells without trained weights: Bernoulli spikes as input, and a unit that signals that the input is over."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_features, integer
from ..draws import add_counter, check_seed, next_key, uniform
from ..keras_version import serializable
from ..replicas import equal_parts, replicas, rows_before
from .wide import WideCell


@serializable
class InputSpikeCell(WideCell):
    """Input units that spike with a probability equal to their input.

        z_i(t) ~ Bernoulli(x_i(t))

    Draws are independent over steps, units, examples and calls. A draw depends only on the seed, the number of earlier
    calls (a weight, saved with the model) and the number of earlier steps (a state). So one seed gives the same spikes
    in eager, graph and XLA mode. No gradient flows to the inputs.

    Args:
        units: number of input units that all draw from a single input channel; None for one unit per channel.
        seed: integer >= 0; None draws a seed, which the config keeps.
        **kwargs: `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: probabilities [B, I], with I = `units`, or I = 1 for all units.
        states: list of one tensor [B, 2], the number of the call and the number of steps so far.

    Returns:
        Spikes [B, units], 0 or 1, and the list of new states.

    Raises:
        ValueError: for a setting out of its range; if I is neither 1 nor `units`.
        tf.errors.InvalidArgumentError: if the replicas of a strategy receive parts of a batch that differ in size.

    A `stateful` RNN repeats its draws after a reset, because Keras resets the states to 0.

    Example:
        >>> import tensorflow as tf, kernl_keras as kk
        >>> from tensorflow import keras
        >>> layer = keras.layers.RNN(kk.InputSpikeCell(80, seed=0), return_sequences=True)
        >>> layer(tf.fill((25, 7, 1), 0.3)).shape
        TensorShape([25, 7, 80])

    Reference: Gerstner, Kistler, Naud, Paninski, Neuronal Dynamics (2014), section 7.2.
    """

    state_size = [2]

    def __init__(self, units: int | None = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = None if units is None else integer("units", units)
        # A drawn seed is kept as a given one is: a loaded model continues where the saved one stopped.
        self.seed = check_seed(seed)
        self._channels = self.units

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels = input_shape[-1]
        if self.units is None:
            self._channels = channels
        elif channels not in (1, self.units):
            raise ValueError(f"inputs must have 1 channel or units={self.units}; received shape {tuple(input_shape)}.")
        self.draws = add_counter(self)
        self.built = True

    def call(self, inputs: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        check_features("inputs", inputs, None if inputs.shape[-1] == 1 else self.output_size)
        inputs = tf.cast(inputs, self.compute_dtype)
        calls, steps = tf.unstack(tf.cast(states[0], tf.int32), axis=1)  # [B], [B]
        # A masked example stops counting. The sum over B grows as long as any example counts.
        # All replicas have the same number of examples.
        batch, steps = tf.shape(inputs)[0], replicas() * tf.reduce_sum(steps)
        key = tf.random.fold_in(tf.stack([self.seed, tf.reduce_max(calls)]), steps, alg="philox")
        draws = tf.cast(uniform((batch, self.output_size), key, rows_before(batch, alike=True)), inputs.dtype)
        spikes = tf.cast(draws < inputs, inputs.dtype)  # [B, units] < [B, units] or [B, 1]
        return spikes, [states[0] + tf.constant([0.0, 1.0], states[0].dtype)]

    def get_initial_state(
        self, inputs: tf.Tensor | None = None, batch_size: int | tf.Tensor | None = None, dtype: str | None = None
    ) -> list[tf.Tensor]:
        """[B, 2]: the number of this call, and 0 steps."""
        zeros = super().get_initial_state(inputs, batch_size)[0]
        call = tf.cast(next_key(self.seed, self.draws)[1], zeros.dtype)
        equal_parts(tf.shape(zeros)[0], self.name)
        return [zeros + tf.stack([call, tf.zeros_like(call)])]

    @property
    def output_size(self) -> int:
        if self._channels is None:
            raise ValueError(f"{self.name} has a number of units only after it was built on an input.")
        return self._channels


@serializable
class ContextCell(WideCell):
    """One unit that counts its input and switches on after `context_switch` steps.

        n(t) = n(t-1) + x(t);  z(t) = 1[n(t) > context_switch]

    Args:
        context_switch: number of steps to count before the unit switches on.
        **kwargs: `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: what the unit counts [B, 1].
        states: list of one tensor [B, 1], the count so far.

    Returns:
        The output [B, 1], 0 or 1, and the list of new states.

    Raises:
        ValueError: if the inputs have more than one channel.

    Example:

    >>> import tensorflow as tf, kernl_keras as kk
    >>> from tensorflow import keras
    >>> layer = keras.layers.RNN(kk.ContextCell(3), return_sequences=True)
    >>> layer(tf.ones((1, 5, 1)))[0, :, 0].numpy()
    array([0., 0., 0., 1., 1.], dtype=float32)

    Reference: the cue that ends the pixels, as in Bellec et al., arXiv:1803.09574 (2018).
    """

    state_size = [1]
    output_size = 1

    def __init__(self, context_switch: int = 784, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.context_switch = integer("context_switch", context_switch, low=0)

    def build(self, input_shape: Sequence[int | None]) -> None:
        if input_shape[-1] != 1:
            raise ValueError(f"inputs must have 1 channel, which is counted; received shape {tuple(input_shape)}.")
        self.built = True

    def call(self, inputs: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        check_features("inputs", inputs, 1)
        inputs = tf.cast(inputs, self.compute_dtype)
        count = states[0] + inputs
        return tf.cast(count > self.context_switch, inputs.dtype), [count]
