"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import kernl_keras

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(kernl_keras.__path__, "kernl_keras.")
    if "__main__" not in module.name
)


def test_modules_are_found():
    assert "kernl_keras.layers.kernl" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
