"""Whether the runs of the sweeps would begin today as they once began.

    python -m notebooks.lab.repeat --output notebooks/results/repeat.json

Code that makes the same numbers need not be the same code. So the first updates of a run of each row of a results file
are made twice, from the revision that the row names and from the checkout, and the two losses are compared. What
differs by rounding alone has moved without a change of its numbers; other rows are to be made anew.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from kernl_keras.experiments.files import UserError, read_json, write_json

from .options import Command, made_before
from .revisions import ROOT, git

SCRIPT = pathlib.Path(__file__).with_name("first_updates.py")
ONE_THREAD = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")  # two would add in any order


def rows_of(results):
    """A run of each variant and revision in a results file, `{(variant, revision): run}`; none if it is no sweep's."""
    rows = {}
    for run in results["runs"] if isinstance(results, dict) and "sweep" in results else ():
        revision = (run.get("git_revision") or results["git_revision"]).removesuffix("-dirty")
        rows.setdefault((run["variant"], revision), run)
    return rows


def losses(tree, runs, updates, data_dir):
    """The losses of runs (sweep, variant, seed, learning rate) by the code in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder, "losses.json")
        asked = {"runs": runs, "updates": updates, "data_dir": data_dir, "output": str(output)}
        environment = {**os.environ, "PYTHONPATH": str(tree), **ONE_THREAD}
        done = subprocess.run([sys.executable, SCRIPT, json.dumps(asked)], cwd=tree, env=environment)
        if done.returncode:
            raise UserError(f"the runs of {tree} failed, with status {done.returncode}; see above.")
        return read_json(output)


def run(options, about):
    """Compares the losses, revision by revision, and writes the results file after each of them."""
    files, by_revision = {path.stem: path for path in sorted(options.results.glob("*.json"))}, {}
    if unknown := sorted(set(options.files) - set(files)):
        raise UserError(f"there must be results files of the names given in {options.results}; received {unknown}.")
    before = made_before(options.output, "repeat", "rows") or {"updates": options.updates, "rows": []}
    if before["updates"] != options.updates:
        raise UserError(f"{options.output} holds runs of {before['updates']} updates: name another --output.")
    found = before["rows"]
    known = {(row["file"], row["variant"], row["revision"]) for row in found}
    for name in options.files or files:
        results = read_json(files[name])
        for (variant, revision), made in rows_of(results).items():
            if (name, variant, revision) not in known:
                one = results["sweep"], variant, made["seed"], made["learning_rate"]
                by_revision.setdefault(revision, []).append((name, one))
    for revision, asked in by_revision.items():
        names, runs = zip(*asked)
        how = runs, options.updates, options.data_dir and os.path.abspath(options.data_dir)
        with tempfile.TemporaryDirectory() as tree:
            git("worktree", "add", "--detach", tree, revision)
            try:
                then = losses(tree, *how)
            finally:
                git("worktree", "remove", "--force", tree)
        for name, (_, variant, *_), past, now in zip(names, runs, then, losses(ROOT, *how), strict=True):
            row = {"file": name, "variant": variant, "revision": revision, "then": past, "now": now}
            found.append({**row, "git_revision": about["git_revision"]})
        write_json(options.output, {"repeat": {"updates": options.updates, "rows": found, **about}})


main = Command("repeat", __doc__, run)
main.option("files", nargs="*", metavar="FILE", help="names of results files; all if not given")
main.count("--updates", 3, "updates of a run")
main.option("--results", type=pathlib.Path, default=ROOT / "notebooks" / "results", metavar="DIR")
main.data_dir()
main.results(new=False)

if __name__ == "__main__":
    sys.exit(main())
