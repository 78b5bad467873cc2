"""What the package says of itself holds: one version, data and typing marker included, requirements declared."""

import ast
import configparser
import importlib
import importlib.metadata
import pathlib
import re
import sys

import pytest
from packaging.requirements import Requirement

import kernl_keras
from kernl_keras.version import __version__

TOP = pathlib.Path(__file__).parents[1]
PACKAGE = TOP / "kernl_keras"


@pytest.fixture(scope="module")
def config():
    parser = configparser.ConfigParser()
    assert parser.read(TOP / "setup.cfg", encoding="utf-8")
    return parser


def lines(text):
    """The entries of a setup.cfg list."""
    return [line for line in text.strip().splitlines() if line and not line.startswith("#")]


def module_level_imports(body):
    """Top-level package names that a module imports as it is imported: function bodies are left out, and types."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, (ast.If, ast.Try)):
            yield from module_level_imports(ast.iter_child_nodes(node))


def test_one_version(config):
    """Setup reads it without an import, and the change log knows it."""
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", __version__)
    assert config["metadata"]["version"] == "attr: kernl_keras.version.__version__"
    assert kernl_keras.__version__ == __version__
    assert not re.search(r"^\s*(import|from) ", (PACKAGE / "version.py").read_text(encoding="utf-8"), re.MULTILINE)
    headings = re.findall(r"^## \[(.+?)\]", (TOP / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased" and __version__ in headings


def test_the_installed_version(config):
    try:
        installed = importlib.metadata.version(config["metadata"]["name"])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("kernl_keras is not installed, only on the path")
    assert installed == __version__


def test_what_contributing_names_is_there(config):
    """Its files and folders, and the extras that it installs."""
    text = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = {path for path in re.findall(r"`([\w./-]+)`", text) if re.search(r"/|\.(py|cfg|md)$", path)}
    assert len(paths) > 10
    found = {path for path in paths if any((folder / path).exists() for folder in (TOP, PACKAGE))}
    assert found == paths
    extras = {extra for group in re.findall(r"\.\[([\w,]+)\]", text) for extra in group.split(",")}
    assert extras and extras <= set(config["options.extras_require"])


def test_every_file_beside_the_modules_is_packaged(config):
    """The sample of MNIST and its licence, and the marker that says the package is typed."""
    packaged = {path for glob in lines(config["options.package_data"]["kernl_keras"]) for path in PACKAGE.glob(glob)}
    others = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert packaged == others
    assert PACKAGE / "py.typed" in packaged
    assert 0 < sum(path.stat().st_size for path in packaged if path.stem.startswith("mnist_sample")) < 2e6


def test_the_laboratory_comes_with_the_source_and_is_not_installed(config):
    """The tests need it, a user does not."""
    assert lines(config["options.packages.find"]["include"]) == ["kernl_keras*"]
    assert {"graft notebooks", "graft tests"} <= {*(TOP / "MANIFEST.in").read_text(encoding="utf-8").splitlines()}
    assert (TOP / "notebooks" / "lab" / "__init__.py").is_file()


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_the_console_script_exists(config):
    (script,) = lines(config["options.entry_points"]["console_scripts"])
    name, target = (part.strip() for part in script.split("="))
    module, function = target.split(":")
    assert name == "kernl-keras"
    assert callable(getattr(importlib.import_module(module), function))


def test_every_requirement_is_met_here(config):
    """The environment that runs the tests is the one that setup.cfg asks for."""
    extras = config["options.extras_require"]
    for line in lines(config["options"]["install_requires"]) + lines(extras["test"]):
        requirement = Requirement(line)
        assert importlib.metadata.version(requirement.name) in requirement.specifier


def test_every_import_is_required(config):
    """`import kernl_keras` needs nothing that `pip install` without extras does not bring; tf-keras is an option."""
    required = {Requirement(line).name.replace("-", "_") for line in lines(config["options"]["install_requires"])}
    allowed = {*required, *sys.stdlib_module_names, "kernl_keras", "tf_keras"}
    for path in PACKAGE.rglob("*.py"):
        imported = set(module_level_imports(ast.parse(path.read_text(encoding="utf-8")).body))
        assert imported <= allowed, path
