"""`LSTMCell`: rate units with gates, whose memory is their own state."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from ..checks import flag, number
from ..keras_version import serializable
from .hidden import HiddenCell
from .linear import Changes, LinearStep


class LSTMParameters(NamedTuple):
    """The constant of a step."""

    drive: Any  # slope of the memory by I_g, of a unit at rest [H]


class LSTMState(NamedTuple):
    """Output and memory, or small changes of them. Each [B, H]."""

    activity: Any  # h
    memory: Any  # c


class LSTMStep(NamedTuple):
    """The values of one step, all of which are kept."""

    output: Any  # h(t) [.., B, H]
    gates: Any  # i, f, g, o [.., B, 4H]
    memory: Any  # c(t) [.., B, H]


@serializable
class LSTMCell(HiddenCell):
    """LSTM units: gates decide what a unit remembers, and for how long.

        [I_i, I_f, I_g, I_o] = x(t) W_in + h(t-1) W_rec + bias
        i, f, o = sigmoid(I_i), sigmoid(I_f), sigmoid(I_o),        g = tanh(I_g)
        c(t) = f(t) c(t-1) + i(t) g(t),        h(t) = o(t) tanh(c(t))                                     (35)

    This is `keras.layers.LSTMCell`, with the same weights in the same order. In a plain `keras.layers.RNN` it trains by
    backpropagation through time; in `kernl_keras.RNN` by the rule of that layer. Its own state is the memory c. So
    e-prop has one trace for each weight, which fades as the forget gate says; the output gate acts at once:

        eps(t) = f(t) eps(t-1) + dc(t)/dW,        dC/dW = sum_b sum_t L(t) [o (1 - tanh(c)^2) eps(t) + tanh(c) do(t)/dW]

    Under KeRNL M says what the output h of a unit does to the memories c of the others, by the kernel
    `kernl_keras.rules.Exponential`: no other is known, because the forget gate changes. RFLO and the plain form of
    KeRNL, which have one current for each unit, do not go with this cell. Linear memory (`traces="linear"`) does, under
    e-prop.

    Args:
        units: number of units H.
        unit_forget_bias: whether the bias of the forget gate starts at 1, so that the unit remembers at first.
        dt: length of a step, ms. It sets the scale of gamma (1/ms) and of lags; the units themselves count steps.
        self_connections: whether a unit receives its own output through W_rec.
        **kwargs: `use_bias`, by default True, and what all hidden cells take, as in `kernl_keras.LIFCell`;
            `recurrent_connectivity` and `excitatory` are those of all gates alike.

    Call arguments:
        inputs: x(t) [B, I].
        states: [h, c], each [B, H], zero at the start.

    Returns:
        h(t) [B, H] and the list of new states.

    Raises:
        ValueError: for an argument out of its range.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> layer = kk.RNN(kk.LSTMCell(4), rule="eprop", window=5)
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)
    >>> tuple(layer.cell.kernel.shape)
    (3, 16)

    Source: Hochreiter, Schmidhuber, Neural Computation 9:1735 (1997); the forget gate, Gers, Schmidhuber, Cummins,
    Neural Computation 12:2451 (2000); its e-prop, Bellec et al., Nature Communications 11:3625 (2020).
    """

    State = LSTMState
    own_states = ("memory",)
    currents = 4
    CONSTANTS = ()
    KERNELS = ("exponential",)
    RULE_DEFAULTS = {"kernl": {"kernel": "exponential"}}
    OBSERVABLES = ("voltage",)
    NOISE = ("synapse",)

    def __init__(
        self,
        units: int,
        unit_forget_bias: bool = True,
        dt: float = 1.0,
        self_connections: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, self_connections=self_connections, **kwargs)
        self.unit_forget_bias = flag("unit_forget_bias", unit_forget_bias)
        self.dt = number("dt", dt, above=0.0)

    def initial_bias(self) -> Callable[..., tf.Tensor]:
        if not self.unit_forget_bias:
            return self.bias_initializer

        def initializer(shape: Sequence[int], dtype: Any = None, **_: Any) -> tf.Tensor:
            i, rest = (self.bias_initializer((gates * self.units,), dtype=dtype) for gates in (1, 2))
            return tf.concat([i, tf.ones_like(i), rest], 0)

        return initializer

    def resting_currents(self) -> list[tf.Tensor]:
        """The currents of a unit without input: the bias of i, f, g and o, each [H]."""
        bias = tf.zeros(4 * self.units, self.compute_dtype) if self.bias is None else tf.convert_to_tensor(self.bias)
        return tf.split(bias, 4)

    def parameters(self) -> LSTMParameters:
        i, _, g, _ = self.resting_currents()
        return LSTMParameters(drive=tf.sigmoid(i) * (1.0 - tf.tanh(g) ** 2))

    def weights_of_potential(self) -> tf.Tensor:
        """W_rec [H, H] of I_g, which moves the memory of a unit at rest."""
        return tf.split(self.recurrent_weights(), 4, -1)[2]

    def leak_rate(self) -> tf.Tensor | float:
        """Rate at which the memory of a unit at rest fades [H], 1/ms: gamma starts there."""
        return -tf.math.log_sigmoid(self.resting_currents()[1]) / self.dt

    def presynaptic(self, state: tuple) -> tf.Tensor:
        return state[0]

    def step(self, current: tf.Tensor, state: LSTMState, p: LSTMParameters) -> tuple[LSTMStep, LSTMState]:
        """Eq. (35), from the currents [B, 4H]."""
        i, f, g, o = tf.split(current, 4, -1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        memory = f * state.memory + i * g
        output = o * tf.tanh(memory)
        return LSTMStep(output, tf.concat([i, f, g, o], -1), memory), LSTMState(output, memory)

    def save_residuals(self, step: LSTMStep, state: LSTMState) -> LSTMStep:
        return step

    def linear_step(self, residuals: LSTMStep, p: LSTMParameters) -> LinearStep:
        """Eq. (37) of c. The forget gate kept c(t) - i(t) g(t) of the memory."""
        (i, f, g, o), memory = tf.split(residuals.gates, 4, -1), residuals.memory
        seen, kept, nothing = tf.tanh(memory), memory - i * g, tf.zeros_like(memory)
        return LinearStep(
            psi=o * (1.0 - seen**2),
            P=((f,),),
            Q=(tf.concat([i * (1.0 - i) * g, (1.0 - f) * kept, i * (1.0 - g**2), nothing], -1),),
            r=(1.0,),
            K=((1.0,),),
            K0=((1.0,),),
            s=(0.0,),
            reset=(0.0,),
            direct=tf.concat([nothing, nothing, nothing, o * (1.0 - o) * seen], -1),
        )

    def changed_state(self, change: LSTMState, changes: Changes, p: LSTMParameters) -> LSTMState:
        return LSTMState(changes.output, *changes.x)

    def observables(self, step: LSTMStep, state: LSTMState) -> dict[str, tf.Tensor]:
        return {"voltage": step.memory}
