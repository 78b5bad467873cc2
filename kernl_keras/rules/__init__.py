"""The learning rules: one class a rule, with its own settings. A rule says how an error reaches back to the weights."""

from .bptt import BPTT
from .eprop import EProp
from .exponential import Exponential
from .kernl import KeRNL
from .linear_memory import LinearTraces
from .membrane import Membrane
from .perturbation import Replica, Tangent, Twin
from .plain_kernl import PlainKeRNL
from .readout_only import ReadoutOnly
from .rflo import RFLO
from .rule import NAMES, Rule, get
from .whole_unit import WholeUnit

__all__ = [
    "BPTT",
    "EProp",
    "Exponential",
    "KeRNL",
    "LinearTraces",
    "Membrane",
    "NAMES",
    "PlainKeRNL",
    "RFLO",
    "ReadoutOnly",
    "Replica",
    "Rule",
    "Tangent",
    "Twin",
    "WholeUnit",
    "get",
]
