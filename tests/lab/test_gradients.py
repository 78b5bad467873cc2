"""Gradients with a window, and in linear memory, beside backpropagation's."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.configs import EXPERIMENTS, RESONATOR
from kernl_keras.experiments.files import write_json
from kernl_keras.experiments.pretrained import variables
from kernl_keras.rules import BPTT
from kernl_keras.training.alignment import backpropagated_errors
from notebooks.lab import borders, windows
from notebooks.lab import memory as lab_memory
from notebooks.lab.windows import Gradients, main, numbers_behind, numbers_inside

from .test_sweeps import TINY as RATES

T, INPUTS, UNITS = 6, 2, 4
J = INPUTS + UNITS + 1
ADAPTIVE = dataclasses.replace(
    EXPERIMENTS["adding-spiking"],
    name="adaptive",
    task_settings={"steps": T, "examples": 40, "validation": 8, "test": 8},
    cell_settings={
        **EXPERIMENTS["adding-spiking"].cell_settings,
        "units": UNITS,
        "tau_m": [5.0, 20.0, 5.0, 20.0],
        "tau_ref": 2.0,
        "adaptation_strength": [1.0, 1.0, 0.0, 0.0],
        "bias_initializer": "zeros",
        "kernel_initializer": {"class_name": "RandomNormal", "config": {"stddev": 2.0, "seed": 1}},
    },
    readout_settings={**EXPERIMENTS["adding-spiking"].readout_settings, "kernel_initializer": "glorot_uniform"},
    batch_size=4,
    epochs=None,
    steps=4,
    jit_compile=False,
)
EXPONENTIAL = dataclasses.replace(ADAPTIVE, name="exponential", rule_settings={"kernel": "exponential"})
SWINGING = dataclasses.replace(
    RATES, name="swinging", cell_settings={**RATES.cell_settings, "period": [4.0, 9.0, 4.0]}, rule_settings={}
)


MEASURED = (SWINGING, ADAPTIVE, EXPONENTIAL)


def write_run(experiment, folder):
    """A directory as a run leaves it; its network has random weights, and an M of its own."""
    model = build_model(experiment, T, INPUTS, 1)
    if experiment.learns_sensitivity:
        m = model.get_layer("hidden").sensitivity_tensor
        m.assign(np.random.default_rng(3).normal(size=m.shape))
    folder.mkdir()
    model.save(str(folder / "model.keras"))
    write_json(folder / "config.json", dataclasses.asdict(experiment))
    record = {
        "experiment": experiment.name,
        "rule": experiment.rule,
        "steps": 4,
        "seed": experiment.seed,
        "git_revision": "abc",
    }
    write_json(folder / "results.json", record)
    return model


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """`{name: (network, its rows in the results file)}` of one call of the command."""
    folder, learns = tmp_path_factory.mktemp("windows"), windows.learned_from_zero
    models = {experiment.name: write_run(experiment, folder / experiment.name) for experiment in MEASURED}

    def learned(experiment, *others):  # of one network: to compile it takes seconds
        if experiment.name == EXPONENTIAL.name:
            return learns(experiment, *others)
        return np.eye(experiment.cell_settings["units"])

    path = folder / "out.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "WINDOWS", (1, 2, 16))
        patch.setattr(windows, "learned_from_zero", learned)
        assert main([*(str(folder / name) for name in models), "--zero-steps", "2", "--output", str(path)]) == 0
    found = json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)["windows"]  # no NaN, which is no JSON
    assert found["zero_steps"] == 2 and found["networks"][0]["command"].endswith(f"--output {path.name}")
    assert [network["run"]["experiment"] for network in found["networks"]] == list(models)
    return {name: (models[name], each["rows"]) for name, each in zip(models, found["networks"])}


def only(rows, crosses, memory, window, sensitivity=None):
    """The one row of these."""
    wanted = {"crosses": crosses, "memory": memory, "window": window, "sensitivity": sensitivity}
    (row,) = (row for row in rows if all(row.get(key) == value for key, value in wanted.items()))
    return row


def gradient(model, experiment, rule, **layer):
    """dC/dW of the first validation digits, by the layer itself, as one vector."""
    data = load_data(experiment)
    experiment = dataclasses.replace(experiment.with_rule(rule), layer_settings=layer)
    copy = build_model(experiment, data.time_steps, data.features, 1)
    weights = variables(model)
    for name, weight in variables(copy).items():
        weight.assign(weights[name])
    x, y = next(iter(data.validation.unbatch().batch(windows.EXAMPLES)))
    with tf.GradientTape() as tape:
        loss = copy.compute_loss(x=x, y=y, y_pred=copy(x, training=False))
    cell = copy.get_layer("hidden").cell
    found = tape.gradient(loss, [cell.kernel, cell.recurrent_kernel, cell.bias])
    return np.concatenate([np.ravel(each) for each in found])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", MEASURED, ids=lambda each: each.name)
def test_the_rows(experiment, measured):
    _, rows = measured[experiment.name]
    kinds = {(row["crosses"], row["memory"], row.get("sensitivity"), row.get("kernel")) for row in rows}
    kernel = "exponential" if experiment is EXPONENTIAL else "membrane"
    expected = {("nothing", "none", None, None)}
    expected |= {("own state", memory, None, None) for memory in ("exact", "linear")}
    for sensitivity in ("from the weights", "learned from zero"):
        expected |= {("own state and M", memory, sensitivity, "membrane") for memory in ("exact", "linear")}
    expected |= {("own state and M", "exact", "learned", kernel)}
    if kernel == "membrane":
        expected |= {("own state and M", "linear", "learned", kernel)}
    assert kinds == expected and len(rows) == 3 * len(kinds)
    for row in rows:
        if row["window"] > T:  # one window: backpropagation
            assert (row["cosine"], row["length"]) == pytest.approx((1.0, 1.0), abs=1e-5)
    assert only(rows, "nothing", "none", 1)["cosine"] < 0.999
    one, other = (only(rows, "own state and M", "exact", 1, each) for each in ("from the weights", "learned from zero"))
    assert one["cosine"] != other["cosine"]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [SWINGING, ADAPTIVE], ids=lambda each: each.name)
def test_a_row_is_what_the_layer_itself_would_do(experiment, measured):
    model, rows = measured[experiment.name]
    exact = gradient(model, experiment, "bptt")
    for crosses, rule, sensitivity in (("own state and M", "kernl", "learned"), ("nothing", "bptt", None)):
        for memory, traces in (("exact", False), ("linear", "linear")) if rule == "kernl" else (("none", False),):
            made = gradient(model, experiment, rule, window=2, traces=traces)
            row = only(rows, crosses, memory, 2, sensitivity)
            lengths = np.linalg.norm(made), np.linalg.norm(exact)
            assert row["cosine"] == pytest.approx(made @ exact / np.prod(lengths), abs=1e-5)
            assert row["length"] == pytest.approx(lengths[0] / lengths[1], rel=1e-5)
            assert row["cosine"] < 0.9999


def test_numbers_by_hand():
    """Adaptive units: z, V and B of each step, and a bool; 2 time constants of membranes, 1 of thresholds."""
    layer = build_model(ADAPTIVE, T, INPUTS, 1).get_layer("hidden")
    eprop, kernl = (ADAPTIVE.with_rule(word).make_rule() for word in ("eprop", "kernl"))
    assert numbers_inside(layer, 1) == INPUTS + 3 * UNITS + UNITS // 4
    assert numbers_inside(layer, 10) == 10 * numbers_inside(layer, 1)
    gated = kk.RNN(kk.LSTMCell(UNITS), rule="eprop")
    gated.build((None, T, INPUTS))
    assert numbers_inside(gated, 1) == INPUTS + 6 * UNITS  # of each unit the output before, four gates and the memory
    assert numbers_behind(layer, None, False) == 0
    assert numbers_behind(layer, eprop, False) == 2 * UNITS * J  # of potential and threshold
    means = 9 * UNITS + 1  # A, B, D and g of V and b, and their weight
    assert numbers_behind(layer, eprop, True) == 8 * J + 9 * means  # of 8 windows, and of what is older
    assert numbers_behind(layer, kernl, False) == (2 + 2) * UNITS * J  # of each time constant, one
    assert numbers_behind(layer, kernl, True) == 8 * J + 9 * means


def test_another_rule_is_refused(tmp_path, capsys):
    write_run(SWINGING.with_rule("eprop"), tmp_path / "run")
    with pytest.raises(SystemExit):
        main([str(tmp_path / "run"), "--output", str(tmp_path / "out.json")])
    assert "must hold a run of rule 'kernl'; received" in capsys.readouterr().err


def test_an_earlier_file_keeps_its_networks(tmp_path, capsys, monkeypatch):
    path, runs = tmp_path / "out.json", [tmp_path / name for name in ("one", "two")]
    monkeypatch.setattr(windows, "measure", lambda *_: [{"cosine": 0.5}])
    for run, seed in zip(runs, (0, 1)):
        write_run(dataclasses.replace(ADAPTIVE, seed=seed), run)
        assert main([str(run), "--output", str(path)]) == 0
    assert main([str(runs[0]), "--output", str(path)]) == 0
    networks = json.loads(path.read_text())["windows"]["networks"]
    assert [each["run"]["seed"] for each in networks] == [1, 0]
    path.write_text("{}")
    with pytest.raises(SystemExit):
        main([str(runs[0]), "--output", str(path)])
    assert "holds no such results" in capsys.readouterr().err


RESONATING = dataclasses.replace(
    ADAPTIVE,
    name="resonating",
    cell="resonator",
    cell_settings={
        **RESONATOR,
        "units": UNITS,
        "tau_m": [5.0, 20.0, 5.0, 20.0],
        "period": [4.0, 9.0, 4.0, 6.0],
        "adaptation_strength": 1.0,
        "recurrent_gain": 2.0,
        "kernel_initializer": ADAPTIVE.cell_settings["kernel_initializer"],
    },
)


def apart(one, other):
    """The length of the difference of two gradients, in that of the first."""
    return np.linalg.norm(one - other) / np.linalg.norm(one)


@pytest.fixture(scope="module", params=[ADAPTIVE, RESONATING], ids=["adaptive", "resonating"])
def learned(request, tmp_path_factory):
    """A model, and a batch of its validation data."""
    model = write_run(request.param, tmp_path_factory.mktemp("memory") / "run")
    return model, next(iter(load_data(request.param).validation))


def test_behind_the_borders_nothing_is_lost_but_what_is_named(learned):
    model, batch = learned
    layer = model.get_layer("hidden")
    (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
    behind = lab_memory.Behind(layer, call, np.swapaxes(error, 0, 1).astype(float), 2)
    exact = behind.gradient()
    assert apart(exact, Gradients(layer, jit_compile=False)(call, error, BPTT())) < 1e-5
    lost = [apart(exact, behind.gradient(**part)) for part in lab_memory.PARTS.values()]
    assert min(lost) > 1e-4


@pytest.mark.slow
def test_rows_of_a_network(learned, tmp_path, monkeypatch):
    monkeypatch.setattr(lab_memory, "network_and_digits", lambda *_: learned)
    path = tmp_path / "memory.json"
    assert lab_memory.main(["--networks", "smnist", "--windows", "6", "2", "--seeds", "0", "--output", str(path)]) == 0
    found = json.loads(path.read_text())["memory"]
    whole = [row["cosine"] for row in found["rows"] if row["window"] == T and "crosses" in row]
    assert len(whole) == len(lab_memory.ROWS) and whole == pytest.approx([1.0] * len(whole), abs=1e-5)
    assert len(found["rows"]) == 2 * len(lab_memory.ROWS) + len(lab_memory.PARTS) and found["git_revision"]


@pytest.mark.slow
def test_what_pieces_lose_by_layers(tmp_path, monkeypatch):
    monkeypatch.setattr(borders, "UNITS", 6)
    monkeypatch.setattr(borders, "BATCH", 4)
    path = tmp_path / "borders.json"
    options = ["--layers", "2", "--windows", "64", "256", "--updates", "2", "--seeds", "0", "--output", str(path)]
    assert borders.main(options) == 0
    found = json.loads(path.read_text())["borders"]
    assert len(found["rows"]) == 3 * 2 * len(borders.ROWS) and found["git_revision"]
    whole = [row["cosine"] for row in found["rows"] if row["window"] == 256]
    assert whole == pytest.approx([1.0] * len(whole), abs=1e-4)
    readout = [row["cosine"] for row in found["rows"] if row["of"] == "readout" and row["crosses"] == "KeRNL"]
    assert readout == pytest.approx([1.0] * len(readout), abs=1e-4)
