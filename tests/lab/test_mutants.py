"""The mutants are changes of the code as it is now, and the command finds which of them the tests notice."""

import ast
import json
import queue

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


def row_of(mutant, noticed_by, of):
    return {**dict(zip(("file", "function", "was", "is"), mutant)), "noticed_by": noticed_by, "of": of}


def test_only_what_no_test_has_noticed_is_tried_and_the_other_rows_stay(tmp_path, monkeypatch):
    """In the order of the table; a mutant that left it goes."""
    first, second, third, gone = (mutant._replace(new=f"{n}") for n, mutant in enumerate(MUTANTS[:1] * 4))
    table = "".join(f"{file} {function}\n    {was}  =>  {new}\n" for file, function, was, new in (first, second, third))
    (tmp_path / "table.txt").write_text(table)
    monkeypatch.setattr(mutants, "TABLE", tmp_path / "table.txt")
    monkeypatch.setattr(mutants, "copy_checkout", lambda folder: folder)
    monkeypatch.setattr(mutants, "try_mutant", lambda mutant, *_: row_of(mutant, "FAILED now", "README"))
    before = [row_of(each, "FAILED before", "README") for each in (third, gone)]
    (tmp_path / "last.json").write_text(json.dumps([*before, row_of(second, None, None)]))
    arguments = ["--new", "--skip-baseline", "--last", str(tmp_path / "last.json"), "--output"]
    assert mutants.main([*arguments, str(tmp_path / "now.json")]) == 0
    tried = [row_of(each, "FAILED now", "README") for each in (first, second)]
    assert json.loads((tmp_path / "now.json").read_text()) == [*tried, before[0]]


@pytest.mark.parametrize(
    "fails, expected",
    [
        ("rules/test_a.py::quick", ("FAILED rules/test_a.py::quick", "tests of its room")),
        ("lab/test_b.py::slow", ("FAILED lab/test_b.py::slow", "slow tests")),
        ("room", ("FAILED room", "tests of its room")),
        ("nothing", (None, None)),
    ],
)
def test_the_tests_that_are_named_run_first(fails, expected, tmp_path, monkeypatch):
    """The quick ones of the room, then the slow ones; one that is not there any more says nothing."""
    named, known = ["rules/test_a.py::quick", "lab/test_b.py::slow"], row_of(MUTANTS[0], "FAILED gone", "README")

    def run_tests(folder, tests, *options):
        if tests == ["gone"]:
            return "exit status 4"
        quick = [test for test in tests if test.endswith("slow") == ("slow" in options)]
        return f"FAILED {fails}" if fails in quick else None

    mutant = next(mutant for mutant in MUTANTS if mutant.file.startswith("rules/"))
    monkeypatch.setattr(mutants, "TESTS", {"rules": ["rules", "room"]})
    monkeypatch.setattr(mutants, "run_tests", run_tests)
    (tmp_path / "kernl_keras" / mutant.file).parent.mkdir(parents=True)
    (tmp_path / "kernl_keras" / mutant.file).write_text((ROOT / "kernl_keras" / mutant.file).read_text("utf-8"))
    folders = queue.Queue()
    folders.put(tmp_path)
    found = mutants.try_mutant(mutant, folders, known, named)
    assert (found["noticed_by"], found["of"]) == expected


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
    assert survived == row_of(Mutant(file, "decay_euler", "1.0 - dt / tau", "1 - dt / tau"), None, None)
    assert (ROOT / "kernl_keras" / file).read_text(encoding="utf-8") == code
    monkeypatch.setattr(mutants, "TESTS", {"dynamics": ["tests/dynamics/test_surrogate.py"]})  # would not notice
    again = ["--output", str(tmp_path / "again.json"), "--last", str(tmp_path / "mutants.json"), "--skip-baseline"]
    assert mutants.main(again) == 1
    assert json.loads((tmp_path / "again.json").read_text()) == [noticed, survived]
