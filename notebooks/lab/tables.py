"""Tables in Markdown, made of what results files hold."""

import math
import statistics

from .benchmark.speed_table import TABLES as SPEED_TABLES
from .plot import side_by_side, variants_of

MARKS = (0, 30, 60, 120, 300)  # s, of the race
LINEAR = "KeRNL, linear memory"  # a row of `memory`
SIMULATORS = {"norse": "Norse", "snntorch": "snnTorch"}


def table_of(files, heads=()):
    """The table of some results files: of runs, of one sweep, of several, or of a kind in `OWN_TABLES`.

    `heads` are those of the columns where several sweeps are compared, or their names.
    """
    for name, own_table in OWN_TABLES.items():
        if name in files[0]:
            return own_table(files[0][name])
    if "runs" not in files[0]:
        return run_table(files)
    if len(files) == 1:
        return sweep_table(files[0])
    alone = all(len(by_variant(sweep)) == 1 for sweep in files)
    return task_table(files) if alone else comparison(files, heads)


def grouped(rows, key):
    """The rows by what `key` makes of them, `{key(row): [row, ...]}`, in the order in which they come."""
    found = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def by_variant(sweep):
    """A sweep's runs, `{variant: [run, ...]}`."""
    return grouped(sweep["runs"], lambda run: run["variant"])


def pivot(rows, line, column, cell, columns=None):
    """The columns and the lines of a table that has what `cell` makes of all rows of a line and a column.

    `line` makes of a row the cells that a line begins with, and `column` a column, one of `columns` if they are given.
    """
    columns = columns or list(grouped(rows, column))
    lines = []
    for begin, of_line in grouped(rows, line).items():
        cells = grouped(of_line, column)
        lines.append([*begin, *(cell(cells[name]) if name in cells else "" for name in columns)])
    return columns, lines


def run_table(runs):
    """Single runs, a line each: what they were, how long they took, what came out."""
    lines = []
    for run in runs:
        value = spread_of([run[f"test_{run['metric']}"]], run["metric"])
        sizes = [f"{run['steps']:,}", f"{run['seconds'] / 60.0:.0f}"]
        lines.append([f"`{run['experiment']}`", run["rule"], *sizes, value])
    return markdown(["experiment", "rule", "updates", "minutes", "test"], lines)


def sweep_table(sweep):
    """A sweep's variants: mean and spread over seeds, on the test data; the learning rate; what M explains."""
    return markdown(
        ["", f"test {sweep['metric']}", "seeds", "learning rate", "explained", "spikes per step"],
        [[variant, *columns(runs, sweep["metric"])] for variant, runs in by_variant(sweep).items()],
    )


def task_table(sweeps):
    """Sweeps of one variant each, a line a sweep."""
    lines = []
    for sweep in sweeps:
        (runs,) = by_variant(sweep).values()
        lines.append([f"`{sweep['sweep']}`", f"{runs[0]['steps']:,}", *columns(runs, sweep["metric"])])
    return markdown(["", "updates", "test", "seeds", "learning rate", "explained", "spikes per step"], lines)


def comparison(sweeps, heads=()):
    """Sweeps of the same variants, a column each: test results of the variants that more than one of them has."""
    lines, sweeps = [], side_by_side(sweeps)
    for variant in variants_of(sweeps):
        runs = [by_variant(sweep).get(variant, []) for sweep in sweeps]
        tests = [[run["test"] for run in of_sweep] for of_sweep in runs]
        cells = [spread_of(test, sweep["metric"]) if test else "" for test, sweep in zip(tests, sweeps)]
        lines.append([variant, *cells])
    return markdown(["", *(heads or [f"`{sweep['sweep']}`" for sweep in sweeps])], lines)


UNITS = {"resonator": "resonators", "lif": "LIF", "adlif": "AdLIF", "leaky_rnn": "rate units", "lstm": "LSTM"}


def setup_table(sweeps, heads=()):
    """What sweeps trained, a line each: units, batch, updates, the learning rates to choose from, and M's optimizer."""
    lines = []
    for sweep, head in zip(sweeps, heads or [""] * len(sweeps)):
        experiment, runs = sweep["experiment"], sweep["runs"]
        units = f"{experiment['cell_settings']['units']} {UNITS[experiment['cell']]}"
        rates = {run["learning_rate"] for run in runs}
        rates |= {rate for run in runs for rate, _ in run.get("chosen_from") or ()}
        optimizer = experiment["sensitivity_optimizer"] or "least squares"
        optimizer += f" {experiment['sensitivity_learning_rate']:g}" if experiment["sensitivity_learning_rate"] else ""
        sizes = [str(experiment["batch_size"]), f"{runs[0]['steps']:,}"]
        shown = ", ".join(f"{rate:g}" for rate in sorted(rates))
        lines.append([head, f"`{sweep['sweep']}`", units, *sizes, shown, optimizer])
    return markdown(["", "results file", "network", "batch", "updates", "learning rates", "M learns by"], lines)


def contract_table(kerases):
    """What Keras promises, a line a behaviour: of how many layers it was tested, and held, in each Keras."""
    lines = []
    for behaviour in sorted(set().union(*(each["behaviours"] for each in kerases.values()))):
        cells = []
        for each in kerases.values():
            outcomes = each["behaviours"].get(behaviour, {}).values()
            tested = [outcome for outcome in outcomes if outcome != "skipped"]
            cells.append(f"{tested.count('passed')} of {len(tested)}" if tested else "")
        lines.append([behaviour, *cells])
    return markdown(["", *kerases], lines)


def simulator_table(networks):
    """Networks in other simulators, a line each: how many spikes there are, and how many are not in both."""
    lines = []
    for network in networks:
        for each in network["comparisons"]:
            name = each["importer"].split()[0].removesuffix(",")
            version = each["versions"].get(name, "")
            label = each["importer"].replace(name, f"{SIMULATORS.get(name, name)} {version}".strip(), 1)
            counts = [f"{each[count]:,}" for count in ("places", "spikes", "different", "digits_without_a_difference")]
            lines.append([network["network"], label, *counts])
    return markdown(["network", "in", "places", "spikes", "not in both", "digits without a difference"], lines)


def bad_input_table(kerases):
    """What was tried to break the package, a line for each class of inputs and what it got: how many, in each Keras."""
    every = [each["tried"] for each in kerases.values()]
    kinds = {(kind, got) for tried in every for kind, results in tried.items() for got in results}
    lines = []
    for kind, got in sorted(kinds):
        lines.append([kind, got, *(f"{tried.get(kind, {}).get(got, 0):,}" for tried in every)])
    totals = (sum(sum(results.values()) for results in tried.values()) for tried in every)
    lines.append(["all", "", *(f"{total:,}" for total in totals)])
    return markdown(["bad input", "what it gets", *kerases], lines)


def benchmark_table(parts):
    """What a training step takes, a line a rule or package."""
    ((part, rows),) = parts.items()
    return markdown(*SPEED_TABLES[part](rows))


def guide_table(found):
    """The guide beside other networks, a line a set: test results and, in brackets, training; means of all seeds."""
    lines, networks = [], list(found["rows"][0]["networks"])
    for name, rows in grouped(found["rows"], lambda row: row["set"]).items():
        first = rows[0]
        metric = "accuracy" if first["metric"] == "accuracy" else "mse"
        sizes = [f"{first['steps']:,}", str(first["features"]), f"{first['examples']['train']:,}"]
        results = []
        for network in networks:
            test, train = ([row["networks"][network][part] for row in rows] for part in ("test", "train"))
            results.append(f"{spread_of(test, metric)} ({spread_of([statistics.mean(train)], metric)})")
        updates = [f"{first['networks'][network]['updates']:,}" for network in ("guide", "16 epochs")]
        lines.append([name, first["role"], *sizes, " / ".join(updates), *results])
    return markdown(["series", "", "steps", "features", "examples", "updates", *networks], lines)


def recipe_table(found):
    """Changes of the guide's choices, a line a change: held-out results of each task, and in brackets training's."""

    def shown(rows):
        parts = [[statistics.mean(rows[0][part])] for part in ("held_out", "train") if part in rows[0]]
        held_out, *train = (spread_of(part, "accuracy") for part in parts)
        return held_out + (f" ({train[0]})" if train else "")

    tasks, lines = pivot(found["rows"], lambda row: (row["variant"],), lambda row: row["task"], shown)
    return markdown(["", *tasks], lines)


NETWORK_NAMES = {  # of `memory`
    "smnist": "resonators",
    "smnist-alif": "LIF, adaptive threshold",
    "smnist-adlif": "AdLIF",
    "late": "resonators, 48,000 updates",
    "decayed": "resonators, 20,000 updates with weight decay",
}


def memory_table(found):
    """Cosines of gradients to backpropagation's, and lengths relative to it, in three tables.

    By what crosses the border, by what is lost there, and backpropagation's own after its weights have moved.
    """

    def cosines(rows):
        return plain_spread([row["cosine"] for row in rows], 2)

    def network(row):
        return NETWORK_NAMES[row["network"]]

    def place(row):
        return network(row), str(row["window"])

    crossing = [row for row in found["rows"] if "crosses" in row]
    heads, lines = pivot(crossing, place, lambda row: row["crosses"], cosines)
    linear = grouped([row for row in crossing if row["crosses"] == LINEAR], place)
    for line in lines:
        rows = linear[line[0], line[1]]
        line += [f"{statistics.mean(row['length'] for row in rows):.2f}", f"{rows[0]['steps_of_memory']:.0f}"]
    tables = [markdown(["", "C", *heads, f"length, {LINEAR}", "memory, in steps"], lines)]
    for head in ("as in linear memory", "weights moved"):
        rows = [row for row in found["rows"] if head in row]
        networks, lines = pivot(rows, lambda row: (row[head],), network, cosines)  # noqa: B023
        tables.append(markdown([head, *networks], lines))
    return "\n\n".join(tables)


def plain_spread(values, digits):
    """Mean and, of several, the standard deviation."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def stream_table(found):
    """A long sequence in pieces: what the process held along the way, and the mean error since the line before."""
    runs = found["runs"]
    rows = runs[0]["samples"]
    marks = [0, *(place for place in range(1, len(rows)) if rows[place]["steps"] % (rows[-1]["steps"] // 5) == 0)]
    decays = [f", weight decay {run['weight_decay']:g}" if run["weight_decay"] else "" for run in runs]
    heads = [f"{RULE_NAMES[run['rule']]}{decay}" for run, decay in zip(runs, decays)]
    lines = []
    for before, mark in zip([-1, *marks], marks):
        errors = [statistics.mean(row["loss"] for row in run["samples"][before + 1 : mark + 1]) for run in runs]
        held = f"{rows[mark]['memory_mb']:,.1f}"
        lines.append([f"{rows[mark]['steps']:,}", held, *(f"{error:.3f}" for error in errors)])
    return markdown(["steps learned", "memory of the process, MB", *heads], lines)


def purpose_table(rows):
    """What each rule is good for: three lines a situation, a column a rule."""
    rules = ["KeRNL", "e-prop", "truncated backpropagation", "backpropagation"]
    shown = {
        "accuracy": lambda row: spread_of(row["accuracy"], "accuracy") if row["accuracy"] else "",
        "memory of the past, kB": lambda row: f"{row['kilobytes']:,.0f}",
        "steps a second": lambda row: f"{float(format(row['steps_a_second'], '.2g')):,.0f}",
    }
    lines = []
    for situation, of_rules in grouped(rows, lambda row: row["situation"]).items():
        by_rule = {row["rule"]: row for row in of_rules}
        begin = f"**{situation}**"
        for name, cell in shown.items():
            if name == "accuracy" and not any(row["accuracy"] for row in of_rules):
                continue  # not measured there
            lines.append([begin, name, *(cell(by_rule[rule]) if rule in by_rule else "" for rule in rules)])
            begin = ""
    return markdown(["", "", *rules], lines)


def borders_table(found):
    """Cosine and length of the gradients of pieces, means over the seeds: a line a rule, a column a layer of units."""

    def place(row):
        return f"layer {row['of'][-1]} of {row['layers']}, C = {row['window']}"

    def means(rows):
        cosine, length = (statistics.mean(row[name] for row in rows) for name in ("cosine", "length"))
        return f"{cosine:.2f} ({length:.2f})"

    rows = [row for row in found["rows"] if row["of"] != "readout"]
    places, lines = pivot(rows, lambda row: (row["crosses"],), place, means)
    return markdown(["", *places], lines)


def compiling_table(found):
    """What the first call takes more than a later one: a line a rule and its traces, a column a window."""
    traces = {False: "none", "linear": "linear", True: "exact"}

    def line(row):
        return row["rule"], traces[row["traces"]], f"{row['units']}, {row['distinct']}"

    def compiling(rows):
        return f"{rows[-1]['processor_seconds'] - rows[-1]['later_processor_seconds']:.1f}"

    windows, lines = pivot(found["rows"], line, lambda row: row["window"], compiling)
    heads = ["no window" if window is None else f"window {window}" for window in windows]
    return markdown(["rule", "traces", "units, periods", *heads], lines)


def speakers_table(found):
    """Errors on a new speaker by the words heard, and on the old ones at the beginning and the end; a line a way."""
    lines = []
    for way, of_way in found["ways"].items():
        rows, asked = of_way["rows"], grouped(of_way["rows"], lambda row: row["words"])
        means = {count: mean_errors(each) for count, each in asked.items()}
        others = mean_errors([row for row in asked[max(asked)] if row["speaker"] not in found["chosen_on"]])
        networks = len(grouped(rows, lambda row: (row["speaker"], row["seed"])))
        new = [f"{means[count][0]:.1f} %" for count in means]
        old = [f"{means[count][1]:.1f} %" for count in (min(means), max(means))]
        rate = f"{rows[0]['learning_rate']:g}"
        lines.append([way, str(networks), rate, *new, f"{others[0]:.1f} %", *old])
    heads = ["before", *(f"{count} words" for count in list(means)[1:]), "the other speakers"]
    return markdown(["", "networks", "learning rate", *heads, "old speakers, before", "after"], lines)


def mean_errors(rows):
    """Mean errors of the new speaker and of the old ones, in percent."""
    return [100.0 * statistics.mean(row[key] for row in rows) for key in ("error", "old_error")]


def device_table(found):
    """Networks that learn in LiteRT, a line each: microseconds, kilobytes, and agreement with `fit`."""
    lines = []
    for row in found["rows"]:
        name = f"{row['cell']}, {row['rule']}"
        times = [f"{row[each]:.0f}" for each in ("answer_us", "learn_us")]
        kilobytes = [f"{row[f'{each}_kb']:.1f}" for each in ("file", "weights", "optimizer", "states", "traces")]
        accuracies = " / ".join(f"{100.0 * row[each]:.1f}" for each in ("accuracy", "accuracy_of_tensorflow"))
        agreement = [f"{row['agreed']:,}", f"{row['difference']:.0e}", f"{accuracies} %"]
        lines.append([name, row["memory"], *times, *kilobytes, *agreement])
    heads = ["", "memory", "answer, µs", "learn, µs", "file, kB", "weights", "optimizer", "states", "traces"]
    return markdown([*heads, "steps alike", "weights differ by", "accuracy, LiteRT / TensorFlow"], lines)


STREAM_COLUMNS = {  # rule, and whether its window is longer; None: it holds a word
    ("kernl", False): "KeRNL",
    ("eprop", False): "e-prop",
    ("bptt", False): "truncated",
    ("bptt", True): "equal memory (window)",
    ("bptt", None): "whole words (window)",
}
RULE_NAMES = {"kernl": "KeRNL", "eprop": "e-prop", "bptt": "truncated backpropagation"}


def streams_table(found):
    """Errors on streams: a line a task and the steps from update to update, a column a rule."""
    rows = []
    for task, runs in found["tasks"].items():
        for steps in sorted({run["compared"] for run in runs if run["compared"]}):
            compared = [run for run in runs if run["compared"] in (steps, None)]
            rows += [{**run, "task": task, "steps": steps, "longer": run["window"] > steps} for run in compared]

    def column(row):
        return row["rule"], None if row["compared"] is None else row["longer"]

    def missed(rows):
        longer = f" ({rows[0]['window']})" if rows[0]["longer"] else ""
        return f"{plain_spread([100.0 * row['test'] for row in rows], 1)} %{longer}"

    _, lines = pivot(rows, lambda row: (row["task"], f"{row['steps']}"), column, missed, list(STREAM_COLUMNS))
    return markdown(["stream", "update every", *STREAM_COLUMNS.values()], lines)


def braintrace_table(found):
    """Errors of BrainTrace's rules on the stream of digits, a line a rule: by the steps from update to update."""

    def line(row):
        decay = f", decay {row['options']['decay_or_rank']}" if row["rule"] == "pp_prop" else ""
        return row["rule"] + decay, {"step": "of the step", "window": "in the window"}[row["errors"]]

    def missed(rows):
        return f"{plain_spread([100.0 * row['test'] for row in rows], 1)} %"

    rows = sorted(found["runs"], key=lambda row: row["window"])
    windows, lines = pivot(rows, line, lambda row: row["window"], missed)
    numbers = {line(row): f"{row['trace_numbers']:,}" for row in rows}
    lines = sorted([*each[:2], numbers[each[0], each[1]], *each[2:]] for each in lines)
    heads = [f"update every {window}" for window in windows]
    return markdown(["rule of BrainTrace", "errors", "numbers in traces", *heads], lines)


def stream_rates_table(found):
    """Errors of a validation stream by learning rates that stay, and the test's at the best one, which is bold.

    A line is a task, a rule and the steps from update to update. The best rate is one that all seeds tried.
    """
    cells = {}
    for task, runs in found["tasks"].items():
        for run in runs:
            line = task, RULE_NAMES[run["rule"]], f"{run['window']}"
            cells.setdefault(line, {}).setdefault(run["learning_rate"], []).append(run)
    rates, lines = sorted({rate for columns_of in cells.values() for rate in columns_of}), []
    for line, made in cells.items():
        most = max(map(len, made.values()))
        errors = {rate: 100.0 * statistics.mean(run["validation"] for run in runs) for rate, runs in made.items()}
        best = min((rate for rate, runs in made.items() if len(runs) == most), key=errors.get)
        shown = {rate: f"**{error:.1f}**" if rate == best else f"{error:.1f}" for rate, error in errors.items()}
        test = plain_spread([100.0 * run["test"] for run in made[best]], 1)
        lines.append([*line, *(shown.get(rate, "") for rate in rates), f"{test} %"])
    return markdown(["", "rule", "update every", *(f"{rate:g}" for rate in rates), "test"], lines)


def race_table(found):
    """Accuracy on validation digits after so many seconds of training, and on test digits at the end: a line each.

    A step ends a little after the mark that the clock has passed.
    """
    points, test = [], {}
    for row in found["rows"].values():
        end = row["points"][-1]
        begin = row["label"], f"{row['settings']['learning_rate']:g}", f"{end['steps']:,}"
        points += [{**point, "begin": begin} for point in row["points"]]
        test[begin] = f"{100.0 * end['test']:.1f} %"

    def mark(point):
        return max(mark for mark in MARKS if mark <= point["seconds"])

    def accuracy(points):
        return f"{100.0 * points[-1]['accuracy']:.1f} %"

    marks, lines = pivot(points, lambda point: point["begin"], mark, accuracy, sorted(set(map(mark, points))))
    lines = [[*line, test[tuple(line[:3])]] for line in lines]
    return markdown(["", "learning rate", "updates", *(f"{mark} s" for mark in marks), "test"], lines)


def baseline_table(found):
    """A network of Keras alone: test accuracy over its seeds."""
    runs = found["runs"]
    seconds = statistics.median(run["seconds"] for run in runs)
    test = spread_of([run["test"] for run in runs], "accuracy")
    line = [found["label"], test, str(len(runs)), f"{runs[0]['learning_rate']:g}", f"{seconds:.0f}"]
    return markdown(["", "test accuracy", "seeds", "learning rate", "s"], [line])


def sound_table(found):
    """Three tables: words right by the way of recording; what was said of each kind of sound; words right by share."""
    count, words = found["count"], found["words"]

    def percent(value, digits=0):
        return f"{100.0 * value:.{digits}f} %"

    heads = [f"right of {count}", "called no word", f"right of {words}", "called no word"]
    ways = [
        [way, str(each["right"]), str(each["named_otherwise"])]
        + [percent(each[value], 1) for value in ("all_right", "all_named_otherwise")]
        for way, each in found["ways"].items()
    ]
    said = list(next(iter(found["kinds"].values()))["said"])
    kinds = [
        [kind, *(str(each["said"][name] or "") for name in said)]
        + [percent(each["mean_share"]), percent(each["largest_share"])]
        for kind, each in found["kinds"].items()
    ]
    shares = [
        [f"{100.0 * row['low']:.0f} to {percent(row['high'])}", f"{row['count']:,}"]
        + [percent(row["share"]), percent(row["right"])]
        for row in found["shares"]
    ]
    return "\n\n".join(
        [
            markdown(["words", *heads], ways),
            markdown([f"{count} of each", *said, "mean share", "largest"], kinds),
            markdown(["share", "words", "mean share", "right"], shares),
        ]
    )


def repeat_table(found):
    """How the first updates of the sweeps' runs differ today from when the results were made, a line a file."""
    lines = []
    for file, rows in grouped(found["rows"], lambda row: row["file"]).items():
        both = [(row["then"], row["now"]) for row in rows if None not in (row["then"], row["now"])]
        differ = [abs(now - then) / abs(then) for then, now in both]
        equal = sum(each == 0.0 for each in differ)
        largest = f"{max(differ):.0e}" if any(differ) else "0" if differ else ""
        lines.append([f"`{file}`", str(len(rows)), str(equal), largest, str(len(rows) - len(both)) or ""])
    return markdown(["", "rows", "equal to the bit", "largest difference", "not in both"], lines)


def worth_table(found):
    """Cosine, kilobytes and millions of multiplications, a line a setting, three columns a network."""

    def line(row):
        return (row["settings"],)

    def values(rows):
        cosine = plain_spread([row["cosine"] for row in rows], 2)
        return f"{cosine} | {4e-3 * rows[0]['numbers']:,.0f} | {1e-6 * rows[0]['multiplications']:.1f}"

    networks, lines = pivot(found["rows"], line, lambda row: NETWORK_NAMES[row["network"]], values)
    return markdown(["", *(head for name in networks for head in (name, "kB", "10^6"))], lines)


def structure_table(found):
    """The size of the code, and the times of its steps, before and after."""
    names = {
        "package": "lines of the package",
        "tests": "lines of the tests",
        "laboratory": "lines of the laboratory",
        "longest_file": "longest file of the package",
        "longest_function": "longest function, with its docstring",
        "files": "files from `fit` to a gradient",
        "functions": "functions from `fit` to a gradient",
        "stack": "deepest stack on this way",
        "words": "lines that ask a unit for a flag",
    }
    both = found["before"], found["after"]
    lines = [[name, *(f"{each[key]:,}" for each in both)] for key, name in names.items()]
    for rule in found["after"]["times"]:
        times = [each["times"][rule] for each in both]
        lines.append([f"{rule}: a step, ms", *(f"{1000.0 * each['step']:.0f}" for each in times)])
        lines.append([f"{rule}: first call, s", *(f"{each['first']:.1f}" for each in times)])
    return markdown(["", *(f"`{each['git_revision'][:8]}`" for each in both)], lines)


OWN_TABLES = {
    "structure": structure_table,
    "worth": worth_table,
    "repeat": repeat_table,
    "purpose": purpose_table,
    "sound": sound_table,
    "baseline": baseline_table,
    "race": race_table,
    "streams": streams_table,
    "stream_rates": stream_rates_table,
    "streams_braintrace": braintrace_table,
    "speakers": speakers_table,
    "on_device": device_table,
    "memory": memory_table,
    "stream": stream_table,
    "borders": borders_table,
    "compiling": compiling_table,
    "guide": guide_table,
    "recipe": recipe_table,
    "contract": contract_table,
    "networks": simulator_table,
    "bad_input": bad_input_table,
    "parts": benchmark_table,
}


def columns(runs, metric):
    """What a table says of a variant's runs."""
    explained = [run["explained_variance"] for run in runs if learns(run)]
    rates = [run["firing_rate"] for run in runs if run["firing_rate"] is not None]  # None: the run diverged
    return [
        spread_of([run["test"] for run in runs], metric),
        str(len(runs)),
        f"{runs[0]['learning_rate']:g}",
        f"{statistics.mean(explained):.2f}" if explained else "",
        f"{statistics.mean(rates):.2f}" if rates else "",
    ]


def markdown(head, lines):
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


def learns(run):
    """Whether M and gamma learned in the run."""
    return run.get("explained_variance") not in (None, 0.0)


def spread_of(values, metric):
    """Mean and, of several, the standard deviation, of those that did not diverge; accuracies in percent."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "diverged"
    percent = metric == "accuracy"
    found = plain_spread([100.0 * value for value in known] if percent else known, 1 if percent else 4)
    diverged = f", {lost} diverged" if (lost := len(values) - len(known)) else ""
    return f"{found}{' %' if percent else ''}{diverged}"
