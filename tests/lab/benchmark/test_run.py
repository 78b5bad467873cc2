"""The benchmark: its parts, and a small run from end to end."""

import json

import numpy as np
import pytest

from kernl_keras.keras_version import IS_KERAS_3
from notebooks.lab.benchmark import network, plan, run
from notebooks.lab.benchmark.__main__ import main

TINY = {"batch": 2, "steps": 60, "inputs": 9, "units": 5, "outputs": 3}


def test_the_parts_have_rows_of_their_own():
    """The tables find rows by their names."""
    rows = [row for part in (plan.step_rows, plan.window_rows) for row in part(2)]
    assert len({row.name for row in plan.step_rows(2)}) == len(plan.step_rows(2)) >= 10
    assert len({row.name for row in plan.window_rows(2)}) == len(plan.window_rows(2)) >= 10
    assert all(set(plan.REFERENCE) <= set(row.settings) for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(not IS_KERAS_3, reason="the processes are of the same Keras as this; once is enough")
def test_a_small_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plan, "REFERENCE", TINY)
    monkeypatch.chdir(tmp_path)
    assert main(["--only", "step", "--repeats", "1", "--threads", "1"]) == 0
    found = json.loads((tmp_path / "benchmark.json").read_text())
    rows = {row["name"]: row for row in found["parts"]["step"]}
    assert list(rows) == [row.name for row in plan.step_rows(1)]
    assert all(row["seconds"] > 0 and row["settings"]["units"] == 5 for row in rows.values())
    assert rows["floor"]["loss"] == 2 * sum((120 * 9 * 5, 60 * 4 * 25, 4 * 120 * 25, 120 * 14 * 5, 3 * 120 * 5 * 3))
    assert set(found) >= {"machine", "versions", "git_revision", "command"}
    said = capsys.readouterr().out
    assert "kernl, one thread" in said and "Results    benchmark.json" in said
    assert run.machine()["cores"] >= 1


SIZES = {"batch": 2, "steps": 60, "inputs": 9, "units": 4, "outputs": 10, "threads": 1, "pieces": 3}


@pytest.mark.slow
def test_pieces_in_one_call_learn_what_they_learn_in_several(monkeypatch):
    monkeypatch.setattr(network.tf.config.threading, "set_intra_op_parallelism_threads", lambda count: None)
    monkeypatch.setattr(network.tf.config.threading, "set_inter_op_parallelism_threads", lambda count: None)
    made, build_model = [], network.build_model
    monkeypatch.setattr(network, "build_model", lambda settings: made.append(build_model(settings)) or made[-1])
    for one_call in (False, True):
        step, _ = network.build({**SIZES, "rule": "eprop", "jit_compile": False, "one_call": one_call})
        assert np.isfinite(float(step()))
    several, at_once = made
    count = SIZES["pieces"] * several.sensitivity_every
    assert [int(np.asarray(model.optimizer.iterations)) for model in made] == [count, count]
    for one, other in zip(several.trainable_variables, at_once.trainable_variables):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
