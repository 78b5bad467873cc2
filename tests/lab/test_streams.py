"""Learning from streams: how words are counted, what BrainTrace's worker gets, and what the results files say.

No test needs BrainTrace.
"""

import json
import math
import sys
import types

import numpy as np
import pytest

import kernl_keras as kk
from notebooks.lab import streams, streams_braintrace
from notebooks.lab.benchmark.environments import SCRIPTS

SMALL = streams.Task(
    {
        name: (np.random.default_rng(seed).normal(size=(16, 6, 2)).astype("float32"), np.arange(16, dtype="int32") % 3)
        for seed, name in enumerate(("train", "validation", "test"))
    },
    {"every": 10, "answer": 2},
    lambda: kk.ResonatorCell(5, tau_m=5.0, period=7.0),
    **dict(tau_out=5.0, classes=3, steps=96, tested=80, missed=streams.words_missed, windows=(4,)),
)


def test_words_missed_by_hand():
    """Two words in one row and one in the other; the mean over the steps that ask decides: 1, 1 and 0."""
    weight = np.array([[0, 1, 1, 0, 1], [1, 1, 1, 0, 0]], "float32")
    y = np.array([[0, 1, 1, 0, 0], [1, 1, 1, 0, 0]])
    ones = np.array([[0.0, 0.0, 6.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0, 0.0]])
    zeros = np.array([[0.0, 5.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0, 0.0]])
    answers = np.stack([zeros, ones], -1)
    assert streams.words_missed(answers, y, weight) == pytest.approx(2.0 / 3.0)


def test_strings_missed_by_hand():
    """Next symbols B | A A B B | A B | A A: the first string has its first B before the recording, the last no end."""
    y = np.array([[1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1]])

    def missed(*wrong):
        answers = np.eye(2)[y]
        answers[:, wrong] = 1.0 - answers[:, wrong]
        return streams.strings_missed(answers, y, None)

    assert missed() == missed(0, 2, 3, 6, 8, 9, 10) == 0.0  # what cannot be known, and a string without an end
    assert missed(4) == missed(5) == missed(7) == 0.5  # the second B, the A after it; the A after a single B
    assert missed(5, 7) == 1.0


def test_rows_of_strings_are_long_recordings(monkeypatch):
    monkeypatch.setattr(streams, "STEPS", 2_000)
    task = streams.strings(None)
    x, y = task.parts["train"]
    assert x.shape == (streams.ROWS, 2_000, 2) and task.settings["every"] == task.steps
    np.testing.assert_array_equal(x[:, 1:, 1], y[:, :-1])  # one goes on where the other ends
    lengths = np.diff(np.flatnonzero(np.diff(y[0]) == 1))
    assert lengths.max() > max(task.windows)  # from one first B to the next


@pytest.mark.parametrize("window", [1, 4, 16, 46, 64, 94])
def test_no_more_than_a_few_steps_are_left_out(window):
    task = SMALL._replace(steps=20_000)
    at_once, updates = streams.updates_of(task, window)
    assert updates % at_once == 0 and at_once <= 32
    assert 0.95 * task.steps < streams.POINTS * updates * window <= task.steps


def test_a_cue_is_far_from_its_answer():
    x, y = streams.cue(None).parts["train"]
    assert np.all(x[np.arange(len(x)), 0, y] == 1.0) and np.all(x[np.arange(len(x)), 0, 1 - y] == 0.0)
    silent = x[:, streams.CUE : streams.CUE + streams.DELAY]
    assert np.all(silent == 0.0) and silent.shape[1] > 5 * max(streams.WINDOWS)
    assert np.all(x[:, -streams.ANSWER :, 2] == 1.0) and np.all(x[..., 3:] == 0.0)


@pytest.mark.slow
def test_the_results_file(results, monkeypatch):
    monkeypatch.setitem(streams.TASKS, "small", lambda data_dir: SMALL)
    command = streams, "small", "--seeds", "0", "--rules", "eprop", "bptt"
    found = results(*command)
    (runs,) = found["streams"]["tasks"].values()
    rows = [(run["rule"], run["window"]) for run in runs]
    assert rows[:2] == [("eprop", 4), ("bptt", 4)] and rows[2][0] == "bptt" and rows[2][1] > 4
    assert all(0.0 <= run[part] <= 1.0 for run in runs for part in ("validation", "test", "wrong_steps"))
    assert [point["steps"] for point in runs[0]["curve"]] == [16, 32, 48, 64, 80, 96]
    assert all(run["curve"][-1]["validation"] == run["validation"] for run in runs)
    for run in runs:
        assert min(error for _, error, _ in run["tried"]) == run["validation"]
    assert runs[2]["numbers"] >= runs[1]["numbers"]
    assert results(*command) == found  # nothing is missing


def test_learning_rates_are_compared(results, monkeypatch):
    """All of them with the first seed, with the next one the best and those beside it; none of them twice."""
    monkeypatch.setitem(streams.TASKS, "small", lambda data_dir: SMALL)
    begun = []

    def learn(model, task, window, rate, seed):
        kept = [weight.numpy() for weight in model.trainable_variables]
        now = float(model.optimizer.learning_rate.numpy())
        begun.append((now, [weight.sum() for weight in kept]))
        [variable.assign(np.zeros_like(weight)) for variable, weight in zip(model.trainable_variables, kept)]
        return {"seed": seed, "learning_rate": rate, "validation": abs(rate - window * 1e-3), "test": 0.5}

    monkeypatch.setattr(streams, "learn", learn)
    command = streams, "small", "--windows", "1", "8", "--rates", "0.009", "0.001", "0.003", "0.0003", "--seeds", "0"
    results(*command)
    (runs,) = results(*command, "1")["stream_rates"]["tasks"].values()  # what is there stays
    tried = {(rule, window, seed): [] for rule in ("eprop", "kernl") for window in (1, 8) for seed in (0, 1)}
    for run in runs:
        tried[run["rule"], run["window"], run["seed"]].append(run["learning_rate"])
    assert all(tried[rule, window, 0] == [0.0003, 0.001, 0.003, 0.009] for rule, window, _ in tried)
    assert all(tried[rule, 1, 1] == [0.0003, 0.001, 0.003] for rule in ("eprop", "kernl"))
    assert all(tried[rule, 8, 1] == [0.003, 0.009] for rule in ("eprop", "kernl"))
    assert [rate for rate, _ in begun] == pytest.approx([run["learning_rate"] for run in runs])  # and it does not fall
    assert all(weights == begun[0][1] and any(weights) for _, weights in begun[:4])  # each begins anew


def test_digits_and_heartbeats():
    """Digits have pauses between them; heartbeats follow each other without, and each step is asked for."""
    task = streams.digits(None)
    assert task.parts["train"][0].shape == (6500, 196, 1) and task.settings["every"] == 240
    task = streams.heartbeats(None)
    x, y = task.parts["validation"]
    assert x.shape == (100, task.settings["every"], 4) and y.shape == x.shape[:2] and task.settings["answer"] is None


# Rules of BrainTrace on the stream of digits

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


@pytest.mark.slow
def test_the_results_file_of_braintrace(worker, results):
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
