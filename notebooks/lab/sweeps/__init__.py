"""The sweeps: which runs are compared with each other."""

from . import ablations, layers, rules
from .definition import Sweep, Variant

__all__ = ["SWEEPS", "Sweep", "Variant"]

SWEEPS = {sweep.name: sweep for module in (rules, ablations, layers) for sweep in module.SWEEPS}
