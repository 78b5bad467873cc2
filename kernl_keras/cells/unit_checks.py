"""Checks of a `Unit` that a user wrote: of its names where the class is defined, of its functions where it is built."""

import warnings
from collections.abc import Iterable
from inspect import signature
from keyword import iskeyword

import numpy as np
import tensorflow as tf

WEIGHTS = "kernel", "recurrent_kernel", "bias"
WRITTEN = {"integrate", "distance", "recover", "derivatives", "get_config", "from_config"}  # by a subclass, if it likes
MATRICES = {"P": 2, "Q": 1, "r": 1, "K": 2, "s": 1}  # those of Eq. (37) that a subclass may write, with their axes


def check_class(cls, base):
    """Raises a ValueError for names of states, constants or methods that a subclass `cls` of `Unit` cannot have.

    `base` is `Unit` itself.
    """
    known = {name for each in base.__mro__ for name in signature(each.__init__).parameters} | set(dir(base))
    kept = {"drive", "built", "own_states", "Own", "State", "Parameters", "FIELDS", "TIME_CONSTANTS", "LEARNABLE"}
    for argument, form, names, taken, kind in (
        ("states", "tuple of", cls.states, {"trace", "output"}, (tuple, list)),
        ("unit_constants", "dict whose keys are", cls.unit_constants, {*kept, *WEIGHTS, *known}, dict),
    ):
        if not isinstance(names, kind) or len(set(names)) < len(names) or (kind is not dict and not names):
            wanted = "dict" if kind is dict else "tuple of one or more different names"
            raise ValueError(f"{argument} of {cls.__name__} must be a {wanted}; received {names!r}.")
        valid = (isinstance(name, str) and name.isidentifier() and not iskeyword(name) for name in names)
        if not all(valid) or any(name.startswith("_") for name in names):
            raise ValueError(
                f"{argument} of {cls.__name__} must be a {form} valid Python names without a leading underscore; "
                f"received {names!r}."
            )
        if clash := sorted(taken.intersection(names)):
            raise ValueError(
                f"{argument} of {cls.__name__} must have names of their own; received {clash}, which every unit has."
            )
    if "adaptation" in (cls.states[:-1] or cls.states):  # rules that do not follow it leave out the last state
        raise ValueError(
            f"states of {cls.__name__} must have 'adaptation' as the last of several, or not at all; received "
            f"{cls.states!r}."
        )
    ours = [each for each in base.__mro__ if each.__module__.startswith(f"{__package__}.")]
    methods = {name for each in ours for name, value in vars(each).items() if hasattr(value, "__get__")} - WRITTEN
    if replaced := sorted(name for name in methods.intersection(vars(cls)) if not name.startswith("__")):
        hint = " Constants go into unit_constants." if "constants" in replaced else ""
        hint += " Write derivatives in its place." if "linear_step" in replaced else ""
        raise ValueError(
            f"methods of {cls.__name__} must have names of their own; received {replaced}, which every unit has.{hint}"
        )


def checked_states(unit, function, values, like):
    """What a function returns, by the names of the states; each is to be shaped `like` [.., H]."""
    several = isinstance(values, Iterable) and not (tf.is_tensor(values) or isinstance(values, (dict, str)))
    values = tuple(values) if several else values
    if not several or len(values) != len(unit.states):
        received = "one tensor" if tf.is_tensor(values) else repr(values)
        raise ValueError(
            f"{type(unit).__name__}.{function} must return one tensor for each of the states {unit.states}, as in "
            f"return (v,); received {len(values) if several else received}."
        )
    for name, value in zip(unit.states, values):
        if not (tf.is_tensor(value) and one_each(value, like)):
            shape = f"{value.dtype.name} of shape {value.shape}" if tf.is_tensor(value) else repr(value)
            raise ValueError(
                f"{type(unit).__name__}.{function} must return {name} as a {like.dtype.name} tensor of shape "
                f"{like.shape}, as it received them; received {shape}."
            )
    return unit.Own(*values)


def checked_distance(unit, distance, like):
    """What `distance` returns, as a tensor; it is to be shaped `like` [.., H]."""
    distance = tf.convert_to_tensor(distance)
    if not one_each(distance, like):
        raise ValueError(
            f"{type(unit).__name__}.distance must return one floating point number for each unit, [.., H]; received "
            f"{distance.dtype.name} of shape {distance.shape}."
        )
    return distance


def checked_derivatives(unit, written, like):
    """What `derivatives` returns, as tuples of entries by the names of Eq. (37)."""
    name, count = type(unit).__name__, len(unit.states)
    if not isinstance(written, dict) or set(written) != set(MATRICES):
        received = sorted(written) if isinstance(written, dict) else repr(written)
        raise ValueError(f"{name}.derivatives must return a dict of P, Q, r, K and s; received {received}.")

    def row(entries):
        several = isinstance(entries, (tuple, list)) and len(entries) == count
        return several and all(entry(each) for each in entries)

    def entry(x):
        if not tf.is_tensor(x):
            return isinstance(x, (int, float))
        fits = x.shape.rank in (0, None) or (x.shape.rank <= like.shape.rank and x.shape[-1] == units)
        return x.dtype == like.dtype and fits

    units, checked = like.shape[-1], {}
    for matrix, axes in MATRICES.items():
        rows = written[matrix] if axes == 2 else [written[matrix]]
        if not (isinstance(rows, (tuple, list)) and len(rows) == (count if axes == 2 else 1) and all(map(row, rows))):
            form = f"{count} entries" if axes == 1 else f"{count} rows of {count} entries"
            raise ValueError(
                f"{name}.derivatives must return {matrix} as a tuple of {form}, each a number or a {like.dtype.name} "
                f"tensor [.., H]; received {written[matrix]!r}."
            )
        checked[matrix] = tuple(map(tuple, rows)) if axes == 2 else tuple(written[matrix])
    return checked


def one_each(value, like):
    """True if a tensor has a number of the same kind for each unit."""
    return value.dtype == like.dtype and value.shape.rank == like.shape.rank and value.shape[-1] == like.shape[-1]


def check_functions(unit, base):
    """Raises an error for functions that no rule could learn with, and warns of those by which a unit learns little.

    `base` is `Unit`, whose `derivatives` are found by differentiation.
    """
    try:
        p, zeros = unit.parameters(), tf.zeros(unit.units, unit.compute_dtype)
        start = unit._integrated(unit.Own(*[zeros] * len(unit.states)), zeros, p)
        rest = unit._at_rest(p, zeros)
        check_elementwise(unit, p)
    except AttributeError as error:
        names = ", ".join(unit.Parameters._fields[:-1])
        raise AttributeError(
            f"{error}. The states of {type(unit).__name__} are {', '.join(unit.states)}, and p has {names}."
        ) from error
    except TypeError as error:
        raise TypeError(
            f"{error}. {type(unit).__name__} gets states and constants as tensors: functions of them are "
            "TensorFlow's, as tf.exp, and not those of math."
        ) from error
    check_rest(unit, p, start, rest)
    if type(unit).derivatives is base.derivatives:
        check_paths(unit, p, rest)
    else:
        check_derivatives(unit, base, p)


def check_elementwise(unit, p):
    """Raises an error if other states of the first unit change another unit."""
    one = tf.linspace(tf.constant(0.1, unit.compute_dtype), 0.2, unit.units)
    other = tf.where(tf.range(unit.units) == 0, 0.3 * tf.ones_like(one), one)

    def results(x):
        state = unit.Own(*[x] * len(unit.states))
        return {
            "integrate": unit._integrated(state, x, p),
            "distance": (unit._distance(state, p),),
            "recover": unit._recovered(state, tf.ones_like(x), p),
        }

    before, after = results(one), results(other)
    for name, values in before.items():
        if any(not np.array_equal(x[1:], y[1:], equal_nan=True) for x, y in zip(values, after[name])):
            raise ValueError(
                f"{type(unit).__name__}.{name} must compute each unit from its own states alone; received one in "
                "which those of the first unit change another."
            )


def check_rest(unit, p, start, rest):
    """Of a unit at rest: a current must raise its potential, and without one it should stay at 0, as in `start`."""
    name, drive = type(unit).__name__, p.drive.numpy()
    if not (drive > 0.0).all():  # else initial weights would be infinite, and M could not begin
        raise ValueError(
            f"{name}.integrate must let a current raise the first of the states {unit.states} in the same step, when "
            f"all are 0; received a derivative of {drive.min():g}."
        )
    if not all(np.isfinite(entry).all() for entry in tf.nest.flatten(rest)):
        raise ValueError(
            f"{name} must have finite derivatives where all states and the current are 0; received NaN or infinity."
        )
    moved = [state for state, x in start._asdict().items() if not np.allclose(x, 0.0, atol=1e-6)]
    if moved:
        warnings.warn(
            f"{name}.integrate should leave a unit at rest where it starts, at 0, and without a current it changes "
            f"{', '.join(moved)}. Such a unit may never spike, or always. Write the states as distances from rest, or "
            "give the rest as a current.",
            stacklevel=2,
        )


def check_paths(unit, p, rest):
    """Warns where no error can go: through the distance to the threshold, or through the reset."""
    name, potentials = type(unit).__name__, tf.linspace(tf.constant(0.1, unit.compute_dtype), 0.2, unit.units)
    near = unit._at_rest(p, potentials)
    if not np.any([*rest.r, *near.r]):
        warnings.warn(
            f"{name}.distance should have a derivative by a state, and has none, as functions such as tf.floor, "
            "tf.sign and tf.stop_gradient have none. Such a layer does not learn.",
            stacklevel=2,
        )
    if not np.any(near.reset[0]) and unit._resets(p, potentials):
        warnings.warn(
            f"{name}.recover should have a derivative by the spike, which changes the first state, and has none: "
            "tf.where(spike > 0, ...) and tf.stop_gradient hide the reset from every rule. Write it as a product, "
            "before.v * (1 - spike).",
            stacklevel=2,
        )


def check_derivatives(unit, base, p):
    """Warns where derivatives that a subclass writes are not those of its functions, at four points.

    It is no error, for a path may be left out on purpose, as rules are published without that of the reset.
    """
    shape, draws = (4, unit.units), np.random.default_rng(0)
    start = unit.Own(*(tf.constant(draws.uniform(0.1, 0.9, shape), unit.compute_dtype) for _ in unit.states))
    current = tf.constant(draws.uniform(0.1, 0.9, shape), unit.compute_dtype)
    spikes = tf.constant(np.tile([[0.0], [1.0]], (2, unit.units)), unit.compute_dtype)

    def both():  # in a graph, since no tape records where a layer is built
        before = unit._integrated(start, current, p)
        written = unit.derivatives(start, current, before, spikes, p)
        found = base.derivatives(unit, start, current, before, spikes, p)
        pairs = {name: (tf.nest.flatten(written[name]), tf.nest.flatten(found[name])) for name in MATRICES}
        return tf.nest.map_structure(lambda x: tf.zeros_like(current) + x, pairs)

    differing, count = [], len(unit.states)
    results = tf.function(both, autograph=False).get_concrete_function()()
    for name, axes in MATRICES.items():
        for number, (written, found) in enumerate(zip(*map(np.asarray, results[name]))):
            if not np.allclose(written, found, rtol=1e-3, atol=1e-6, equal_nan=True):
                at = np.unravel_index(np.argmax(np.abs(written - found)), shape)
                place = f"[{number // count}][{number % count}]" if axes == 2 else f"[{number}]"
                differing.append(f"{name}{place} is {written[at]:.4g} where differentiation finds {found[at]:.4g}")
    if differing:
        warnings.warn(
            f"{type(unit).__name__}.derivatives should return those of integrate, distance and recover: "
            f"{', '.join(differing)}. All rules follow what is written, so leave out a path on purpose only.",
            stacklevel=2,
        )
