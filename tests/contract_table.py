"""The contract as a table, every behaviour x every layer: `pytest tests/contract --contract FILE`.

A row is a test of `tests/contract`, a column what it was parametrized with; both Kerases write into one file, and a run
of some of the tests replaces their rows. Status, revision and versions are those of the last run.
"""

import collections
import pathlib

from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.experiments.provenance import git_revision, versions
from kernl_keras.keras_version import keras


class Contract:
    """A pytest plugin that keeps what became of each test of the contract."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.behaviours = collections.defaultdict(dict)

    def pytest_runtest_logreport(self, report):
        file, _, test = report.nodeid.partition("::")
        if "tests/contract/" not in file or (report.when != "call" and report.passed):
            return
        behaviour, _, layer = test.rstrip("]").partition("[")
        behaviour = f"{pathlib.PurePath(file).stem.removeprefix('test_')}: {behaviour.removeprefix('test_')}"
        self.behaviours[behaviour.replace("_", " ")][layer] = report.outcome

    def pytest_sessionfinish(self, exitstatus):
        content = read_json(self.path) if self.path.is_file() else {"contract": {}}
        before = content["contract"].get(f"Keras {keras.__version__}", {}).get("behaviours", {})
        content["contract"][f"Keras {keras.__version__}"] = {
            "exit_status": int(exitstatus),
            "git_revision": git_revision(),
            "versions": versions(),
            "behaviours": dict(sorted({**before, **self.behaviours}.items())),
        }
        write_json(self.path, content)
