"""`Unit`: the base of spiking units that a user writes as three elementwise functions."""

import warnings
from collections import namedtuple
from collections.abc import Iterable
from functools import cached_property, partial
from inspect import signature
from keyword import iskeyword
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..checks import per_unit
from ..dynamics.surrogate import SURROGATES, spike
from ..types import Config, Surrogate
from .constants import Effects, check_time_constant
from .hidden import HiddenCell, extent
from .linear import Changes, LinearStep, nothing, tensor
from .wide import serialized

WEIGHTS = "kernel", "recurrent_kernel", "bias"


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
    derivatives that the learning rules need (Eq. 37) are found by automatic differentiation. So the unit learns by
    every rule of `kernl_keras.RNN`, and by backpropagation in a plain `keras.layers.RNN`. Under `rule="kernl"` the
    kernel is that of the whole unit (`kernl_keras.rules.WholeUnit`), whose exact traces are large; linear memory
    (`traces="linear"`) is small. Register the class by `keras.saving.register_keras_serializable`, so that it is saved.

    Attributes to define in the subclass:

    - `states`: names of the states, a tuple, of which the first is the one that a current enters: the potential, or a
      synapse before it. All start at 0. No name begins with an underscore, or is "trace" or "output". The last of
      several may be "adaptation": that of a threshold, which RFLO and `EProp(adaptation=False)` do not follow.
    - `unit_constants`: the constants by name, with their defaults, a dict; {} for none. Each is an argument of the
      constructor: a number, or a list of `units` numbers. Those whose names begin with "tau" are time constants in ms,
      which may be initializers too. `p` has them as they are now, and `p.dt`: tensors, with one number, or [H] where
      it is a list, drawn or learns, so that functions of them are TensorFlow's, as `tf.exp`. No name, also of a method
      of your own, is one that every unit has.

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
            changes another.
        AttributeError: where a function uses a state or a constant that the unit does not have.
        NotImplementedError: where one of the three functions is missing.
        TypeError: where a function takes no tensors, as `math.exp`.

    Warns:
        UserWarning: for a unit that does not rest at 0, where it starts, whose distance has no derivative, or whose
            reset has none by the spike.

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
        of_cells = {name for each in Unit.__mro__ for name in signature(each.__init__).parameters} | set(dir(Unit))
        kept = {"drive", "built", "own_states", "Own", "State", "Parameters", "FIELDS", "TIME_CONSTANTS", "LEARNABLE"}
        for argument, form, names, taken, kind in (
            ("states", "tuple of", cls.states, {"trace", "output"}, (tuple, list)),
            ("unit_constants", "dict whose keys are", cls.unit_constants, {*kept, *WEIGHTS, *of_cells}, dict),
        ):
            if not isinstance(names, kind) or len(set(names)) < len(names) or (kind is not dict and not names):
                wanted = "dict" if kind is dict else "tuple of one or more different names"
                raise ValueError(f"{argument} of {cls.__name__} must be a {wanted}; received {names!r}.")
            known = (isinstance(name, str) and name.isidentifier() and not iskeyword(name) for name in names)
            if not all(known) or any(name.startswith("_") for name in names):
                raise ValueError(
                    f"{argument} of {cls.__name__} must be a {form} valid Python names without a leading underscore; "
                    f"received {names!r}."
                )
            if of_others := sorted(taken.intersection(names)):
                raise ValueError(
                    f"{argument} of {cls.__name__} must have names of their own; received {of_others}, which every "
                    "unit has."
                )
        if "adaptation" in (cls.states[:-1] or cls.states):  # rules that do not follow it leave out the last state
            raise ValueError(
                f"states of {cls.__name__} must have 'adaptation' as the last of several, or not at all; received "
                f"{cls.states!r}."
            )
        ours = [each for each in Unit.__mro__ if each.__module__.startswith(f"{__package__}.")]
        methods = {name for each in ours for name, value in vars(each).items() if hasattr(value, "__get__")}
        methods -= {"integrate", "distance", "recover", "get_config", "from_config"}
        if replaced := sorted(name for name in methods.intersection(vars(cls)) if not name.startswith("__")):
            hint = " Constants go into unit_constants." if "constants" in replaced else ""
            raise ValueError(
                f"methods of {cls.__name__} must have names of their own; received {replaced}, which every unit has."
                f"{hint}"
            )
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
            check = check_time_constant if name in self.TIME_CONSTANTS else per_unit
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
        """Also looks at a unit at rest: a current must raise its potential, and without one it should stay at 0."""
        super().build_constants()
        zeros = tf.zeros(self.units, self.compute_dtype)
        try:
            p = self.parameters()
            start = self._named("integrate", self.integrate(self.Own(*[zeros] * len(self.states)), zeros, p), zeros)
            rest = self._at_rest(p, zeros)
            self._check_elementwise(p)
        except AttributeError as error:
            names = ", ".join(self.Parameters._fields[:-1])
            raise AttributeError(
                f"{error}. The states of {type(self).__name__} are {', '.join(self.states)}, and p has {names}."
            ) from error
        except TypeError as error:
            raise TypeError(
                f"{error}. {type(self).__name__} gets states and constants as tensors: functions of them are "
                "TensorFlow's, as tf.exp, and not those of math."
            ) from error
        drive = p.drive.numpy()
        if not (drive > 0.0).all():  # else initial weights would be infinite, and M could not begin
            raise ValueError(
                f"{type(self).__name__}.integrate must let a current raise the first of the states {self.states} "
                f"in the same step, when all are 0; received a derivative of {drive.min():g}."
            )
        if not all(np.isfinite(entry).all() for entry in tf.nest.flatten(rest)):
            raise ValueError(
                f"{type(self).__name__} must have finite derivatives where all states and the current are 0; received "
                "NaN or infinity."
            )
        moved = [name for name, x in start._asdict().items() if not np.allclose(x, 0.0, atol=1e-6)]
        if moved:
            warnings.warn(
                f"{type(self).__name__}.integrate should leave a unit at rest where it starts, at 0, and without a "
                f"current it changes {', '.join(moved)}. Such a unit may never spike, or always. Write the states as "
                "distances from rest, or give the rest as a current.",
                stacklevel=2,
            )
        potentials = tf.linspace(tf.constant(0.1, self.compute_dtype), 0.2, self.units)
        near = self._at_rest(p, potentials)
        if not np.any([*rest.r, *near.r]):
            warnings.warn(
                f"{type(self).__name__}.distance should have a derivative by a state, and has none, as functions such "
                "as tf.floor, tf.sign and tf.stop_gradient have none. Such a layer does not learn.",
                stacklevel=2,
            )
        if not np.any(near.reset[0]) and self._resets(p, potentials):
            warnings.warn(
                f"{type(self).__name__}.recover should have a derivative by the spike, which changes the first state, "
                "and has none: tf.where(spike > 0, ...) and tf.stop_gradient hide the reset from every rule. Write it "
                "as a product, before.v * (1 - spike).",
                stacklevel=2,
            )

    def _check_elementwise(self, p):
        """Raises an error if other states of the first unit change another unit."""
        one = tf.linspace(tf.constant(0.1, self.compute_dtype), 0.2, self.units)
        other = tf.where(tf.range(self.units) == 0, 0.3 * tf.ones_like(one), one)

        def results(x):
            state = self.Own(*[x] * len(self.states))
            return {
                "integrate": self._named("integrate", self.integrate(state, x, p), x),
                "distance": (self._distance(state, p),),
                "recover": self._named("recover", self.recover(state, tf.ones_like(x), p), x),
            }

        before, after = results(one), results(other)
        for name, values in before.items():
            if any(not np.array_equal(x[1:], y[1:], equal_nan=True) for x, y in zip(values, after[name])):
                raise ValueError(
                    f"{type(self).__name__}.{name} must compute each unit from its own states alone; received one in "
                    "which those of the first unit change another."
                )

    def step(self, current: tf.Tensor, state: Any, p: Any) -> tuple[UnitStep, Any]:
        start = self.Own(*state[:-1])
        before = self._named("integrate", self.integrate(start, current, p), current)
        distance = self._distance(before, p)
        spikes = spike(distance, tf.zeros_like(distance), self._slope(distance))
        after = self._named("recover", self.recover(before, spikes, p), current)
        return UnitStep(spikes, start, current, before, distance), self.State(*after, spikes)

    def _named(self, function, values, like):
        """What a function returns, by the names of the states; each is to be shaped `like` [.., H]."""
        several = isinstance(values, Iterable) and not (tf.is_tensor(values) or isinstance(values, (dict, str)))
        values = tuple(values) if several else values
        if not several or len(values) != len(self.states):
            received = "one tensor" if tf.is_tensor(values) else repr(values)
            raise ValueError(
                f"{type(self).__name__}.{function} must return one tensor for each of the states {self.states}, as in "
                f"return (v,); received {len(values) if several else received}."
            )
        for name, value in zip(self.states, values):
            if not (tf.is_tensor(value) and self._one_each(value, like)):
                shape = f"{value.dtype.name} of shape {value.shape}" if tf.is_tensor(value) else repr(value)
                raise ValueError(
                    f"{type(self).__name__}.{function} must return {name} as a {like.dtype.name} tensor of shape "
                    f"{like.shape}, as it received them; received {shape}."
                )
        return self.Own(*values)

    @staticmethod
    def _one_each(value, like):
        """Whether there is a number of the same kind for each unit."""
        return value.dtype == like.dtype and value.shape.rank == like.shape.rank and value.shape[-1] == like.shape[-1]

    def _distance(self, before, p):
        distance = tf.convert_to_tensor(self.distance(before, p))
        if not self._one_each(distance, before[0]):
            raise ValueError(
                f"{type(self).__name__}.distance must return one floating point number for each unit, [.., H]; "
                f"received {distance.dtype.name} of shape {distance.shape}."
            )
        return distance

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

    def _at_rest(self, p, zeros):
        """The `LinearStep` of units at rest, all entries tensors; `zeros` [H] or [.., H]."""
        if not tf.executing_eagerly():
            return self._rest(p, zeros)
        # a concrete function, since TensorFlow warns of functions that it traces for one layer after another
        return self._rest_in_graph.get_concrete_function(p, zeros)(p, zeros)

    def _rest(self, p, zeros):
        step = self._linearised(self.Own(*[zeros] * len(self.states)), zeros, zeros, p)
        return tf.nest.map_structure(partial(tensor, like=zeros), step)  # a graph returns numbers in single precision

    @cached_property
    def _rest_in_graph(self):
        return tf.function(self._rest, autograph=False)  # in a `tf.init_scope` no tape records

    def _linearised(self, start, current, spikes, p):
        """Eq. (37). The reset is all that a spike does to the potential, and what it does to the rest in proportion."""
        before = self._named("integrate", self.integrate(start, current, p), current)

        def integrate(*x):
            return self.integrate(self.Own(*x[:-1]), x[-1], p)

        def recover(*y):
            return self.recover(self.Own(*y[:-1]), y[-1], p)

        by_start, by_before = derivatives(integrate, (*start, current)), derivatives(recover, (*before, spikes))
        (r,) = derivatives(lambda *y: (self._distance(self.Own(*y), p),), before)
        silent = derivatives(recover, (*before, tf.zeros_like(spikes)))
        added = [row[-1] for row in derivatives(recover, (*map(tf.zeros_like, before), spikes))]
        s = [row[-1] for row in by_before]
        psi = self._slope(self._distance(before, p))
        return LinearStep(
            psi=psi,
            P=tuple(row[:-1] for row in by_start),
            Q=tuple(row[-1] for row in by_start),
            r=r,
            K=tuple(row[:-1] for row in by_before),
            s=(0.0, *added[1:]),
            reset=(s[0], *(total - constant for total, constant in zip(s[1:], added[1:]))),
            K0=tuple(row[:-1] for row in silent),
        )

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
        silent, after = (self._named("recover", self.recover(state, spike, p), one)[0] for spike in (0.0 * one, one))
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
        before = self._named("integrate", self.integrate(start, current, p), current)
        effects = {}
        for name in self.fields():
            value = tf.zeros_like(current) + getattr(p, name)  # a number for each step, not one for all

            def with_value(value, name=name):
                return p._replace(**{name: value})

            y = derivatives(lambda value: self.integrate(start, current, with_value(value)), (value,))
            distance = derivatives(lambda value: (self.distance(before, with_value(value)),), (value,))
            x = derivatives(lambda value: self.recover(before, spikes, with_value(value)), (value,))
            y, (distance,), x = (tuple(None if nothing(row) else row for (row,) in each) for each in (y, distance, x))
            effects[name] = Effects(y=y, distance=distance, x=x)
        return effects

    # Perturbations

    def observables(self, step: UnitStep, state: Any) -> dict[str, tf.Tensor]:
        return {"distance": step.distance, "voltage": step.before[0], "reset_voltage": state[0]}

    def get_config(self) -> Config:
        constants = {name: serialized(name, getattr(self, name)) for name in self.unit_constants}
        return {**super().get_config(), **constants}


def derivatives(function, inputs):
    """Each output of an elementwise function by each input: rows of tensors, or of 0 where there is no dependence."""
    inputs = [tf.stop_gradient(x) for x in inputs]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs = [tf.convert_to_tensor(y) for y in function(*inputs)]
    gradient = tape.gradient if tf.executing_eagerly() else tf.gradients  # a graph needs no tape, which may be paused
    return [tuple(0.0 if g is None else g for g in gradient(y, inputs)) for y in outputs]
