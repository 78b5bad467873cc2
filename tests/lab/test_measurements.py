"""The commands that measure one thing: what they try, and what their results files say."""

import dataclasses
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from kernl_keras.experiments.configs import EXPERIMENTS, SPOKEN_DIGITS
from kernl_keras.training.alignment import Agreement
from notebooks.lab import alignment, compiling, device, gru, kills, stream

from ..reference import made_up_recordings
from .test_tables import ON_DEVICE

ADDING = dataclasses.replace(
    EXPERIMENTS["adding"], sensitivity_every=1, name="tiny",
    task_settings={"steps": 6, "examples": 22, "validation": 5, "test": 5}, cell_settings={"units": 4, "tau": 3.0},
    batch_size=5, jit_compile=False,
)  # fmt: skip


@pytest.mark.slow
def test_alignment_while_an_experiment_trains(results, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", ADDING)
    command = ["--experiment", "tiny", "--steps", "3", "--every", "2", "--seeds", "4", "5", "--verbose", "0"]
    found = results(alignment, *command)
    assert (found["experiment"], found["steps"], found["windows"]) == ("tiny", 3, 6)
    assert found["command"] == f"python -m notebooks.lab.alignment {' '.join(command)} --output out.json"
    assert [run["seed"] for run in found["runs"]] == [4, 5]
    first, second = (run["measurements"] for run in found["runs"])
    assert [row["step"] for row in first] == [0, 2]
    of_layer = first[1]["variables"]["hidden"]
    assert set(of_layer) == {"kernl", "eprop", "eprop_alif", "rflo"}
    assert 0.0 < of_layer["eprop"]["cosine"] <= 1.0 and of_layer["eprop"]["nonlocal_cosine"] is None
    assert len(first[1]["lags"]["hidden"]["kernl"]["cosine"]) == 6
    assert first[0]["variables"] != first[1]["variables"] != second[1]["variables"]


def test_numbers_that_do_not_exist_become_null():
    found = alignment.plain({"a": Agreement(0.5, math.inf, math.nan), "b": [math.nan, 1.0]})
    assert found == {"a": {"cosine": 0.5, "norm_ratio": None, "nonlocal_cosine": None}, "b": [None, 1.0]}


TINY = {"units": 3, "distinct": 2, "window": None}


def test_all_rules_windows_and_traces_are_tried_and_what_a_layer_refuses_is_an_error():
    cases = compiling.cases()
    assert len(cases) == 1 + 7 * 3 * 3 + 2
    assert [case["units"] for case in cases if case["units"] == case["distinct"]] == [60, 100]
    for refused in (("kernl, exponential kernel", 1, "linear"), ("bptt", 1, "linear"), ("rflo", 64, False)):
        with pytest.raises(ValueError, match="window|traces"):
            compiling.build({**TINY, **dict(zip(("rule", "window", "traces"), refused))})


@pytest.mark.slow
def test_the_first_call_of_each_case(results, monkeypatch):
    case = {**TINY, "rule": "eprop", "traces": True}
    monkeypatch.setattr(compiling, "cases", lambda: [case, {**case, "rule": "bptt"}])
    found = results(compiling)["compiling"]
    (row,) = found["rows"]
    assert found["refused"] == [{**case, "rule": "bptt"}]
    assert row["seconds"] > row["later_seconds"] > 0.0 and row["processor_seconds"] > 0.0


def test_the_class_of_a_step_is_the_last_pulse():
    x, y = device.stream(400)
    last = 0
    for now, of_step in zip(x[:, 0], y[:, 0]):
        if now[: device.CLASSES].max() > 1.3:
            last = now.argmax()
        assert of_step == last
    assert np.bincount(y[:, 0]).min() > 40


@pytest.mark.slow
def test_learning_in_litert(results, monkeypatch):
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT's own interpreter needs ai-edge-litert")
    monkeypatch.setattr(device, "CASES", device.CASES[:1])
    (row,) = results(device, "--steps", "20")["on_device"]["rows"]
    assert row.keys() == ON_DEVICE.keys() and row["agreed"] == 20 and row["difference"] < 1e-6
    units, inputs, classes = device.UNITS, device.INPUTS, device.CLASSES
    weights = 4e-3 * (units * (units + inputs + 1) + classes * (units + 1))
    assert row["weights_kb"] == pytest.approx(weights) and row["file_kb"] > row["weights_kb"]
    assert row["optimizer_kb"] == pytest.approx(2.0 * weights + 0.012, abs=0.01)  # two slots, and two numbers
    assert row["traces_kb"] == pytest.approx(4e-3 * units * (units + inputs + 1))
    assert row["states_kb"] == pytest.approx(4e-3 * (units + classes))


SPEECH = dataclasses.replace(
    SPOKEN_DIGITS, task_settings={"seconds": 0.2}, front_end_settings={**SPOKEN_DIGITS.front_end_settings, "bands": 8},
    epochs=2, batch_size=20,
)  # fmt: skip


@pytest.mark.slow
def test_a_gru_of_several_seeds(results, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets", reason="the recordings are read by TensorFlow Datasets")
    folder = made_up_recordings.write(tmp_path / "data", made_up_recordings.recordings(takes=12))
    monkeypatch.setattr(gru, "EXPERIMENT", SPEECH)
    monkeypatch.setattr(gru, "UNITS", 6)
    found = results(gru, "--seeds", "0", "1", "--data-dir", str(folder))["baseline"]
    first, second = found["runs"]
    assert first["validation"] == max(accuracy for _, accuracy in first["tried"])
    assert second["learning_rate"] == first["learning_rate"] and (first["seed"], second["seed"]) == (0, 1)
    assert first["parameters"] == 3 * (8 * 6 + 6 * 6 + 2 * 6) + 10 * 7
    assert {"git_revision", "command", "versions"} <= found.keys()


PIECES = {"batch": 2, "piece": 10, "inputs": 3, "units": 4, "periods": 2, "steps_per_execution": 2, "every": 4}


def test_pieces_go_on_where_the_last_one_ended():
    """The closed form of the leaky mean, over three pieces."""
    x, y = (np.concatenate(part, 1) for part in zip(*itertools.islice(stream.pieces(PIECES), 3)))
    assert x.shape == (2, 30, 3) and set(np.unique(x)) == {-1.0, 1.0}
    keep = np.exp(-1.0 / stream.TAU)
    by_input = np.tril(keep ** (np.arange(30)[:, None] - np.arange(30.0)))
    np.testing.assert_allclose(y[..., 0], (1.0 - keep) * x[..., 0] @ by_input.T, atol=1e-6)


@pytest.mark.slow
def test_a_long_sequence_in_pieces(results, monkeypatch):
    monkeypatch.setattr(stream, "SETTINGS", PIECES)
    every = results(stream, "--pieces", "8", "--rules", "kernl", "bptt", "--weight-decay", "0", "0.1")["stream"]["runs"]
    settings = [("kernl", 0.0), ("kernl", 0.1), ("bptt", 0.0), ("bptt", 0.1)]
    assert [(run["rule"], run["weight_decay"]) for run in every] == settings
    norms = [run["recurrent_norm"] for run in every]
    assert norms[1] < norms[0] and norms[3] < norms[2] and every[2]["trace_size"] == 0
    found = every[0]
    assert (found["steps"], found["pieces"], found["updates"]) == (80, 8, 8)
    assert [row["steps"] for row in found["samples"]] == [40, 80]
    filters = 4 * 2 * (3 + 4 + 1)  # X and Y in two parts, of 2 periods
    assert found["trace_size"] >= filters and found["trace_mb"] == pytest.approx(found["trace_size"] * 8e-6)
    assert found["window_mb"] == pytest.approx(10 * (3 + 3 * 4) * 8e-6) and found["whole_mb"] == 8 * found["window_mb"]
    assert 0.0 < found["largest"]["weights"] < 10.0 and 0.0 < found["largest"]["states"] < 1e3
    held = found["samples"][-1]["memory_mb"]
    assert found["peak_mb"] > held - 1.0 > found["idle_mb"] > 100.0  # Linux keeps the two counts a little apart


def test_the_largest_number_says_where_one_is_none():
    assert stream.largest([np.array([1.0, -3.0]), np.array(2.0), np.zeros(0)]) == 3.0
    assert np.isnan(stream.largest([np.array([1.0, np.inf])])) and np.isnan(stream.largest([np.array(np.nan)]))


ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the age of a process is read from /proc")
def test_three_kills(tmp_path):
    # a seed whose three kills all fall into one run: in an epoch, at an early change of the directory, while it starts
    arguments = ["--kills", "3", "--epochs", "2", "--seed", "948", "--output", tmp_path / "kills.json"]
    environment, command = {**os.environ, "PYTHONPATH": str(ROOT)}, [sys.executable, "-m", "notebooks.lab.kills"]
    command += arguments
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "kills.json").read_text())
    assert report["kills"] == 3 == sum(report["phases"].values()) and report["compared"] > 90
    assert report["identical"] == report["runs"] >= 1


def test_a_difference_is_seen():
    one = {"backup 000/draws": 3, "model kernel": b"\0\0\x80?", "scalar train fit/loss 5": {b"a"}}
    assert not kills.differences(one, dict(one))
    for change in ({"backup 000/draws": 4}, {"model kernel": b"\1\0\x80?"}, {"scalar train fit/loss 5": {b"a", b"b"}}):
        assert kills.differences({**one, **change}, one) == list(change) == kills.differences(one, {**one, **change})
    assert kills.differences({}, one) == sorted(one)
