"""The peers' environments, without pip: they are built once, and anew where something is missing."""

import subprocess
import sys

import pytest

from notebooks.lab.benchmark import environments
from notebooks.lab.benchmark.environments import MARKER, PEERS, environment


@pytest.fixture
def commands(monkeypatch):
    """Takes the place of `subprocess.run`: makes an interpreter where venv would, and keeps what was to be run."""
    commands = []

    def run(command, **kwargs):
        commands.append([str(word) for word in command])
        if "venv" in command:
            python = command[-1] / ("Scripts/python.exe" if environments.os.name == "nt" else "bin/python")
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


def test_an_environment_is_built_once(tmp_path, commands):
    python = environment("norse", tmp_path)
    assert python.is_file() and python.is_relative_to(tmp_path / "norse")
    (venv, pip) = commands
    assert venv == [sys.executable, "-m", "venv", "--clear", str(tmp_path / "norse")]
    assert pip[:4] == [str(python), "-m", "pip", "install"]
    assert pip[-len(PEERS["norse"].requirements) :] == list(PEERS["norse"].requirements)
    assert environment("norse", tmp_path) == python
    assert len(commands) == 2


def test_environments_lie_apart(tmp_path, commands):
    assert environment("norse", tmp_path) != environment("snntorch", tmp_path)
    assert len(commands) == 4


def test_other_requirements_build_it_anew(tmp_path, commands, monkeypatch):
    environment("norse", tmp_path)
    monkeypatch.setitem(PEERS, "norse", PEERS["norse"]._replace(requirements=("norse==2",)))
    environment("norse", tmp_path)
    assert len(commands) == 4 and commands[-1][-1] == "norse==2"


@pytest.mark.parametrize("missing", ["marker", "python"])
def test_a_half_built_one_is_built_anew(tmp_path, commands, missing):
    python = environment("norse", tmp_path)
    (python if missing == "python" else tmp_path / "norse" / MARKER).unlink()
    environment("norse", tmp_path)
    assert len(commands) == 4


def test_a_failure_says_whose_and_what_pip_said_and_leaves_no_marker(tmp_path, commands, monkeypatch):
    succeed = subprocess.run

    def fail(command, **kwargs):
        if "pip" in command:
            return subprocess.CompletedProcess(command, 1, "ERROR: No matching distribution found")
        return succeed(command, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", fail)
        with pytest.raises(RuntimeError, match="(?s)peer norse.*No matching distribution"):
            environment("norse", tmp_path)
    assert not (tmp_path / "norse" / MARKER).exists()
    assert environment("norse", tmp_path).is_file()
