"""The table of differences between replicas and one device, from numbers that are given."""

import json

import numpy as np
import pytest

from notebooks.lab import distribution

from ..training.replicas import CASES


@pytest.fixture
def found(monkeypatch):
    """What one device found of every network; the replicas of `mirrored` agree, those of `workers` do not quite."""
    kinds = {"variable kernel": [2.0, -4.0], "optimizer 3": [1.0, 0.5], "logged loss": [0.25, np.nan]}

    def run(names):
        return {f"{name}/{key}": np.array(value) for name in names for key, value in kinds.items()}

    def elsewhere(strategy, names, folder, timeout):
        ours = run(names)
        if strategy == "mirrored":
            return [ours]
        return [ours, {key: value + (0.04 if "variable" in key else 0.0) for key, value in ours.items()}]

    monkeypatch.setattr(distribution, "run_networks", run)
    monkeypatch.setattr(distribution, "elsewhere", elsewhere)


def test_the_results_file(found, tmp_path):
    path = tmp_path / "distribution.json"
    path.write_text(json.dumps({"distribution": {"Keras 1.0": "an earlier run"}}))
    assert distribution.main(["--output", str(path)]) == 0
    content = json.loads(path.read_text())["distribution"]
    assert content.pop("Keras 1.0") == "an earlier run"
    (report,) = content.values()
    assert report["command"] == f"python -m notebooks.lab.distribution --output {path.name}"
    rows = {(row["strategy"], row["dtype"]): row["differences"] for row in report["rows"]}
    assert set(rows) == {(strategy, dtype) for strategy in ("mirrored", "workers") for dtype in ("float32", "float64")}
    assert rows["mirrored", "float64"] == {"weights": 0.0, "slots": 0.0, "reported": 0.0}
    assert rows["workers", "float32"] == {"weights": pytest.approx(0.01), "slots": 0.0, "reported": 0.0}


def test_its_networks_are_there():
    assert set(distribution.NETWORKS) <= set(CASES)
