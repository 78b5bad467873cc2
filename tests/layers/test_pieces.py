"""Every layer that has a state keeps it over the pieces of a sequence: the pieces are the whole."""

import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.dynamics.encoding import CODES
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, EProp, KeRNL, PlainKeRNL, ReadoutOnly

from ..contract.rows import ROWS
from ..reference.cases import CELLS, B, H, Network, draw, taking_turns
from ..reference.expected import compute, layer_of
from ..reference.tools import all_same
from .test_marks import sequences_of

T = 9
X = np.random.default_rng(1).uniform(size=(B, T, 2)).astype("float32")
MASK = np.array([[True] * T, [True] * (T - 2) + [False] * 2])
ERROR = np.where(MASK[..., None], draw(53, B, T, H), 0.0)


def cuts(*borders):
    return [np.s_[:, start:stop] for start, stop in zip((0, *borders), (*borders, T))]


SETTINGS = {"delta": dict(delta=0.2), "latency": dict(period=3)}


def encoder(code, stateful=False):
    return kk.SpikeEncoder(4, code, context_switch=3, seed=5, stateful=stateful, **SETTINGS.get(code, {}))


def input_spikes(stateful):
    return keras.layers.RNN(kk.InputSpikeCell(seed=5), return_sequences=True, stateful=stateful)


LAYERS = {code: functools.partial(encoder, code) for code in CODES}
LAYERS |= {"readout": functools.partial(kk.Readout, 3, tau_out=5.0), "input spikes": input_spikes}
DRAWN = ("bernoulli", "input spikes")  # the whole, too, is what a stateful layer draws


def build(name, stateful):
    keras.utils.set_random_seed(3)
    layer = LAYERS[name](stateful=stateful)
    layer.build(X.shape)
    return layer


def run(layer, cuts, training):
    """The outputs [n, O] of pieces, one after the other, at the steps that count."""
    if layer.stateful:
        layer.reset_state() if hasattr(layer, "reset_state") else layer.reset_states()
    more = {"training": training} if "training" in inspect.signature(layer.call).parameters else {}
    return np.concatenate([layer(tf.constant(X[cut]), mask=MASK[cut], **more) for cut in cuts], 1)[MASK]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_outputs_of_pieces_are_those_of_the_whole(name, training):
    """Draws to the bit. Of all cells in Keras' own layer the contract asks it."""
    whole, layer = build(name, name in DRAWN), build(name, True)
    for borders in ((1, 2, 7), (4,)):
        expected, found = run(whole, cuts(), training), run(layer, cuts(*borders), training)
        assert len(np.unique(expected)) > 1
        digits = 0.0 if name in DRAWN else 1e-6
        np.testing.assert_allclose(found, expected, rtol=digits, atol=0.1 * digits)


def test_an_encoder_draws_anew_for_every_sequence_it_trains_on_and_repeats_an_evaluation():
    layer = build("bernoulli", True)
    first, second, evaluated, again = (run(layer, cuts(4), training) for training in (True, True, False, False))
    np.testing.assert_array_equal(evaluated, again)
    assert np.any(first != second) and np.any(second != evaluated)
    assert np.any(layer(X) != layer(X))  # within a sequence every step draws its own


RULES = {  # settings of the whole, by what a stateful layer has where it is told nothing
    "kernl": (KeRNL(), dict(window=3, traces="linear")),
    "kernl, exponential": (KeRNL("exponential"), {}),
    "plain_kernl": (PlainKeRNL(), {}),
    "eprop": (EProp(), {}),
    "rflo": (RFLO(), {}),
    "bptt, truncated": (BPTT(), dict(window=3)),
    "readout_only": (ReadoutOnly(), {}),
}
WHERE = [(rule, list(CELLS)[(2 * n + k) % len(CELLS)]) for n, rule in enumerate(RULES) for k in range(2)]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("rule", "cell"), taking_turns(WHERE))
def test_a_layer_that_learns(rule, cell):
    """Gradients, too: those of the pieces add up to that of the whole. `tests/rules/test_forms.py` has more."""
    network, (rule, of_whole) = Network(cell, time=T), RULES[rule]

    def found(layer, cuts):
        parts = [compute(layer, network.inputs[cut], ERROR[cut], False, mask=tf.constant(MASK[cut])) for cut in cuts]
        return tf.concat([outputs for outputs, *_ in parts], 1)[MASK], sum(gradient for _, gradient, *_ in parts)

    expected = found(layer_of(network, rule, **of_whole), cuts())
    all_same(found(layer_of(network, rule, stateful=True), cuts(3, 6)), expected, 1e-8)


@pytest.mark.parametrize(("last", "masked"), [(4, True), (4, False), (None, True)])
def test_a_mean_is_that_of_the_whole_so_far(last, masked):
    """One that reaches into the pieces before."""
    layer, mask = kk.TimeAverage(last, stateful=True), MASK if masked else np.ones_like(MASK)
    for _ in range(2):
        for start, stop in ((0, 1), (1, 2), (2, 7), (7, T)):
            found = layer(X[:, start:stop], mask=mask[:, start:stop] if masked else None)
            whole = kk.TimeAverage(None if last is None else min(last, stop))
            np.testing.assert_allclose(found, whole(X[:, :stop], mask=mask[:, :stop]), rtol=1e-6)
        layer.reset_state()


RESET = np.zeros((B, T), bool)
RESET[0, [2, 4]] = RESET[1, [0, 3]] = True  # under the gaps step 4 waits for the piece that follows
GAPS = np.ones((B, T), bool)
GAPS[0, [2, 4, 5]] = GAPS[1, [1, 7, 8]] = False


WAYS = [(False, np.ones_like(GAPS)), (False, GAPS), (True, GAPS)]  # stateful, mask


@pytest.mark.parametrize(("stateful", "mask"), WAYS, ids=["", "masked", "stateful, masked"])
@pytest.mark.parametrize("code", ["threshold", "current", "delta", "latency"])
def test_an_encoder_whose_rows_begin_anew(code, stateful, mask):
    """Masked steps are no steps, whether a reset stands there or not; those of "delta" and "latency" send nothing."""
    layer = encoder(code, stateful)
    pieces = cuts(3, 5) if stateful else cuts()
    found = np.concatenate([layer(X[cut], mask=mask[cut], reset=RESET[cut]) for cut in pieces], 1)
    for row in range(B):
        for steps in filter(len, sequences_of(row, RESET, mask)):
            np.testing.assert_array_equal(found[row, steps], encoder(code)(X[row : row + 1, steps])[0])
    assert code not in ("delta", "latency") or not found[~mask][:, :-1].any()  # the last channel is the context
    assert np.any(found != encoder(code)(X))


@pytest.mark.parametrize(("stateful", "mask"), WAYS, ids=["", "masked", "stateful, masked"])
@pytest.mark.parametrize("last", [3, None])
def test_a_mean_of_the_last_sequence_alone(last, stateful, mask):
    layer = kk.TimeAverage(last, stateful=stateful)
    for cut in cuts(3, 5) if stateful else cuts():
        found = layer(X[cut], mask=mask[cut], reset=RESET[cut])
    for row in range(B):
        *_, steps = filter(len, sequences_of(row, RESET, mask))
        np.testing.assert_allclose(found[row], X[row, steps[0 if last is None else -last :]].mean(0), rtol=1e-6)


def test_draws_do_not_know_of_a_reset():
    whole, layer = (kk.SpikeEncoder(4, seed=5, stateful=True) for _ in range(2))
    np.testing.assert_array_equal(whole(X), layer(X, reset=RESET))


STATEFUL = {  # a layer, and what its initial states are, if it takes such
    "RNN": (lambda **settings: kk.RNN(kk.LIFCell(2), "eprop", **settings), "5 .*the cell's and the rule's"),
    "Readout": (lambda **settings: kk.Readout(2, **settings), "2 .*v and the traces"),
    "SpikeEncoder": (lambda **settings: kk.SpikeEncoder(2, "threshold", **settings), None),
    "TimeAverage": (lambda **settings: kk.TimeAverage(2, **settings), None),
}


@pytest.mark.parametrize("name", STATEFUL)
def test_what_is_asked_of_a_stateful_layer(name):
    make, states = STATEFUL[name]
    with pytest.raises(ValueError, match="stateful must be True or False; received 'yes'"):
        make(stateful="yes")
    with pytest.raises(ValueError, match=r"stateful=True needs a static batch size; received .*\(None, 9, 2\)"):
        make(stateful=True)(keras.Input((T, 2)))
    stream = make(stateful=True)
    stream(X)
    with pytest.raises(ValueError, match=r"(inputs|sequences) must have 2 examples, as the states .*shape \(1, 9, 2\)"):
        stream(X[:1])
    if states:
        with pytest.raises(ValueError, match=f"initial_state must be the {states}.*; received 9"):
            stream(X, initial_state=[tf.zeros((2, 2))] * 9)


def test_every_public_layer_and_cell_has_a_row_of_the_contract():
    public = [getattr(kk, name) for name in kk.__all__]
    layers = {each for each in public if inspect.isclass(each) and issubclass(each, keras.layers.Layer)}
    asked = {row.kind for row in ROWS.values()}
    assert layers - {kk.Model, kk.Unit} <= asked  # a unit is what a user makes of it, see tests/cells/test_unit.py
