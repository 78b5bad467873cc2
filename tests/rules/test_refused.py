"""What a layer refuses: rules, kernels, windows and traces that do not go together, or not with the cell."""

import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, Exponential, KeRNL, LinearTraces, PlainKeRNL, ReadoutOnly, Tangent, Twin

from ..reference.units import Quadratic

RATE, LIF, ADLIF, LSTM, OWN = kk.LeakyRNNCell, kk.LIFCell, kk.AdLIFCell, kk.LSTMCell, Quadratic
REFUSED = [  # cell, settings, message
    (LIF, dict(rule="rtrl"), r"rule must be one of \['bptt', 'eprop', .*, 'rflo'\]; received 'rtrl'"),
    (LIF, dict(rule="e-prop"), r"; received 'e-prop'\. Did you mean 'eprop'\?"),
    (LIF, dict(rule="KeRNL"), r"; received 'KeRNL'\. Did you mean 'kernl'\?"),
    (LIF, dict(rule=5), r"rule must be one of \['bptt', .*\] or a Rule; received 5"),
    (LIF, dict(rule=PlainKeRNL(noise="activity")), r"noise must be one of \['current', 'synapse'\]; received 'act"),
    (LIF, dict(activity_regularizer="rate"), "activity_regularizer must be one of Keras' regularizers; rec.*'rate'"),
    (lambda units: keras.layers.SimpleRNNCell(units), {}, "cell must be a LIFCell, an AdLIFCell, a Resonator"),
    # perturbations
    (RATE, dict(rule=KeRNL(perturbation="replica")), "perturbation must be 'tangent' or 'twin' for LeakyR"),
    (RATE, dict(rule=KeRNL(perturbation=Tangent(observe="distance"))), r"observe must be one of \['voltage'\]"),
    (LIF, dict(rule=KeRNL("whole_unit", Twin(observe="voltage"))), "observe must be None or 'distance' for kernel"),
    # rules and kernels
    (LSTM, dict(rule="rflo"), "cell must have one current a unit for .*; received LSTMCell, whose"),
    (LSTM, dict(rule="plain_kernl"), "cell must have one current a unit for .*; received LSTMCell, whose"),
    (LSTM, dict(rule=KeRNL()), "kernel must be .exponential. for LSTMCell; received Membrane"),
    (LSTM, dict(rule=KeRNL("whole_unit")), "kernel must be .exponential. for LSTMCell"),
    (OWN, dict(rule=KeRNL("membrane")), "kernel must be 'whole_unit' or 'exponential' for Quad"),
    # traces
    (LIF, dict(traces="yes"), "traces must be None, True, False, 'linear' or LinearTraces; received 'yes'"),
    (LIF, dict(rule="bptt", traces=True), "traces must be False for BPTT, which has no traces; received True"),
    (LIF, dict(rule=KeRNL("exponential"), traces="linear"), "traces must be True or False for LIFCell .* Exponential"),
    (LSTM, dict(traces="linear"), "traces must be True or False for LSTMCell with the kernel Exponential"),
    (LIF, dict(rule="rflo", traces="linear"), "traces must be True or False for RFLO.*; received LinearTraces"),
    (RATE, dict(rule="plain_kernl", traces="linear"), "traces must be True or False for PlainKeRNL.*; received Linear"),
    *((RATE, dict(traces=traces), "traces must be") for traces in ("exact", 3, {}, LinearTraces)),
    # windows
    *((RATE, dict(window=window), "window must be an integer >= 1") for window in (0, -3, 1.5, "all", True)),
    *(
        (RATE, dict(rule=rule, window=2), "window must be None or 1 for .*, which has no windows; received 2")
        for rule in (RFLO(), ReadoutOnly(), PlainKeRNL())
    ),
    *((RATE, dict(rule=BPTT(True), window=n), f"window must be None for BPTT.*; received {n}") for n in (1, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "settings", "message"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_refused(cell, settings, message):
    with pytest.raises(ValueError, match=message):
        kk.RNN(cell(4), **settings)


def test_what_is_taken_in_its_place():
    """A window of one step by rules without windows, and by the word "kernl" a kernel that suits the cell."""
    for rule in (RFLO(), ReadoutOnly(), PlainKeRNL()):
        kk.RNN(RATE(4), rule=rule, window=1)
    assert isinstance(kk.RNN(LSTM(3)).rule.kernel, Exponential)
    for settings in ({}, {"stateful": True}, {"traces": True}):
        rule = kk.RNN(ADLIF(3), **settings).rule
        assert rule.get_config() == KeRNL("whole_unit", reset_gradient=False).get_config()
    for cell, rule in ((LSTM(3), "kernl"), (ADLIF(3), "eprop"), (LIF(3), KeRNL("exponential"))):
        assert kk.RNN(cell, rule=rule, stateful=True).carries_traces is True
    for cell, rule in ((ADLIF(3), "kernl"), (OWN(3), "kernl"), (LIF(3), KeRNL("whole_unit"))):
        assert isinstance(kk.RNN(cell, rule=rule, stateful=True).carries_traces, LinearTraces)
    for settings in (dict(rule=KeRNL("exponential"), traces=False), dict(rule="bptt")):
        assert not kk.RNN(LIF(3), stateful=True, **settings).carries_traces
