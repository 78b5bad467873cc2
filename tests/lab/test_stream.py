"""A long sequence in pieces: the pieces are those of one sequence, and the results file says what was held."""

import itertools
import json

import numpy as np
import pytest

from notebooks.lab import stream
from notebooks.lab.tables import stream_table

SMALL = {"batch": 2, "piece": 10, "inputs": 3, "units": 4, "periods": 2, "steps_per_execution": 2, "every": 4}


def test_pieces_go_on_where_the_last_one_ended():
    """The closed form of the leaky mean, over three pieces."""
    x, y = (np.concatenate(part, 1) for part in zip(*itertools.islice(stream.pieces(SMALL), 3)))
    assert x.shape == (2, 30, 3) and set(np.unique(x)) == {-1.0, 1.0}
    keep = np.exp(-1.0 / stream.TAU)
    by_input = np.tril(keep ** (np.arange(30)[:, None] - np.arange(30.0)))
    np.testing.assert_allclose(y[..., 0], (1.0 - keep) * x[..., 0] @ by_input.T, atol=1e-6)


@pytest.mark.slow
def test_the_results_file(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "SETTINGS", SMALL)
    path = tmp_path / "out.json"
    assert stream.main(["--pieces", "8", "--output", str(path)]) == 0
    found = json.loads(path.read_text())["stream"]
    assert (found["steps"], found["pieces"], found["updates"]) == (80, 8, 8)
    assert [row["steps"] for row in found["samples"]] == [40, 80]
    filters = 4 * 2 * (3 + 4 + 1)  # X and Y in two parts, of 2 periods
    assert found["trace_size"] >= filters and found["trace_mb"] == pytest.approx(found["trace_size"] * 8e-6)
    assert found["window_mb"] == pytest.approx(10 * (3 + 3 * 4) * 8e-6) and found["whole_mb"] == 8 * found["window_mb"]
    assert 0.0 < found["largest"]["weights"] < 10.0 and 0.0 < found["largest"]["states"] < 1e3
    assert found["peak_mb"] >= found["samples"][-1]["memory_mb"] > found["idle_mb"] > 100.0


def test_the_table():
    samples = [{"steps": 2 * step, "memory_mb": 1000.0 + step, "loss": 1.0 / step} for step in range(1, 11)]
    assert stream_table({"samples": samples}).splitlines()[2:] == [
        "| 2 | 1,001.0 | 1.000 |",
        *(f"| {2 * step} | 1,00{step}.0 | {1.0 / step:.3f} |" for step in (2, 4, 6, 8)),
        "| 20 | 1,010.0 | 0.100 |",
    ]


def test_the_largest_number_says_where_one_is_none():
    assert stream.largest([np.array([1.0, -3.0]), np.array(2.0), np.zeros(0)]) == 3.0
    assert np.isnan(stream.largest([np.array([1.0, np.inf])])) and np.isnan(stream.largest([np.array(np.nan)]))


def test_no_pieces(tmp_path, capsys):
    with pytest.raises(SystemExit):
        stream.main(["--pieces", "0", "--output", str(tmp_path / "out.json")])
    assert "--pieces must be >= 1; received 0." in capsys.readouterr().err
