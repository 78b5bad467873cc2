"""The types of the public names: all there, what mypy makes of them, and the same words as at run time."""

import inspect
import os
import pathlib
import re
import subprocess
import sys
import typing

import pytest

import kernl_keras as kk
from kernl_keras import types
from kernl_keras.cells.leaky_rnn import ACTIVATIONS
from kernl_keras.dynamics.audio import COMPRESSIONS
from kernl_keras.dynamics.decays import DECAYS
from kernl_keras.dynamics.encoding import CODES
from kernl_keras.dynamics.surrogate import SURROGATES
from kernl_keras.keras_version import IS_KERAS_3
from kernl_keras.rules.learned_sensitivity import KERNELS, PERTURBATIONS

from . import consumer

ROOT = pathlib.Path(__file__).parents[1]
CONSUMER = pathlib.Path(consumer.__file__)
CELLS = (kk.LIFCell, kk.ResonatorCell, kk.LeakyRNNCell)


def public_callables():
    """`(name, function)` of every public function, and of every public method that a class of ours defines."""
    for room, names in ((kk, kk.__all__), *((room, room.__all__) for room in (kk.rules, kk.data, kk.naive))):
        for name in names:
            value = getattr(room, name)
            if inspect.isfunction(value):
                yield f"{room.__name__}.{name}", value
            elif inspect.isclass(value):
                ours = [base for base in value.__mro__ if base.__module__.startswith("kernl_keras.")]
                ours = [base for base in ours if base.__module__ != "kernl_keras.keras_version"]  # Keras' own contract
                for base in ours:
                    for method, made in vars(base).items():
                        made = getattr(made, "fget", getattr(made, "__func__", made))
                        public = inspect.isfunction(made) and not method.startswith("_")
                        if public or method in ("__init__", "__call__"):
                            yield f"{room.__name__}.{name}.{method}", made


def untyped(function):
    """The arguments without a type, and "return" where that has none."""
    signature = inspect.signature(function)
    parameters = [each for name, each in signature.parameters.items() if name not in ("self", "cls")]
    missing = [each.name for each in parameters if each.annotation is each.empty]
    return missing + ["return"] * (signature.return_annotation is signature.empty)


def test_everything_public_is_typed():
    found = {name: untyped(function) for name, function in public_callables()}
    assert len(found) > 100
    assert not {name: missing for name, missing in found.items() if missing}


def mypy(*arguments):
    """Its exit status and its errors, `{(file, line, code)}`, seen from a program of someone who has the package."""
    command = [sys.executable, "-m", "mypy", "--config-file=", "--ignore-missing-imports", *arguments]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    errors = re.findall(r"^(.+?):(\d+): error: .+\[([\w-]+)\]$", run.stdout, re.MULTILINE)
    assert run.returncode == (1 if errors else 0), run.stdout + run.stderr
    return {(pathlib.Path(file).name, int(line), code) for file, line, code in errors}


@pytest.mark.skipif(not IS_KERAS_3, reason="mypy runs nothing: what it sees is the same under both Kerases")
def test_mypy_accepts_a_program_and_refuses_its_mistakes(tmp_path):
    """`--follow-imports=silent` is what mypy does to an installed package."""
    found = mypy("--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}", str(CONSUMER))
    lines = CONSUMER.read_text(encoding="utf-8").splitlines()
    marks = [(number, re.search(r"# refused: ([\w-]+)$", line)) for number, line in enumerate(lines, 1)]
    assert found == {(CONSUMER.name, number, mark[1]) for number, mark in marks if mark}
    assert len(found) == len(consumer.REFUSED)


def test_the_program_runs():
    assert -1.0 <= consumer.train(consumer.network()) <= 1.0
    assert consumer.by_hand().shape == (5, 2)


@pytest.mark.parametrize("number", range(len(consumer.REFUSED)))
def test_what_mypy_refuses_is_refused_at_run_time(number):
    with pytest.raises((TypeError, ValueError), match="must|argument"):
        consumer.REFUSED[number]()


@pytest.mark.parametrize(
    "words, table",
    [
        (types.RuleName, kk.rules.NAMES),
        (types.KernelName, KERNELS),
        (types.PerturbationName, PERTURBATIONS),
        (types.Observable, {word for cell in CELLS for word in cell.OBSERVABLES}),
        (types.Noise, {word for cell in CELLS for word in cell.NOISE}),
        (types.Discretization, DECAYS),
        (types.SurrogateName, SURROGATES),
        (types.Activation, ACTIVATIONS),
        (types.Code, CODES),
        (types.Compression, COMPRESSIONS),
    ],
)
def test_the_words_are_those_of_the_tables(words, table):
    assert set(typing.get_args(words)) == set(table)


@pytest.mark.parametrize(
    "words, make",
    [
        (types.Reset, lambda word: kk.LIFCell(4, reset=word)),
        (types.OnNonfinite, lambda word: kk.Model().compile(on_nonfinite=word)),
        (types.Credit, lambda word: kk.rules.PlainKeRNL(credit=word)),
    ],
)
def test_words_without_a_table(words, make):
    """What the error lists is what the type allows."""
    for word in typing.get_args(words):
        make(word)
    with pytest.raises(ValueError, match="must be one of") as error:
        make("another")
    assert str(sorted(typing.get_args(words))) in str(error.value)
