"""Networks that fell silent or say nothing any more are reported, with what to turn; all others are not."""

import warnings

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.training.watch import out_of_range

T, I, B = 20, 3, 4  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (8, T, I)).astype("float32")
CELLS = {
    "spiking": (kk.LIFCell, 0.5),  # tau_ref of one step: a spike every second one
    "no refractory time": (lambda units, **more: kk.LIFCell(units, tau_ref=0.0, **more), 1.0),
    "long refractory time": (lambda units, **more: kk.LIFCell(units, tau_ref=3.5, dt=1.0, **more), 0.25),
    "soft reset": (lambda units, **more: kk.LIFCell(units, reset="soft", **more), 1.0),
    "resonator": (lambda units, **more: kk.ResonatorCell(units, period=1e6, **more), 1.0),
    "rate": (kk.LeakyRNNCell, 1.0),
}


def fit(cell, epochs=1, x=X, **settings):
    """What `fit` warns of, and its history."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((T, I))
    hidden = kk.RNN(cell, seed=1, return_sequences=False, **settings)(inputs)
    model = kk.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile("sgd", "mse", run_eagerly=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        history = model.fit(x, np.zeros((8, 1)), batch_size=B, epochs=epochs, verbose=0).history
    return [str(each.message) for each in said if each.category is RuntimeWarning], history


@pytest.mark.parametrize("name", CELLS)
def test_the_highest_activity_is_that_of_a_network_under_strong_currents(name):
    make, highest = CELLS[name]
    cell = make(5, kernel_initializer=keras.initializers.Constant(1e4))
    outputs = keras.layers.RNN(cell, return_sequences=True)(np.ones((2, 40, I), "float32"))
    assert cell.highest_activity == highest
    np.testing.assert_allclose(np.mean(np.abs(outputs)), highest, rtol=0.03)


def test_a_silent_network_is_reported_once():
    said, history = fit(kk.LIFCell(5, input_gain=0.0, recurrent_gain=0.0), epochs=2)
    assert history["silent_units"] == [1.0, 1.0]
    (message,) = said
    assert "silent: 100% of the units" in message and "input_gain" in message and "base_threshold" in message


def test_a_saturated_network_is_reported():
    cell = kk.LIFCell(5, kernel_initializer=keras.initializers.Constant(1e4), recurrent_gain=0.0)
    (message,), history = fit(cell, x=np.abs(X))
    assert history["firing_rate"][0] > 0.45
    assert "saturated" in message and "0.5 is the highest" in message and "tau_ref" in message


def test_a_perturbation_that_does_not_hold_is_reported():
    """Its restarts are counted: with a bound that every effect exceeds in every step, all of them."""
    said, history = fit(kk.LIFCell(5, input_gain=6.0), max_perturbation=1e-6)
    assert history["restarted_perturbations"][0] > 0.9 and history["sensitivity_loss"][0] < 1e-9
    assert any("max_perturbation" in message and "recurrent_gain" in message for message in said)


@pytest.mark.parametrize("make", [kk.LIFCell, kk.ResonatorCell, kk.LeakyRNNCell])
def test_networks_as_they_are_by_default_are_not_reported(make):
    said, history = fit(make(5))
    assert said == [] and history["restarted_perturbations"] == [0.0]


def test_a_model_without_rule_layers_is_not_reported():
    assert list(out_of_range({"firing_rate": 0.0, "silent_units": 0.0}, [])) == []


@pytest.mark.parametrize(
    "rate, silent, restarted, words",
    [
        (0.0, 1.0, 0.0, ["silent"]),
        (5e-4, 0.95, 0.0, ["silent"]),
        (0.0252, 0.82, 0.0, []),  # a relu network that learned: `smnist-irnn` after 2,000 steps
        (0.019, 0.0, 0.0, []),  # the least of all experiments
        (0.36, 0.0, 0.0, []),  # the most of the spiking ones
        (0.49, 0.0, 0.0, ["saturated"]),
        (0.2, 0.0, 0.11, ["restarted"]),
        (0.2, 0.0, 0.09, []),
    ],
)
def test_what_is_out_of_range(rate, silent, restarted, words):
    layer = kk.RNN(kk.LIFCell(5))
    logs = {"firing_rate": rate, "silent_units": silent, "restarted_perturbations": restarted}
    assert [word for word, _ in out_of_range(logs, [layer])] == words


class OwnStep(kk.Model):
    """A model whose step returns what it likes."""

    def train_step(self, data):
        return {"loss": super().train_step(data)["loss"]}


@pytest.mark.parametrize("kind", [kk.Model, OwnStep])
def test_whatever_is_logged(kind):
    """Metrics of several numbers, steps that leave ours out."""
    inputs = keras.Input((5, 3))
    spikes = kk.RNN(kk.LIFCell(4, input_gain=1.5, tau_ref=0.0))(inputs)
    network = kind(inputs, keras.layers.Softmax()(kk.TimeAverage(5)(kk.Readout(2)(spikes))))
    network.compile("sgd", "mse", metrics=[keras.metrics.F1Score(average=None)], jit_compile=False)
    history = network.fit(np.ones((4, 5, 3), "float32"), np.eye(2)[[0, 1, 1, 0]], batch_size=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and (np.shape(history.get("f1_score", [[0, 0]])) == (1, 2))


@pytest.mark.parametrize("kind", ["metrics", "weighted_metrics"])
def test_no_metric_takes_the_name_of_ours(kind):
    inputs = keras.Input((5, 3))
    network = kk.Model(inputs, kk.RNN(kk.LIFCell(4))(inputs))
    with pytest.raises(ValueError, match=rf"{kind} must have other names than .*; received 'firing_rate'"):
        network.compile("sgd", "mse", **{kind: ["mae", keras.metrics.MeanSquaredError(name="firing_rate")]})
