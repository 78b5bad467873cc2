"""Makes the tables and plots of documents anew, each from the results files of its name.

    python -m notebooks.lab.results

does so for README.md and the pages with the files in `notebooks/results`: no number of a table is typed by hand.
"""

import os
import pathlib
import re
import sys

from kernl_keras.experiments.files import UserError, read_json, whole

from .options import Command
from .plot import draw
from .sweeps.definition import RULES
from .tables import OWN_TABLES, setup_table, table_of

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "notebooks" / "pages").glob("*.md")))
TABLE = re.compile(
    r"<!-- (?P<kind>table|setup): (?P<names>[\w. -]+)(?P<heads>\|[^>\n]*)? -->\n.*?<!-- end -->", re.DOTALL
)
PLOT = re.compile(r"<!-- plot: (?P<names>[\w. -]+) -->\n!\[[^\]]*\]\((?P<path>[^)\s]+)\)")


def render(text, folder):
    """A document whose tables, each between `<!-- table: NAME ... -->` and `<!-- end -->`, are made anew.

    The columns of several sweeps are named by the sweeps, or as `<!-- table: NAME NAME | HEAD | HEAD -->` says. After
    `<!-- setup: NAME ... -->` comes what the sweeps trained, instead of what came out. A NAME is that of a results file
    in `folder`. A marker without its end, or a file that holds no results, is a `ValueError`.
    """
    table, picture = "its table and <!-- end -->", "a picture, ![...](PATH)"
    for kind, pattern, what in (("table", TABLE, table), ("setup", TABLE, table), ("plot", PLOT, picture)):
        whole_ones = sum(match[0].startswith(f"<!-- {kind}:") for match in pattern.finditer(text))
        if (marks := text.count(f"<!-- {kind}:")) != whole_ones:
            mistake = f"received {marks} of them, {whole_ones} followed so."
            raise ValueError(f"every '<!-- {kind}: NAME ... -->' must be followed by {what}; {mistake}")

    def made(match):
        heads = [head.strip() for head in (match["heads"] or "").split("|")[1:]]
        if heads and len(heads) != len(match["names"].split()):
            raise ValueError(f"a table must have a head for each results file; received {heads} for {match['names']}.")
        files = read_results(match["names"], folder)
        opening, _ = match[0].split("\n", 1)
        lines = (setup_table if match["kind"] == "setup" else table_of)(files, heads)
        return f"{opening}\n{lines}\n<!-- end -->"

    return TABLE.sub(made, text)


def read_results(names, folder):
    """The results files of the names in a string, in their order: all of sweeps, or all of single runs."""
    files = {name: folder / f"{name}.json" for name in names.split()}
    try:
        results = [read_json(file) for file in files.values()]
        for row in results[0]["purpose"] if "purpose" in results[0] else ():
            row["accuracy"] = accuracies(row, folder)
        kinds = {"runs" in each for each in results}
        if len(results) == 1 and any(name in results[0] for name in OWN_TABLES):
            return results
        if len(kinds) > 1 or not all("metric" in each for each in results):
            raise ValueError("it must hold results, and all of a table those of sweeps or those of single runs")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{names}: {error}.") from error
    return results


def accuracies(row, folder):
    """The test accuracies, all seeds, of a row of `purpose`: those of the results file that it names."""
    name, what = row["accuracy_of"].split(": ")
    found = read_json(folder / f"{name}.json")
    if name != "streams":
        return [run["test"] for run in found["runs"] if run["variant"] == what]
    task, window = what.split(", window ")
    which = RULES[row["rule"]], int(window)
    return [1.0 - run["test"] for run in found["streams"]["tasks"][task] if (run["rule"], run["window"]) == which]


def update(path, folder):
    """Makes the tables of a file anew, and the pictures of sweeps in it, each after `<!-- plot: NAME ... -->`."""
    text = render(path.read_text(encoding="utf-8"), folder)
    for match in PLOT.finditer(text):
        draw(read_results(match["names"], folder), path.parent / match["path"])
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def run(options, about):
    """The tables and plots of the documents."""
    for document in options.document:
        try:
            update(document, options.results)
        except OSError as error:
            raise UserError(f"{error.filename} cannot be used: {error.strerror}.") from error
        except ImportError as error:
            raise UserError('The plots need matplotlib, which `pip install -e ".[notebooks]"` brings.') from error
        except (KeyError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            raise UserError(f"{document} cannot be made: {error}") from error
        print(f"Results    {os.path.relpath(document)}")


main = Command("results", __doc__, run)
main.option(
    "--document", type=pathlib.Path, nargs="+", default=DOCUMENTS, metavar="FILE", help="README and pages if not given"
)
main.option("--results", type=pathlib.Path, default=pathlib.Path("notebooks/results"), metavar="DIR")

if __name__ == "__main__":
    sys.exit(main())
