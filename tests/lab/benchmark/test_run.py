"""The benchmark: its parts, a small run from end to end, and the loops written by hand."""

import json

import numpy as np
import pytest

from kernl_keras.keras_version import IS_KERAS_3
from notebooks.lab.benchmark import by_hand, network, plan
from notebooks.lab.benchmark.__main__ import main

TINY = {"batch": 2, "steps": 60, "inputs": 9, "units": 5, "outputs": 3}


def test_the_parts_have_rows_of_their_own():
    """The tables find rows by their names."""
    for rows in (plan.step_rows(2), plan.window_rows(2)):
        assert len({row.name for row in rows}) == len(rows) >= 10
        assert all(set(plan.REFERENCE) <= set(row.settings) for row in rows)


@pytest.mark.parametrize("rule", plan.BY_HAND)
def test_the_loop_by_hand_gives_what_the_layer_gives(rule, eager):
    sizes = {"batch": 3, "steps": 40, "inputs": 20, "units": 15, "of_rule": rule}
    layer, x, error = by_hand.layer(sizes)
    layer.cell.kernel.assign(4.0 * layer.cell.kernel)  # so that most units spike
    (z, expected), (by_loop, gradients) = (run(layer)(x, error) for run in (by_hand.package, by_hand.by_hand))
    assert np.mean(z) > 0.02
    np.testing.assert_array_equal(by_loop, z)
    for one, other in zip(gradients, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * np.abs(other).max())


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
    assert set(found) >= {"machine", "versions", "git_revision", "command"} and found["machine"]["cores"] >= 1
    said = capsys.readouterr().out
    assert "kernl, one thread" in said and "Results    benchmark.json" in said


@pytest.mark.slow
def test_pieces_in_one_call_learn_what_they_learn_in_several(monkeypatch):
    monkeypatch.setattr(network, "set_threads", lambda settings: None)
    made, build_model = [], network.build_model
    monkeypatch.setattr(network, "build_model", lambda settings: made.append(build_model(settings)) or made[-1])
    sizes = {"batch": 2, "steps": 60, "inputs": 9, "units": 4, "outputs": 10, "threads": 1, "pieces": 3}
    for one_call in (False, True):
        step, _ = network.build({**sizes, "rule": "eprop", "jit_compile": False, "one_call": one_call})
        assert np.isfinite(float(step()))
    several, at_once = made
    count = sizes["pieces"] * several.sensitivity_every
    assert [int(np.asarray(model.optimizer.iterations)) for model in made] == [count, count]
    for one, other in zip(several.trainable_variables, at_once.trainable_variables):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
