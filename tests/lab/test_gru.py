"""The GRU that spoken digits are compared with: what it is, and what its results file says."""

import dataclasses
import json

import pytest

from kernl_keras.experiments.configs import SPOKEN_DIGITS
from notebooks.lab import gru
from notebooks.lab.tables import table_of

from ..reference import made_up_recordings

SMALL = dataclasses.replace(
    SPOKEN_DIGITS,
    task_settings={"seconds": 0.2},
    front_end_settings={**SPOKEN_DIGITS.front_end_settings, "bands": 8},
    epochs=2,
    batch_size=20,
)


@pytest.mark.slow
def test_the_results_file(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets", reason="the recordings are read by TensorFlow Datasets")
    folder = made_up_recordings.write(tmp_path / "data", made_up_recordings.recordings(takes=12))
    monkeypatch.setattr(gru, "SPOKEN_DIGITS", SMALL)
    monkeypatch.setattr(gru, "UNITS", 6)
    path = tmp_path / "gru.json"
    assert gru.main(["--seeds", "0", "1", "--data-dir", str(folder), "--output", str(path)]) == 0
    found = json.loads(path.read_text())["baseline"]
    first, second = found["runs"]
    assert first["validation"] == max(accuracy for _, accuracy in first["tried"])
    assert second["learning_rate"] == first["learning_rate"] and (first["seed"], second["seed"]) == (0, 1)
    assert first["parameters"] == 3 * (8 * 6 + 6 * 6 + 2 * 6) + 10 * 7
    assert {"git_revision", "command", "versions"} <= found.keys()


def test_the_table():
    runs = [{"test": test, "seconds": seconds, "learning_rate": 1e-3} for test, seconds in ((0.9, 10.0), (0.94, 12.0))]
    assert table_of([{"baseline": {"label": "GRU, 100 units", "runs": runs}}]).splitlines() == [
        "|  | test accuracy | seeds | learning rate | s |",
        "| --- | --- | --- | --- | --- |",
        "| GRU, 100 units | 92.0 ± 2.8 % | 2 | 0.001 | 11 |",
    ]
