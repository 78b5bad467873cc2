"""The learning rules, a class with its settings for each. A rule carries errors back to the weights."""

from .bptt import BPTT
from .eprop import EProp
from .exponential import Exponential
from .kernel import Kernel
from .kernl import KeRNL
from .membrane import Membrane
from .memory import LinearTraces
from .perturbation import Replica, Tangent, Twin
from .plain_kernl import PlainKeRNL
from .readout_only import ReadoutOnly
from .rflo import RFLO
from .rule import NAMES, Rule, get
from .whole_unit import WholeUnit

NAMES.update(bptt=BPTT, eprop=EProp, kernl=KeRNL, plain_kernl=PlainKeRNL, readout_only=ReadoutOnly, rflo=RFLO)

__all__ = [
    "BPTT", "EProp", "Exponential", "KeRNL", "Kernel", "LinearTraces", "Membrane", "NAMES", "PlainKeRNL", "RFLO",
    "ReadoutOnly", "Replica", "Rule", "Tangent", "Twin", "WholeUnit", "get",
]  # fmt: skip
