"""The mutants are changes of the code as it is now, and the command finds which of them the tests notice."""

import ast
import json

import pytest

from notebooks.lab import mutants
from notebooks.lab.mutants import ROOT, Mutant

MUTANTS = mutants.read_table(mutants.TABLE.read_text(encoding="utf-8"))
CODE = '''
def far(x):
    return x + 1


class Unit:
    def step(self, x):
        """One step."""
        y = x * (1.0
                 - self.decay)  # ä
        return self.far(y, scale=2)
'''


@pytest.mark.parametrize("file", sorted({mutant.file for mutant in MUTANTS}))
def test_the_functions_and_expressions_of_a_file_are_there_once(file):
    text = (ROOT / "kernl_keras" / file).read_text(encoding="utf-8")
    for mutant in (mutant for mutant in MUTANTS if mutant.file == file):
        mutated = mutants.mutate(text, mutant)
        assert mutated != text and ast.parse(mutated)


def test_the_folders_that_should_notice_are_there():
    assert len(MUTANTS) > 200 and {mutant.file.split("/")[0] for mutant in MUTANTS} == set(mutants.TESTS)
    assert all((ROOT / test).is_dir() for tests in mutants.TESTS.values() for test in tests)


@pytest.mark.parametrize(
    "function, was, new, expected",
    [
        ("Unit.step", "1.0 - self.decay", "self.decay", ("1.0\n                 - self.decay", "(self.decay)")),
        ("Unit.step", "scale=2", "scale=3", ("scale=2", "scale=3")),
        ("Unit.step", "self.far(y, scale=2)", "y", ("self.far(y, scale=2)", "(y)")),
        ("Unit", "return self.far(y, scale=2)", "pass", ("return self.far(y, scale=2)", "pass")),
        ("", "x + 1", "x - 1", ("x + 1", "(x - 1)")),
    ],
)
def test_a_change_is_made_in_its_function_alone(function, was, new, expected):
    """However its expression is laid out."""
    assert mutants.mutate(CODE, Mutant("a.py", function, was, new)) == CODE.replace(*expected)


@pytest.mark.parametrize(
    "function, was, message",
    [
        ("Unit.run", "y", r"a\.py has no function 'Unit.run' any more \(looking for 'run'\)"),
        ("Unit.step", "x + 1", r"a\.py, Unit\.step: 'x \+ 1' must stand there once; found 0 times"),
        ("Unit.step", "self", "'self' must stand there once; found 2 times"),
    ],
)
def test_what_is_no_more_is_said(function, was, message):
    with pytest.raises(ValueError, match=message):
        mutants.mutate(CODE, Mutant("a.py", function, was, "0"))


@pytest.mark.slow
def test_a_mutant_that_is_noticed_and_one_that_is_not(tmp_path, monkeypatch):
    """In a copy: the checkout stays as it is."""
    file = "dynamics/decays.py"
    code = (ROOT / "kernl_keras" / file).read_text(encoding="utf-8")
    table = f"{file} decay_euler\n    dt / tau  =>  tau / dt\n    1.0 - dt / tau  =>  1 - dt / tau\n"
    (tmp_path / "table.txt").write_text(table)
    monkeypatch.setattr(mutants, "TABLE", tmp_path / "table.txt")
    monkeypatch.setattr(mutants, "TESTS", {"dynamics": ["tests/dynamics/test_decays.py"]})
    monkeypatch.setattr(mutants, "ALL_TESTS", ["tests/dynamics/test_decays.py"])
    assert mutants.main(["--output", str(tmp_path / "mutants.json")]) == 1
    noticed, survived = json.loads((tmp_path / "mutants.json").read_text())
    assert noticed["noticed_by"].startswith("FAILED tests/dynamics/test_decays.py::")
    change = {"file": file, "function": "decay_euler", "was": "1.0 - dt / tau", "is": "1 - dt / tau"}
    assert survived == {**change, "noticed_by": None, "of": None}
    assert (ROOT / "kernl_keras" / file).read_text(encoding="utf-8") == code
    monkeypatch.setattr(mutants, "TESTS", {"dynamics": ["tests/dynamics/test_surrogate.py"]})  # would not notice
    again = ["--output", str(tmp_path / "again.json"), "--last", str(tmp_path / "mutants.json"), "--skip-baseline"]
    assert mutants.main(again) == 1
    assert json.loads((tmp_path / "again.json").read_text()) == [noticed, survived]
