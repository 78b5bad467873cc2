"""The audit of what is installed: what fails a run, what does not, and that it never waits."""

import importlib.util
import json
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / ".ci" / "audit.py"


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name, *vulnerabilities):
    """As pip-audit writes it."""
    found = [{"id": number, "fix_versions": fixes, "aliases": []} for number, fixes in vulnerabilities]
    return {"name": name, "version": "1.0", "vulns": found}


UNKNOWN = {"name": "here", "skip_reason": "Dependency not found on PyPI and could not be audited: here (1.0)"}


@pytest.mark.parametrize(
    "packages, status, said",
    [
        ([package("a"), package("b")], 0, "2 packages audited, 0 of which nothing is known"),
        ([package("a", ("PYSEC-1", ["1.1"])), UNKNOWN], 1, "a 1.0: PYSEC-1, mended in 1.1: require it, or say"),
        ([package("a", ("PYSEC-1", []))], 0, "a 1.0: PYSEC-1, mended nowhere yet"),
        ([package("a", ("PYSEC-7", ["2"]))], 0, "a 1.0: PYSEC-7, accepted: not called"),
        ([UNKNOWN, UNKNOWN], 0, "audit skipped, nothing was found out: Dependency not found on PyPI"),
        ([], 0, "audit skipped, nothing was found out: no package was found"),
    ],
)
def test_what_is_found(audit, monkeypatch, capsys, packages, status, said):
    audit.ACCEPTED["PYSEC-7"] = "not called"
    asked = {}

    def answer(command, **settings):
        asked.update(settings)
        return subprocess.CompletedProcess(command, 0, json.dumps({"dependencies": packages}), "")

    monkeypatch.setattr(subprocess, "run", answer)
    assert audit.main() == status and said in capsys.readouterr().out
    assert 0 < asked["timeout"] <= 120


@pytest.mark.parametrize("error", ["Connection refused", ""])
def test_without_a_network_it_says_that_it_was_skipped(audit, monkeypatch, capsys, error):
    done = subprocess.CompletedProcess([], 1, "", f"Traceback\n{error}")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert audit.main() == 0
    assert capsys.readouterr().out.startswith("audit skipped, nothing was found out: ")


def test_it_does_not_wait_for_ever(audit, monkeypatch, capsys):
    monkeypatch.setattr(audit, "COMMAND", ["sleep", "30"])
    monkeypatch.setattr(audit, "SECONDS", 0.1)
    assert audit.main() == 0
    assert "audit skipped, nothing was found out: no answer within 0.1 s" in capsys.readouterr().out
