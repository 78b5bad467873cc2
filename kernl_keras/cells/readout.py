"""The readout cell: a leaky integrator without spikes."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..checks import check_features, flag, integer, keras_object, number, one_of
from ..dynamics.decays import DECAYS
from ..keras_version import AbstractRNNCell, keras
from ..serialization import serializable
from ..types import Config, Constraint, Discretization, Initializer, Regularizer, TimeConstant
from .time_constants import check_time_constant, serialize_time_constant, time_constant


@serializable
class ReadoutCell(AbstractRNNCell):
    """Leaky sums of the hidden spikes, from which the network's answer is read.

        v(t) = d v(t-1) + z(t) W_out + bias,  d = exp(-dt / tau_out)

    It trains by ordinary automatic differentiation. `kernl_keras.Readout` is the fast layer over it.

    Args:
        units: number of readout units O.
        tau_out: time constant in ms: a number, `units` numbers, an initializer, or None for no memory (d = 0).
        dt: length of a step in ms.
        discretization: "exponential", or "euler" for d = 1 - dt / tau_out.
        use_bias: whether a bias is added at every step.
        kernel_initializer, bias_initializer: initializers of the weights.
        kernel_regularizer, bias_regularizer: their regularizers.
        kernel_constraint, bias_constraint: their constraints.
        **kwargs: `name`, `dtype` and the rest of a Keras layer's arguments.

    Call arguments:
        inputs: hidden spikes or activities z(t) [B, H].
        states: list of one tensor [B, O], v(t-1).

    Returns:
        v(t) [B, O], and the list of new states.

    Raises:
        ValueError: for a setting out of range.

    Example:

    >>> from kernl_keras.keras_version import keras
    >>> layer = keras.layers.RNN(ReadoutCell(10), return_sequences=True)
    >>> layer(tf.zeros((25, 7, 200))).shape
    TensorShape([25, 7, 10])

    Reference: Bellec et al., arXiv:1803.09574 (2018); Nature Communications 11:3625 (2020).
    """

    def __init__(
        self,
        units: int,
        tau_out: TimeConstant | None = 10.0,
        dt: float = 1.0,
        discretization: Discretization = "exponential",
        use_bias: bool = False,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        kernel_constraint: Constraint | None = None,
        bias_constraint: Constraint | None = None,
        **kwargs: Any,
    ) -> None:
        # A sum over many steps leaves the range of half precision: a policy's wide dtype is the default.
        super().__init__(**{"dtype": keras.mixed_precision.global_policy().variable_dtype, **kwargs})
        self.units = integer("units", units)
        self.tau_out = None if tau_out is None else check_time_constant("tau_out", tau_out, self.units)
        self.dt = number("dt", dt, above=0.0)
        self.discretization = one_of("discretization", discretization, DECAYS)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = keras_object("initializers", "kernel_initializer", kernel_initializer)
        self.bias_initializer = keras_object("initializers", "bias_initializer", bias_initializer)
        self.kernel_regularizer = keras_object("regularizers", "kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = keras_object("regularizers", "bias_regularizer", bias_regularizer)
        self.kernel_constraint = keras_object("constraints", "kernel_constraint", kernel_constraint)
        self.bias_constraint = keras_object("constraints", "bias_constraint", bias_constraint)

    def build(self, input_shape: Sequence[int | None]) -> None:
        if input_shape[-1] is None:
            raise ValueError(f"inputs must have a known last axis; received shape {tuple(input_shape)}.")
        self._tau_out = time_constant(self, "tau_out", self.tau_out, self.units)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    @property
    def decay(self) -> tf.Tensor:
        """d, a scalar or [O]; of a number all digits of the variable dtype, where `tf.cast` knows single precision."""
        decay = DECAYS[self.discretization](self._tau_out, self.dt)
        return tf.constant(decay, self.variable_dtype) if isinstance(decay, float) else decay

    def current(self, inputs: tf.Tensor) -> tf.Tensor:
        """z W_out + bias: [n, H] -> [n, O]."""
        current = tf.matmul(inputs, self.kernel)
        return current if self.bias is None else current + self.bias

    def call(self, inputs: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        check_features("inputs", inputs, self.kernel.shape[0])
        v = tf.cast(self.decay, inputs.dtype) * states[0] + self.current(inputs)
        return v, [v]

    @property
    def state_size(self) -> list[int]:
        return [self.units]

    @property
    def output_size(self) -> int:
        return self.units

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "units": self.units,
            "tau_out": serialize_time_constant(self.tau_out),
            "dt": self.dt,
            "discretization": self.discretization,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
