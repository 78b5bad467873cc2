"""Which code has changed since a results file was made."""

import json
import subprocess

import pytest

from kernl_keras.experiments.files import UserError
from notebooks.lab import repeat, revisions


def test_comments_docstrings_and_layout_are_no_statements():
    one = '"""Doc."""\n\ndef f(x):  # why\n    """Twice."""\n    return 2 * x\n'
    assert revisions.statements(one) == revisions.statements("def f(x): return (2 * x)")
    assert revisions.statements(one) != revisions.statements("def f(x): return 3 * x")


def test_all_revisions_of_a_file_are_found():
    runs = [{"git_revision": "b-dirty", "network_git_revision": "c"}, {"git_revision": None}]
    assert revisions.revisions_in({"git_revision": "a", "runs": runs}) == {"a", "b", "c"}


def test_modules_with_other_statements_are_counted_since_the_oldest_revision(tmp_path, monkeypatch, capsys):
    package, results = tmp_path / "kernl_keras", tmp_path / "results"
    for folder in (package / "rules", package / "naive", results):
        folder.mkdir(parents=True)
    monkeypatch.setattr(revisions, "ROOT", tmp_path)

    def commit(**sources):
        for name, source in sources.items():
            (package / name.replace("__", "/")).with_suffix(".py").write_text(source)
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        for command in (["add", "."], [*who, "commit", "-q", "-m", "one"]):
            subprocess.run(["git", "-C", tmp_path, *command], check=True)
        return revisions.git("rev-parse", "HEAD").strip()

    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    first = commit(rules__a="x = 1", rules__b="x = 1", naive__c="x = 1", top="x = 1")
    second = commit(rules__a="x = 2", rules__b="x = 1  # one", naive__c="x = 2", rules__new="y = 1")
    third = commit(top="x = 3")
    for name, found in {"old": [second, first], "newer": [second], "newest": [third], "none": ["0" * 40]}.items():
        (results / f"{name}.json").write_text(json.dumps({"runs": [{"git_revision": each} for each in found]}))
    assert revisions.main(["--results", str(results)]) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["newest"] == f"{third[:10]}  as it is now"
    assert said["newer"] == f"{second[:10]}  kernl_keras 1"
    assert said["old"] == f"{first[:10]}  kernl_keras 1, rules 2"
    assert said["none"] == "names no revision of this history"


def test_without_a_checkout_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(revisions, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="2"):
        revisions.main([])
    assert "the revisions need a checkout with its history: git rev-list HEAD failed." in capsys.readouterr().err


def test_one_run_of_each_row_and_revision_is_repeated():
    runs = [{"variant": v, "seed": s, "git_revision": r} for v, s, r in (("a", 0, "x"), ("a", 1, "x"), ("a", 2, None))]
    rows = repeat.rows_of({"sweep": "tiny", "git_revision": "y-dirty", "runs": runs})
    assert {key: run["seed"] for key, run in rows.items()} == {("a", "x"): 0, ("a", "y"): 2}
    assert repeat.rows_of({"runs": runs}) == repeat.rows_of([1, 2]) == {}


def test_losses_of_then_and_now_are_compared_and_what_is_there_stays(tmp_path, monkeypatch):
    """Each revision has a worktree of its own, which is removed also where its runs fail."""
    runs = [{"variant": v, "seed": 3, "learning_rate": 0.1, "git_revision": r} for v, r in (("a", "x"), ("b", "z"))]
    (tmp_path / "tiny.json").write_text(json.dumps({"sweep": "small", "git_revision": "x", "runs": runs}))
    trees, asked = [], []

    def git(*arguments):
        trees.append((arguments[1], arguments[-1]))

    def losses(tree, runs, updates, data_dir):
        asked.append((tree == repeat.ROOT, runs, updates))
        if any(variant == "b" for _, variant, *_ in runs) and len(asked) < 4:
            raise UserError("it failed.")
        return [2.0 if tree == repeat.ROOT else 1.0 for _ in runs]

    monkeypatch.setattr(repeat, "git", git)
    monkeypatch.setattr(repeat, "losses", losses)
    output = tmp_path / "made" / "repeat.json"
    output.parent.mkdir()
    flags = ["--results", str(tmp_path), "--updates", "2", "--output", str(output)]
    with pytest.raises(SystemExit, match="2"):
        repeat.main(flags)
    first = json.loads(output.read_text())["repeat"]["rows"]
    assert [each.pop("git_revision") is not None for each in first] == [True]
    assert first == [{"file": "tiny", "variant": "a", "revision": "x", "then": 1.0, "now": 2.0}]
    assert repeat.main(flags) == 0
    rows = json.loads(output.read_text())["repeat"]["rows"]
    assert rows[0].items() >= first[0].items() and [row["variant"] for row in rows] == ["a", "b"]
    assert asked[0] == (False, (("small", "a", 3, 0.1),), 2) and [now for now, *_ in asked] == [0, 1, 0, 0, 1]
    assert [what for what, _ in trees] == ["add", "remove"] * 3


@pytest.mark.slow
def test_first_updates_say_the_loss_of_a_run_by_the_code_of_a_folder():
    runs = [("anbn", "readout only", 0, 1e-2), ("anbn", "no such row", 0, 1e-2), ("no such sweep", "", 0, 1e-2)]
    one, none, neither = repeat.losses(repeat.ROOT, runs, 1, None)
    assert 0.0 < one < 2.0 and none is neither is None
    with pytest.raises(UserError, match=r"the runs of .* failed, with status 1"):
        repeat.losses(repeat.ROOT, [("anbn", "readout only", 0, -1.0)], 1, None)
