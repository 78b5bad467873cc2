"""One time step of LSTM units, and its derivatives, Eq. (35).

    i, f, o = sigmoid(I_i), sigmoid(I_f), sigmoid(I_o);        g = tanh(I_g)
    c(t) = f(t) c(t-1) + i(t) g(t);        h(t) = o(t) tanh(c(t))

Pure functions. A unit has four currents: those of all units lie one after the other, [B, 4H], gate by gate in the order
i, f, g, o.
Source: Hochreiter, Schmidhuber, Long short-term memory, Neural Computation 9:1735 (1997); Gers, Schmidhuber, Cummins,
Learning to forget: continual prediction with LSTM, Neural Computation 12:2451 (2000).
"""

from typing import Any, NamedTuple

import tensorflow as tf


class LSTMParameters(NamedTuple):
    """The constant of a step."""

    drive: Any  # what one more of I_g adds to the memory of a unit at rest [H]


class LSTMState(NamedTuple):
    """Output and memory, or small changes of them. Each [B, H]."""

    activity: Any  # h
    memory: Any  # c


class LSTMStep(NamedTuple):
    """What happened in one step."""

    output: Any  # h(t) [B, H]
    gates: Any  # i, f, g, o [B, 4H]
    memory: Any  # c(t) [B, H]


class LSTMSlopes(NamedTuple):
    """The derivatives of a step."""

    psi: Any  # h(t) by c(t) [.., H]
    leak: Any  # c(t) by c(t-1): the forget gate [.., H]
    drive: Any  # c(t) by the currents [.., 4H]
    direct: Any  # h(t) by the currents where c(t) stands still [.., 4H]


def lstm_step(current, state):
    """`LSTMStep` of t and the state at t, from the currents [B, 4H] and the state at t-1."""
    i, f, g, o = tf.split(current, 4, -1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    memory = f * state.memory + i * g
    output = o * tf.tanh(memory)
    return LSTMStep(output, tf.concat([i, f, g, o], -1), memory), LSTMState(output, memory)


def lstm_slopes(gates, memory):
    """`LSTMSlopes` of the gates [.., 4H] and of c(t) [.., H]: what the forget gate kept is c(t) - i(t) g(t)."""
    i, f, g, o = tf.split(gates, 4, -1)
    seen = tf.tanh(memory)
    kept, nothing = memory - i * g, tf.zeros_like(memory)
    return LSTMSlopes(
        psi=o * (1.0 - seen**2),
        leak=f,
        drive=tf.concat([i * (1.0 - i) * g, (1.0 - f) * kept, i * (1.0 - g**2), nothing], -1),
        direct=tf.concat([nothing, nothing, nothing, o * (1.0 - o) * seen], -1),
    )
