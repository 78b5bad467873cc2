"""Training that is killed and gone on with ends as if nothing had happened: `notebooks.lab.kills` in small."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from notebooks.lab import kills

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the age of a process is read from /proc")
def test_three_kills(tmp_path):
    # a seed whose three kills all fall into one run: in an epoch, at an early change of the directory, while it starts
    arguments = ["--kills", "3", "--epochs", "2", "--seed", "948", "--output", tmp_path / "kills.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "notebooks.lab.kills", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "kills.json").read_text())
    assert report["kills"] == 3 == sum(report["phases"].values()) and report["compared"] > 90
    assert report["identical"] == report["runs"] >= 1


def test_a_difference_is_seen():
    one = {"backup 000/draws": 3, "model kernel": b"\0\0\x80?", "scalar train fit/loss 5": {b"a"}}
    assert not kills.differences(one, dict(one))
    for change in ({"backup 000/draws": 4}, {"model kernel": b"\1\0\x80?"}, {"scalar train fit/loss 5": {b"a", b"b"}}):
        assert kills.differences({**one, **change}, one) == list(change) == kills.differences(one, {**one, **change})
    assert kills.differences({}, one) == sorted(one)
