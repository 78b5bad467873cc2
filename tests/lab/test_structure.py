"""How large the code is, and how far it is from `fit` to a gradient."""

import pathlib

import pytest

from kernl_keras.experiments.files import read_json
from notebooks.lab import structure

CELL = """
class Cell:
    word: str = "a"
    many = ()
    OTHER = False
    declared: int

    @property
    def asked(self) -> bool:
        return self.word == "a"

    @property
    def size(self) -> int:
        return 1

    def method(self):
        '''Two lines.'''
        return 1
"""
RULE = """
def rule(cell, layer):
    one = cell.word, cell.OTHER
    two = cell.size, cell.many, cell.method(), cell.declared, layer.word
    return layer.cell.asked
"""


def test_flags_that_are_asked_of_units_are_counted_by_lines_outside_their_folder():
    files = {pathlib.Path("cells/a.py"): CELL + "x = cell.word", pathlib.Path("rules/b.py"): RULE}
    assert structure.words_asked(files) == 2
    assert structure.longest(files) == {"longest_file": CELL.count("\n"), "longest_function": 4}


@pytest.mark.skipif(not (structure.ROOT / ".git").exists(), reason="needs a checkout with its history")
def test_both_checkouts_are_measured_and_the_earlier_one_is_gone_after_it(tmp_path, monkeypatch):
    """Times and the walk are faked: each takes seconds."""
    seconds = iter(range(100))

    def outcome(script, root):
        assert (root / "kernl_keras").is_dir()
        step = {"first": 1.0 * next(seconds), "step": 0.5}
        return {"files": 1, "functions": 2, "stack": 3} if script == structure.WALK else {"e-prop": step}

    monkeypatch.setattr(structure, "outcome", outcome)
    output = tmp_path / "structure.json"
    assert structure.main(["--before", "HEAD", "--rounds", "2", "--output", str(output)]) == 0
    found = read_json(output)["structure"]
    # the first two are the walks; then the checkouts take turns
    assert [found[when]["times"]["e-prop"]["first"] for when in ("before", "after")] == [2.0, 3.0]
    assert found["before"]["package"] > 10_000 and found["before"]["longest_function"] > 20
    assert str(tmp_path) not in structure.git("worktree", "list")
    assert structure.main(["--before", "HEAD", "--sizes", "--output", str(output)]) == 0
    again = read_json(output)["structure"]
    assert again["before"]["times"] == found["before"]["times"] and again["after"]["times"] == found["after"]["times"]
    assert again["after"]["times_git_revision"] == found["after"]["git_revision"]
