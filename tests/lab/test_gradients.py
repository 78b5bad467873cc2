"""Gradients with a window, and in linear memory, beside backpropagation's."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.configs import EXPERIMENTS, RESONATOR
from kernl_keras.experiments.pretrained import variables
from kernl_keras.experiments.run import load_saved, train
from kernl_keras.rules import BPTT, KeRNL
from kernl_keras.training.alignment import backpropagated_errors
from notebooks.lab import borders
from notebooks.lab import memory as lab_memory
from notebooks.lab.gradients import Gradients, agreement, numbers_behind, numbers_inside

from ..reference.tools import all_same
from .test_sweeps import TINY as RATES

T, INPUTS, UNITS = 6, 2, 4
J = INPUTS + UNITS + 1
SPIKING = EXPERIMENTS["adding-spiking"]
NORMAL = {"class_name": "RandomNormal", "config": {"stddev": 2.0, "seed": 1}}
OF_UNITS = {"units": UNITS, "tau_m": [5.0, 20.0] * 2, "bias_initializer": "zeros", "kernel_initializer": NORMAL}
ADAPTIVE = dataclasses.replace(
    SPIKING,
    name="adaptive",
    task_settings={"steps": T, "examples": 40, "validation": 8, "test": 8},
    cell_settings={**SPIKING.cell_settings, **OF_UNITS, "tau_ref": 2.0, "adaptation_strength": [1.0, 1.0, 0.0, 0.0]},
    readout_settings={**SPIKING.readout_settings, "kernel_initializer": "glorot_uniform"},
    **{"batch_size": 4, "epochs": None, "steps": 4, "jit_compile": False},
)
SWINGING = dataclasses.replace(
    RATES, name="swinging", cell_settings={**RATES.cell_settings, "period": [4.0, 9.0, 4.0]}, rule_settings={}
)


def random_network(experiment):
    """A network with random weights, and an M of its own."""
    model = build_model(experiment, T, INPUTS, 1)
    if experiment.learns_sensitivity:
        m = model.get_layer("hidden").sensitivity_tensor
        m.assign(np.random.default_rng(3).normal(size=m.shape))
    return model


def gradient(model, experiment, rule, **layer):
    """dC/dW of the first validation digits, by the layer itself, as one vector."""
    data = load_data(experiment)
    experiment = dataclasses.replace(experiment.with_rule(rule), layer_settings=layer)
    copy = build_model(experiment, data.time_steps, data.features, 1)
    weights = variables(model)
    for name, weight in variables(copy).items():
        weight.assign(weights[name])
    x, y = next(iter(data.validation))
    with tf.GradientTape() as tape:
        loss = copy.compute_loss(x=x, y=y, y_pred=copy(x, training=False))
    cell = copy.get_layer("hidden").cell
    found = tape.gradient(loss, [cell.kernel, cell.recurrent_kernel, cell.bias])
    return np.concatenate([np.ravel(each) for each in found])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [SWINGING, ADAPTIVE], ids=lambda each: each.name)
def test_a_gradient_is_what_the_layer_itself_would_have(experiment):
    model = random_network(experiment)
    layer, batch = model.get_layer("hidden"), next(iter(load_data(experiment).validation))
    (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
    gradients, found = Gradients(layer, jit_compile=False), []
    for rule, made, traces in (("bptt", BPTT(), False), ("kernl", KeRNL(), False), ("kernl", KeRNL(), "linear")):
        of_layer = gradient(model, experiment, rule, window=2, traces=traces)
        found.append(np.ravel(gradients(call, error, made, 2, bool(traces))))
        assert agreement(found[-1], of_layer) == pytest.approx({"cosine": 1.0, "length": 1.0}, abs=1e-5)
    assert max(agreement(one, other)["cosine"] for one, other in itertools.combinations(found, 2)) < 0.9999


def test_numbers_by_hand():
    """Adaptive units: z, V and B of each step, and a bool; 2 time constants of membranes, 1 of thresholds."""
    layer = build_model(ADAPTIVE, T, INPUTS, 1).get_layer("hidden")
    eprop, kernl = (ADAPTIVE.with_rule(word).make_rule() for word in ("eprop", "kernl"))
    assert numbers_inside(layer, 1) == INPUTS + 3 * UNITS + UNITS // 4
    assert numbers_inside(layer, 10) == 10 * numbers_inside(layer, 1)
    gated = kk.RNN(kk.LSTMCell(UNITS), rule="eprop")
    gated.build((None, T, INPUTS))
    assert numbers_inside(gated, 1) == INPUTS + 6 * UNITS  # of each unit the output before, four gates and the memory
    assert numbers_behind(layer, eprop, False) == 2 * UNITS * J  # of potential and threshold
    means = 9 * UNITS + 1  # A, B, D and g of V and b, and their weight
    assert numbers_behind(layer, eprop, True) == 8 * J + 13 * means  # of 12 segments, and of what is older
    assert numbers_behind(layer, kernl, False) == (2 + 2) * UNITS * J  # of each time constant, one
    assert numbers_behind(layer, kernl, True) == 8 * J + 13 * means


OF_RESONATORS = {**RESONATOR, "units": UNITS, "tau_m": [5.0, 20.0] * 2, "period": [4.0, 9.0, 4.0, 6.0]}
OF_RESONATORS |= {"adaptation_strength": 1.0, "recurrent_gain": 2.0, "kernel_initializer": NORMAL}
RESONATING = dataclasses.replace(ADAPTIVE, name="resonating", cell="resonator", cell_settings=OF_RESONATORS)


@pytest.fixture(scope="module", params=[ADAPTIVE, RESONATING], ids=lambda each: each.name)
def learned(request):
    """A model, and a batch of its validation data."""
    return random_network(request.param), next(iter(load_data(request.param).validation))


def test_behind_the_borders_nothing_is_lost_but_what_is_named(learned):
    model, batch = learned
    layer = model.get_layer("hidden")
    (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
    behind = lab_memory.Behind(layer, call, np.swapaxes(error, 0, 1).astype(float), 2)
    exact = behind.gradient()

    def lost(other):
        return np.linalg.norm(exact - other) / np.linalg.norm(exact)

    assert lost(Gradients(layer, jit_compile=False)(call, error, BPTT())) < 1e-5
    assert min(lost(behind.gradient(**part)) for part in lab_memory.PARTS.values()) > 1e-4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_the_network_of_a_run_has_its_weights_and_their_direct_effect_as_m(tmp_path, eager):
    experiment = dataclasses.replace(RESONATING.with_rule("bptt"), steps=2)
    train(experiment, tmp_path / "run", verbose=0)
    model, (x, _), _ = lab_memory.network_and_digits("decayed", 1, 0, tmp_path / "run")
    saved = variables(load_saved(tmp_path / "run", experiment, (T, INPUTS)))
    assert len(x) == 8 and set(variables(model)) - set(saved) == {"hidden/draws", "hidden/sensitivity_tensor"}
    all_same({name: variables(model)[name] for name in saved}, saved)
    layer = model.get_layer("hidden")
    effects = tf.transpose(layer.cell.recurrent_weights())  # a current of 1 adds dt, 1 ms, to a resonator
    np.testing.assert_allclose(layer.sensitivity_tensor, effects, rtol=1e-6)


@pytest.mark.slow
def test_rows_of_a_network(learned, results, monkeypatch):
    monkeypatch.setattr(lab_memory, "network_and_digits", lambda *_: (*learned, [learned[1]]))
    monkeypatch.setattr(lab_memory, "DRAWS", 2)
    found = results(lab_memory, "--networks", "smnist", "--windows", "6", "2", "--seeds", "0")["memory"]
    whole = [row["cosine"] for row in found["rows"] if "crosses" in row and row["window"] == T]
    assert len(whole) == len(lab_memory.ROWS) and whole == pytest.approx([1.0] * len(whole), abs=1e-5)
    moved = {row["weights moved"]: row["cosine"] for row in found["rows"] if "weights moved" in row}
    assert len(moved) == len(lab_memory.SHARES) + 2 and moved["0.001%"] == pytest.approx(1.0, abs=1e-3)
    assert len(found["rows"]) == 2 * len(lab_memory.ROWS) + len(lab_memory.PARTS) + len(moved)
    assert found["git_revision"]


def test_gradients_after_a_move_are_of_the_weights_that_moved(learned, monkeypatch):
    """And afterwards the weights are what they were."""
    (model, batch), kernel = learned, learned[0].get_layer("hidden").cell.kernel
    monkeypatch.setattr(lab_memory, "DRAWS", 2)
    monkeypatch.setattr(lab_memory, "SHARES", (0.1, 1.0))
    before = model.get_weights()
    found = lab_memory.after_moves(model, batch, [batch], lambda _: (None, None), lambda *_: kernel.numpy(), 2, 0)
    first, second, *_ = (row["cosine"] for row in found)
    assert 0.95 < first < 0.9999 and second < 0.95
    all_same(model.get_weights(), before)


def test_rows_of_other_networks_are_kept(results, monkeypatch):
    row = {"window": 1, "crosses": "nothing", "cosine": 1.0, "length": 1.0}
    monkeypatch.setattr(lab_memory, "measure", lambda name, seed, *_: [{"network": name, "seed": seed, **row}])
    results(lab_memory, "--networks", "smnist-alif", "--seeds", "0")
    for seed in ("1", "2"):
        rows = results(lab_memory, "--networks", "smnist", "--seeds", seed)["memory"]["rows"]
        assert [(row["network"], row["seed"]) for row in rows] == [("smnist", int(seed)), ("smnist-alif", 0)]
    with pytest.raises(SystemExit):
        results(lab_memory, "--networks", "smnist", "--updates", "7")


@pytest.mark.slow
def test_what_pieces_lose_by_layers(results, monkeypatch):
    monkeypatch.setattr(borders, "UNITS", 6)
    monkeypatch.setattr(borders, "BATCH", 4)
    options = ["--layers", "2", "--windows", "64", "256", "--updates", "2", "--seeds", "0"]
    found = results(borders, *options)["borders"]
    assert len(found["rows"]) == 3 * 2 * len(borders.ROWS) and found["git_revision"]
    whole = [row["cosine"] for row in found["rows"] if row["window"] == 256]
    assert whole == pytest.approx([1.0] * len(whole), abs=1e-4)
    readout = [row["cosine"] for row in found["rows"] if row["of"] == "readout" and row["crosses"] == "KeRNL"]
    assert readout == pytest.approx([1.0] * len(readout), abs=1e-4)
