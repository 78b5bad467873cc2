"""How many bad inputs were tried, and what each class got: `python -m pytest tests/badinput --bad-input FILE`.

With `-m "slow or not slow"` batches and networks are tried too.

Both Kerases write into one file. Hypothesis draws the same inputs in every run, so there is no seed.
"""

import pathlib
import shlex

import hypothesis

from kernl_keras.experiments.files import read_json, write_json
from kernl_keras.experiments.provenance import git_revision, versions
from kernl_keras.keras_version import keras

from .badinput.tried import TRIED


class BadInput:
    """A pytest plugin that writes down what `tests/badinput` tried."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def pytest_sessionfinish(self, session, exitstatus):
        arguments = shlex.join(session.config.invocation_params.args)
        content = read_json(self.path) if self.path.is_file() else {"bad_input": {}}
        tried = {}
        for (kind, got), inputs in sorted(TRIED.items()):
            tried.setdefault(kind, {})[got] = len(inputs)
        content["bad_input"][f"Keras {keras.__version__}"] = {
            "exit_status": int(exitstatus),
            "command": f"python -m pytest {arguments}".replace(str(self.path), self.path.name),
            "git_revision": git_revision(),
            "versions": {**versions(), "hypothesis": hypothesis.__version__},
            "seed": "derandomized",
            "tried": tried,
        }
        write_json(self.path, content)
