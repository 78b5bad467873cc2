"""How large the code is, how far it is from `fit` to the gradient of one weight, and how long steps take: then and now.

    python -m notebooks.lab.structure --before REVISION

Lines are all that a file has. The way from `fit` is that of one batch of 4 sequences of 12 steps, under KeRNL with a
window of 4 steps: all functions of the package that run before the optimizer of the weights is called, and how many of
them stand on the stack at once. A flag of a unit is an attribute that a class in `cells/` sets to True, False, None or
a string, or a property with such, and that a line elsewhere asks of a cell. Times are those of the layer that the
benchmarks have, 200 LIF units, in processes of their own: then, now, then, now, and the shortest of each.
"""

import ast
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from kernl_keras.experiments.files import read_json, write_json

from .options import Command, machine
from .revisions import ROOT, git

PARTS = {"package": "kernl_keras", "tests": "tests", "laboratory": "notebooks"}

WALK = """
import json, sys
import numpy as np
import kernl_keras as kk
from kernl_keras.keras_version import keras

functions, depth = set(), [0, 0]

def seen(frame, event, argument):
    name = frame.f_code.co_filename
    if event not in ("call", "return") or "/kernl_keras/" not in name:
        return
    depth[0] += 1 if event == "call" else -1
    if event == "call":
        functions.add((name.split("/kernl_keras/")[-1], frame.f_code.co_firstlineno, frame.f_code.co_name))
        depth[1] = max(depth)

class Last(keras.optimizers.SGD):
    def apply_gradients(self, *arguments, **settings):
        sys.setprofile(None)
        return super().apply_gradients(*arguments, **settings)
    def apply(self, *arguments, **settings):
        sys.setprofile(None)
        return super().apply(*arguments, **settings)

x = np.random.default_rng(0).normal(size=(4, 12, 3)).astype("float32")
model = kk.Model((inputs := keras.Input((12, 3))), kk.Readout(2)(kk.RNN(kk.LIFCell(5), "kernl", window=4)(inputs)))
model.compile(Last(0.1), "mse")
sys.setprofile(seen)
model.fit(x, np.zeros((4, 12, 2), "float32"), batch_size=4, verbose=0)
functions = {each for each in functions if each[-1][0] != "<"}  # no lambdas and comprehensions
print(json.dumps({"files": len({each[0] for each in functions}), "functions": len(functions), "stack": depth[1]}))
"""

TIMES = """
import json, time
import numpy as np
import kernl_keras as kk
from kernl_keras.keras_version import keras

RULES = {
    "backpropagation": ("bptt", {}), "e-prop": ("eprop", {}), "RFLO": ("rflo", {}),
    "readout only": ("readout_only", {}), "KeRNL": ("kernl", {}), "KeRNL, window 64": ("kernl", {"window": 64}),
    "KeRNL as published": ("plain_kernl", {}),
}
x = np.random.default_rng(0).normal(size=(25, 838, 81)).astype("float32")
y, times = np.zeros((25, 838, 10), "float32"), {}
for name, (rule, settings) in RULES.items():
    inputs = keras.Input(batch_shape=(25, 838, 81))
    model = kk.Model(inputs, kk.Readout(10)(kk.RNN(kk.LIFCell(200), rule, seed=0, **settings)(inputs)))
    model.compile("adam", "mse", jit_compile=True)
    took = []
    for _ in range(6):
        start = time.perf_counter()
        model.train_on_batch(x, y)
        took.append(time.perf_counter() - start)
    times[name] = {"first": took[0], "step": min(took[1:])}
    keras.backend.clear_session()
print(json.dumps(times))
"""


def sources(root, folder):
    """The Python files in a folder, `{path: text}`."""
    return {path: path.read_text(encoding="utf-8") for path in sorted((root / folder).rglob("*.py"))}


def longest(files):
    """The lines of the longest file, and of the longest function with its docstring."""
    nodes = [node for text in files.values() for node in ast.walk(ast.parse(text))]
    functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {
        "longest_file": max(text.count("\n") for text in files.values()),
        "longest_function": max(node.end_lineno - node.lineno + 1 for node in functions),
    }


def words_asked(files):
    """How many lines outside `cells/` ask a cell for a flag or a word that a class in there sets."""
    inside = [ast.parse(text) for path, text in files.items() if path.parent.name == "cells"]
    classes = [node for tree in inside for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    words, lines = set().union(*map(set_by, (part for node in classes for part in node.body))), 0
    for path, text in files.items():
        asked = {
            node.lineno
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute) and node.attr in words and is_cell(node.value)
        }
        lines += 0 if path.parent.name == "cells" else len(asked)
    return lines


def set_by(part):
    """The names that a statement in the body of a class gives True, False, None or a string; properties with such."""
    if isinstance(part, (ast.Assign, ast.AnnAssign)):
        targets = part.targets if isinstance(part, ast.Assign) else [part.target]
        value = part.value.value if isinstance(part.value, ast.Constant) else 0
        return {target.id for target in targets if value is None or isinstance(value, (bool, str))}
    decorators = [getattr(each, "id", "") for each in getattr(part, "decorator_list", [])]
    is_flag = "property" in decorators and getattr(part.returns, "id", None) in ("bool", "str")
    return {part.name} if is_flag else set()


def is_cell(node):
    """True of the expressions `cell` and `ANYTHING.cell`."""
    return getattr(node, "id", None) == "cell" or getattr(node, "attr", None) == "cell"


def outcome(script, root):
    """What a script prints last, as JSON, in a process that imports the package from a folder."""
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, encoding="utf-8")
    return json.loads(done.stdout.splitlines()[-1])


def measured(root):
    """The sizes of a checkout."""
    files = {part: sources(root, folder) for part, folder in PARTS.items()}
    lines = {part: sum(text.count("\n") for text in texts.values()) for part, texts in files.items()}
    package = files["package"]
    return {**lines, **outcome(WALK, root), "words": words_asked(package), **longest(package)}


def shortest(rounds):
    """The shortest times of several rounds, each `{rule: {what: seconds}}`."""
    return {rule: {what: min(each[rule][what] for each in rounds) for what in row} for rule, row in rounds[0].items()}


def run(options, about):
    """Measures both checkouts; the earlier one is taken from the history for as long as this takes."""
    revisions = {"before": git("rev-parse", options.before).strip(), "after": about["git_revision"]}
    with tempfile.TemporaryDirectory() as folder:
        roots = {"before": pathlib.Path(folder) / "before", "after": ROOT}
        git("worktree", "add", "--detach", str(roots["before"]), revisions["before"])
        try:
            found = {when: {"git_revision": revisions[when], **measured(root)} for when, root in roots.items()}
            if options.sizes:
                times = read_json(options.output)["structure"]
            else:
                rounds = [{when: outcome(TIMES, root) for when, root in roots.items()} for _ in range(options.rounds)]
                times = {when: {**found[when], "times": shortest([each[when] for each in rounds])} for when in roots}
        finally:
            git("worktree", "remove", "--force", str(roots["before"]))
    for when, entry in found.items():
        entry["times"] = times[when]["times"]
        entry["times_git_revision"] = times[when].get("times_git_revision", times[when]["git_revision"])
    about = {"versions": about["versions"], "command": about["command"], "machine": machine()}
    write_json(options.output, {"structure": {**found, **about}})


main = Command("structure", __doc__, run)
main.option("--before", required=True, metavar="REVISION", help="the revision to compare with")
main.count("--rounds", 3, "how often steps are timed")
main.option("--sizes", action="store_true", help="measure the sizes alone; the times stay as the file has them")
main.results("structure.json", new=False)

if __name__ == "__main__":
    sys.exit(main())
