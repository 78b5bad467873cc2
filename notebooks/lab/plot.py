"""The plots of sweeps: a row a variant, a dot a run. A picture says in its metadata which results it shows."""

import hashlib
import json
import math
import re

from kernl_keras.experiments.files import whole

KEY = "Results"  # of the PNG's text: `fingerprint` of what it shows
BLUE, RED, INK, GREY = "#1f6f8b", "#c44e52", "#333333", "#8c8c8c"
COLORS = {"KeRNL": BLUE, "e-prop": RED, "backpropagation": INK}  # variants that begin so
WINDOWED = re.compile(r"^KeRNL, window (?!1$)\d+$")  # a window of one step is none
ACROSS = 3  # panels in a row


def fingerprint(sweeps):
    """A digest of the runs' results, the same for the same numbers."""
    return hashlib.sha256(json.dumps([sweep["runs"] for sweep in sweeps], sort_keys=True).encode()).hexdigest()


def side_by_side(sweeps):
    """The sweeps, with one name for KeRNL with windows: how long they are is different from task to task."""
    if len(sweeps) == 1:
        return sweeps
    return [
        {**sweep, "runs": [{**run, "variant": WINDOWED.sub("KeRNL, windows", run["variant"])} for run in sweep["runs"]]}
        for sweep in sweeps
    ]


def variants_of(sweeps):
    """The names of the variants, in the sweeps' order; of several sweeps those that more than one has."""
    found = [{run["variant"] for run in sweep["runs"]} for sweep in sweeps]
    named = dict.fromkeys(run["variant"] for sweep in sweeps for run in sweep["runs"])
    return [name for name in named if sum(name in each for each in found) > 1 or len(sweeps) == 1]


def panels(rows=1, columns=1, *, size, **settings):
    """A figure of inches `size`, and its panels."""
    from matplotlib.figure import Figure  # an optional package

    figure = Figure(figsize=size, layout="constrained")
    found = figure.subplots(rows, columns, **settings)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, found


def draw(sweeps, path):
    """Draws results files of sweeps side by side."""
    digest, sweeps = fingerprint(sweeps), side_by_side(sweeps)
    variants = variants_of(sweeps)
    columns = min(len(sweeps), ACROSS)
    rows = math.ceil(len(sweeps) / columns)
    size = (2.0 + 2.9 * max(columns, 2), rows * (1.1 + 0.24 * len(variants)))
    figure, grid = panels(rows, columns, size=size, squeeze=False, sharey=True)
    for axes, sweep in zip(grid.flat, sweeps):
        draw_sweep(axes, sweep, variants)
    for axes in list(grid.flat)[len(sweeps) :]:
        axes.remove()
    grid[0, 0].invert_yaxis()
    with whole(path) as part:
        figure.savefig(part, dpi=110, metadata={KEY: digest})


def round_numbers(low, high):
    """Round numbers from `low` to `high` for a logarithmic axis, closer ones where it is short."""
    steps = (1.0, 2.0, 5.0)
    if high < 15.0 * low:
        steps = (1.0, 2.0, 3.0, 5.0, 7.0) if high > 5.0 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    if high < 2.2 * low:
        steps = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def draw_sweep(axes, sweep, variants):
    """One sweep into a matplotlib `Axes`, a row a variant: test errors, their mean as a line, the first's dotted."""
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

    accuracy = sweep["metric"] == "accuracy"
    for row, variant in enumerate(variants):
        color = next((color for name, color in COLORS.items() if variant.startswith(name)), GREY)
        every = [run["test"] for run in sweep["runs"] if run["variant"] == variant]
        finite = [test for test in every if test is not None and math.isfinite(test)]
        tests = [100.0 * (1.0 - test) if accuracy else test for test in finite]  # in which small differences show
        if lost := len(every) - len(tests):
            said = f"{lost} diverged" if tests else "diverged"
            where = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center"}
            axes.annotate(said, (0.98, row), fontsize=8, color=color, **where)
        if tests:
            mean = sum(tests) / len(tests)
            axes.plot(tests, [row] * len(tests), "o", markersize=4.5, color=color, alpha=0.6, markeredgecolor="none")
            axes.plot([mean] * 2, [row - 0.3, row + 0.3], color=color, linewidth=2.0)
            if row == 0:
                axes.axvline(mean, color=color, linewidth=0.8, linestyle=":", zorder=0)
    axes.set_yticks(range(len(variants)), variants)
    axes.set_title(sweep["sweep"], fontsize=10, loc="left")
    axes.set_xlabel("test errors (%)" if accuracy else "test mean squared error", fontsize=9)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(round_numbers(*axes.get_xlim())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
