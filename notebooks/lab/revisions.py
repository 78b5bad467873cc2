"""Which code has changed since each results file was made.

    python -m notebooks.lab.revisions

A line a results file: the oldest revision that a run in it names, and how many modules in each folder of the package
have other statements now. Comments, docstrings and layout do not count, nor do modules that no run uses: the command
line, the NumPy reference, callbacks, export, and the list of experiments. Where nothing is named, the code that made
the numbers is today's.
"""

import ast
import collections
import pathlib
import subprocess
import sys

from kernl_keras.experiments.files import UserError, read_json

from .options import Command

ROOT = pathlib.Path(__file__).parents[2]
UNUSED = ("cli.py", "version.py", "naive", "callbacks", "export", "experiments/configs.py", "training/data_checks.py",
          "training/target_checks.py")  # fmt: skip


def git(*arguments):
    """What a git command prints; a `UserError` where there is no such revision or no checkout."""
    try:
        command = ["git", "-C", ROOT, *arguments]
        return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"the revisions need a checkout with its history: git {' '.join(arguments)} failed.") from error


def revisions_in(results):
    """All git revisions that a results file names, without "-dirty"."""
    if isinstance(results, dict):
        named = [value for key, value in results.items() if key.endswith("git_revision") and value]
        parts = list(results.values())
    else:
        named, parts = [], results if isinstance(results, list) else []
    return {name.removesuffix("-dirty") for name in named}.union(*map(revisions_in, parts))


def statements(source):
    """The statements of a module, without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def changed_since(revision):
    """How many modules in each folder of the package have other statements than at a revision, `{folder: count}`."""
    names = git("diff", "--name-only", revision, "HEAD", "--", "kernl_keras").split()
    changed = collections.Counter()
    for name in names:
        path = pathlib.PurePosixPath(name)
        if path.suffix != ".py" or str(path.relative_to("kernl_keras")).startswith(UNUSED):
            continue
        there = [bool(git("ls-tree", "--name-only", each, name)) for each in (revision, "HEAD")]
        if not all(there) or statements(git("show", f"{revision}:{name}")) != statements(git("show", f"HEAD:{name}")):
            changed[path.parent.name] += 1
    return dict(sorted(changed.items()))


def run(options, about):
    """Prints the table."""
    known, order = {}, {name: age for age, name in enumerate(git("rev-list", "HEAD").split())}
    for path in sorted(options.results.glob("*.json")):
        revisions = revisions_in(read_json(path))
        oldest = max(revisions & order.keys(), key=order.get, default=None)
        if oldest not in known:
            known[oldest] = None if oldest is None else changed_since(oldest)
        changed = known[oldest]
        words = ", ".join(f"{folder} {count}" for folder, count in (changed or {}).items())
        what = "names no revision of this history" if changed is None else words or "as it is now"
        print(f"{path.stem:32} {(oldest or '')[:10]:11} {what}")


main = Command("revisions", __doc__, run)
main.option("--results", type=pathlib.Path, default=ROOT / "notebooks" / "results", metavar="DIR")

if __name__ == "__main__":
    sys.exit(main())
