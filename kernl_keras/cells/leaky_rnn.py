"""`LeakyRNNCell`: leaky rate units."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from ..checks import number, one_of
from ..dynamics.decays import DECAYS
from ..initializers import LogSpaced
from ..keras_version import serializable
from ..types import Activation, Discretization, TimeConstant
from .constants import Effects, check_period, check_time_constant
from .hidden import HiddenCell
from .linear import LinearStep

SPREAD = LogSpaced(1.0, 100.0)

ACTIVATIONS = {
    "tanh": (tf.tanh, lambda g: 1.0 - tf.tanh(g) ** 2),
    "relu": (tf.nn.relu, lambda g: tf.cast(g > 0.0, g.dtype)),
    "identity": (tf.identity, tf.ones_like),
}
"""Name -> (f, f')."""


class RateParameters(NamedTuple):
    """Constants of a step, numbers or [H]."""

    leak: Any  # a, or Re a exp(2 pi i dt/period)
    turn: Any  # Im of the same; 0 without a period
    drive: Any  # factor of f(g): 1 - a, with a period sqrt(1 - a^2)


class RateState(NamedTuple):
    """h, or a small change of it [B, H]."""

    activity: Any


class OscillatingState(NamedTuple):
    """State of units with a period, or a small change of it [B, H]."""

    quadrature: Any  # Im U
    activity: Any


class RateStep(NamedTuple):
    """The values of one step, all of which are kept. Each [.., B, H]."""

    output: Any  # h(t)
    slope: Any  # f'(g(t))
    quadrature: Any = None  # Im U(t), where lambda learns


@serializable
class LeakyRNNCell(HiddenCell):
    """Leaky rate units with recurrent weights.

        g(t) = x(t) W_in + h(t-1) W_rec + bias
        h(t) = a h(t-1) + (1-a) f(g(t)),        a = exp(-dt/tau)

    With a `period` the units oscillate while they leak:

        U(t) = a exp(2 pi i dt/period) U(t-1) + sqrt(1-a^2) f(g(t)),        h(t) = Re U(t)

    In a plain `keras.layers.RNN` the cell trains by backpropagation through time; in `kernl_keras.RNN` by the rule of
    that layer.

    Args:
        units: number of units H.
        tau: time constant of the leak, ms: a number, a list of H numbers or a Keras initializer; by default they are
            spread from 1 to 100 ms. None for no leak, h(t) = f(g(t)).
        period: period of the oscillation, ms, > 2 dt, in one of the same forms; None for none. It needs a tau
            and discretization="exponential".
        activation: f, "tanh", "relu" or "identity".
        dt: length of a step, ms.
        discretization: "exponential", or "euler" for a = 1 - dt/tau.
        self_connections: whether a unit receives its own activity through W_rec.
        learn: which constants learn, "tau" and "period", as in `kernl_keras.LIFCell`. Periods stay above 2.01 steps.
        **kwargs: `use_bias`, by default True, and what all hidden cells take, as in `kernl_keras.LIFCell`.

    Call arguments:
        inputs: x(t) [B, I].
        states: [h], with a period [Im U, h], each [B, H], zero at the start.

    Returns:
        h(t) [B, H] and the list of new states.

    Raises:
        ValueError: for an argument out of its range, and for a list that does not have H entries.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from tensorflow import keras
    >>> layer = keras.layers.RNN(kk.LeakyRNNCell(4, tau=10.0))
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 4)

    Source: Roth, Kanitscheider, Fiete, ICLR 2019; Murray, eLife 8:e43299 (2019); with a period, Orvieto et al.,
    Resurrecting Recurrent Neural Networks for Long Sequences, ICML 2023.
    """

    State: type[RateState | OscillatingState] = RateState
    own_states: tuple[str, ...] = ("activity",)  # with a period also "quadrature"
    CONSTANTS = TIME_CONSTANTS = LEARNABLE = ("tau", "period")
    FIELDS = {"tau": ("leak", "turn", "drive"), "period": ("leak", "turn")}
    OBSERVABLES = ("voltage",)
    NOISE = ("activity", "current", "synapse")
    HEARD_VARIES = True
    RULE_DEFAULTS = {"linear": {"segments": 4}}  # through hundreds of steps errors gain so much by hops that it harms

    def __init__(
        self,
        units: int,
        tau: TimeConstant | None = SPREAD,
        period: TimeConstant | None = None,
        activation: Activation = "tanh",
        dt: float = 1.0,
        discretization: Discretization = "exponential",
        self_connections: bool = True,
        learn: str | Iterable[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(units, self_connections=self_connections, **kwargs)
        self.tau = None if tau is None else check_time_constant("tau", tau, self.units)
        self.activation = one_of("activation", activation, ACTIVATIONS)
        self.dt = number("dt", dt, above=0.0)
        self.discretization = one_of("discretization", discretization, DECAYS)
        self.period = None
        if period is not None:
            self.period = check_period(period, self.units, self.dt)
            if tau is None or discretization != "exponential":
                raise ValueError(
                    "period needs a tau and discretization='exponential'; "
                    f"received tau={tau!r}, discretization={discretization!r}."
                )
            self.State, self.own_states = OscillatingState, ("activity", "quadrature")
        self.set_learn(learn)

    @property
    def highest_activity(self) -> float:
        """1 for tanh without a period; infinity for the others."""
        return 1.0 if self.activation == "tanh" and self.period is None else math.inf

    def parameters(self) -> RateParameters:
        tau, period = self.constant("tau"), self.constant("period")
        decay = self.decay_of("tau")
        if period is None:
            return RateParameters(leak=decay, turn=0.0, drive=1.0 - decay)
        # sqrt(1 - a^2), by a difference that keeps its digits where the leak is slow
        drive = tf.sqrt(-tf.math.expm1(-2.0 * self.dt / tf.convert_to_tensor(tau, self.compute_dtype)))
        decay = tf.convert_to_tensor(decay, self.compute_dtype)
        angle = 2.0 * math.pi * self.dt / tf.convert_to_tensor(period, self.compute_dtype)
        return RateParameters(leak=decay * tf.cos(angle), turn=decay * tf.sin(angle), drive=drive)

    def leak_rate(self) -> tf.Tensor | float:
        """1 / tau [H] or a number, 1/ms, at which gamma starts; 1 / dt without a leak."""
        return 1.0 / (self.dt if self.tau is None else self.constant("tau"))

    def step(
        self, current: tf.Tensor, state: RateState | OscillatingState, p: RateParameters
    ) -> tuple[RateStep, RateState | OscillatingState]:
        function, derivative = ACTIVATIONS[self.activation]
        added, activity = p.drive * function(current), p.leak * state.activity
        after: RateState | OscillatingState
        if isinstance(state, RateState):
            after = RateState(activity + added)
        else:
            quadrature = p.turn * state.activity + p.leak * state.quadrature
            after = OscillatingState(quadrature, activity - p.turn * state.quadrature + added)
        return RateStep(after.activity, derivative(current)), after

    def save_residuals(self, step: RateStep, state: RateState | OscillatingState) -> RateStep:
        return step._replace(quadrature=state[0] if self.keeps_second_state else None)

    def silent_step(self, p: RateParameters) -> LinearStep:
        """Eq. (37) of h, and of Im U with a period, where the slope of the activation is 1."""
        kept = (1.0, 0.0), (0.0, 1.0)
        step = LinearStep(
            psi=1.0,
            P=((p.leak, -p.turn), (p.turn, p.leak)),
            Q=(p.drive, 0.0),
            r=(1.0, 0.0),
            K=kept,
            s=(0.0, 0.0),
            reset=(0.0, 0.0),
            K0=kept,
        )
        return step.first(len(self.own_states))

    def linear_step(self, residuals: RateStep, p: RateParameters) -> LinearStep:
        step, slope = self.silent_step(p), residuals.slope
        return step._replace(Q=(p.drive * slope, *step.Q[1:]), heard=slope)

    def output_slope(self, step: LinearStep) -> Any:
        return step.Q[0]

    def fields(self) -> list[str]:
        return [field for field in super().fields() if field != "turn" or self.period is not None]

    def kept_states(self, residuals: RateStep, p: RateParameters) -> tuple[tf.Tensor, ...]:
        """h(t) and, where it is kept, Im U(t)."""
        return (residuals.output,) if residuals.quadrature is None else (residuals.output, residuals.quadrature)

    def effects(self, residuals: RateStep, before: tuple, seen: tf.Tensor, p: RateParameters) -> dict[str, Effects]:
        real, kept = before[0], p.leak * before[0]
        if residuals.quadrature is not None:
            kept -= p.turn * before[1]
        effects = {"drive": Effects(y=((residuals.output - kept) / p.drive,))}  # f(g(t))
        if residuals.quadrature is None:
            return {**effects, "leak": Effects(y=(real,))}
        return {**effects, "leak": Effects(y=(real, before[1])), "turn": Effects(y=(-before[1], real))}

    def observables(self, step: RateStep, state: RateState | OscillatingState) -> dict[str, tf.Tensor]:
        return {"voltage": step.output}

    def perturb(self, state: RateState | OscillatingState, noise: tf.Tensor) -> RateState | OscillatingState:
        """The noise enters h, so that the leak and the recurrent weights both carry it on."""
        return state._replace(activity=state.activity + noise)
