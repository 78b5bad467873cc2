"""Breaks the equations, one at a time, and reports which breaks no test notices.

A mutant is a small change in one function: a sign flipped, a factor dropped, a step of time shifted. `mutants.txt`
lists them. It is made in a copy of the package, never in the checkout, and the tests of that room run on it until one
fails. A mutant that survives them runs the README's test command, and one that survives this all tests, the slow ones
too. With the results of an earlier run (`--last FILE`) a mutant runs first the test that noticed it then. Where one
knows which test should notice, `--tests` names it, also a slow one, so that hours of others need not run before it.
"""

import argparse
import ast
import concurrent.futures
import itertools
import json
import multiprocessing
import os
import pathlib
import queue
import re
import shutil
import sys
import tempfile
import time
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TABLE = pathlib.Path(__file__).with_suffix(".txt")
PROCESSES = multiprocessing.get_context("forkserver")  # tests begin with what takes seconds to import
PROCESSES.set_forkserver_preload(["tensorflow", "keras", "tensorflow_datasets", "tensorboard"])
ALL_TESTS = ["tests", "--ignore=tests/lab/test_mutants.py"]  # which would fail with any mutant
TESTS = {  # room: the folders of tests that should notice, the likeliest first; their files may change their names
    "dynamics": ["tests/dynamics", "tests/cells", "tests/layers"],
    "cells": ["tests/cells", "tests/rules", "tests/layers"],
    "sequences": ["tests/sequences", "tests/layers", "tests/cells"],
    "rules": ["tests/rules", "tests/layers"],
    "layers": ["tests/layers", "tests/rules", "tests/data"],
    "regularizers.py": ["tests/layers"],
    "training": ["tests/training", "tests/callbacks", "tests/experiments"],
    "data": ["tests/data"],
    "callbacks": ["tests/callbacks"],
    "experiments": ["tests/experiments"],
    "export": ["tests/export"],
}
NOTICED = "FAILED ", "ERROR "  # of a test, and of what it needs; "ERROR: " is said of one that is not there


class Mutant(NamedTuple):
    """In `function` of `file` the code `was` becomes `new`; without a function it stands at the top of the module."""

    file: str
    function: str
    was: str
    new: str


def read_table(text):
    """The mutants of a table: lines `file function`, and below each of them indented lines `was  =>  new`."""
    mutants, file, function = [], "", ""
    for line in filter(str.strip, text.splitlines()):
        if line.startswith(" "):
            was, new = line.split("  =>  ")
            mutants.append(Mutant(file, function, was.strip(), new.strip()))
        elif not line.startswith("#"):
            file, _, function = line.partition(" ")
    return mutants


def parse(code):
    """The node of an expression, of a keyword argument `name=value`, or of a statement with spaces around its `=`."""
    if re.match(r"\w+=[^=]", code):
        return ast.parse(f"f({code})").body[0].value.keywords[0]
    (statement,) = ast.parse(code).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def find(text, mutant):
    """The one node of the function that is `was`, however it is laid out; a ValueError says what is missing."""
    scope = ast.parse(text)
    for name in filter(None, mutant.function.split(".")):
        inside = [node for node in ast.walk(scope) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        scope = next((node for node in inside if node.name == name and node is not scope), None)
        if scope is None:
            raise ValueError(f"{mutant.file} has no function {mutant.function!r} any more (looking for {name!r}).")
    wanted = parse(mutant.was)
    same_kind = [node for node in ast.walk(scope) if type(node) is type(wanted)]
    found = [node for node in same_kind if ast.dump(node) == ast.dump(wanted)]
    if len(found) != 1:
        place = f"{mutant.file}, {mutant.function or 'top'}"
        raise ValueError(f"{place}: {mutant.was!r} must stand there once; found {len(found)} times.")
    return found[0]


def mutate(text, mutant):
    """The text of the file with the mutant's change; nothing else moves."""
    node = find(text, mutant)
    starts = [0, *itertools.accumulate(len(line) for line in text.encode().splitlines(keepends=True))]
    begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
    bare = not isinstance(node, ast.expr) or mutant.new == "pass" or mutant.new.startswith("*")
    new, content = (mutant.new if bare else f"({mutant.new})"), text.encode()
    return (content[:begin] + new.encode() + content[end:]).decode()


def run_tests(folder, tests, *options):
    """The first test that failed, or None."""
    log = folder / "tests.log"
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE", *options, *tests]
    process = PROCESSES.Process(target=run_pytest, args=(folder, log, arguments))
    process.start()
    process.join()
    if process.exitcode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):  # such as none that is slow
        return None
    failed = [line for line in log.read_text("utf-8").splitlines() if line.startswith(NOTICED)]
    return failed[0].split(" - ")[0] if failed else f"exit status {process.exitcode}"


def run_pytest(folder, log, arguments):
    """What a process of its own does: it runs pytest on a copy, and imports nothing of the checkout."""
    os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1")
    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if pathlib.Path(path).resolve() != ROOT)]
    for name in [name for name in sys.modules if name.split(".")[0] in ("notebooks", "kernl_keras")]:
        del sys.modules[name]
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.dont_write_bytecode = True
    sys.exit(int(pytest.main(arguments)))


def copy_checkout(folder):
    """A copy of what the tests need."""
    for part in ("kernl_keras", "tests", "notebooks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("setup.cfg", "README.md", "CHANGELOG.md", "setup.py"):
        shutil.copy(ROOT / part, folder / part)
    return folder


def ways_to_notice(mutant, known, named):
    """What runs on a mutant until something fails: `(command, tests, options of pytest)`."""
    room, every = TESTS[mutant.file.split("/")[0]], ("-m", "slow or not slow")
    ways = [
        ("tests of its room", [test for test in named if test.startswith(tuple(room))], ("-n", "0")),
        ("slow tests", named, ("-n", "0", "-m", "slow")),
        ("tests of its room", room, ("-n", "0")),
        ("README", ALL_TESTS, ()),
        ("all tests", ALL_TESTS, every),
    ]
    if known:
        ways.insert(0, (known["of"], [known["noticed_by"].split(" ", 1)[1]], ("-n", "0", *every)))
    return [way for way in ways if way[1]]


def try_mutant(mutant, folders, known, named=()):
    """A dict that says what noticed a mutant, made in one of the copies that wait in the queue `folders`.

    `known` is the dict of an earlier run, where a test noticed it, or None. The tests `named` run before the others.
    """
    folder, start = folders.get(), time.monotonic()
    path = folder / "kernl_keras" / mutant.file
    before, killer, of = path.read_text(encoding="utf-8"), None, None
    try:
        path.write_text(mutate(before, mutant), encoding="utf-8")
        for command, tests, options in ways_to_notice(mutant, known, named):
            failed = run_tests(folder, tests, *options)
            if failed not in (None, "exit status 4"):  # a test that was named may have another name now
                killer, of = failed, command
                break
    finally:
        path.write_text(before, encoding="utf-8")
        folders.put(folder)
    file, function, was, new = mutant
    print(f"{time.monotonic() - start:5.0f} s {file} {function}: {was} => {new}: {killer or 'SURVIVED'}", flush=True)
    return {"file": file, "function": function, "was": was, "is": new, "noticed_by": killer, "of": of}


def main(arguments=None):
    """The command; returns the exit status, 1 where a mutant survived."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.lab.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("mutants.json"))
    parser.add_argument("--last", type=pathlib.Path, metavar="FILE", help="results of an earlier run, to be faster")
    parser.add_argument("--only", default="", help="mutants whose file, function or change contains this")
    parser.add_argument("--new", action="store_true", help="only those that no test of --last noticed; other rows stay")
    parser.add_argument("--tests", nargs="*", default=[], metavar="TEST", help="tests that run first, also slow ones")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="mutants that are tried side by side")
    parser.add_argument("--skip-baseline", action="store_true", help="do not run the tests on the unbroken code first")
    options = parser.parse_args(arguments)
    table, last = read_table(TABLE.read_text(encoding="utf-8")), {}
    if options.last:
        for row in json.loads(options.last.read_text(encoding="utf-8")):
            last[Mutant(row["file"], row.get("function"), row["was"], row["is"])] = row
    known = {mutant: row for mutant, row in last.items() if (row["noticed_by"] or "").startswith(NOTICED)}
    rows = {mutant: known[mutant] for mutant in table if mutant in known} if options.new else {}
    mutants = [mutant for mutant in table if mutant not in rows and options.only in " ".join(mutant)]
    with tempfile.TemporaryDirectory() as name:
        folders = queue.Queue()
        for number in range(options.processes):
            folders.put(copy_checkout(pathlib.Path(name) / str(number)))
        # where the tests fail before, every mutant seems to be noticed
        if not options.skip_baseline and (failed := run_tests(folders.queue[0], ALL_TESTS)):
            parser.error(f"the tests must pass before anything is broken; {failed}")
        if options.tests and (failed := run_tests(folders.queue[0], options.tests, "-m", "slow or not slow")):
            parser.error(f"the tests that are named must pass before anything is broken; {failed}")
        with concurrent.futures.ThreadPoolExecutor(options.processes) as pool:
            run = lambda mutant: try_mutant(mutant, folders, known.get(mutant), options.tests)  # noqa: E731
            for mutant, row in zip(mutants, pool.map(run, mutants)):
                rows[mutant] = row
                report = [rows[each] for each in table if each in rows]
                options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    report = list(rows.values())
    survived = [row for row in report if row["noticed_by"] is None]
    late = [row for row in report if row["of"] == "all tests"]
    print(f"{len(report)} mutants, {len(survived)} survived; {len(late)} are noticed by slow tests alone")
    return int(bool(survived))


if __name__ == "__main__":
    sys.exit(main())
