"""The results file of the alignment command."""

import dataclasses
import json
import math

import pytest

from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.training.alignment import Agreement
from notebooks.lab.alignment import main, plain

TINY = dataclasses.replace(
    EXPERIMENTS["adding"],
    sensitivity_every=1,
    name="tiny",
    task_settings={"steps": 6, "examples": 22, "validation": 5, "test": 5},
    cell_settings={"units": 4, "tau": 3.0},
    batch_size=5,
    jit_compile=False,
)


@pytest.mark.slow
def test_the_command_writes_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    path = tmp_path / "out.json"
    command = ["--experiment", "tiny", "--steps", "3", "--every", "2", "--seeds", "4", "5", "--verbose", "0"]
    assert main([*command, "--output", str(path)]) == 0
    assert f"Results    {path}" in capsys.readouterr().out
    found = json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)  # no NaN, which is no JSON
    assert (found["experiment"], found["steps"], found["windows"]) == ("tiny", 3, 6)
    assert found["command"] == f"python -m notebooks.lab.alignment {' '.join(command)} --output {path.name}"
    assert [run["seed"] for run in found["runs"]] == [4, 5]
    first, second = (run["measurements"] for run in found["runs"])
    assert [row["step"] for row in first] == [0, 2]
    of_layer = first[1]["variables"]["hidden"]
    assert set(of_layer) == {"kernl", "eprop", "eprop_alif", "rflo"}
    assert 0.0 < of_layer["eprop"]["cosine"] <= 1.0 and of_layer["eprop"]["nonlocal_cosine"] is None
    assert len(first[1]["lags"]["hidden"]["kernl"]["cosine"]) == 6
    assert first[0]["variables"] != first[1]["variables"] != second[1]["variables"]


def test_numbers_that_do_not_exist_become_null():
    found = plain({"a": Agreement(0.5, math.inf, math.nan), "b": [math.nan, 1.0]})
    assert found == {"a": {"cosine": 0.5, "norm_ratio": None, "nonlocal_cosine": None}, "b": [None, 1.0]}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "no/such/a.json"], "no/such is no directory: make it, or name another --output."),
        (["--output", "there.json"], "there.json already exists: name another --output."),
        (["--every", "0"], "--every must be >= 1; received 0."),
        (["--seeds", "1073741824"], "--seeds must be from 0 to 1073741823, each of them once; received [1073741824]."),
        (["--seeds", "0", "-1"], "--seeds must be from 0 to 1073741823, each of them once; received [0, -1]."),
    ],
)
def test_mistakes_are_said_before_anything_is_trained(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("of another run")
    with pytest.raises(SystemExit):
        main(["--experiment", "tiny", *flags])
    said = capsys.readouterr()
    assert message in said.err and "Data" not in said.out
    assert (tmp_path / "there.json").read_text() == "of another run"
