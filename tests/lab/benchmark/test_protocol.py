"""What a worker of the benchmark says, with a network that is none."""

import json
import os
import subprocess
import sys

import pytest

from notebooks.lab.benchmark.environments import SCRIPTS

SETTINGS = {"batch": 2, "steps": 3, "rule": "bptt"}
HEAD = "import os, sys\nfrom protocol import serve\n"
WORKER = """
losses = iter(range(10))
def build(settings):
    return lambda: next(losses) * settings["steps"], {"package": settings["rule"]}
serve(build)
"""


@pytest.fixture
def run(tmp_path):
    """Runs a worker on `lines`: its exit status, its answers, what it sent to stderr."""

    def run(source, lines=""):
        script = tmp_path / "worker.py"
        script.write_text(HEAD + source)
        done = subprocess.run(
            [sys.executable, script, json.dumps(SETTINGS)],
            input=lines,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
            timeout=60,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return run


def test_the_first_two_steps_then_one_for_each_line(run):
    status, (first, *steps, last), _ = run(WORKER, "step\nstep\nquit\nstep\n")
    assert status == 0
    assert first.keys() == {"first_seconds", "second_seconds", "idle_mb", "versions", "loss"}
    assert first["versions"] == {"package": "bptt"}
    assert first["loss"] == 3.0
    assert [step["loss"] for step in steps] == [6.0, 9.0]
    assert all(0.0 <= step["seconds"] < 1.0 for step in steps)
    assert last.keys() == {"peak_mb"}


def test_the_end_of_the_input_is_quit(run):
    status, answers, _ = run(WORKER, "step\n")
    assert status == 0
    assert len(answers) == 3 and answers[-1].keys() == {"peak_mb"}


def test_memory(run):
    """The network's share is in the peak alone, and what this process holds, TensorFlow, in neither."""
    source = """
def build(settings):
    held = bytearray(os.urandom(1) * 50_000_000)
    return lambda: len(held), {}
serve(build)
"""
    _, (first, last), _ = run(source)
    assert 1.0 < first["idle_mb"] < 100.0
    assert first["idle_mb"] + 45.0 < last["peak_mb"] < 150.0


@pytest.mark.parametrize("fails", ["build", "step"])
def test_an_exception_is_the_answer(run, fails):
    source = """
def build(settings):
    if FAILS == "build":
        raise KeyError("units")
    return lambda: 1 / 0, {}
serve(build)
"""
    status, (answer,), stderr = run(f"FAILS = {fails!r}\n" + source, "step\n")
    assert status == 1
    assert answer == {"error": {"build": "KeyError: 'units'", "step": "ZeroDivisionError: division by zero"}[fails]}
    assert "Traceback" in stderr


def test_another_line_is_refused(run):
    status, answers, _ = run(WORKER, "stop\n")
    assert status == 1
    assert "received 'stop'" in answers[-1]["error"]


def test_what_a_package_prints_goes_to_stderr(run):
    source = """
def build(settings):
    print("from Python")
    os.write(1, b"from C\\n")
    return lambda: print("in a step", flush=True) or 0.0, {}
serve(build)
"""
    status, answers, stderr = run(source, "step\nquit\n")
    assert status == 0 and len(answers) == 3
    assert all(said in stderr for said in ("from Python", "from C", "in a step"))
