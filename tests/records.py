"""Pytest plugins that write down what a run found, each a JSON file with both Kerases in it or one file for each.

    python -m pytest --proof FILE                      # the largest error of each check
    python -m pytest tests/contract --contract FILE    # every behaviour x every layer
    python -m pytest tests/badinput --bad-input FILE   # how many bad inputs were tried, and what each class got

With `-m "slow or not slow"` batches and networks are tried as bad inputs too. Hypothesis draws the same inputs in every
run, so there is no seed. A run of some of the tests of the contract replaces their rows; status, revision and versions
are those of the last run.
"""

import collections
import os
import pathlib
import platform
import shlex

import hypothesis
import numpy as np
import tensorflow as tf

from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.experiments.provenance import git_revision, versions
from kernl_keras.keras_version import keras

from .badinput.tried import TRIED


class Record:
    """A file that has a part for each Keras, under `name`."""

    name: str

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def write(self, exitstatus, report):
        content = read_json(self.path) if self.path.is_file() else {self.name: {}}
        before = content[self.name].get(f"Keras {keras.__version__}", {})
        about = {"exit_status": int(exitstatus), "git_revision": git_revision(), "versions": versions()}
        content[self.name][f"Keras {keras.__version__}"] = {**about, **report(before)}
        write_json(self.path, content)


class BadInput(Record):
    """Writes down what `tests/badinput` tried."""

    name = "bad_input"

    def pytest_sessionfinish(self, session, exitstatus):
        arguments = shlex.join(session.config.invocation_params.args)
        tried = {}
        for (kind, got), inputs in sorted(TRIED.items()):
            tried.setdefault(kind, {})[got] = len(inputs)
        command = f"python -m pytest {arguments}".replace(str(self.path), self.path.name)
        made_with = {**versions(), "hypothesis": hypothesis.__version__}
        report = {"command": command, "versions": made_with, "seed": "derandomized", "tried": tried}
        self.write(exitstatus, lambda before: report)


class Contract(Record):
    """Keeps what became of each test of the contract: a row is a test, a column what it was parametrized with."""

    name = "contract"

    def __init__(self, path):
        super().__init__(path)
        self.behaviours = collections.defaultdict(dict)

    def pytest_runtest_logreport(self, report):
        file, _, test = report.nodeid.partition("::")
        if "tests/contract/" not in file or (report.when != "call" and report.passed):
            return
        behaviour, _, layer = test.rstrip("]").partition("[")
        behaviour = f"{pathlib.PurePath(file).stem.removeprefix('test_')}: {behaviour.removeprefix('test_')}"
        self.behaviours[behaviour.replace("_", " ")][layer] = report.outcome

    def pytest_sessionfinish(self, exitstatus):
        def report(before):
            return {"behaviours": dict(sorted({**before.get("behaviours", {}), **self.behaviours}.items()))}

        self.write(exitstatus, report)


class Proof:
    """Counts comparisons of numbers, by `np.testing.assert_allclose`, and keeps the largest error of each test."""

    def __init__(self, path):
        self.path = pathlib.Path(path.replace("{keras}", keras.__version__))  # one file for each Keras, if asked for
        self.rows = {}
        self.compare = np.testing.assert_allclose

    def pytest_sessionstart(self):
        np.testing.assert_allclose = self.assert_allclose

    def assert_allclose(self, actual, desired, rtol=1e-7, atol=0, *arguments, **settings):
        self.compare(actual, desired, rtol, atol, *arguments, **settings)
        one, other = np.asarray(actual, "complex128"), np.asarray(desired, "complex128")  # poles are complex
        distance = np.abs(one - other)[np.isfinite(one - other)]
        largest = float(distance.max(initial=0.0))
        scale = float(np.abs(other[np.isfinite(other)]).max(initial=0.0))
        test = os.environ["PYTEST_CURRENT_TEST"].split(" (")[0].split("[")[0]
        row = self.rows.setdefault(test, {"comparisons": 0, "error": 0.0, "relative_error": 0.0, "rtol": 0.0})
        row["comparisons"] += 1
        row["error"] = max(row["error"], largest)
        row["relative_error"] = max(row["relative_error"], largest / scale if scale else largest)
        row["rtol"] = max(row["rtol"], rtol)

    def pytest_sessionfinish(self, exitstatus):
        np.testing.assert_allclose = self.compare
        modules = {module.__name__: module.__version__ for module in (tf, np)}
        made_with = {"python": platform.python_version(), "keras": keras.__version__, **modules}
        about = {"exit_status": int(exitstatus), "git_revision": git_revision(), "versions": made_with}
        write_json(self.path, {**about, "checks": dict(sorted(self.rows.items()))})

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("largest errors, relative to the largest value compared")
        for test, row in sorted(self.rows.items()):
            terminalreporter.line(f"{row['relative_error']:8.1e} of {row['comparisons']:6,} {test}")
