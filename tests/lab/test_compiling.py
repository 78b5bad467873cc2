"""The time of the first call: which settings are measured, and what the results file says of them."""

import json

import pytest

from notebooks.lab import compiling
from notebooks.lab.tables import compiling_table

TINY = {"units": 3, "distinct": 2, "window": None}


@pytest.mark.parametrize(
    ("rule", "window", "traces"),
    [
        ("kernl, exponential kernel", 1, "linear"),  # that kernel belongs to the unit that spikes
        ("bptt", 1, "linear"),  # nothing crosses the border
        ("rflo", 64, False),
    ],
)
def test_what_a_layer_refuses(rule, window, traces):
    with pytest.raises(ValueError, match="window|traces"):
        compiling.build({**TINY, "rule": rule, "window": window, "traces": traces})


def test_all_rules_windows_and_traces_are_tried():
    cases = compiling.cases()
    assert len(cases) == 1 + 7 * 3 * 3 + 2
    assert [case["units"] for case in cases if case["units"] == case["distinct"]] == [60, 100]


@pytest.mark.slow
def test_the_results_file(tmp_path, monkeypatch):
    case = {**TINY, "rule": "eprop", "traces": True}
    monkeypatch.setattr(compiling, "cases", lambda: [case, {**case, "rule": "bptt"}])
    path = tmp_path / "out.json"
    assert compiling.main(["--output", str(path)]) == 0
    found = json.loads(path.read_text())["compiling"]
    (row,) = found["rows"]
    assert found["refused"] == [{**case, "rule": "bptt"}]
    assert row["seconds"] > row["later_seconds"] > 0.0 and row["processor_seconds"] > 0.0


def test_the_table():
    same = {"rule": "kernl", "units": 9, "distinct": 3, "later_processor_seconds": 0.5}
    rows = [
        {**same, "window": window, "traces": traces, "processor_seconds": 0.5 + seconds}
        for window, traces, seconds in ((None, False, 1.0), (64, False, 2.0), (None, "linear", 3.04))
    ]
    assert compiling_table({"rows": rows}).splitlines() == [
        "| rule | traces | units, periods | no window | window 64 |",
        "| --- | --- | --- | --- | --- |",
        "| kernl | none | 9, 3 | 1.0 | 2.0 |",
        "| kernl | linear | 9, 3 | 3.0 |  |",
    ]
