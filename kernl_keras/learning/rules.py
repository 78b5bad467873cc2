"""The table of learning rules: name -> module, see `implementations` for what a rule's module has."""

from . import eprop, eprop_alif, network, plain, readout, rflo

FORMS = {"network": network, "plain": plain}
RULES = {
    "kernl": FORMS,
    "eprop": eprop,
    "eprop_alif": eprop_alif,
    "rflo": rflo,
    "readout": readout,
    "bptt": None,
}


def rule_module(rule, form):
    """The module of a rule; None for backpropagation through time, which needs none."""
    return FORMS[form] if rule == "kernl" else RULES[rule]
