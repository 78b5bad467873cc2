"""Tables of results files, in Markdown: no number of the README is typed by hand."""

import math
import re
import statistics

from .files import read_json, whole

BLOCK = re.compile(r"<!-- table: (?P<names>[\w -]+) -->\n.*?<!-- end -->", re.DOTALL)


def render(text, folder):
    """A document whose tables, each between `<!-- table: NAME ... -->` and `<!-- end -->`, are made anew.

    Args:
        text: the document.
        folder: `pathlib.Path` of the results files; a table's name is that of its file, or of several runs' files.

    Raises:
        FileNotFoundError: for a table without a results file.
    """

    def table(match):
        names = match["names"]
        files = [read_json(folder / f"{name}.json") for name in names.split()]
        made = sweep_table(files[0]) if "runs" in files[0] else run_table(files)
        return f"<!-- table: {names} -->\n{made}\n<!-- end -->"

    return BLOCK.sub(table, text)


def update(path, folder):
    """Makes the tables of a file anew."""
    with whole(path) as part:
        part.write_text(render(path.read_text(encoding="utf-8"), folder), encoding="utf-8")


def run_table(runs):
    """Single runs, a line each: what they were, how long they took, what came out."""
    lines = ["| experiment | rule | steps | minutes | test |", "|---|---|---|---|---|"]
    for run in runs:
        metric = run["metric"]
        value = spread_of([run[f"test_{metric}"]], metric)
        minutes = f"{run['seconds'] / 60.0:.0f}"
        lines.append(f"| {run['experiment']} | {run['rule']} | {run['steps']:,} | {minutes} | {value} |")
    return "\n".join(lines)


def sweep_table(results):
    """A sweep's variants: mean and spread over seeds, on the test data; the learning rate; what M explains."""
    by_variant = {}
    for run in results["runs"]:
        by_variant.setdefault(run["variant"], []).append(run)
    metric = results["metric"]
    lines = [
        f"| | test {metric} | seeds | learning rate | explained | spikes a step | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant, runs in by_variant.items():
        explained = [run["explained_variance"] for run in runs if learns(run)]
        cells = (
            variant,
            spread_of([run["test"] for run in runs], metric),
            str(len(runs)),
            f"{runs[0]['learning_rate']:g}",
            f"{statistics.mean(explained):.2f}" if explained else "",
            f"{statistics.mean(run['firing_rate'] for run in runs):.2f}",
            f"{statistics.median(run['seconds'] for run in runs):.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def learns(run):
    """Whether M and gamma learned in the run."""
    return run.get("explained_variance") not in (None, 0.0)


def spread_of(values, metric):
    """Mean and, of several, the standard deviation; accuracies in percent."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "diverged"
    scale, digits = (100.0, 1) if metric == "accuracy" else (1.0, 4)
    mean = f"{scale * statistics.mean(known):.{digits}f}"
    deviation = f" ± {scale * statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{mean}{deviation}{' %' if metric == 'accuracy' else ''}"
