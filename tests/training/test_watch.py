"""Layers that fell silent or say nothing any more are reported, with what to turn; all others are not."""

import warnings

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.training.diagnostics import LARGE, not_scaled, out_of_range

from ..reference.cases import taking_turns
from ..reference.tools import through

T, I, B = 20, 3, 4  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (8, T, I)).astype("float32")
CELLS = {
    "spiking": (kk.LIFCell, 0.5),  # tau_ref of one step: a spike every second one
    "no refractory time": (lambda units, **more: kk.LIFCell(units, tau_ref=0.0, **more), 1.0),
    "long refractory time": (lambda units, **more: kk.LIFCell(units, tau_ref=3.5, dt=1.0, **more), 0.25),
    "soft reset": (lambda units, **more: kk.LIFCell(units, reset="soft", **more), 1.0),
    "resonator": (lambda units, **more: kk.ResonatorCell(units, period=1e6, **more), 1.0),
    "rate": (lambda units, **more: kk.LeakyRNNCell(units, tau=None, **more), 1.0),
}


def build(cell, features=I, front=(), **settings):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((None, features))
    hidden = kk.RNN(cell, seed=1, return_sequences=False, name="hidden", **settings)
    x = through([*front, hidden], inputs)  # whose weights are drawn first
    model = kk.Model(inputs, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def fit(model, epochs=1, x=X):
    """What `fit` warns of, and what the model measured."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(x, np.zeros((len(x), 1)), batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return [str(each.message) for each in said if each.category is RuntimeWarning], model.diagnostics()


@pytest.mark.parametrize("name", CELLS)
def test_the_highest_activity_is_that_of_a_network_under_strong_currents(name):
    make, highest = CELLS[name]
    cell = make(5, kernel_initializer=keras.initializers.Constant(1e4))
    outputs = keras.layers.RNN(cell, return_sequences=True)(np.ones((2, 40, I), "float32"))
    assert cell.highest_activity == highest
    np.testing.assert_allclose(np.mean(np.abs(outputs)), highest, rtol=0.03)


STRONG = dict(kernel_initializer=keras.initializers.Constant(1e4), recurrent_gain=0.0)
RESTARTING = kk.rules.KeRNL(perturbation=kk.rules.Tangent(max_perturbation=1e-6))  # every effect exceeds it
SILENT = dict(input_gain=0.0, recurrent_gain=0.0)
OUT_OF_RANGE = {  # word: (model, inputs, words of the message, lowest and highest that is measured at last)
    "silent": (lambda: build(kk.LIFCell(5, **SILENT), front=[kk.RNN(kk.LIFCell(5), name="first")]), X[:, :6],
               ("100% of its units", "input_gain", "base_threshold"), {"silent_units": (0.5, 0.9)}),
    "saturated": (lambda: build(kk.LIFCell(5, **STRONG)), np.abs(X), ("100% of its units", "input_gain"),
                  {"firing_rate": (0.45, 1.0), "saturated_units": (1.0, 1.0)}),
    "learns little": (lambda: build(kk.LIFCell(5, input_gain=6.0), rule=RESTARTING), X[:, :8],
                      ("max_perturbation", "recurrent_gain"),
                      {"restarted_perturbations": (0.9, 1.0), "sensitivity_loss": (0.0, 1e-9)}),
}  # fmt: skip


@pytest.mark.parametrize("word", OUT_OF_RANGE)
def test_a_layer_out_of_range_is_reported_once(word):
    make, x, words, measured = OUT_OF_RANGE[word]
    said, found = fit(make(), epochs=1 if word == "learns little" else 2, x=x)  # M learns in the first step
    (message,) = [each for each in said if word in each]
    assert len(said) == 1 or word == "learns little"
    assert "ayer 'hidden'" in message and all(each in message for each in words)
    for name, (low, high) in measured.items():
        assert low <= found[name] <= high


@pytest.mark.parametrize("kind", taking_turns(["rate", "spiking", "no refractory time", "long refractory time"], 4))
def test_inputs_that_are_far_too_large_are_reported(kind):
    """Inputs of one sign, as raw counts or degrees are, hold half of the units at their limit and half of them down."""
    x = np.random.default_rng(0).uniform(size=(8, 20 if kind == "rate" else 40, 1)).astype("float32")
    model = build(CELLS[kind][0](40), features=1)
    assert fit(model, x=x - x.mean())[0] == []
    said, found = fit(model, x=1000.0 * x)
    assert 0.3 < found["saturated_units"] and (kind == "rate" or found["firing_rate"] < 0.7)
    assert any("saturated" in message and "Scale the inputs" in message for message in said)


@pytest.mark.parametrize(
    "rate, silent, saturated, restarted, words",
    [
        (0.0, 1.0, 0.0, 0.0, ["silent"]),
        (5e-4, 0.95, 0.0, 0.0, ["silent"]),
        (0.0252, 0.82, 0.0, 0.0, []),  # a relu network that learned: `smnist-irnn` after 2,000 steps
        (0.019, 0.0, 0.0, 0.0, []),  # the least of all experiments
        (0.36, 0.0, 0.01, 0.0, []),  # the most of the spiking ones
        (0.25, 0.5, 0.3, 0.0, ["saturated"]),
        (0.2, 0.0, 0.0, 0.21, ["restarted"]),
        (0.1, 0.0, 0.0, 0.16, []),  # `ecg-200`, which explains 90 % of what its perturbations do
    ],
)
def test_what_is_out_of_range(rate, silent, saturated, restarted, words):
    means = {"firing_rate": rate, "silent_units": silent, "saturated_units": saturated}
    means["restarted_perturbations"] = restarted
    assert [word for word, _ in out_of_range("hidden", means)] == words


def recordings(scaled):
    """Acceleration, rotation and temperature as in the guide: sizes 0.02, 30 and 30."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 8, I)) * [0.016, 30.0, 0.1] + [0.0, 0.0, 30.0]
    return np.float32((x - x.mean((0, 1))) / x.std((0, 1)) if scaled else x)


@pytest.mark.parametrize("cell", taking_turns([kk.LeakyRNNCell, kk.ResonatorCell, kk.LIFCell, kk.LSTMCell], 4))
def test_inputs_that_are_not_scaled_are_reported_once(cell):
    """Networks as they are by default on scaled ones are not."""
    said, _ = fit(build(cell(5)), epochs=2, x=recordings(scaled=False))
    (message,) = [each for each in said if "not scaled" in each]
    assert "Layer 'hidden'" in message and "keras.layers.Normalization" in message
    size = float(message.split(" is ")[1].split(" and ")[0])
    assert "feature 1 is" in message or "feature 2 is" in message
    assert 25.0 < size < 35.0 and "and that of feature 0 is 0.01" in message
    for x in (X[:, :8], recordings(scaled=True)):
        said, found = fit(build(cell(5)), x=x)
        assert said == [] and (cell is kk.LSTMCell or found["restarted_perturbations"] == 0.0)


def test_inputs_are_looked_at_in_the_first_batch_that_is_not_skipped():
    model, found = build(kk.LeakyRNNCell(5)), recordings(scaled=False)
    said, _ = fit(model, x=np.concatenate([np.full_like(found, np.nan), found]))
    assert sum("not scaled" in message for message in said) == 1
    assert not [message for message in said if "invalid value" in message]  # NumPy's


def test_what_a_layer_receives_is_measured_at_the_steps_that_count():
    x = recordings(scaled=False)[:, :8]
    x[1, 5:] = 0.0
    x[4:] = 1e3  # the second batch is another one
    model = build(kk.LIFCell(5), rule="eprop", front=[keras.layers.Masking()])
    steps = np.concatenate([x[0], x[1, :5], x[2], x[3]])
    diagnostics = model.get_layer("hidden").diagnostics
    for batch in (np.full_like(x[:4], np.nan), x[:4], 3.0 * x[:4]):  # the first is left out, and one is enough
        model.train_on_batch(batch, np.zeros((4, 1)))
        if not np.isnan(batch).any():
            np.testing.assert_allclose(diagnostics.input_sizes(), np.sqrt(np.mean(steps**2, 0)), rtol=1e-5)
    model.fit(0.1 * x[:4], np.zeros((4, 1)), verbose=0)  # measures anew
    np.testing.assert_allclose(diagnostics.input_sizes(), 0.1 * np.sqrt(np.mean(steps**2, 0)), rtol=1e-5)


TASKS = {
    "pixels": lambda: kk.data.sequential_mnist("sample", batch_size=16),
    "rows": lambda: kk.data.sequential_mnist("sample", layout="rows", context_steps=0, batch_size=64),
    "adding": lambda: kk.data.adding_problem(steps=100, examples=200, batch_size=50),
    "anbn": lambda: kk.data.anbn(steps=200, shortest=1, longest=32, examples=200, batch_size=50),
    "heartbeats": lambda: kk.data.ecg(batch_size=16),
}


@pytest.mark.parametrize("task", TASKS)
def test_the_packaged_data_are_scaled(task):
    """Each feature is far from the limit in every one of the first batches."""
    for x, *_ in TASKS[task]().train.take(3):
        sizes = np.sqrt(np.mean(np.square(x), (0, 1)))
        assert not_scaled("hidden", sizes) is None and sizes.max() < LARGE / 3


def test_one_large_feature_is_enough_and_small_ones_are_not():
    assert not_scaled("hidden", np.array([1.0, 0.0, 1e-4])) is None
    assert not_scaled("hidden", np.array([np.nan, 1.0])) is None
    assert "feature 1 is 11, where" in not_scaled("hidden", np.array([0.0, 11.0]))


def test_an_epoch_with_a_rate_of_zero_is_reported_and_a_warm_up_is_not():
    """A constant rate of 0 was meant."""
    schedules = keras.optimizers.schedules
    ended, warm_up = schedules.PolynomialDecay(0.1, 2, 0.0), schedules.PolynomialDecay(0.0, 2, 0.1)
    for rate, warned in ((0.0, [0, 0]), (warm_up, [0, 0]), (ended, [0, 1])):
        inputs = keras.Input((3,))
        model = kk.Model(inputs, keras.layers.Dense(1)(inputs))
        model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
        for expected in warned:  # two updates in each
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                model.fit(np.ones((2, 3)), np.ones((2, 1)), batch_size=1, verbose=0)
            assert sum("learning rate was 0 in the whole epoch" in str(each.message) for each in said) == expected
