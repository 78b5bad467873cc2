"""BrainTrace on the stream of digits: what its worker gets, and the results file. No test needs BrainTrace."""

import json
import math
import sys
import types

import numpy as np
import pytest

import kernl_keras as kk
from notebooks.lab import streams, streams_braintrace
from notebooks.lab.benchmark.environments import SCRIPTS

TASK = streams.digits(None)._replace(steps=6 * 32, tested=480)
WORKER = """
import json, pathlib, sys
import numpy as np

settings = json.loads(sys.argv[1])
data = np.load(settings["data"])
folder = pathlib.Path(settings["answers"])
assert data["train_x"].shape[0] == 6 * 2
print(json.dumps({"versions": {"braintrace": "1.0"}, "numbers": 300}), flush=True)
if settings["rule"] == "EProp":
    print(json.dumps({"error": "no spikes"}))
    sys.exit(1)
for rate in settings["rates"]:
    for part, count in (("validation", settings["points"]), ("test", 1)):
        answers = np.eye(10, dtype="float32")[data[f"{part}_y"]]  # [T, B, n]: the right ones
        if rate < 0.002:
            answers = 1.0 - answers
        for point in range(1, count + 1):
            np.save(folder / (f"{part}-{rate:g}" + (f"-{point}" if part == "validation" else "")), answers)
    print(json.dumps({"rate": rate, "seconds": [2.0] * 5 + [1.0], "last_loss": 0.1}), flush=True)
"""


def test_the_worker_hears_what_our_rules_hear():
    """The same pieces in the same order, time first, from the same weights."""
    window, seed = 16, 3
    found = streams_braintrace.arrays_of(TASK, window, seed)
    _, updates = streams.updates_of(TASK, window)
    assert found["train_x"].shape == (streams.POINTS * updates, window, streams.ROWS, 1)
    for point in (1, 4):  # `streams.learn` asks for them point by point
        pieces = streams.stream(TASK, "train", window, seed, skip_pieces=(point - 1) * updates).take(updates)
        for number, piece in enumerate(pieces.as_numpy_iterator(), (point - 1) * updates):
            for name, array in zip(("x", "y", "weight"), piece):
                np.testing.assert_array_equal(found[f"train_{name}"][number].swapaxes(0, 1), array)
    for part in ("validation", "test"):
        pieces = streams.stream(TASK, part, window, seed=1_000).take(math.ceil(TASK.tested / window))
        heard = list(pieces.as_numpy_iterator())
        for k, name in enumerate(("x", "y", "weight")):
            ours = np.concatenate([piece[k] for piece in heard], 1)
            np.testing.assert_array_equal(found[f"{part}_{name}"].swapaxes(0, 1), ours)
    for rule in ("kernl", "eprop"):
        model = streams.build(TASK, rule, window, 1e-3, seed)
        cell, readout = model.get_layer("hidden").cell, model.layers[-1].cell
        np.testing.assert_array_equal(found["kernel"], cell.kernel)
        np.testing.assert_array_equal(found["recurrent"], cell.recurrent_weights())
        np.testing.assert_array_equal(found["readout"], readout.kernel)


def test_equations_of_the_worker_are_those_of_the_network():
    """What the worker computes, step by step in NumPy, from what it gets: float32 adds in another order."""
    task = TASK._replace(cell=lambda: kk.ResonatorCell(7, tau_m=30.0, period=kk.LogSpaced(6.0, 60.0), input_gain=9.0))
    p = streams_braintrace.start_of(task, 60, 0)
    x = np.random.default_rng(0).normal(size=(streams.ROWS, 60, 1)).astype("float32")
    real = imaginary = adaptation = spikes = np.zeros((streams.ROWS, 7))
    voltage, answers, count = np.zeros((streams.ROWS, 10)), [], 0
    for step in range(60):
        current = x[:, step] @ p["kernel"] + spikes @ p["recurrent"] + p["bias"]
        threshold = p["base_threshold"] + p["adaptation_strength"] * adaptation
        turned = p["turn"] * real + p["leak"] * imaginary
        real, imaginary = p["leak"] * real - p["turn"] * imaginary + p["drive"] * current, turned
        spikes = (real >= threshold).astype(float)
        adaptation = p["adaptation_decay"] * adaptation + (1.0 - p["adaptation_decay"]) * spikes
        driven = p["readout_gain"] * spikes @ p["readout"] + p["readout_bias"]
        voltage = p["readout_decay"] * voltage + (1.0 - p["readout_decay"]) * driven
        answers.append(voltage)
        count += spikes.sum()
    assert count > 100
    found = streams.build(task, "bptt", 60, 1e-3, 0).predict_on_batch(x)
    np.testing.assert_allclose(found, np.stack(answers, 1), atol=1e-5)


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A worker without BrainTrace, which answers rightly with all rates from 0.002 on."""
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(streams_braintrace, "SCRIPT", tmp_path / "worker.py")
    monkeypatch.setattr(streams_braintrace, "environment", lambda name, folder: sys.executable)
    monkeypatch.setattr(streams, "digits", lambda data_dir: TASK)
    monkeypatch.setattr(streams_braintrace, "check", lambda task, options: ({}, dict.fromkeys(CHECKED, 0.5)))


CHECKED = "answers", "gradient", "largest_gradient"


def test_the_results_file(worker, results):
    more = "--only", "D_RTRL", "D_RTRL-window", "--windows", "16", "--seeds", "0", "1"
    found = results(streams_braintrace, *more)["streams_braintrace"]
    rows = [(run["row"], run["seed"], run["learning_rate"]) for run in found["runs"]]
    assert rows == [(row, seed, 0.002) for seed in (0, 1) for row in ("D_RTRL", "D_RTRL-window")]
    step, window = found["runs"][:2]
    assert [rate for rate, _ in step["tried"]] == [0.001, 0.002, 0.005] and "tried" not in found["runs"][2]
    assert [error for _, error in step["tried"]] == [1.0, 0.0, 0.0] and step["test"] == step["wrong_steps"] == 0.0
    assert [point["steps"] for point in step["curve"]] == [32, 64, 96, 128, 160, 192]
    assert step["numbers"] == 300 and window["numbers"] == 300 + 16 * 301 and step["steps_a_second"] == 32.0
    assert found["our_trace_numbers"] == 8362 + 101
    assert results(streams_braintrace, *more)["streams_braintrace"] == found  # nothing is missing


def test_a_failure_of_the_worker_is_told(worker, tmp_path):
    options = types.SimpleNamespace(peers_dir=None, threads=1)
    with pytest.raises(RuntimeError, match="BrainTrace: no spikes"):
        streams_braintrace.learn(TASK, options, streams_braintrace.ROWS["EProp"], 16, 0, [0.001])


def test_the_script_is_there():
    assert streams_braintrace.SCRIPT.parent == SCRIPTS and streams_braintrace.SCRIPT.exists()
    json.dumps([row._asdict() for row in streams_braintrace.ROWS.values()])
