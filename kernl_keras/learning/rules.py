"""The table of learning rules: name -> class, see `implementations` for what a rule has."""

from .bptt_adjoint import BPTTAdjoint
from .eprop import EProp
from .eprop_alif import EPropALIF
from .network import Network
from .own import OWN
from .own_kernel import Answered
from .plain import Plain
from .readout import NoLearning
from .rflo import RFLO

FORMS = {"network": Network, "plain": Plain}
RULES = {
    "kernl": FORMS,
    "eprop": EProp,
    "eprop_alif": EPropALIF,
    "rflo": RFLO,
    "readout": NoLearning,
    "bptt": None,
    "bptt_adjoint": BPTTAdjoint,
}


def make_rule(rule, form="network", own="leak", kernel="learned", factored=True):
    """The rule for units of the own dynamics `own`, a key of `OWN`; None for backpropagation, which needs none.

    KeRNL with the unit's own kernel has another rule for the factored implementation than for the others.
    """
    if rule == "kernl" and kernel == "own":
        return Answered(OWN[own]) if factored else Network(OWN[own], swings=True)
    kind = FORMS[form] if rule == "kernl" else RULES[rule]
    return kind and kind(OWN[own])
