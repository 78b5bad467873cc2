"""`Unit`: the base of spiking units that a user writes as three elementwise functions."""

from collections import namedtuple
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

import tensorflow as tf

from ..dynamics.surrogate import SURROGATES, spike
from ..types import Config, Surrogate
from .constants import Effects, check_constant, check_time_constant
from .hidden import HiddenCell, extent
from .linear import Changes, LinearStep, nothing
from .unit_checks import check_class, check_functions, checked_derivatives, checked_distance, checked_states
from .wide import serialized


class UnitStep(NamedTuple):
    """The values of one step, of which `before` and `distance` are not kept. Each [.., B, H]."""

    output: Any  # z(t)
    start: tuple  # the states at t-1
    current: Any  # I(t)
    before: Any = None  # the states before the spike
    distance: Any = None  # to the threshold


class Unit(HiddenCell):
    """Base of the spiking units that you write yourself. A subclass names its states and defines one step:

        (1) I(t)  = x(t) W_in + z(t-1) W_rec + bias
            y(t)  = integrate(x(t-1), I(t), p)            the states before a spike, the potential first
            u(t)  = distance(y(t), p)                     to the threshold
        (4) z(t)  = 1[u(t) >= 0],        psi(t) = surrogate_damping * surrogate(u(t))
            x(t)  = recover(y(t), z(t), p)                the states after the spike: reset, adaptation

    The three are functions of tensors [.., H], element by element: no unit sees another. They may be nonlinear. The
    derivatives that the learning rules need (Eq. 37) are found by automatic differentiation, or you write them. So the
    unit learns by every rule of `kernl_keras.RNN`, and by backpropagation in a plain `keras.layers.RNN`. Under
    `rule="kernl"` the kernel is that of the whole unit (`kernl_keras.rules.WholeUnit`), whose exact traces are large;
    linear memory (`traces="linear"`) is small. Register the class by `keras.saving.register_keras_serializable`, so
    that it is saved.

    Attributes to define in the subclass:

    - `states`: names of the states, a tuple, of which the first is the one that a current enters: the potential, or a
      synapse before it. All start at 0. No name begins with an underscore, or is "trace" or "output". The last of
      several may be "adaptation": that of a threshold, which RFLO and `EProp(adaptation=False)` do not follow.
    - `unit_constants`: the constants by name, with their defaults, a dict; {} for none. Each is an argument of the
      constructor: a number, a list of `units` numbers, or a Keras initializer that draws them. Those whose names begin
      with "tau" are time constants in ms, > 0. `p` has them as they are now, and `p.dt`: tensors, with one number, or
      [H] where it is a list, drawn or learns, so that functions of them are TensorFlow's, as `tf.exp`. No name, also of
      a method of your own, is one that every unit has.

    A subclass may also define `derivatives(start, current, before, spike, p)`, those of its functions in a step from
    the states `start` to `before` and the spikes z(t). It returns a dict with the matrices of Eq. (37) for d states:

    - `P`, d rows of d entries, y(t) by x(t-1), and `Q`, d entries, y(t) by I(t): the derivatives of `integrate`;
    - `r`, d entries, u(t) by y(t): those of `distance`;
    - `K`, d rows of d entries, x(t) by y(t) where z(t) stays as it is, and `s`, d entries, x(t) by z(t): `recover`.

    An entry is a tensor [.., H] or [H], or a number; the numbers 0 and 1 cost nothing. psi, the slope of the spike,
    is that of the `surrogate`. `super().derivatives(...)` has those that are found, so that one of them can be
    replaced. Where a layer is built, they are compared with each other.

    Args:
        units: number of units H.
        surrogate_damping: psi at the threshold.
        learn: which of the constants learn, by their names. Each becomes a weight with a number > 0 for every unit.
        dt, surrogate, input_gain, recurrent_gain: as in `kernl_keras.LIFCell`; the gains are those of a unit at rest.
        **kwargs: the constants; `use_bias`, by default False, and what all hidden cells take, as in
            `kernl_keras.LIFCell`.

    Call arguments:
        inputs: x(t) [B, I].
        states: those of the unit and z(t-1), each [B, H], zero at the start.

    Returns:
        The spikes z(t) [B, H], 0 or 1, and the list of new states.

    Raises:
        ValueError: when the class is defined, for other names; for an argument out of its range; for functions that
            return a wrong number of states, or a distance that is not one floating-point number for each unit; where a
            current does not raise the potential of a unit at rest, derivatives are not finite there, or one unit
            changes another; for derivatives of another form.
        AttributeError: where a function uses a state or a constant that the unit does not have.
        NotImplementedError: where one of the three functions is missing.
        TypeError: where a function takes no tensors, as `math.exp`.

    Warns:
        UserWarning: for a unit that does not rest at 0, where it starts, whose distance has no derivative, or whose
            reset has none by the spike; for `derivatives` that are not those of the functions. (This is no error, since
            a path may be left out on purpose.)

    Example: leaky units whose threshold is 1.

    >>> import numpy as np, kernl_keras as kk
    >>> class Leaky(kk.Unit):
    ...     states = ("v",)
    ...     unit_constants = {"tau": 20.0}
    ...     def integrate(self, state, current, p):
    ...         return (state.v - p.dt / p.tau * state.v + current,)
    ...     def distance(self, before, p):
    ...         return before.v - 1.0
    ...     def recover(self, before, spike, p):
    ...         return (before.v * (1.0 - spike),)
    >>> layer = kk.RNN(Leaky(4, tau=10.0, learn="tau"), rule="eprop")
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    The same with its derivatives written:

    >>> class Written(Leaky):
    ...     def derivatives(self, start, current, before, spike, p):
    ...         leak = 1.0 - p.dt / p.tau
    ...         return {"P": ((leak,),), "Q": (1.0,), "r": (1.0,), "K": ((1.0 - spike,),), "s": (-before.v,)}
    >>> tuple(kk.RNN(Written(4), rule="eprop")(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: for the surrogate, Neftci, Mostafa, Zenke, IEEE Signal Processing Magazine 36:51 (2019).
    """

    states: tuple[str, ...] = ("v",)
    unit_constants: dict[str, Any] = {}
    CONSTANTS = ()
    KERNELS = ("whole_unit", "exponential")
    OBSERVABLES = ("distance", "voltage", "reset_voltage")
    output_kind = "spikes"
    HEARD_VARIES = True
    RULE_DEFAULTS = {"kernl": {"kernel": "whole_unit"}}
    DIRECT_EFFECT_ON = "voltage"  # the first state, for the distance may see a current only later

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls, Unit)
        cls.own_states = tuple(cls.states)
        cls.Own = namedtuple("Own", cls.states)  # type: ignore[misc]
        cls.State = namedtuple("State", (*cls.states, "trace"))  # type: ignore[misc]
        cls.LEARNABLE = tuple(cls.unit_constants)
        cls.TIME_CONSTANTS = tuple(name for name in cls.unit_constants if name.startswith("tau"))
        cls.FIELDS = {name: (name,) for name in cls.unit_constants}
        cls.Parameters = namedtuple("Parameters", (*cls.unit_constants, "dt", "drive"))  # type: ignore[misc]

    def __init__(
        self,
        units: int,
        dt: float = 1.0,
        surrogate: Surrogate = "triangle",
        surrogate_damping: float = 0.3,
        input_gain: float = 1.0,
        recurrent_gain: float = 0.3,
        learn: str | Iterable[str] = (),
        **kwargs: Any,
    ) -> None:
        own = {name: kwargs.pop(name, default) for name, default in self.unit_constants.items()}
        by_gain = {"use_bias": False, "kernel_initializer": None, "recurrent_initializer": None}
        super().__init__(units, **{**by_gain, **kwargs})
        for name, value in own.items():
            check = check_time_constant if name in self.TIME_CONSTANTS else check_constant
            setattr(self, name, check(name, value, self.units))
        self.set_spiking(dt, surrogate, surrogate_damping, input_gain, recurrent_gain)
        self.set_learn(learn)

    # What a subclass defines

    def integrate(self, state: Any, current: tf.Tensor, p: Any) -> Iterable[tf.Tensor]:
        """The states before a spike, the potential first: of those at t-1, by name, and I(t) [.., H]."""
        raise NotImplementedError(f"{type(self).__name__} must implement integrate(state, current, p).")

    def distance(self, before: Any, p: Any) -> tf.Tensor:
        """The distance to the threshold [.., H], >= 0 for a spike: of the states before it, by name."""
        raise NotImplementedError(f"{type(self).__name__} must implement distance(before, p).")

    def recover(self, before: Any, spike: tf.Tensor, p: Any) -> Iterable[tf.Tensor]:
        """The states after a spike, in order: of those before it, by name, and z(t) [.., H], 0 or 1."""
        raise NotImplementedError(f"{type(self).__name__} must implement recover(before, spike, p).")

    def derivatives(self, start: Any, current: tf.Tensor, before: Any, spike: tf.Tensor, p: Any) -> dict[str, tuple]:
        """P, Q, r, K and s of Eq. (37), by name: found by differentiation, unless a subclass writes them."""
        rows = differentiate(lambda *x: self.integrate(self.Own(*x[:-1]), x[-1], p), (*start, current))
        (r,) = differentiate(lambda *y: (self._distance(self.Own(*y), p),), before)
        by_start = {"P": tuple(row[:-1] for row in rows), "Q": tuple(row[-1] for row in rows)}
        return {**by_start, "r": r, **self._differentiated_recovery(before, spike, p)}

    # One step

    def parameters(self) -> Any:
        """The constants of a step, and dt; `drive` is what a current adds to the potential of a unit at rest [H]."""
        p = self._parameters({name: self.constant(name) for name in self.unit_constants})
        zeros = tf.zeros(self.units, self.compute_dtype)
        return p._replace(drive=tf.stop_gradient(self._at_rest(p, zeros).Q[0]))

    def _parameters(self, values):
        """Constants as tensors, since TensorFlow's functions take numbers as single precision."""
        values = {name: tf.cast(value, self.compute_dtype) for name, value in {**values, "dt": self.dt}.items()}
        return self.Parameters(**values, drive=1.0)

    def build_constants(self) -> None:
        super().build_constants()
        check_functions(self, Unit)

    def step(self, current: tf.Tensor, state: Any, p: Any) -> tuple[UnitStep, Any]:
        start = self.Own(*state[:-1])
        before = self._integrated(start, current, p)
        distance = self._distance(before, p)
        spikes = spike(distance, tf.zeros_like(distance), self._slope(distance))
        after = self._recovered(before, spikes, p)
        return UnitStep(spikes, start, current, before, distance), self.State(*after, spikes)

    def _integrated(self, start, current, p):
        return checked_states(self, "integrate", self.integrate(start, current, p), current)

    def _distance(self, before, p):
        return checked_distance(self, self.distance(before, p), before[0])

    def _recovered(self, before, spikes, p):
        return checked_states(self, "recover", self.recover(before, spikes, p), spikes)

    def _slope(self, distance):
        function = SURROGATES[self.surrogate] if isinstance(self.surrogate, str) else self.surrogate
        return self.surrogate_damping * function(distance)

    def save_residuals(self, step: UnitStep, state: Any) -> UnitStep:
        return step._replace(before=None, distance=None)

    # Linearised

    def linear_step(self, residuals: UnitStep, p: Any) -> LinearStep:
        step = self._linearised(self.Own(*residuals.start), residuals.current, residuals.output, p)
        heard = [0.0 if nothing(q) else q / p.drive for q in step.Q]  # a unit may hear less in some states, or nothing
        return step._replace(heard=heard[0], heard_beside=tuple(heard[1:]))

    def _linearised(self, start, current, spikes, p):
        """Eq. (37). The reset is all that a spike does to the potential, and what it does to the rest in proportion."""
        before = self._integrated(start, current, p)

        def derivatives(before, spikes):
            return checked_derivatives(self, self.derivatives(start, current, before, spikes, p), current)

        def recovery(before, spikes):
            if type(self).derivatives is Unit.derivatives:  # the others need not be found again
                return self._differentiated_recovery(before, spikes, p)
            return derivatives(before, spikes)

        now, silent = derivatives(before, spikes), recovery(before, tf.zeros_like(spikes))
        added = recovery(self.Own(*map(tf.zeros_like, before)), spikes)["s"]
        return LinearStep(
            psi=self._slope(self._distance(before, p)),
            P=now["P"],
            Q=now["Q"],
            r=now["r"],
            K=now["K"],
            s=(0.0, *added[1:]),
            reset=(now["s"][0], *(0.0 if s is a else s - a for s, a in zip(now["s"][1:], added[1:]))),
            K0=silent["K"],
        )

    def _differentiated_recovery(self, before, spike, p):
        rows = differentiate(lambda *y: self.recover(self.Own(*y[:-1]), y[-1], p), (*before, spike))
        return {"K": tuple(row[:-1] for row in rows), "s": tuple(row[-1] for row in rows)}

    def _at_rest(self, p, x):
        """The `LinearStep` of units at rest, or whose states and current are all x [.., H]; all entries are tensors."""
        if not tf.executing_eagerly():
            return self._rest(p, x)
        # a concrete function, since TensorFlow warns of functions that it traces for one layer after another
        return self._rest_in_graph.get_concrete_function(p, x)(p, x)

    def _rest(self, p, x):
        zeros = tf.zeros_like(x)
        step = self._linearised(self.Own(*[x] * len(self.states)), x, zeros, p)
        # numbers would leave a graph in single precision, and constants without the axes of x
        return tf.nest.map_structure(lambda y: y if tf.is_tensor(y) and y.shape == x.shape else zeros + y, step)

    @cached_property
    def _rest_in_graph(self):
        return tf.function(self._rest, autograph=False)  # in a `tf.init_scope` no tape records

    @cached_property
    def _oscillations(self):
        """`LinearStep.oscillations` at rest, with constants as the configuration has them; and whether spikes reset."""
        shape = 100, self.units
        given = {name: getattr(self, name) for name in self.unit_constants}  # a number stays one, as in a step
        p = self._parameters({k: x if isinstance(x, float) else self.sampled(k, shape) for k, x in given.items()})
        one = tf.ones(shape, self.compute_dtype)
        return self._at_rest(p, 0.0 * one).oscillations(self.dt), self._resets(p, one)

    def _resets(self, p, before):
        """True if a spike moves the potential, where all states are as `before` [.., H]."""
        state, one = self.Own(*[before] * len(self.states)), tf.ones_like(before)
        silent, after = (self._recovered(state, spike, p)[0] for spike in (0.0 * one, one))
        return bool(tf.reduce_any(silent != after))

    def time_scales(self) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """With those of states that no spike resets and that oscillate for a period at least."""
        (fades, periods), resets = self._oscillations
        lasting = (fades > periods) & (not resets)
        return extent(super().time_scales()[0] or (), fades[lasting]), extent(periods[lasting])

    def swings(self) -> tuple[float, float] | None:
        return self.time_scales()[1] or extent(self._oscillations[0][1])

    def changed_state(self, change: Any, changes: Changes, p: Any) -> Any:
        return super().changed_state(change, changes, p)._replace(trace=changes.output)

    def leak_rate(self) -> tf.Tensor | float:
        """Rate at which the potential of a unit at rest leaks [H], 1/ms: gamma starts there."""
        step = self._at_rest(self.parameters(), tf.zeros(self.units, self.compute_dtype))
        return -tf.math.log(tf.clip_by_value(step.free_response()[0][0], 1e-3, 1.0 - 1e-6)) / self.dt

    # Constants that learn

    def kept_states(self, residuals: UnitStep, p: Any) -> tuple[tf.Tensor, ...]:
        """None: `effects` uses the states before the step, which are kept."""
        return ()

    def effects(self, residuals: UnitStep, before: tuple, seen: tf.Tensor, p: Any) -> dict[str, Effects]:
        start, current, spikes = self.Own(*residuals.start), residuals.current, residuals.output
        before = self._integrated(start, current, p)
        effects = {}
        for name in self.fields():
            value = tf.zeros_like(current) + getattr(p, name)  # a number for each step, not one for all

            def with_value(value, name=name):
                return p._replace(**{name: value})

            y = differentiate(lambda value: self.integrate(start, current, with_value(value)), (value,))
            distance = differentiate(lambda value: (self.distance(before, with_value(value)),), (value,))
            x = differentiate(lambda value: self.recover(before, spikes, with_value(value)), (value,))
            y, (distance,), x = (tuple(None if nothing(row) else row for (row,) in each) for each in (y, distance, x))
            effects[name] = Effects(y=y, distance=distance, x=x)
        return effects

    # Perturbations

    def observables(self, step: UnitStep, state: Any) -> dict[str, tf.Tensor]:
        return {"distance": step.distance, "voltage": step.before[0], "reset_voltage": state[0]}

    def get_config(self) -> Config:
        constants = {name: serialized(name, getattr(self, name)) for name in self.unit_constants}
        return {**super().get_config(), **constants}


def differentiate(function, inputs):
    """Each output of an elementwise function by each input: rows of tensors, or of 0 where there is no dependence."""
    inputs = [tf.stop_gradient(x) for x in inputs]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs = [tf.convert_to_tensor(y) for y in function(*inputs)]
    gradient = tape.gradient if tf.executing_eagerly() else tf.gradients  # a graph needs no tape, which may be paused
    return [tuple(0.0 if g is None else g for g in gradient(y, inputs)) for y in outputs]
