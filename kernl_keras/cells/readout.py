"""The readout cell: a leaky integrator without spikes."""

from collections.abc import Iterable, Sequence
from typing import Any, get_args

import tensorflow as tf

from ..checks import check_features, keras_object, number, one_of
from ..dynamics.decays import DECAYS
from ..keras_version import built_eagerly, keras, serializable
from ..types import Discretization, Feedback, Initializer, TimeConstant
from .constants import check_time_constant
from .trained import TrainedCell


@serializable
class ReadoutCell(TrainedCell):
    """Leaky means of the hidden spikes, from which the network's answer is read.

        v(t) = d v(t-1) + (1-d) (gain z(t) W_out + bias),  d = exp(-dt / tau_out)

    v is a running mean. The gain makes up for spikes being rare, so that the readout learns as fast as the layers
    below. With `gain=None` the cell adds up instead of averaging, v(t) = d v(t-1) + z(t) W_out + bias, as published.
    It trains by ordinary automatic differentiation. With `feedback="random"` the error goes back to the layer below by
    fixed random weights. `kernl_keras.Readout` computes the same over a whole sequence, much faster.

    Args:
        units, tau_out, gain, dt, discretization, learn, feedback: as in `kernl_keras.Readout`.
        kernel_initializer: any Keras initializer; None for "glorot_uniform" divided by the gain, which leaves the
            initial v independent of it.
        feedback_initializer: the same for B.
        **kwargs: `use_bias`, by default True; `bias_initializer`, and the regularizers and constraints of a Keras
            `Dense`; `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: hidden spikes or activities z(t) [B, H].
        states: list of one tensor [B, O], v(t-1).

    Returns:
        v(t) [B, O], and the list of new states.

    Raises:
        ValueError: for a setting out of range.

    Example:
        >>> import tensorflow as tf, kernl_keras as kk
        >>> from tensorflow import keras
        >>> layer = keras.layers.RNN(kk.ReadoutCell(10), return_sequences=True)
        >>> layer(tf.zeros((25, 7, 200))).shape
        TensorShape([25, 7, 10])

    Reference: Bellec et al., arXiv:1803.09574 (2018); Nature Communications 11:3625 (2020). For random feedback,
    Lillicrap et al., Nature Communications 7:13276 (2016).
    """

    TIME_CONSTANTS = LEARNABLE = ("tau_out",)

    def __init__(
        self,
        units: int,
        tau_out: TimeConstant | None = 10.0,
        gain: float | None = 10.0,
        dt: float = 1.0,
        discretization: Discretization = "exponential",
        learn: str | Iterable[str] = (),
        kernel_initializer: Initializer | None = None,
        feedback: Feedback = "symmetric",
        feedback_initializer: Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        if kernel_initializer is None and gain is None:
            kernel_initializer = "glorot_uniform"
        super().__init__(units, kernel_initializer=kernel_initializer, **kwargs)
        self.tau_out = None if tau_out is None else check_time_constant("tau_out", tau_out, self.units)
        self.gain = None if gain is None else number("gain", gain, above=0.0)
        self.dt = number("dt", dt, above=0.0)
        self.discretization = one_of("discretization", discretization, DECAYS)
        self.feedback = one_of("feedback", feedback, get_args(Feedback))
        self.feedback_initializer = keras_object("initializers", "feedback_initializer", feedback_initializer)
        if self.feedback_initializer is not None and feedback != "random":
            raise ValueError(f"feedback_initializer must be None unless feedback='random'; received {feedback=}.")
        self.set_learn(learn)

    @built_eagerly
    def build(self, input_shape: Sequence[int | None]) -> None:
        self.build_constants()
        self.add_kernel(input_shape, self.kernel_initializer or self._initial_kernel)
        self.add_bias()
        self.feedback_kernel = None
        if self.feedback == "random":
            self.feedback_kernel = self.add_weight(
                name="feedback_kernel",
                shape=self.kernel.shape,
                initializer=self.feedback_initializer or self._initial_kernel,
                trainable=False,
            )
        self.built = True

    def _initial_kernel(self, shape, dtype=None, **_):
        """The weights of "glorot_uniform" divided by the gain, so that the initial v is not too large."""
        return keras.initializers.GlorotUniform()(shape, dtype=dtype) / (self.gain or 1.0)

    @property
    def decay(self) -> tf.Tensor:
        """d, a scalar or [O], in the variable dtype: `tf.cast` would round a number to single precision first."""
        decay = self.decay_of("tau_out")
        return tf.constant(decay, self.variable_dtype) if isinstance(decay, float) else decay

    def current(self, inputs: tf.Tensor, symmetric: bool = False) -> tf.Tensor:
        """(1-d) (gain z W_out + bias), or z W_out + bias, [n, O]; `symmetric`: with the gradient of backpropagation."""
        if self.feedback_kernel is None or symmetric:
            current = tf.matmul(inputs, self.kernel)
        else:
            current = _product_with_feedback(inputs, self.kernel, self.feedback_kernel)
        if self.gain is not None:
            current *= self.gain
        if self.bias is not None:
            current += self.bias
        return current if self.gain is None else (1.0 - tf.cast(self.decay, current.dtype)) * current

    def feedback_to(self, error: tf.Tensor, symmetric: bool = False) -> tf.Tensor:
        """The error of z [.., H] from that of one step's (1-d) gain z W_out, or z W_out, [.., O]."""
        weights = self.kernel if self.feedback_kernel is None or symmetric else self.feedback_kernel
        return tf.einsum("...o,ho->...h", self.scale(error.dtype) * error, tf.cast(weights, error.dtype))

    def scale(self, dtype: Any) -> Any:
        """Factor of z W_out in v: (1-d) gain, or 1."""
        return 1.0 if self.gain is None else (1.0 - tf.cast(self.decay, dtype)) * self.gain

    def call(self, inputs: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        check_features("inputs", inputs, self.kernel.shape[0])
        inputs = tf.cast(inputs, self.compute_dtype)
        v = tf.cast(self.decay, inputs.dtype) * states[0] + self.current(inputs)
        return v, [v]

    @property
    def state_size(self) -> list[int]:
        return [self.units]


def _product_with_feedback(inputs, kernel, feedback):
    """z W [n, O], whose gradient by z is e B^T where backpropagation has e W^T; that by W is z^T e as ever."""
    feedback = tf.stop_gradient(feedback)

    @tf.custom_gradient
    def product(inputs, kernel):
        def gradient(error):
            return tf.matmul(error, feedback, transpose_b=True), tf.matmul(inputs, error, transpose_a=True)

        return tf.matmul(inputs, kernel), gradient

    return product(inputs, tf.convert_to_tensor(kernel))
