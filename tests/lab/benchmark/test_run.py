"""The benchmark: parts, summary, what is counted by hand, and a small run from end to end."""

import json

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3
from notebooks.lab.benchmark import network, plan, run
from notebooks.lab.benchmark.__main__ import main
from notebooks.lab.benchmark.summary import exponent, summarize

TINY = {"batch": 2, "steps": 60, "inputs": 9, "units": 5, "outputs": 3}


def measured(row, seconds, peak=700.0, loss=2e9):
    """What a worker would have given, as the results file has it."""
    return {"name": row.name, "settings": row.settings, "seconds": seconds, "peak_mb": peak, "loss": loss}


def grown(steps, batch, units, **others):
    """Seconds with exponents that are known."""
    return 3.0 * steps**1.5 * batch**0.5 * units**2


def results():
    peers = [(name, "python") for name in ("snntorch", "braintrace")]
    seconds = iter(np.arange(1.0, 99.0))
    memory = {"kernl, T 200": 800.0, "kernl, T 838": 863.8, "kernl, T 3352": 1115.2}
    memory |= {"keras.layers.RNN, BPTT, T 200": 900.0, "keras.layers.RNN, BPTT, T 838": 1538.0}
    memory |= {"keras.layers.RNN, BPTT, T 3352": 4052.0, "stream, T 838": 1000.0, "stream, T 83800": 1010.0}
    parts = {
        "step": [measured(row, next(seconds)) for row in plan.step_rows(2, peers)],
        "batch": [measured(row, next(seconds)) for row in plan.batch_rows(2)],
        "scale": [measured(row, grown(**row.settings)) for row in plan.scale_rows(2)],
        "memory": [measured(row, 1.0, memory[row.name]) for row in plan.memory_rows(2)],
    }
    return {"parts": parts, "summary": summarize(parts)}


def test_the_summary_by_hand():
    """Rows of the step take 1, 2, 3, ... seconds in their order; peaks grow by 0.1 and 1 MB a step."""
    found = results()["summary"]
    expected = {
        "step over floor": 1.0 / 2.0,
        "GFLOP/s, floor": 2e9 / 2.0 / 1e9,
        "step over the products' flop at the rate of one large product": 1.0 / (2.0 / (2.0 / 3.0)),
        "kernl, one thread, over kernl": 4.0,
        "bptt, over kernl": 6.0,
        "kernl, pieces of 100, over kernl": 9.0,
        "keras.layers.RNN, BPTT, over kernl": 10.0,
        "snntorch, bptt, over kernl": 11.0,  # 11 with one thread, 12 with two
        "braintrace, EProp, over kernl": 15.0,
        "step over floor, batch 128": 19.0 / 20.0,
        "exponent of the time in steps": 1.5,
        "exponent of the time in batch": 0.5,
        "exponent of the time in units": 2.0,
        "MB that grow with T, kernl, T 838": 83.8,
        "MB that grow with T, BPTT, T 838": 838.0,
        "the same, kernl over BPTT": 0.1,
        "peak memory of a stream, T 83,800 over T 838": 1.01,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


def test_an_exponent_by_hand():
    rows = [{"settings": {"units": size}, "seconds": 0.5 * size**3} for size in (2, 4, 16)]
    assert exponent(rows, "units") == pytest.approx(3.0)


def test_the_parts_have_rows_of_their_own():
    """The summary finds rows by their names."""
    rows = [row.name for part in (plan.step_rows, plan.batch_rows, plan.rule_rows, plan.memory_rows) for row in part(2)]
    assert len(rows) == len(set(rows)) > 30
    assert all(set(plan.REFERENCE) <= set(row.settings) for row in plan.rule_rows(2))
    assert {row.settings["rule"] for row in plan.rule_rows(1)} == set(kk.rules.NAMES)


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
    assert set(found) >= {"machine", "versions", "git_revision", "command", "summary"}
    said = capsys.readouterr().out
    assert "step over floor" in said and "Results    benchmark.json" in said
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
