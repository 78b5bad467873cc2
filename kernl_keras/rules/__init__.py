"""The learning rules, a class with its settings for each. A rule carries errors back to the weights.

Also what kernels, perturbations and rules of your own are made of.
"""

from ..cells.linear import Errors, LinearStep
from .bptt import BPTT
from .eprop import EProp
from .exponential import Exponential
from .hop import Hop
from .kernel import Kernel
from .kernl import KeRNL
from .membrane import Membrane
from .memory import LinearTraces
from .perturbation import Perturbation, Replica, Tangent, Twin
from .plain_kernl import PlainKeRNL
from .predictor import Effect, Predictor, Run, SensitivitySums
from .readout_only import ReadoutOnly
from .rflo import RFLO
from .rule import NAMES, BackwardStep, Context, Rule, get
from .whole_unit import WholeUnit

NAMES.update(bptt=BPTT, eprop=EProp, kernl=KeRNL, plain_kernl=PlainKeRNL, readout_only=ReadoutOnly, rflo=RFLO)

__all__ = [
    "BPTT", "BackwardStep", "Context", "EProp", "Effect", "Errors", "Exponential", "Hop", "KeRNL", "Kernel",
    "LinearStep", "LinearTraces", "Membrane", "NAMES", "Perturbation", "PlainKeRNL", "Predictor", "RFLO", "ReadoutOnly",
    "Replica", "Rule", "Run", "SensitivitySums", "Tangent", "Twin", "WholeUnit", "get",
]  # fmt: skip
