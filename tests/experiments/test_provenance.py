"""The git revision of a result."""

import shutil
import subprocess

import pytest

from kernl_keras.experiments import provenance
from kernl_keras.experiments.provenance import git_revision


def test_what_decides_the_bits_is_told_where_it_changed(monkeypatch, capsys):
    monkeypatch.setattr(provenance.tf.config.threading, "get_intra_op_parallelism_threads", lambda: 2)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    before = [provenance.computed_with()]
    assert provenance.going_on_with(before) == before and not capsys.readouterr().err
    monkeypatch.setattr(provenance.tf.config.threading, "get_intra_op_parallelism_threads", lambda: 1)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    after = provenance.going_on_with(before)
    assert [each["threads"] for each in after] == [2, 1]
    for_threads, of_onednn = capsys.readouterr().err.splitlines()
    assert "threads was 2, now 1: the run goes on" in for_threads and "give --threads 2." in for_threads
    assert "'0', now '1'" in of_onednn and "set TF_ENABLE_ONEDNN_OPTS=0." in of_onednn
    assert set(provenance.ADVICE) == set(after[0])


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_revision_is_that_of_the_checkout_that_tracks_the_file(tmp_path):
    def git(*arguments):
        settings = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", tmp_path, *settings, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    code, untracked, results = tmp_path / "a.py", tmp_path / "b.py", tmp_path / "notebooks" / "results" / "a.json"
    results.parent.mkdir(parents=True)
    for file in (code, untracked, results):
        file.write_text("1")
    git("add", "a.py", "notebooks")
    git("commit", "-m", "m")
    git("tag", "v1")
    results.write_text("2")  # is no code
    assert git_revision(code) == git("rev-parse", "HEAD")
    code.write_text("2")
    assert git_revision(code) == git("rev-parse", "HEAD") + "-dirty"
    assert git_revision(untracked) is None


def test_no_revision_outside_a_checkout_or_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "file.py").write_text("1")
    assert git_revision(tmp_path / "file.py") is None
    monkeypatch.setenv("PATH", "")
    assert git_revision() is None
