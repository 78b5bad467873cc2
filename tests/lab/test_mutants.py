"""The mutants are changes of the code as it is now, and the command finds which of them the tests notice."""

import json

import pytest

from notebooks.lab import mutants
from notebooks.lab.mutants import MUTANTS, ROOT


@pytest.mark.parametrize("file, line, broken", MUTANTS)
def test_the_line_is_there_once(file, line, broken):
    assert (ROOT / "kernl_keras" / file).read_text(encoding="utf-8").count(line) == 1
    assert broken != line


def test_the_tests_that_should_notice_are_there():
    assert all((ROOT / test).exists() for tests in mutants.TESTS.values() for test in tests)
    assert all(mutants.tests_of(file) for file, _, _ in MUTANTS)


@pytest.mark.slow
def test_a_mutant_that_is_noticed_and_one_that_is_not(tmp_path, monkeypatch):
    """In a copy: the checkout stays as it is."""
    file = "dynamics/decays.py"
    code = (ROOT / "kernl_keras" / file).read_text(encoding="utf-8")
    rows = [
        (file, "return 1.0 - dt / tau", "return 1.0 - tau / dt"),
        (file, "return 1.0 - dt / tau", "return 1 - dt / tau"),
    ]
    monkeypatch.setattr(mutants, "MUTANTS", rows)
    monkeypatch.setattr(mutants, "TESTS", {"dynamics": ["tests/dynamics/test_decays.py"]})
    monkeypatch.setattr(mutants, "EVERY", ["tests/dynamics/test_decays.py"])
    assert mutants.main(["--output", str(tmp_path / "mutants.json")]) == 1
    noticed, survived = json.loads((tmp_path / "mutants.json").read_text())
    assert noticed["noticed_by"].startswith("FAILED tests/dynamics/test_decays.py::")
    assert survived == {"file": file, "was": rows[1][1], "is": rows[1][2], "noticed_by": None, "of": None}
    assert (ROOT / "kernl_keras" / file).read_text(encoding="utf-8") == code
