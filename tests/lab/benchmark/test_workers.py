"""Workers side by side: who steps when, what is measured, and what a worker that fails says."""

import pytest

from notebooks.lab.benchmark.environments import SCRIPTS
from notebooks.lab.benchmark.workers import Row, measure

SCRIPT = f"""
import sys, time
sys.path.insert(0, {str(SCRIPTS)!r})
from protocol import serve

def build(settings):
    if settings["rule"] == "broken":
        print("what was wrong", file=sys.stderr)
        raise ValueError("no such rule")
    log = open(settings["log"], "a")
    def step():
        print(settings["rule"], file=log, flush=True)
        time.sleep(settings["wait"])
        return settings["wait"]
    return step, {{"package": "1.0"}}

serve(build)
"""


@pytest.fixture
def row(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def make(rule, wait=0.0):
        return Row(f"the {rule}", {"rule": rule, "wait": wait, "log": str(tmp_path / "log")}, script=script)

    return make


def test_rows_take_turns(row, tmp_path):
    said = []
    fast, slow = measure([row("fast"), row("slow", 0.2)], 3, said.append)
    assert (tmp_path / "log").read_text().split() == ["fast"] * 2 + ["slow"] * 2 + ["fast", "slow"] * 3
    assert said == ["  the fast", "  the slow"]
    assert fast.name == "the fast" and fast.versions == {"package": "1.0"} and slow.loss == 0.2
    assert len(slow.every) == 3 and min(slow.every) <= slow.seconds <= max(slow.every)
    assert fast.seconds < slow.seconds >= 0.2 and slow.first_seconds >= 0.2
    assert 1.0 < fast.idle_mb <= fast.peak_mb < 200.0


def test_a_worker_that_fails_says_why(row):
    with pytest.raises(RuntimeError, match="the broken: ValueError: no such rule\n(.|\n)*what was wrong"):
        measure([row("fast"), row("broken")], 1, lambda line: None)


def test_a_script_that_is_not_there(row, tmp_path):
    with pytest.raises(RuntimeError, match="the fast: the process ended\n(.|\n)*No such file"):
        measure([row("fast")._replace(script=tmp_path / "none.py")], 1, lambda line: None)
