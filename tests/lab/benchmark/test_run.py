"""The benchmark: workers side by side, the environments of the peers, a small run, and the loops written by hand."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from kernl_keras.keras_version import IS_KERAS_3
from notebooks.lab.benchmark import by_hand, network, plan
from notebooks.lab.benchmark.__main__ import main
from notebooks.lab.benchmark.environments import MARKER, PEERS, SCRIPTS, environment
from notebooks.lab.benchmark.workers import Row, measure

SETTINGS = {"batch": 2, "steps": 3, "rule": "bptt"}
STEP = """
losses = iter(range(10))
def build(settings):
    print("from Python")
    os.write(1, b"from C\\n")
    return lambda: next(losses) * settings["steps"], {"package": settings["rule"]}
"""
HELD = "def build(settings):\n    held = bytearray(os.urandom(1) * 50_000_000)\n    return lambda: len(held), {}"
NO_BUILD = "def build(settings):\n    raise KeyError('units')"
NO_STEP = "def build(settings):\n    return lambda: 1 / 0, {}"


@pytest.fixture
def run(tmp_path):
    """Runs a worker with a `build` on `lines`: its answers, and what it sent to stderr."""

    def run(build, lines="", status=0):
        script = tmp_path / "worker.py"
        script.write_text(f"import os, sys\nfrom protocol import serve\n{build}\nserve(build)")
        command = [sys.executable, script, json.dumps(SETTINGS)]
        environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
        done = subprocess.run(command, input=lines, capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == status
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return run


def test_the_first_two_steps_then_one_for_each_line(run):
    """What is printed goes to stderr."""
    (first, *steps, last), stderr = run(STEP, "step\nstep\nquit\nstep\n")
    assert first.keys() == {"first_seconds", "second_seconds", "idle_mb", "versions", "loss"}
    assert first["versions"] == {"package": "bptt"}
    assert first["loss"] == 3.0
    assert [step["loss"] for step in steps] == [6.0, 9.0]
    assert all(0.0 <= step["seconds"] < 1.0 for step in steps)
    assert last.keys() == {"peak_mb"}
    assert "from Python" in stderr and "from C" in stderr


def test_memory(run):
    """The network's share is in the peak alone, what this process holds in neither. The end of the input is quit."""
    (first, last), _ = run(HELD)
    assert 1.0 < first["idle_mb"] < 100.0
    assert first["idle_mb"] + 45.0 < last["peak_mb"] < 150.0


@pytest.mark.parametrize(
    "build, lines, error",
    [
        (NO_BUILD, "step\n", "KeyError: 'units'"),
        (NO_STEP, "step\n", "ZeroDivisionError: division by zero"),
        (STEP, "stop\n", "received 'stop'"),
    ],
)
def test_an_exception_is_the_answer(run, build, lines, error):
    answers, stderr = run(build, lines, status=1)
    assert error in answers[-1]["error"] and "Traceback" in stderr


SCRIPT = f"""
import sys, time
sys.path.insert(0, {str(SCRIPTS)!r})
from protocol import serve

def build(settings):
    if settings["rule"] == "broken":
        print("what was wrong", file=sys.stderr)
        raise ValueError("no such rule")
    log = open(settings["log"], "a")
    def step():
        print(settings["rule"], file=log, flush=True)
        time.sleep(settings["wait"])
        return settings["wait"]
    return step, {{"package": "1.0"}}

serve(build)
"""


@pytest.fixture
def row(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def make(rule, wait=0.0):
        return Row(f"the {rule}", {"rule": rule, "wait": wait, "log": str(tmp_path / "log")}, script=script)

    return make


def test_rows_take_turns(row, tmp_path, capsys):
    fast, slow = measure([row("fast"), row("slow", 0.2)], 3)
    assert (tmp_path / "log").read_text().split() == ["fast"] * 2 + ["slow"] * 2 + ["fast", "slow"] * 3
    assert capsys.readouterr().out == "  the fast\n  the slow\n"
    assert fast.name == "the fast" and fast.versions == {"package": "1.0"} and slow.loss == 0.2
    assert len(slow.every) == 3 and min(slow.every) <= slow.seconds <= max(slow.every)
    assert fast.seconds < slow.seconds >= 0.2 and slow.first_seconds >= 0.2
    assert 1.0 < fast.idle_mb <= fast.peak_mb < 200.0


def test_a_worker_that_fails_says_why(row, tmp_path):
    with pytest.raises(RuntimeError, match="the broken: ValueError: no such rule\n(.|\n)*what was wrong"):
        measure([row("fast"), row("broken")], 1)
    with pytest.raises(RuntimeError, match="the fast: the process ended\n(.|\n)*No such file"):
        measure([row("fast")._replace(script=tmp_path / "none.py")], 1)


@pytest.fixture
def commands(monkeypatch):
    """Takes the place of `subprocess.run`: makes an interpreter where venv would, and keeps what was to be run."""
    commands = []

    def run(command, **kwargs):
        commands.append([str(word) for word in command])
        if "venv" in command:
            python = command[-1] / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()
        return subprocess.CompletedProcess(command, 0, "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_every_peer_has_a_script_that_pins_it():
    for name, peer in PEERS.items():
        assert peer.script.is_file()
        assert peer.rules
        assert peer.requirements[0].startswith(f"{name}==")


def test_an_environment_is_built_once_and_lies_apart(tmp_path, commands):
    python = environment("norse", tmp_path)
    assert python.is_file() and python.is_relative_to(tmp_path / "norse")
    (venv, pip) = commands
    assert venv == [sys.executable, "-m", "venv", "--clear", str(tmp_path / "norse")]
    assert pip[:4] == [str(python), "-m", "pip", "install"]
    assert pip[-len(PEERS["norse"].requirements) :] == list(PEERS["norse"].requirements)
    assert environment("norse", tmp_path) == python
    assert len(commands) == 2
    assert environment("snntorch", tmp_path) != python
    assert len(commands) == 4


@pytest.mark.parametrize("change", ["other requirements", "no marker", "no python"])
def test_one_that_is_half_built_or_of_other_requirements_is_built_anew(tmp_path, commands, monkeypatch, change):
    python = environment("norse", tmp_path)
    if change == "other requirements":
        monkeypatch.setitem(PEERS, "norse", PEERS["norse"]._replace(requirements=("norse==2",)))
    else:
        (python if change == "no python" else tmp_path / "norse" / MARKER).unlink()
    environment("norse", tmp_path)
    assert len(commands) == 4 and commands[-1][-1] == PEERS["norse"].requirements[-1]


def test_a_failure_says_whose_and_what_pip_said_and_leaves_no_marker(tmp_path, commands, monkeypatch):
    succeed, said = subprocess.run, "ERROR: No matching distribution found"

    def fail(command, **kwargs):
        return subprocess.CompletedProcess(command, 1, said) if "pip" in command else succeed(command, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", fail)
        with pytest.raises(RuntimeError, match="(?s)peer norse.*No matching distribution"):
            environment("norse", tmp_path)
    assert not (tmp_path / "norse" / MARKER).exists()
    assert environment("norse", tmp_path).is_file()


# The parts, and a small run

TINY = {"batch": 2, "steps": 60, "inputs": 9, "units": 5, "outputs": 3}


def test_the_parts_have_rows_of_their_own():
    """The tables find rows by their names."""
    for rows in (plan.step_rows(2), plan.window_rows(2), plan.call_rows(2)):
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
