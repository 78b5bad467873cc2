"""The table of all checks with their largest error: `pytest --proof FILE`.

Each comparison of numbers in the tests is an `np.testing.assert_allclose`; here it also notes how far apart they were.
"""

import json
import os
import pathlib
import platform

import numpy as np
import tensorflow as tf

from kernl_keras.experiments.provenance import git_revision
from kernl_keras.keras_version import keras


class Proof:
    """A pytest plugin that counts comparisons and keeps the largest error of each test function."""

    def __init__(self, path):
        self.path = pathlib.Path(path.replace("{keras}", keras.__version__))  # one file for each Keras, if asked for
        self.rows = {}
        self.compare = np.testing.assert_allclose

    def pytest_sessionstart(self):
        np.testing.assert_allclose = self.assert_allclose

    def assert_allclose(self, actual, desired, rtol=1e-7, atol=0, *arguments, **settings):
        self.compare(actual, desired, rtol, atol, *arguments, **settings)
        one, other = np.asarray(actual, "float64"), np.asarray(desired, "float64")
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
        content = {
            "exit_status": int(exitstatus),
            "git_revision": git_revision(),
            "versions": {
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
            "checks": dict(sorted(self.rows.items())),
        }
        self.path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("largest errors, relative to the largest value compared")
        for test, row in sorted(self.rows.items()):
            terminalreporter.line(f"{row['relative_error']:8.1e} of {row['comparisons']:6,} {test}")
