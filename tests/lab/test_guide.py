"""The comparison of the guide's choices on series: how a file is read, what a missing package gives, the rows."""

import json
import pathlib

import numpy as np
import pytest

from notebooks.lab import guide

TS = """@problemName Two
@data
1.0,2.0,3.0:4.0,5.0,6.0:b
7.0,8.0:9.0,10.0:a
"""


def small():
    """Six sequences of two classes and two lengths, with a test of four."""
    rng = np.random.default_rng(0)
    x = [np.float32(rng.normal(size=(length, 2))) for length in (4, 5, 5, 4, 5, 5, 4, 5, 5, 5)]
    return x[:6], np.array([0, 1] * 3), x[6:], np.array([0, 1] * 2)


def test_a_file_of_series(tmp_path, monkeypatch):
    (tmp_path / "datasets/data/Two").mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"datasets/data/Two/Two_{part}.ts").write_text(TS)
    monkeypatch.setattr(guide, "file_of", lambda package, path: tmp_path / path)
    x, y, x_test, y_test = guide.whole("some", "Two")
    assert x[0].tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]] and x[1].shape == (2, 2)
    assert y.tolist() == y_test.tolist() == [1, 0] and len(x_test) == 2


def test_what_is_scaled_is_the_training_data_without_the_padding():
    task = guide.Task(small)
    x, x_test = task.arrays(scaled=True)
    assert (x.shape, x_test.shape, task.equal, task.outputs) == ((6, 5, 2), (4, 5, 2), False, 2)
    lengths = [len(each) for each in task.sequences[0]]
    every = np.concatenate([row[:length] for row, length in zip(x, lengths)])
    np.testing.assert_allclose(every.mean(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(every.std(0), 1.0, atol=1e-5)
    assert not x[0, 4:].any()


def test_a_missing_package_is_skipped_and_its_reason_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(guide, "DEVELOPMENT", {"one": lambda: guide.whole("no_such_package", "One")})
    monkeypatch.setattr(guide, "HELD_OUT", {})
    guide.main(["--output", str(tmp_path / "guide.json")])
    found = json.loads(pathlib.Path(tmp_path, "guide.json").read_text())["guide"]
    assert found["skipped"] == {"one": "the package no_such_package is not installed"} and not found["rows"]


@pytest.mark.slow
def test_rows_are_made_once(tmp_path, monkeypatch):
    for name, value in {"DEVELOPMENT": {"small": small}, "HELD_OUT": {}, "UPDATES": 2, "BATCH": 4, "UNITS": 3}.items():
        monkeypatch.setattr(guide, name, value)
    arguments = ["--output", str(tmp_path / "guide.json"), "--rule", "eprop"]
    guide.main(arguments)
    first = (tmp_path / "guide.json").read_text()
    guide.main(arguments)
    assert (tmp_path / "guide.json").read_text() == first
    (row,) = json.loads(first)["guide"]["rows"]
    assert row["metric"] == "accuracy" and all(0.0 <= row[each] <= 1.0 for each in ("before", "after"))
