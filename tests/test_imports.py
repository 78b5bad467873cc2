"""Imports point one way: dynamics <- cells <- rules <- layers <- training <- experiments; and what they cost."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3

PACKAGE = "kernl_keras"
PACKAGE_DIR = pathlib.Path(__file__).parents[1] / PACKAGE

ROOMS = {  # room: the other rooms it may import
    "dynamics": set(),
    "naive": set(),  # the oracle: apart from all it is to judge
    "cells": {"dynamics"},
    "sequences": set(),  # the loop over time
    "rules": {"dynamics", "cells", "sequences"},
    "layers": {"dynamics", "cells", "sequences", "rules"},
    "training": {"sequences", "rules", "layers"},
    "callbacks": {"layers", "training"},
    "export": {"cells", "layers", "training"},
    "data": set(),
    "experiments": {"dynamics", "cells", "rules", "layers", "training", "callbacks", "data"},
}
# Top-level modules, free for every room; they import no room.
HELPERS = {
    "archives", "keras_version", "checks", "draws", "initializers", "regularizers", "quiet",
    "replicas", "types", "version", "whole_files",
}  # fmt: skip
TOP = {"__init__", "__main__", "cli"}  # the front door; it may import every room
ONLY_IN = {  # package: the place that may import it
    "keras": "keras_version",  # this module alone knows which Keras it is
    "tf_keras": "keras_version",
    "notebooks": None,  # the checkout's, and not installed
    "tests": None,
}


def imported_modules(path, root=PACKAGE_DIR):
    """Yields (line, dotted name) of each import in a file, wherever it stands; relative ones are resolved."""
    package = (PACKAGE, *path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            # `from kernl_keras import x`: x is a room, a helper or a public name, so it decides.
            names = [f"{module}.{alias.name}" for alias in node.names] if module == PACKAGE else [module]
            yield from ((node.lineno, name) for name in names)


def violations(root=PACKAGE_DIR):
    """One line for each import that points the wrong way."""
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).with_suffix("").parts[0]
        may = {*ROOMS, *HELPERS, *TOP} if place in TOP else ROOMS.get(place, set()) | HELPERS | {place}
        for line, name in imported_modules(path, root):
            first, *rest = name.split(".")
            if first == PACKAGE:
                allowed = bool(rest) and rest[0] in may
            else:
                allowed = ONLY_IN.get(first, place) == place
            if not allowed:
                found.append(f"{path.relative_to(root).as_posix()}:{line} imports {name}")
    return found


def test_imports_point_one_way():
    assert not violations()


def test_every_place_of_the_package_is_in_the_table():
    places = {path.relative_to(PACKAGE_DIR).parts[0].removesuffix(".py") for path in PACKAGE_DIR.rglob("*.py")}
    assert places <= {*ROOMS, *HELPERS, *TOP}


WRONG = [
    ("dynamics/decays.py", "from ..cells.lif import LIFCell"),
    ("cells/lif.py", "from .. import layers"),
    ("cells/lif.py", "from kernl_keras import rules"),
    ("cells/lif.py", "def call():\n    import kernl_keras.layers.rnn"),
    ("layers/deep/kernl.py", "from ...training.model import Model"),
    ("training/model.py", "from kernl_keras import RNN"),  # through the front door
    ("training/model.py", "import kernl_keras as kk"),
    ("checks.py", "from .cells.lif import LIFCell"),  # a helper knows no room
    ("layers/rnn.py", "import keras"),
    ("layers/rnn.py", "from tf_keras.layers import RNN"),
    ("cli.py", "from notebooks.lab import sweep"),
    ("experiments/run.py", "import tests.training.replicas"),
]
RIGHT = [
    ("cells/lif.py", "from ..dynamics import lif\nfrom .. import checks\nfrom .hidden import HiddenCell"),
    ("experiments/run.py", "from ..data import mnist\nfrom kernl_keras.training.model import Model"),
    ("keras_version.py", "import keras\nimport tf_keras"),
    ("__init__.py", "from .layers.rnn import RNN"),
]


@pytest.mark.parametrize("place, statement, count", [*((*row, 1) for row in WRONG), *((*row, 0) for row in RIGHT)])
def test_a_planted_import_is_found_where_it_points_the_wrong_way(tmp_path, place, statement, count):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(statement)
    found = violations(tmp_path)
    assert len(found) == count and all(each.startswith(f"{place}:") for each in found)


LATER = {"callbacks", "data", "experiments", "export", "naive"}  # rooms that load when they are first used


def test_rooms_load_on_first_use():
    """The front door names none of them but for `TYPE_CHECKING`, nor may a room that it loads at once."""
    tree = ast.parse((PACKAGE_DIR / "__init__.py").read_text(encoding="utf-8"))
    statements = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    names = {name for node in statements for name in ([node.module] if node.module else [n.name for n in node.names])}
    rooms = {name.split(".")[0] for name in names} & ROOMS.keys()
    assert rooms == {"cells", "layers", "rules", "training"}
    assert not LATER & rooms.union(*(ROOMS[room] for room in rooms))


NAMES = """
__version__ AdLIFCell AudioEncoder ContextCell data FiringRate gradient_alignment GradientAlignment InputSpikeCell
LeakyRNNCell learner LIFCell load_pretrained LogSpaced LogUniform LSTMCell Model naive one_step Readout ReadoutCell
ResonatorCell RNN rules SpikeEncoder StreamBackup StreamMonitor TensorBoard TimeAverage to_nir Unit
""".split()


def test_public_names():
    """Pinned: a name that comes or goes is a decision."""
    assert sorted(kk.__all__) == sorted(NAMES)
    names = "SequenceData Splits adding_problem anbn arrays ecg full_batches sequential_mnist spoken_digits stream"
    assert sorted(kk.data.__all__) == names.split()


def test_every_public_name_is_listed_and_there():
    assert dir(kk) == sorted(kk.__all__) and all(hasattr(kk, name) for name in kk.__all__)
    with pytest.raises(AttributeError, match="module 'kernl_keras' has no attribute 'LSTM'"):
        kk.LSTM  # noqa: B018


PROGRAM = """
import json, sys, time
import tensorflow, {keras}

def packages():
    return {{name.split(".")[0] for name in sys.modules}}

before, start = packages(), time.process_time()
import kernl_keras as kk
seconds = time.process_time() - start
found = {{"brought": sorted(packages() - before), "listed": dir(kk), "modules": sorted(sys.modules)}}
for name in kk.__all__:
    getattr(kk, name)
print(json.dumps({{**found, "seconds": seconds, "brought_by_use": sorted(packages() - before)}}))
"""


@pytest.mark.slow
def test_what_the_import_costs_and_brings_in_a_fresh_python():
    """No other package, such as TensorBoard or NIR, nor by use of the public names; 0.06 s where it was measured."""
    program = PROGRAM.format(keras="keras" if IS_KERAS_3 else "tf_keras")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for brought in (found["brought"], found["brought_by_use"]):
        assert set(brought) - sys.stdlib_module_names == {"kernl_keras"}
    assert not LATER & {name.split(".")[1] for name in found["modules"] if name.startswith("kernl_keras.")}
    assert found["listed"] == sorted(kk.__all__) and found["seconds"] < 0.3  # processor time
