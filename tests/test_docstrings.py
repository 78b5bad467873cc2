"""Every public docstring has what a reader needs: an example that is run, its arguments, its errors, its source."""

import ast
import doctest
import functools
import importlib
import inspect
import re
import textwrap

import pytest

import kernl_keras as kk

ROOMS = (kk, kk.rules, kk.data, kk.naive)
EVERY = {f"{room.__name__}.{name}": getattr(room, name) for room in ROOMS for name in room.__all__}
PUBLIC = {name: value for name, value in EVERY.items() if inspect.isclass(value) or inspect.isfunction(value)}
assert len(PUBLIC) > 40
CHECKS = ("one_of", "number", "integer", "flag", "numbers", "per_unit", "time_steps")  # raise ValueError, see `checks`
EQUATION = re.compile(r"^ {4,}(?!>>>|\.\.\.)\S.* = ", re.MULTILINE)

every = pytest.mark.parametrize("name", sorted(PUBLIC))


def section(docstring, *titles):
    """The indented lines below one of the titles; "" where there is none."""
    found = re.search(rf"^(?:{'|'.join(titles)}):\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    return textwrap.dedent(found[1]) if found else ""


def described(docstring):
    """The names of a section `Args` (or `Attributes`); several may share a line, `x, y: a batch`."""
    names = re.findall(r"^([*\w][*\w, ]*):", section(docstring, "Args", "Attributes"), re.MULTILINE)
    return {name.strip() for line in names for name in line.split(",")}


def before_sections(docstring):
    """What comes before the first section."""
    return re.split(r"^(?:Args|Attributes|Call arguments|Returns|Raises|Example):", docstring, flags=re.MULTILINE)[0]


def parameters(value):
    """The names of the arguments; `**kwargs` with its stars. None of a class that leaves the constructor to Keras."""
    if inspect.isclass(value) and "__init__" not in vars(value) and not hasattr(value, "_fields"):
        return set()
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return {stars.get(each.kind, "") + name for name, each in inspect.signature(value).parameters.items()}


def raises(node):
    """Whether code raises, by itself or by one of the checks; methods that say so themselves are left out.

    So is what a subclass has to write, which raises NotImplementedError.
    """
    if isinstance(node, ast.Raise) and node.exc is not None:
        return "NotImplementedError" not in ast.unparse(node.exc)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in CHECKS:
        return True
    inner = [each for each in ast.iter_child_nodes(node) if not says_so(each)]
    return any(map(raises, inner))


def says_so(node):
    """Whether it is a function with a section `Raises`."""
    return isinstance(node, ast.FunctionDef) and bool(section(ast.get_docstring(node) or "", "Raises"))


@functools.cache
def names_with_examples(module):
    """By the finder of pytest's own --doctest-modules."""
    return {test.name for test in doctest.DocTestFinder().find(importlib.import_module(module)) if test.examples}


@every
def test_an_example_is_run(name, pytestconfig):
    """In the module where the docstring stands."""
    assert pytestconfig.getoption("doctestmodules")
    value = PUBLIC[name]
    assert f"{value.__module__}.{value.__qualname__}" in names_with_examples(value.__module__)


@every
def test_the_first_line_is_a_sentence(name):
    first = inspect.getdoc(PUBLIC[name]).splitlines()[0]
    assert re.match(r"[A-Z`(].*[.:,]$|.+[.,]$", first), first


@every
def test_arguments_are_described(name):
    """In the docstring; of `naive`, where one thing has one name throughout, in that of the package."""
    value = PUBLIC[name]
    docstring = inspect.getdoc(value)
    known = described(docstring)
    if name.startswith("kernl_keras.naive."):
        known |= described(kk.naive.__doc__)
    assert parameters(value) <= known
    if parameters(value) and not name.startswith("kernl_keras.naive."):
        assert described(docstring) <= parameters(value), "an argument that there is no more"


@every
def test_errors_are_described(name):
    value = PUBLIC[name]
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    assert not raises(definition) or says_so(definition) or section(inspect.getdoc(value), "Raises")


@every
def test_an_equation_has_a_source(name):
    """And every class that is a name of `kernl_keras` itself."""
    docstring = inspect.getdoc(PUBLIC[name])
    if name.startswith("kernl_keras.naive."):
        docstring += kk.naive.__doc__
    if EQUATION.search(before_sections(docstring)) or (inspect.isclass(PUBLIC[name]) and name.count(".") == 1):
        assert re.search(r"^(Source|References?):", docstring, re.MULTILINE)
