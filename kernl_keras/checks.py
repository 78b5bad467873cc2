"""Argument checks: an error names the argument, the requirement and what was received."""

import math
from collections.abc import Iterable
from numbers import Real


def one_of(name, value, allowed):
    """`value` if it is in `allowed` (a sequence or a table)."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {sorted(allowed, key=str)}; received {value!r}.")
    return value


def number(name, value, low=-math.inf, above=-math.inf, high=math.inf):
    """`value` as a float in [low, high] and > above."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; received {value!r}.")
    if value < low or value <= above or value > high:
        bounds = [f"> {above:g}"] * (above > -math.inf) + [f">= {low:g}"] * (low > -math.inf)
        bounds += [f"<= {high:g}"] * (high < math.inf)
        raise ValueError(f"{name} must be {' and '.join(bounds)}; received {value!r}.")
    return float(value)


def integer(name, value, low=1):
    """`value` as an int >= low."""
    if isinstance(value, bool) or not isinstance(value, Real) or int(value) != value or value < low:
        raise ValueError(f"{name} must be an integer >= {low}; received {value!r}.")
    return int(value)


def numbers(name, values, length, **bounds):
    """`values` as a list of `length` floats, each within `bounds`."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a number, a list or an initializer; received {values!r}.")
    values = list(values.numpy() if hasattr(values, "numpy") else values)  # a tensor's own entries are no numbers
    if len(values) != length:
        raise ValueError(f"{name} must have one value a unit ({length}); received {len(values)} values.")
    return [number(name, value, **bounds) for value in values]


def per_unit(name, value, units, **bounds):
    """`value` as a float, or as a list of `units` floats, within `bounds`."""
    return number(name, value, **bounds) if isinstance(value, Real) else numbers(name, value, units, **bounds)


def time_steps(name, shape):
    """The static number of time steps of a [B, T, ...] shape (or None), which must not be 0."""
    if len(shape) != 3:
        raise ValueError(f"{name} must have shape [batch, time, features]; received {tuple(shape)}.")
    if shape[1] == 0:
        raise ValueError(f"{name} must have at least one time step; received shape {tuple(shape)}.")
    return shape[1]
