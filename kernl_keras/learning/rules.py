"""The table of learning rules: name -> class, see `implementations` for what a rule has."""

from .eprop import EProp
from .eprop_alif import EPropALIF
from .network import Network
from .own import OWN
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
}


def make_rule(rule, form="network", own="leak"):
    """The rule for units of the own dynamics `own`, a key of `OWN`; None for backpropagation, which needs none."""
    kind = FORMS[form] if rule == "kernl" else RULES[rule]
    return kind and kind(OWN[own])
