"""Learning in LiteRT: the stream is what it says, and the results file holds what was measured."""

import json

import numpy as np
import pytest

from notebooks.lab import device
from notebooks.lab.tables import device_table

ROW = {
    "cell": "rate", "rule": "e-prop", "memory": "exact", "answer_us": 12.4, "learn_us": 84.0, "file_kb": 140.74,
    "weights_kb": 20.75, "optimizer_kb": 41.5, "states_kb": 0.27, "traces_kb": 19.7, "agreed": 1000,
    "difference": 3.2e-6, "largest_weight": 0.5, "accuracy": 0.912, "accuracy_of_tensorflow": 0.914,
}  # fmt: skip


def test_the_class_of_a_step_is_the_last_pulse():
    x, y = device.stream(400)
    last = 0
    for now, of_step in zip(x[:, 0], y[:, 0]):
        if now[: device.CLASSES].max() > 1.3:
            last = now.argmax()
        assert of_step == last
    assert np.bincount(y[:, 0]).min() > 40


def test_the_table():
    assert device_table({"rows": [ROW]}).splitlines()[2:] == [
        "| rate, e-prop | exact | 12 | 84 | 140.7 | 20.8 | 41.5 | 0.3 | 19.7 | 1,000 | 3e-06 | 91.2 / 91.4 % |"
    ]


@pytest.mark.slow
def test_the_results_file(tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT's own interpreter needs ai-edge-litert")
    monkeypatch.setattr(device, "CASES", device.CASES[:1])
    path = tmp_path / "out.json"
    assert device.main(["--steps", "20", "--output", str(path)]) == 0
    (row,) = json.loads(path.read_text())["on_device"]["rows"]
    assert row.keys() == ROW.keys() and row["agreed"] == 20 and row["difference"] < 1e-6
    units, inputs, classes = device.UNITS, device.INPUTS, device.CLASSES
    weights = 4e-3 * (units * (units + inputs + 1) + classes * (units + 1))
    assert row["weights_kb"] == pytest.approx(weights) and row["file_kb"] > row["weights_kb"]
    assert row["optimizer_kb"] == pytest.approx(2.0 * weights + 0.012, abs=0.01)  # two slots, and two numbers
    assert row["traces_kb"] == pytest.approx(4e-3 * units * (units + inputs + 1))
    assert row["states_kb"] == pytest.approx(4e-3 * (units + classes))


def test_no_steps(tmp_path, capsys):
    with pytest.raises(SystemExit):
        device.main(["--steps", "0", "--output", str(tmp_path / "out.json")])
    assert "--steps must be >= 1; received 0." in capsys.readouterr().err
