"""The race: what its clock counts, that all get the same digits, and its results file."""

import dataclasses
import importlib
import json
import types

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.configs import SMNIST
from notebooks.lab import race
from notebooks.lab.benchmark import network
from notebooks.lab.benchmark.environments import PEERS, SCRIPTS
from notebooks.lab.benchmark.peers import task

WORKER = """
import time
from racing import run

def build(settings):
    time.sleep(0.1)
    def train(pixels, labels, rate):
        assert 0.0 <= rate <= settings["learning_rate"] == 0.25
        assert pixels.dtype == "float32" and labels.dtype == "int64" and pixels.shape[0] == labels.shape[0] == 2
        time.sleep(0.05)
        if settings["rule"] == "broken":
            raise ValueError("what was wrong")
    def predict(pixels):
        time.sleep(0.5)
        return pixels[:, 0].astype(int)
    return train, predict, {"package": "1.0"}

run(None, build)
"""


@pytest.mark.slow
def test_the_clock_counts_building_and_training_but_no_evaluation(tmp_path, monkeypatch):
    """0.1 s, then 0.05 s a step: the two marks are passed after 2 and 8 steps, if nothing takes longer.

    Digits of three steps whose first pixel is their label, but for one of four in the validation data.
    """
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(race, "OURS", tmp_path / "worker.py")
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS))
    monkeypatch.setitem(race.COMMON, "batch", 2)
    monkeypatch.setattr(race, "MARKS", (0.12, 0.19, 9.0))
    pixels = np.arange(15, dtype=np.float32).reshape(5, 3)
    labels = pixels[:, 0].astype(np.int64)
    data = {"pixels": pixels, "labels": labels}
    data |= {"validation_pixels": pixels[:4], "validation_labels": labels[:4] + [0, 0, 0, 1]}
    data |= {"test_pixels": pixels[:2], "test_labels": labels[:2] + [0, 1]}
    settings = {"seconds": 0.5, "units": 4, "seed": 0, "threads": 1}
    found = race.run_row(race.Row("a row", "bptt", {}), 0.25, settings, data, None)
    assert found["label"] == "a row" and found["versions"] == {"package": "1.0"}
    first, *_, last = found["points"]
    assert 0.15 <= first["seconds"] and 0.5 <= last["seconds"] < 1.0  # evaluations alone are of 1 s
    assert 1 <= first["steps"] < last["steps"] <= 8
    assert [point["accuracy"] for point in found["points"]] == [0.75] * len(found["points"])
    assert [point.get("test") for point in found["points"]] == [None] * (len(found["points"]) - 1) + [0.5]
    with pytest.raises(RuntimeError, match="a row: ValueError: what was wrong\n(.|\n)*Traceback"):
        race.run_row(race.Row("a row", "broken", {}), 0.25, settings, data, None)


def test_batches_are_epochs_in_another_order_each(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    racing = importlib.import_module("racing")
    found = racing.batches(7, 3, seed=4)
    epochs = [np.concatenate([next(found), next(found)]) for _ in range(3)]
    assert all(len(set(epoch)) == 6 and max(epoch) < 7 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    np.testing.assert_array_equal(next(racing.batches(7, 3, seed=4)), epochs[0][:3])
    data = {"test_pixels": np.arange(250), "test_labels": np.zeros(250)}
    assert racing.accuracy(lambda x: x % 2, data, "test") == 0.5  # three chunks, the last one shorter
    assert [racing.falling(4.0, share) for share in (0.0, 0.5, 1.0, 1.2)] == pytest.approx([4.0, 2.0, 0.0, 0.0])


def test_of_the_learning_rates_the_best_on_validation_digits_counts(monkeypatch):
    def run_row(row, rate, settings):
        return {"rate": rate, "points": [{"accuracy": 0.9}, {"accuracy": {0.1: 0.4, 0.2: 0.6, 0.4: 0.5}[rate]}]}

    monkeypatch.setattr(race, "run_row", run_row)
    found = race.best_of_row(race.Row("a row", "bptt", {}, None, (0.1, 0.2, 0.4)), {})
    assert found["rate"] == 0.2 and found["tried"] == [(0.1, 0.4), (0.2, 0.6), (0.4, 0.5)]


def test_the_digits_are_those_of_the_experiment_and_peers_get_the_spikes_of_its_encoder():
    data = race.digits()
    assert data["pixels"].shape == (6500, 838) and data["validation_pixels"].shape == (500, 838)
    assert data["test_pixels"].shape == (len(data["test_labels"]), 838) == (1000, 838)
    x, y = next(iter(kk.data.sequential_mnist(batch_size=500).validation))
    np.testing.assert_array_equal(data["validation_pixels"], x[..., 0])
    np.testing.assert_array_equal(data["validation_labels"], y)
    pixels = data["pixels"][:3]
    encoder = kk.SpikeEncoder(80, code="threshold", context_switch=784)
    expected = encoder(tf.stack([pixels, tf.ones_like(pixels)], -1))
    found = task.encode(pixels, {"batch": 7, "steps": 838, "inputs": 81})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.transpose(1, 0, 2), expected)


def test_slow_membranes_go_as_far_as_fast_ones():
    """A lasting current moves v <- decay v + drive current to drive / (1 - decay), which is the same for all."""
    settings = {"units": 5, "slowest": 400.0}
    tau = task.tau_m(settings)
    assert (tau[0], tau[-1]) == pytest.approx((20.0, 400.0))
    np.testing.assert_allclose(task.drive(settings) / -np.expm1(-1.0 / tau), 1.0 / -np.expm1(-1.0 / 20.0), rtol=1e-5)
    assert (task.tau_m({"units": 5}), task.drive({"units": 5})) == (20.0, 1.0)


def test_ours_is_the_experiment_but_for_what_counts_on_its_length():
    settings = {**race.COMMON, "steps": 838, "context_steps": 54, "units": 200, "seed": 0, "rule": "kernl", "layer": {}}
    settings["learning_rate"] = race.ROWS["kernl"].rates[1]
    assert dataclasses.replace(network.experiment_of(settings), schedule="cosine", weight_decay=1.0) == SMNIST
    other = network.experiment_of({**settings, "rule": "bptt", "layer": {"window": 64}, "seed": 3, "units": 50})
    assert (other.rule, other.rule_settings, other.layer_settings, other.seed) == ("bptt", {}, {"window": 64}, 3)
    for row in race.ROWS.values():
        assert row.rule in (kk.rules.NAMES if row.peer is None else PEERS[row.peer].rules)


def test_ours_takes_a_step_with_the_rate_that_it_is_given(monkeypatch):
    model, seen = types.SimpleNamespace(optimizer=types.SimpleNamespace()), []
    model.train_on_batch = lambda x, y: seen.append((model.optimizer.learning_rate, x.shape, y))
    monkeypatch.setattr(network, "set_threads", lambda settings: None)
    monkeypatch.setattr(network, "build_experiment", lambda *_, **__: model)
    settings = {**race.COMMON, "steps": 838, "context_steps": 54, "units": 200, "seed": 0, "rule": "bptt", "layer": {}}
    train, _, _ = network.build_racer({**settings, "learning_rate": 1.0})
    train(np.zeros((2, 5), "float32"), 7, 0.25)
    train(np.zeros((2, 5), "float32"), 8, 0.0)
    assert seen == [(0.25, (2, 5, 2), 7), (0.0, (2, 5, 2), 8)]


def test_a_failure_is_told_after_the_others_have_run(tmp_path, monkeypatch, capsys):
    def run_row(row, rate, settings, data, folder):
        if row.rule == "eprop":
            raise RuntimeError("e-prop: no spikes")
        points = [{"seconds": 2.0, "accuracy": 0.5, "test": 0.4}]
        return {"label": row.label, "settings": settings, "versions": {}, "points": points}

    monkeypatch.setattr(race, "run_row", run_row)
    path = tmp_path / "race.json"
    with pytest.raises(SystemExit):
        race.main(["--only", "eprop", "bptt", "--seconds", "2", "--units", "5", "--output", str(path)])
    said = capsys.readouterr()
    assert "0.500 at 2 s, 0.400 of the test digits" in said.out and "e-prop: no spikes" in said.err
    found = json.loads(path.read_text())["race"]
    assert list(found["rows"]) == ["bptt"] and set(found) >= {"machine", "seconds", "seed"}
    assert found["rows"]["bptt"]["settings"]["units"] == 5
    assert set(found["rows"]["bptt"]) >= {"versions", "git_revision", "command"}


def test_a_second_command_adds_its_rows(tmp_path, monkeypatch, capsys):
    def run_row(row, rate, settings, data, folder):
        points = [{"seconds": 2.0, "accuracy": 0.5, "test": 0.4}]
        return {"label": row.label, "versions": {row.peer or "keras": "1"}, "points": points}

    monkeypatch.setattr(race, "run_row", run_row)
    path = tmp_path / "race.json"
    small = ["--seconds", "2", "--units", "5", "--output", str(path)]
    for name in ("norse", "kernl"):
        race.main(["--only", name, *small])
    before = path.read_text()
    rows = json.loads(before)["race"]["rows"]
    assert {name: row["versions"] for name, row in rows.items()} == {"kernl": {"keras": "1"}, "norse": {"norse": "1"}}
    assert list(rows) == ["kernl", "norse"]
    with pytest.raises(SystemExit):
        race.main(["--only", "eprop", *small, "--units", "6"])
    assert "is of a race with other settings" in capsys.readouterr().err and path.read_text() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kernl", "kernl-halves", "kernl-64", "eprop", "truncated-64", "bptt"])
def test_a_small_row_of_ours(name, tmp_path, monkeypatch):
    """Digits of 28 pixels: the middle row."""
    steps = [*range(392, 420), *range(784, 838)]
    small = {key: value[:40, steps] if value.ndim > 1 else value[:40] for key, value in race.digits().items()}
    layer = {**race.ROWS[name].layer, **({"window": 41} if name == "kernl-halves" else {})}
    monkeypatch.delenv("PYTHONPATH", raising=False)  # the script finds the checkout by itself
    settings = {"seconds": 0.1, "units": 8, "seed": 1, "threads": 1}
    found = race.run_row(race.ROWS[name]._replace(layer=layer), 1e-3, settings, small, None)
    (point,) = found["points"]
    assert point["steps"] == 1 and point["seconds"] > 0.1 and 0.0 <= point["accuracy"] <= 1.0
    assert set(found["versions"]) == {"tensorflow", "keras"}
