"""Imports point one way: dynamics <- cells <- rules <- layers <- training <- experiments."""

import ast
import pathlib

import pytest

PACKAGE = "kernl_keras"
ROOT = pathlib.Path(__file__).parents[1] / PACKAGE

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
    "archives",
    "keras_version",
    "serialization",
    "checks",
    "draws",
    "initializers",
    "regularizers",
    "quiet",
    "replicas",
    "types",
    "uniform",
    "version",
    "whole_files",
}
TOP = {"__init__", "__main__", "cli"}  # the front door; it may import every room
ONLY_IN = {  # package: the place that may import it
    "keras": "keras_version",  # this module alone knows which Keras it is
    "tf_keras": "keras_version",
    "notebooks": None,  # the checkout's, and not installed
    "tests": None,
}


def imported_modules(path, root=ROOT):
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


def violations(root=ROOT):
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
    places = {
        path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }
    assert places <= {*ROOMS, *HELPERS, *TOP}


@pytest.mark.parametrize(
    "place, statement",
    [
        ("dynamics/noise.py", "from ..cells.lif import LIFCell"),
        ("dynamics/noise.py", "from ..sequences.time_loop import scan"),
        ("cells/lif.py", "from .. import layers"),
        ("cells/lif.py", "from ..layers.rnn import RNN"),
        ("cells/lif.py", "from kernl_keras import rules"),
        ("cells/lif.py", "from ..rules.eprop import EProp"),
        ("cells/lif.py", "def call():\n    import kernl_keras.layers.rnn"),
        ("sequences/clean_pass.py", "from ..cells.lif import LIFCell"),
        ("rules/kernl.py", "from ..layers.rnn import RNN"),
        ("layers/rnn.py", "from ..training.model import Model"),
        ("layers/deep/kernl.py", "from ...training.model import Model"),
        ("training/model.py", "from ..experiments import registry"),
        ("training/model.py", "from kernl_keras import RNN"),  # through the front door
        ("training/model.py", "import kernl_keras as kk"),
        ("callbacks/tensorboard.py", "from ..experiments import registry"),
        ("data/mnist.py", "from ..training.model import Model"),
        ("checks.py", "from .cells.lif import LIFCell"),  # a helper knows no room
        ("layers/rnn.py", "import keras"),
        ("cli.py", "from notebooks.lab import sweep"),
        ("experiments/run.py", "import tests.training.replicas"),
        ("layers/rnn.py", "from tf_keras.layers import RNN"),
    ],
)
def test_a_planted_import_is_found(tmp_path, place, statement):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(statement)
    (found,) = violations(tmp_path)
    assert found.startswith(f"{place}:")


@pytest.mark.parametrize(
    "place, statement",
    [
        ("cells/lif.py", "from ..dynamics import lif\nfrom .. import checks\nfrom .hidden import HiddenCell"),
        ("rules/kernl.py", "from ..cells.hidden import HiddenCell\nfrom ..sequences.time_loop import scan"),
        ("layers/rnn.py", "from ..rules import get\nfrom ..sequences.clean_pass import clean_pass"),
        ("experiments/run.py", "from ..data import mnist\nfrom kernl_keras.training.model import Model"),
        ("keras_version.py", "import keras\nimport tf_keras"),
        ("__init__.py", "from .layers.rnn import RNN"),
    ],
)
def test_an_import_that_points_the_right_way_is_left_alone(tmp_path, place, statement):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(statement)
    assert not violations(tmp_path)
