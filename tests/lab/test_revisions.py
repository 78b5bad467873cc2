"""Which code has changed since a results file was made."""

import json
import subprocess

import pytest

from notebooks.lab import revisions


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
