"""Pieces of a stream: validation takes nothing from it, what counts for nothing or is not finite stays out of it."""

import re

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.layers.step import running_step

from ..reference.tools import all_same
from .compare import everything, states

B, T, H = 2, 4, 3
X = np.random.default_rng(0).uniform(size=(6 * B, T, 2)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6 * B, 2)).astype("float32")
HELD_OUT = X[::-1][: 2 * B], Y[: 2 * B]
SGD = keras.optimizers.SGD
TRACES = kk.rules.LinearTraces(segments=1)  # all that has states, in little time
slow = pytest.mark.slow


@slow
@pytest.mark.parametrize("rule", ["kernl", "eprop"])
def test_validation_leaves_a_stream_as_it_was(rule):
    """States and traces of every layer, linear memory and exact traces; and so what is learned from then on."""

    def network():
        """Every layer that can be stateful; the window of the mean reaches into the piece before."""
        keras.utils.set_random_seed(4)
        inputs = keras.Input(batch_shape=(B, T, 2))
        x = kk.SpikeEncoder(4, "threshold", context_switch=3, stateful=True)(inputs)
        x = kk.RNN(kk.ResonatorCell(H, tau_m=9.0, period=5.0, input_gain=12.0), rule=rule, seed=1, stateful=True)(x)
        x = keras.layers.LSTM(H, return_sequences=True, stateful=True)(x)
        x = kk.Readout(2, stateful=True)(x)
        model = kk.Model(inputs, kk.TimeAverage(T + 2, stateful=True)(x))
        model.compile(SGD(0.1), "mse", sensitivity_every=1)
        return model

    validated, plain = network(), network()
    settings = dict(batch_size=B, shuffle=False, verbose=0, epochs=2)
    history = validated.fit(X, Y, validation_data=HELD_OUT, validation_batch_size=B, **settings).history
    plain.fit(X, Y, **settings)
    found = states(validated)
    moved = sum(np.any(state) for state in found)
    assert len(found) >= 10 and moved >= len(found) - 3  # two stay at zero, and the last step may have no spike
    all_same(found + validated.get_weights(), states(plain) + plain.get_weights())
    gone_on = plain.evaluate(*HELD_OUT, batch_size=B, verbose=0)  # asked by itself it goes on from where training is
    plain.reset_state()
    fresh = plain.evaluate(*HELD_OUT, batch_size=B, verbose=0)
    np.testing.assert_allclose(history["val_loss"][-1], fresh, rtol=1e-6)
    assert abs(gone_on - fresh) > 1e-6


def test_a_model_begins_new_sequences():
    """Its own layers and Keras', also those of a model inside it."""
    inputs = keras.Input(batch_shape=(B, T, 2))
    x = keras.layers.LSTM(3, return_sequences=True, stateful=True)(inputs)
    inner = keras.Model(inputs, kk.RNN(kk.LIFCell(4), stateful=True)(x))
    model = kk.Model(inputs, kk.Readout(2, tau_out=9.0, stateful=True)(inner(inputs)))
    model.compile(run_eagerly=True)
    first, second = (model.predict(X[:B], verbose=0) for _ in range(2))
    model.reset_state()
    np.testing.assert_array_equal(model.predict(X[:B], verbose=0), first)
    assert np.abs(second - first).max() > 1e-3


def one_layer(steps, seed=0, **settings):
    """A network for pieces of some steps, whose weights stand still while M learns."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(batch_shape=(B, steps, 2))
    x = kk.SpikeEncoder(4, seed=1, stateful=True)(inputs)
    rule = kk.rules.KeRNL(sensitivity_initializer="zeros")  # from the weights M would be where it should be
    x = kk.RNN(kk.LIFCell(H, input_gain=8.0), rule, traces=TRACES, window=2, seed=1, stateful=True)(x)
    model = kk.Model(inputs, kk.Readout(2, stateful=True)(x))
    settings = {"jit_compile": False, **settings}
    model.compile(SGD(0.0), "mse", sensitivity_optimizer=SGD(0.1), sensitivity_every=1, **settings)
    return model


@pytest.mark.parametrize("steps", [1, pytest.param(2, marks=slow)])
def test_where_nothing_is_asked_m_learns_all_the_same(steps):
    """A weight of a step is none of an example, however short the pieces are."""
    found = []
    for weight in (0.0, 1.0):
        model = one_layer(steps, run_eagerly=True)
        before, measured = tf.convert_to_tensor(model.rule_layers[0].sensitivity_tensor).numpy(), []
        for start in (0, steps):
            x, weights = X[:B, start : start + steps], np.full((B, steps), weight, "float32")
            model.train_on_batch(x, np.zeros((B, steps, 2), "float32"), sample_weight=weights)
            measured.append([model.diagnostics()[name] for name in ("sensitivity_loss", "firing_rate", "silent_units")])
        m = tf.convert_to_tensor(model.rule_layers[0].sensitivity_tensor).numpy()
        assert np.abs(m - before).max() > 1e-4 and max(rate for _, rate, _ in measured) > 0.1
        found.append((m, measured))
    all_same(*found)


@slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras says so even where it learns the length
def test_a_data_set_that_ends_moves_nothing_more():
    """Keras learns within its compiled step that one of unknown length is over."""
    batches = [(X[start : start + B], np.zeros((B, T, 2), "float32")) for start in range(0, len(X), B)]
    shape = tuple(tf.TensorSpec((B, T, 2)) for _ in range(2))
    known = tf.data.Dataset.from_tensor_slices(tuple(np.stack(part) for part in zip(*batches)))
    found = []
    for data in (known, tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=shape)):
        model = one_layer(T, run_eagerly=data is known)  # which needs no compiled step
        model.fit(data, shuffle=False, verbose=0)
        model.evaluate(data, verbose=0)
        found.append([*states(model), int(model.rule_layers[0].draws)])
    all_same(*found, 1e-5, 1e-6)


# Examples of weight 0 are not there: in F, in the activity, whatever they carry, and never beyond their step

EXAMPLES = np.random.default_rng(0).normal(1.0, 2.0, (4, 5, 3)).astype("float32")
TARGETS = np.random.default_rng(1).normal(size=(4, 2)).astype("float32")
ABSENT = np.array([1.0, 1.0, 0.0, 0.0], "float32")
MEANS = "firing_rate", "silent_units", "saturated_units", "sensitivity_loss", "explained_variance"


def learner(batch, stateful=False, run_eagerly=True, pairs=False):
    """The same weights and noise every time; with `pairs` the layer sees two sequences an example."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input(batch_shape=(batch, 10 if pairs else 5, 3))
    x = keras.layers.Lambda(lambda x: tf.reshape(x, (2 * batch, 5, 3)))(inputs) if pairs else inputs
    hidden = kk.RNN(kk.LIFCell(5, tau_m=8.0), seed=7, stateful=stateful, name="hidden")(x)
    outputs = kk.TimeAverage(4)(kk.Readout(2, stateful=stateful)(hidden))
    if pairs:
        outputs = keras.layers.Lambda(lambda x: x[:batch])(outputs)
    model = kk.Model(inputs, outputs)
    model.compile(SGD(0.0), "mse", sensitivity_optimizer=SGD(0.0), run_eagerly=run_eagerly, jit_compile=False)
    return model


def measured(model, x, y, evaluate=False, **arguments):
    """What is measured in a step, and nothing of those before it."""
    (model.test_on_batch if evaluate else model.train_on_batch)(x, y, **arguments)
    return model.diagnostics(training=not evaluate)


@slow
@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("stateful", [False, True])
def test_what_absent_examples_carry_does_not_count(stateful, run_eagerly):
    whole, alone = (learner(batch, stateful, run_eagerly) for batch in (4, 2))
    everyone = measured(whole, EXAMPLES, TARGETS)  # all of them leave something behind
    measured(alone, EXAMPLES[:2], TARGETS[:2])
    for evaluate in (False, True):
        one = measured(whole, EXAMPLES, TARGETS, evaluate, sample_weight=ABSENT)
        other = measured(alone, EXAMPLES[:2], TARGETS[:2], evaluate)
        assert one.keys() == other.keys()
        for name in one.keys() & set(MEANS):
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6)
        assert abs(everyone["firing_rate"] - one["firing_rate"]) > 1e-3


@pytest.mark.parametrize("kind, shape", [(bool, (4, 1)), pytest.param(int, (4,), marks=slow)])
def test_weights_need_not_be_floating_point_numbers(kind, shape):
    for evaluate in (False, True):
        weights = (ABSENT.astype(each).reshape(shape) for each in (float, kind))
        one, other = (measured(learner(4), EXAMPLES, TARGETS, evaluate, sample_weight=each) for each in weights)
        assert one == other and one["firing_rate"] > 0.0


def test_a_batch_without_present_examples_is_in_no_mean():
    found = []
    for batches in (1, 2):
        model, weight = learner(4), np.repeat([1.0, 0.0], 4)[: 4 * batches]
        x, y = (np.concatenate([each] * batches) for each in (EXAMPLES, TARGETS))
        model.fit(x, y, sample_weight=weight, batch_size=4, shuffle=False, verbose=0)
        found.append([model.diagnostics()[name] for name in MEANS])
    assert found[0] == found[1] and found[0][0] > 0.0
    assert np.isnan(measured(model, EXAMPLES, TARGETS, sample_weight=np.zeros(4))["silent_units"])


@slow
def test_a_layer_of_another_batch_counts_all():
    x = np.concatenate([EXAMPLES, EXAMPLES[::-1]], 1)
    weighted = {"sample_weight": np.ones(4)}
    one, other = (measured(learner(4, pairs=True), x, TARGETS, **arguments) for arguments in (weighted, {}))
    np.testing.assert_allclose(one["sensitivity_loss"], other["sensitivity_loss"], rtol=1e-6)


@slow
def test_a_step_that_fails_leaves_nothing():
    model = learner(4)
    with pytest.raises(Exception):  # noqa: B017 - Keras' own, of many kinds
        model.train_on_batch(EXAMPLES, np.zeros((4, 5)), sample_weight=ABSENT)
    assert running_step() is None and model.rule_layers[0].report is None
    assert np.isfinite(model.predict_on_batch(EXAMPLES)).all()


# What is not finite in the states alone

HOP, STEPS = 4, 3
SOUND = dict(bands=3, units=4, sampling_rate=1000.0, frame=8.0, hop=float(HOP), seed=1, stateful=True)
IN_FRONT = {  # name: (the first layer, samples a step, features, the feature that may be spoilt)
    **{f"sound, {code}": (lambda code=code: kk.AudioEncoder(code=code, **SOUND), HOP, 1, 0) for code in
       ("threshold", "delta", "bernoulli", "latency")},
    "context": (lambda: kk.SpikeEncoder(4, "threshold", context_switch=3, stateful=True), 1, 2, 1),
    "frozen": (lambda: kk.RNN(kk.LIFCell(5, input_gain=9.0), "eprop", stateful=True, trainable=False), 1, 2, 0),
    "statistics": (lambda: keras.layers.BatchNormalization(), 1, 2, 0),
}  # fmt: skip
BAD = {  # values that stay in the states
    "sound, threshold": (1e30, np.nan, np.inf),
    "sound, delta": (np.nan, np.inf, 1e30),
    "sound, bernoulli": (np.nan, np.inf, 1e30),
    "sound, latency": (1e30, np.nan, np.inf),
    "context": (-np.inf, np.nan),
    "frozen": (np.nan, np.inf),
}


def bad(*quick, more=()):
    """Each kind of state with each bad value; those of the `quick` kinds with their first one where time is short."""
    rows = [*((front, value) for front, values in BAD.items() for value in values), *more]
    marks = [() if front in quick and value is BAD[front][0] else slow for front, value in rows]
    return pytest.mark.parametrize("front, value", [pytest.param(*row, marks=mark) for row, mark in zip(rows, marks)])


def behind(front, **settings):
    """A network whose first layer stops what is not finite, so that its answers are finite all the same."""
    keras.utils.set_random_seed(4)
    layer, samples, features, _ = IN_FRONT[front]
    inputs = keras.Input(batch_shape=(B, STEPS * samples, features), name="signal")
    x = kk.RNN(kk.LIFCell(2, input_gain=9.0), traces=TRACES, seed=1, stateful=True)(layer()(inputs))
    model = kk.Model(inputs, kk.Readout(2, stateful=True)(x))
    settings = {"run_eagerly": True, "sensitivity_every": 1, **settings}
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **settings)
    return model


def three_pieces(front, value):
    """Three pieces of a stream, and the second with a bad value in its first row."""
    _, samples, features, spoilt = IN_FRONT[front]
    pieces = np.random.default_rng(3).normal(0.5, 0.5, (3, B, STEPS * samples, features)).astype("float32")
    broken = pieces[1].copy()
    broken[0, 2, spoilt] = value
    return pieces, broken


ONES = np.ones((B, STEPS, 2), "float32")


@bad("sound, threshold", more=[("statistics", 1e30)])
def test_a_piece_that_leaves_states_behind_that_are_not_finite_never_came(front, value):
    """Though its loss and gradients are finite: weights, both optimizers, states, draws and metrics.

    What is blamed is the input, but not if it is finite.
    """
    (one, two, three), broken = three_pieces(front, value)
    found, blamed = [], 'new (state|value) of "' if np.isfinite(value) else 'input "signal" of the batch'
    for course in ((one, two), (one, broken, two)):
        model, logs = behind(front), None
        for piece in course:
            logs = model.train_on_batch(piece, ONES)
            assert model.diagnostics()["skipped_updates"] == (piece is broken)
            if piece is broken:
                said = model._nonfinite.read()
                assert re.match(blamed, said.problem)
                assert ("Scale the inputs" in said.advice) == bool(np.isfinite(value))
        found.append([*everything(model), np.asarray(logs), model.predict_on_batch(three)])
    all_same(*found)
    assert all(np.isfinite(each).all() for each in found[0]) and np.any(found[0][-1])


@bad("sound, latency", "context")
@pytest.mark.parametrize("ask", ["predict", pytest.param("evaluate", marks=slow)])
def test_what_is_not_finite_does_not_go_on(front, value, ask):
    """The row with the bad piece answers as if it had never come; the other row goes on with its own piece."""
    (one, two, three), broken = three_pieces(front, value)
    if front == "sound, bernoulli":  # draws are counted for all rows together
        broken = np.where(np.isfinite(broken) & (np.abs(broken) < 1e9), broken, value)
        broken[1] = broken[0]
    ended = []
    for course in ((one,), (one, two), (one, broken)):
        model = behind(front)
        for piece in course:
            if ask == "predict":
                model.predict_on_batch(piece)
            else:
                model.test_on_batch(piece, ONES)
        ended.append([*states(model), model.predict_on_batch(three)])
    never_came, good, found = ended
    for kept, new, state in zip(never_came, good, found, strict=True):
        if front == "sound, bernoulli" or not np.ndim(state):
            np.testing.assert_array_equal(state, kept)
            continue
        np.testing.assert_array_equal(state[0], kept[0])
        np.testing.assert_array_equal(state[1], new[1])
    assert any(np.any(kept != new) for kept, new in zip(never_came, good))
