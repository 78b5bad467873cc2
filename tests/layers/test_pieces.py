"""Every layer that has a state keeps it over the pieces of a sequence: the pieces are the whole."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, EProp, KeRNL, PlainKeRNL, ReadoutOnly

from ..reference.cases import CELLS, B, H, Network, draw, taking_turns
from ..reference.expected import compute, kernels, same

T = 9
X = np.random.default_rng(1).uniform(size=(B, T, 2)).astype("float32")
MASK = np.array([[True] * T, [True] * (T - 2) + [False] * 2])
ERROR = np.where(MASK[..., None], draw(53, B, T, H), 0.0)


def cuts(*borders):
    return [np.s_[:, start:stop] for start, stop in zip((0, *borders), (*borders, T))]


def over(cell, channels=2):
    """`keras.layers.RNN` over a cell, for the channels that it takes."""

    def make(stateful=False):
        return keras.layers.RNN(cell(), return_sequences=True, stateful=stateful)

    return make, channels


def encoder(code, **settings):
    def make(stateful=False):
        return kk.SpikeEncoder(4, code, context_switch=3, seed=5, stateful=stateful, **settings)

    return make, 2


LAYERS = {
    "SpikeEncoder, threshold": encoder("threshold"),
    "SpikeEncoder, current": encoder("current"),
    "SpikeEncoder, population": encoder("population"),
    "SpikeEncoder, delta": encoder("delta"),
    "SpikeEncoder, latency": encoder("latency", period=3),
    "SpikeEncoder, bernoulli": encoder("bernoulli"),
    "Readout": (lambda stateful=False: kk.Readout(3, tau_out=5.0, stateful=stateful), 2),
    "ReadoutCell": over(lambda: kk.ReadoutCell(3, tau_out=5.0)),
    "ContextCell": over(lambda: kk.ContextCell(2), 1),
    "InputSpikeCell": over(lambda: kk.InputSpikeCell(seed=5)),
    "LIFCell": over(lambda: kk.LIFCell(H, tau_m=5.0, adaptation_strength=0.5, input_gain=4.0)),
    "AdLIFCell": over(lambda: kk.AdLIFCell(H, tau_m=5.0, tau_a=20.0, input_gain=4.0)),
    "ResonatorCell": over(lambda: kk.ResonatorCell(H, tau_m=9.0, period=5.0, input_gain=4.0)),
    "LeakyRNNCell": over(lambda: kk.LeakyRNNCell(H, tau=5.0)),
    "LSTMCell": over(lambda: kk.LSTMCell(H)),
}
DRAWN = ("SpikeEncoder, bernoulli", "InputSpikeCell")  # the whole, too, is what a stateful layer draws


def build(name, stateful):
    keras.utils.set_random_seed(3)
    make, channels = LAYERS[name]
    layer = make(stateful=stateful)
    layer.build((B, T, channels))
    return layer


def run(layer, channels, cuts, training):
    """The outputs [n, O] of pieces, one after the other, at the steps that count."""
    if layer.stateful:
        layer.reset_state() if hasattr(layer, "reset_state") else layer.reset_states()
    more = {"training": training} if "training" in inspect.signature(layer.call).parameters else {}
    pieces = [layer(tf.constant(X[cut][..., :channels]), mask=MASK[cut], **more) for cut in cuts]
    return np.concatenate(pieces, 1)[MASK]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_outputs_of_pieces_are_those_of_the_whole(name, training):
    """Draws to the bit."""
    whole, layer, channels = build(name, name in DRAWN), build(name, True), LAYERS[name][1]
    for borders in ((1, 2, 7), (4,)):
        expected = run(whole, channels, cuts(), training)
        found = run(layer, channels, cuts(*borders), training)
        assert len(np.unique(expected)) > 1
        digits = 0.0 if name in DRAWN else 1e-6
        np.testing.assert_allclose(found, expected, rtol=digits, atol=0.1 * digits)


def test_an_encoder_draws_anew_for_every_sequence_it_trains_on_and_repeats_an_evaluation():
    layer = build("SpikeEncoder, bernoulli", True)
    first, second, evaluated, again = (run(layer, 2, cuts(4), training) for training in (True, True, False, False))
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
    m = kernels() if hasattr(rule, "kernel") else ()

    def found(layer, cuts):
        parts = [compute(layer, network.inputs[cut], ERROR[cut], False, mask=tf.constant(MASK[cut])) for cut in cuts]
        return tf.concat([outputs for outputs, *_ in parts], 1)[MASK], sum(gradient for _, gradient, *_ in parts)

    expected = found(network.layer(rule, *m, **of_whole), cuts())
    for one, other in zip(found(network.layer(rule, *m, stateful=True), cuts(3, 6)), expected):
        same(one, other, tolerance=1e-8)


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


def alone(row, mask):
    """The valid steps of each sequence of a row."""
    steps, number = np.flatnonzero(mask[row]), np.cumsum(RESET[row])
    return [steps[number[steps] == n] for n in range(number[-1] + 1) if np.any(number[steps] == n)]


WAYS = [(False, np.ones_like(GAPS)), (False, GAPS), (True, GAPS)]  # stateful, mask


@pytest.mark.parametrize(("stateful", "mask"), WAYS, ids=["", "masked", "stateful, masked"])
@pytest.mark.parametrize("code", ["threshold", "current", "delta", "latency"])
def test_an_encoder_whose_rows_begin_anew(code, stateful, mask):
    """Masked steps are no steps, whether a reset stands there or not; those of "delta" and "latency" send nothing."""
    make, _ = encoder(code, **({"delta": dict(delta=0.2), "latency": dict(period=3)}.get(code, {})))
    layer = make(stateful)
    pieces = cuts(3, 5) if stateful else cuts()
    found = np.concatenate([layer(X[cut], mask=mask[cut], reset=RESET[cut]) for cut in pieces], 1)
    for row in range(B):
        for steps in alone(row, mask):
            np.testing.assert_array_equal(found[row, steps], make()(X[row : row + 1, steps])[0])
    assert code not in ("delta", "latency") or not found[~mask][:, :-1].any()  # the last channel is the context
    assert np.any(found != make()(X))


@pytest.mark.parametrize(("stateful", "mask"), WAYS, ids=["", "masked", "stateful, masked"])
@pytest.mark.parametrize("last", [3, None])
def test_a_mean_of_the_last_sequence_alone(last, stateful, mask):
    layer = kk.TimeAverage(last, stateful=stateful)
    for cut in cuts(3, 5) if stateful else cuts():
        found = layer(X[cut], mask=mask[cut], reset=RESET[cut])
    for row in range(B):
        steps = alone(row, mask)[-1]
        np.testing.assert_allclose(found[row], X[row, steps[0 if last is None else -last :]].mean(0), rtol=1e-6)


def test_draws_do_not_know_of_a_reset():
    whole, layer = (kk.SpikeEncoder(4, seed=5, stateful=True) for _ in range(2))
    np.testing.assert_array_equal(whole(X), layer(X, reset=RESET))


@pytest.mark.parametrize("layer", [kk.SpikeEncoder, kk.TimeAverage])
def test_what_is_asked_of_a_stateful_layer(layer):
    with pytest.raises(ValueError, match=r"stateful=True needs a static batch size; received .*\(None, 9, 2\)"):
        layer(2, stateful=True)(keras.Input((T, 2)))
    with pytest.raises(ValueError, match=r"reset must be booleans \[batch, time\] .* received float32"):
        layer(2)(X, reset=np.ones((B, T), "float32"))
    stream = layer(2, "threshold", stateful=True) if layer is kk.SpikeEncoder else layer(2, stateful=True)
    stream(X)
    with pytest.raises(ValueError, match=r"inputs must have 2 examples, as the states .* received shape \(1, 9, 2\)"):
        stream(X[:1])


def test_every_public_layer_and_cell_is_here():
    public = [getattr(kk, name) for name in kk.__all__]
    layers = {each.__name__ for each in public if inspect.isclass(each) and issubclass(each, keras.layers.Layer)}
    here = {name.split(",")[0] for name in LAYERS} | {"RNN", "TimeAverage", "AudioEncoder"}  # which is in test_audio.py
    assert layers - {"Model", "Unit"} <= here  # a unit is what a user makes of it, see tests/cells/test_unit.py
