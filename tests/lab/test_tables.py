"""Tables from results files: one of each kind by hand, and that those of README and of the pages are of their files."""

import json
import pathlib

import pytest

from notebooks.lab.plot import KEY, draw_sweep, fingerprint, round_numbers
from notebooks.lab.results import DOCUMENTS, PLOT, TABLE, main, read_results, render, update
from notebooks.lab.tables import setup_table, spread_of, table_of

TOP = pathlib.Path(__file__).parents[2]


def run(variant, seed, test, explained=0.0, **more):
    return {
        "variant": variant, "seed": seed, "test": test, "learning_rate": 0.002, "explained_variance": explained,
        "firing_rate": 0.25, "seconds": 10.4, "steps": 2000, **more,
    }  # fmt: skip


def raced(label, rate, *triples):
    points = [dict(zip(("seconds", "steps", "accuracy"), each)) for each in triples]
    points[-1]["test"] = points[-1]["accuracy"] - 0.02
    return {"label": label, "settings": {"learning_rate": rate}, "points": points}


def sizes(first):
    keys = "package", "tests", "laboratory", "longest_file", "longest_function", "files", "functions", "stack", "words"
    return {key: first + number for number, key in enumerate(keys)}


def called(name, what, seconds):
    return {"name": f"{name}, {what}, threads: 2", "settings": {"threads": 2}, "every": [0.2, seconds]}


SWEEP = {
    "sweep": "rules",
    "metric": "accuracy",
    "runs": [run("KeRNL", 0, 0.91, 0.5), run("KeRNL", 1, 0.93, 0.7), run("e-prop", 0, 0.5, None)],
}
DIVERGED = {**SWEEP, "runs": [*SWEEP["runs"], run("x", 0, None, None, firing_rate=None)]}
ERRORS = {"sweep": "adding", "metric": "mse", "runs": [run("KeRNL", 0, 0.01), run("KeRNL", 1, None)]}
RUN = {"experiment": "smnist", "rule": "kernl", "metric": "accuracy", "test_accuracy": 0.9512, "steps": 20000}
# Windows of every length are one row beside each other, and only there; windows of one step are no windows.
WINDOWS = [
    {**SWEEP, "runs": [{**SWEEP["runs"][0], "variant": f"KeRNL, window {window}"} for window in (1, longer)]}
    for longer in (14, 64)
]
SPIKES = {"places": 2800, "spikes": 210, "different": 1, "digits_without_a_difference": 99}
OF = {"window": 64, "length": 1.0}
COMPILED = {"rule": "kernl", "units": 9, "distinct": 3, "later_processor_seconds": 0.5}
ON_DEVICE = {
    "cell": "rate", "rule": "e-prop", "memory": "exact", "answer_us": 12.4, "learn_us": 84.0, "file_kb": 140.74,
    "weights_kb": 20.75, "optimizer_kb": 41.5, "states_kb": 0.27, "traces_kb": 19.7, "agreed": 1000,
    "difference": 3.2e-6, "largest_weight": 0.5, "accuracy": 0.912, "accuracy_of_tensorflow": 0.914,
}  # fmt: skip
SPEAKERS = {
    way: {"rows": [
        {"seed": 0, "speaker": speaker, "words": words, "learning_rate": 1e-3, "error": error, "old_error": old}
        for speaker, worse in (("george", 0.3), ("theo", 0.0), ("jackson", 0.0))
        for words, error, old in ((0, 0.3 + worse, 0.01), (10, 0.3 - gain + worse, 0.03))
    ]}
    for way, gain in (("readout only", 0.05), ("KeRNL", 0.1))
}  # fmt: skip
OF_STREAM = "rule", "window", "compared", "test"
STREAMS = [*(("kernl", 16, 16, error) for error in (0.1, 0.3)), ("bptt", 16, 16, 0.5), ("bptt", 24, 16, 0.4)]
STREAMS += [("bptt", 90, None, 0.2)]
OF_PURPOSE = "situation", "rule", "accuracy", "kilobytes", "steps_a_second"
PURPOSE = [
    ("a stream", "e-prop", [0.9, 0.94], 12.4, 1234.0),
    ("a stream", "KeRNL", [0.95], 12.6, 987.0),
    ("a device", "e-prop", [], 1234.4, 5e4),
]
OF_PEER = "rule", "options", "errors", "window", "trace_numbers", "test"
BRAINTRACE = [
    ("pp_prop", {"decay_or_rank": 0.95}, "step", 64, 511, 0.5),
    ("D_RTRL", {}, "window", 64, 1610, 0.25),
    ("D_RTRL", {}, "step", 64, 1610, 0.1),
    ("D_RTRL", {}, "step", 16, 1610, 0.2),
    ("D_RTRL", {}, "step", 16, 1610, 0.4),
]
OF_RATE = "rule", "window", "seed", "learning_rate", "validation", "test"
RATES = [  # the mean over seeds decides, among the rates that all of them tried
    ("eprop", 16, 0, 0.001, 0.2, 0.3),
    ("eprop", 16, 0, 0.003, 0.1, 0.2),
    ("eprop", 16, 0, 0.01, 0.04, 0.9),
    ("eprop", 16, 1, 0.001, 0.1, 0.1),
    ("eprop", 16, 1, 0.003, 0.3, 0.3),
    ("eprop", 64, 0, 0.003, 0.25, 0.26),
]
TABLES = {  # name: what the files hold, and the lines of the table without those of dashes, or without a head as well
    "a sweep": ([DIVERGED], """
|  | test accuracy | seeds | learning rate | explained | spikes per step |
| KeRNL | 92.0 ± 1.4 % | 2 | 0.002 | 0.60 | 0.25 |
| e-prop | 50.0 % | 1 | 0.002 |  | 0.25 |
| x | diverged | 1 | 0.002 |  |  |"""),
    "three sweeps": ([SWEEP, ERRORS, SWEEP], """
|  | `rules` | `adding` | `rules` |
| KeRNL | 92.0 ± 1.4 % | 0.0100, 1 diverged | 92.0 ± 1.4 % |
| e-prop | 50.0 % |  | 50.0 % |"""),
    "what two sweeps share": ([SWEEP, ERRORS], "\n| KeRNL | 92.0 ± 1.4 % | 0.0100, 1 diverged |"),
    "sweeps of one variant": ([ERRORS, ERRORS],
        2 * "\n| `adding` | 2,000 | 0.0100, 1 diverged | 2 | 0.002 |  | 0.25 |"),
    "windows side by side": (WINDOWS,
        "\n| KeRNL, window 1 | 91.0 % | 91.0 % |\n| KeRNL, windows | 91.0 % | 91.0 % |"),
    "windows alone": (WINDOWS[:1],
        "\n| KeRNL, window 1 | 91.0 % | 1 | 0.002 | 0.50 | 0.25 |"
        "\n| KeRNL, window 14 | 91.0 % | 1 | 0.002 | 0.50 | 0.25 |"),
    "single runs": ([{**RUN, "seconds": 3000.0}, {**RUN, "rule": "eprop", "test_accuracy": 0.5, "seconds": 59.0}],
        "\n| `smnist` | kernl | 20,000 | 50 | 95.1 % |\n| `smnist` | eprop | 20,000 | 1 | 50.0 % |"),
    "other simulators": ([{"networks": [{"network": "rows", "comparisons": [
            {"importer": "NumPy, double precision", "versions": {}, **SPIKES},
            {"importer": "norse neurons", "versions": {"norse": "1.1.0", "torch": "2.13"}, **SPIKES},
        ]}]}], """
| rows | NumPy, double precision | 2,800 | 210 | 1 | 99 |
| rows | Norse 1.1.0 neurons | 2,800 | 210 | 1 | 99 |"""),
    "the contract": ([{"contract": {
            "Keras 3.15": {"behaviours": {
                "layers: config": {"a": "passed", "b": "passed"}, "layers: unroll": {"a": "failed", "b": "skipped"},
            }},
            "Keras 2.21": {"behaviours": {"layers: config": {"a": "passed"}}},
        }}], """
|  | Keras 3.15 | Keras 2.21 |
| layers: config | 2 of 2 | 1 of 1 |
| layers: unroll | 0 of 1 |  |"""),
    "bad input": ([{"bad_input": {
            "Keras 3.15": {"tried": {"NaN": {"skipped": 1200}, "a word": {"ValueError": 3, "TypeError": 1}}},
            "Keras 2.21": {"tried": {"a word": {"ValueError": 4}}},
        }}], """
| NaN | skipped | 1,200 | 0 |
| a word | TypeError | 1 | 0 |
| a word | ValueError | 3 | 4 |
| all |  | 1,204 | 4 |"""),
    "a training step": ([{"parts": {"step": [
            {"name": "norse, bptt, 1 threads", "seconds": 0.35, "versions": {"norse": "1.1.0"}},
            {"name": "norse, bptt, 2 threads", "seconds": 0.3, "versions": {"norse": "1.1.0"}},
            *({"name": name, "seconds": seconds, "versions": {}}
              for name, seconds in (("kernl", 0.15), ("floor", 0.1), ("bptt", 0.1))),
        ]}}], """
| **backpropagation through time**, `rule="bptt"` | 0.100 | 1.0 |
| KeRNL, exponential kernels, M learns in every step | 0.150 | 1.5 |
| Norse 1.1.0, backpropagation through time | 0.300 | 3.0 |"""),
    "a step with windows": ([{"parts": {"windows": [
            {"name": "exact backpropagation", "seconds": 0.1, "peak_mb": 1234.4},
            {"name": "KeRNL, window 64", "seconds": 0.15, "peak_mb": 999.6},
        ]}}], """
| exact backpropagation | 0.100 | 1.00 | 1,234 |
| KeRNL, window 64 | 0.150 | 1.50 | 1,000 |"""),
    "the layer and loops by hand": ([{"parts": {"layer": [
            {"settings": {"threads": 2, "of_rule": "eprop", "rule": rule}, "every": every}
            for rule, every in (("layer", [0.2, 0.11, 0.3]), ("by hand", [0.1, 0.4, 0.2]))
        ]}}], """
| 2 | e-prop | 110 | 100 | 1.10 |"""),
    "memory": ([{"memory": {"rows": [
            *({**OF, "network": name, "crosses": crosses, "steps_of_memory": steps, "cosine": cosine, "length": 1.5}
              for name in ("smnist", "late")
              for crosses, steps, cosine in (
                  ("nothing crosses", 0.0, 0.5), ("nothing crosses", 0.0, 0.7), ("KeRNL, linear memory", 33.4, 0.9))),
            {**OF, "network": "smnist", "as in linear memory": "filters", "cosine": 0.98},
            {**OF, "network": "late", "as in linear memory": "filters", "cosine": 0.875},
            {"network": "late", "seed": 0, "weights moved": "0.100%", "cosine": 0.64},
            {"network": "late", "seed": 1, "weights moved": "0.100%", "cosine": 0.66},
        ]}}], """
|  | C | nothing crosses | KeRNL, linear memory | length, KeRNL, linear memory | memory, in steps |
| resonators | 64 | 0.60 ± 0.14 | 0.90 | 1.50 | 33 |
| resonators, 48,000 updates | 64 | 0.60 ± 0.14 | 0.90 | 1.50 | 33 |

| as in linear memory | resonators | resonators, 48,000 updates |
| filters | 0.98 | 0.88 |

| weights moved | resonators, 48,000 updates |
| 0.100% | 0.65 ± 0.01 |"""),
    "compiling": ([{"compiling": {"rows": [
            {**COMPILED, "window": window, "traces": traces, "processor_seconds": 0.5 + seconds}
            for window, traces, seconds in ((None, False, 1.0), (64, False, 2.0), (None, "linear", 3.04))
        ]}}], """
| rule | traces | units, periods | no window | window 64 |
| kernl | none | 9, 3 | 1.0 | 2.0 |
| kernl | linear | 9, 3 | 3.0 |  |"""),
    "settings of linear memory": ([{"worth": {"rows": [
            {"network": network, "settings": settings, "cosine": cosine, "numbers": 5000, "multiplications": 2.04e6}
            for network, settings, cosine in (("smnist", "no hops", 0.8), ("smnist-adlif", "no hops", 0.7),
                ("smnist", "no hops", 0.82), ("smnist-adlif", "no hops", 0.72))
        ]}}], """
|  | resonators | kB | 10^6 | AdLIF | kB | 10^6 |
| no hops | 0.81 ± 0.01 | 20 | 2.0 | 0.71 ± 0.01 | 20 | 2.0 |"""),
    "the structure": ([{"structure": {
            "before": {"git_revision": "a" * 40, **sizes(1000), "times": {"e-prop": {"first": 4.04, "step": 0.1}}},
            "after": {"git_revision": "b" * 40, **sizes(2000), "times": {"e-prop": {"first": 3.0, "step": 0.0906}}},
        }}], """
|  | `aaaaaaaa` | `bbbbbbbb` |
| lines of the package | 1,000 | 2,000 |
| lines of the tests | 1,001 | 2,001 |
| lines of the laboratory | 1,002 | 2,002 |
| longest file of the package | 1,003 | 2,003 |
| longest function, with its docstring | 1,004 | 2,004 |
| files from `fit` to a gradient | 1,005 | 2,005 |
| functions from `fit` to a gradient | 1,006 | 2,006 |
| deepest stack on this way | 1,007 | 2,007 |
| lines that ask a unit for a flag | 1,008 | 2,008 |
| e-prop: a step, ms | 100 | 91 |
| e-prop: first call, s | 4.0 | 3.0 |"""),
    "the gradients in a call": ([{"parts": {"call": [
            called("readout only", "the readout's gradient", 0.05), called("readout only", "all gradients", 0.06),
            called("KeRNL", "M learns in it", 0.1),
        ]}}], """
| threads |  | the readout's gradient | all gradients | `train_on_batch` | M learns in it |
| 2 | readout only | 50.0 | 60.0 |  |  |
| 2 | KeRNL |  |  |  | 100.0 |"""),
    "on a device": ([{"on_device": {"rows": [ON_DEVICE]}}],
        "\n| rate, e-prop | exact | 12 | 84 | 140.7 | 20.8 | 41.5 | 0.3 | 19.7 | 1,000 | 3e-06 | 91.2 / 91.4 % |"),
    "a GRU": ([{"baseline": {"label": "GRU, 100 units", "runs": [
            {"test": test, "seconds": seconds, "learning_rate": 1e-3} for test, seconds in ((0.9, 10.0), (0.94, 12.0))
        ]}}], """
| GRU, 100 units | 92.0 ± 2.8 % | 2 | 0.001 | 11 |"""),
    "a new speaker": ([{"speakers": {"ways": SPEAKERS, "chosen_on": ["george"]}}], """
|  | networks | learning rate | before | 10 words | the other speakers | old speakers, before | after |
| readout only | 3 | 0.001 | 40.0 % | 35.0 % | 25.0 % | 1.0 % | 3.0 % |
| KeRNL | 3 | 0.001 | 40.0 % | 30.0 % | 20.0 % | 1.0 % | 3.0 % |"""),
    "the race": ([{"race": {"rows": {
            "kernl": raced("KeRNL", 0.002, (30.2, 5, 0.5), (300.1, 1200, 0.75)),
            "norse": raced("Norse", 0.01, (61.0, 7, 0.25), (310.0, 40, 0.3)),
        }}}], """
|  | learning rate | updates | 30 s | 60 s | 300 s | test |
| KeRNL | 0.002 | 1,200 | 50.0 % |  | 75.0 % | 73.0 % |
| Norse | 0.01 | 40 |  | 25.0 % | 30.0 % | 28.0 % |"""),
    "a long sequence": ([{"stream": {"runs": [
            {"rule": rule, "weight_decay": decay, "samples": [
                {"steps": 2 * step, "memory_mb": 1000.0 + step, "loss": loss * step} for step in range(1, 11)
            ]} for rule, decay, loss in (("kernl", 0.0, 0.1), ("bptt", 0.1, 0.2))
        ]}}], """
| steps learned | memory of the process, MB | KeRNL | truncated backpropagation, weight decay 0.1 |
| 2 | 1,001.0 | 0.100 | 0.200 |
| 4 | 1,002.0 | 0.200 | 0.400 |
| 8 | 1,004.0 | 0.350 | 0.700 |
| 12 | 1,006.0 | 0.550 | 1.100 |
| 16 | 1,008.0 | 0.750 | 1.500 |
| 20 | 1,010.0 | 0.950 | 1.900 |"""),
    "pieces": ([{"borders": {"rows": [
            {"layers": 2, "window": 16, "crosses": rule, "of": of, "cosine": cosine + 0.1 * seed, "length": 0.5}
            for rule, cosines in (("e-prop", (0.5, 0.7, 1.0)), ("KeRNL", (0.6, 0.8, 1.0)))
            for of, cosine in zip(("layer 1", "layer 2", "readout"), cosines)
            for seed in (0, 1)
        ]}}], """
|  | layer 1 of 2, C = 16 | layer 2 of 2, C = 16 |
| e-prop | 0.55 (0.50) | 0.75 (0.50) |
| KeRNL | 0.65 (0.50) | 0.85 (0.50) |"""),
    "what a rule is good for": ([{"purpose": [dict(zip(OF_PURPOSE, row)) for row in PURPOSE]}], """
|  |  | KeRNL | e-prop | truncated backpropagation | backpropagation |
| **a stream** | accuracy | 95.0 % | 92.0 ± 2.8 % |  |  |
|  | memory of the past, kB | 13 | 12 |  |  |
|  | steps a second | 990 | 1,200 |  |  |
| **a device** | memory of the past, kB |  | 1,234 |  |  |
|  | steps a second |  | 50,000 |  |  |"""),
    "streams": ([{"streams": {"tasks": {"cue": [dict(zip(OF_STREAM, row)) for row in STREAMS]}}}], """
| stream | update every | KeRNL | e-prop | truncated | equal memory (window) | whole words (window) |
| cue | 16 | 20.0 ± 14.1 % |  | 50.0 % | 40.0 % (24) | 20.0 % (90) |"""),
    "rules of BrainTrace": ([{"streams_braintrace": {"runs": [dict(zip(OF_PEER, row)) for row in BRAINTRACE]}}], """
| rule of BrainTrace | errors | numbers in traces | update every 16 | update every 64 |
| D_RTRL | in the window | 1,610 |  | 25.0 % |
| D_RTRL | of the step | 1,610 | 30.0 ± 14.1 % | 10.0 % |
| pp_prop, decay 0.95 | of the step | 511 |  | 50.0 % |"""),
    "learning rates": ([{"stream_rates": {"tasks": {"digits": [dict(zip(OF_RATE, row)) for row in RATES]}}}], """
|  | rule | update every | 0.001 | 0.003 | 0.01 | test |
| digits | e-prop | 16 | **15.0** | 20.0 | 4.0 | 20.0 ± 14.1 % |
| digits | e-prop | 64 |  | **25.0** |  | 26.0 % |"""),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_by_hand(name):
    files, expected = TABLES[name]
    lines, expected = table_of(files).splitlines(), expected.splitlines()[1:]
    dashes = [number for number, line in enumerate(lines) if line.startswith("| ---")]
    assert dashes[0] == 1
    for number in dashes:
        assert lines[number] == "|" + (lines[number - 1].count("|") - 1) * " --- |"
    without = [line for number, line in enumerate(lines) if number not in dashes]
    assert without[len(without) - len(expected) :] == expected and len(without) - len(expected) in (0, 1)


def test_the_setup_of_sweeps_by_hand():
    """The rates are those that the runs could choose from, and not only the chosen ones."""
    experiment = {
        "cell": "lif", "cell_settings": {"units": 3}, "batch_size": 16, "sensitivity_optimizer": "RMSprop",
        "sensitivity_learning_rate": 0.001,
    }  # fmt: skip
    chosen = run("KeRNL", 0, 0.91, chosen_from=[[0.002, 0.9], [0.005, 0.8]])
    assert setup_table([{**SWEEP, "experiment": experiment, "runs": [chosen]}], ["small"]).splitlines() == [
        "|  | results file | network | batch | updates | learning rates | M learns by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| small | `rules` | 3 LIF | 16 | 2,000 | 0.002, 0.005 | RMSprop 0.001 |",
    ]


def test_spreads():
    assert spread_of([0.01, 0.02], "mse") == "0.0150 ± 0.0071"
    assert spread_of([None], "mse") == spread_of([float("nan")], "accuracy") == "diverged"


# Documents and their pictures


def test_a_document_is_made_anew(tmp_path):
    (tmp_path / "some-table.json").write_text(json.dumps(SWEEP))
    document = tmp_path / "page.md"
    document.write_text("Before.\n<!-- table: some-table -->\nold\n<!-- end -->\nAfter.\n")
    update(document, tmp_path)
    once = document.read_text()
    assert once == f"Before.\n<!-- table: some-table -->\n{table_of([SWEEP])}\n<!-- end -->\nAfter.\n"
    update(document, tmp_path)
    assert document.read_text() == once
    with pytest.raises(FileNotFoundError):
        render("<!-- table: none -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("<!-- table: a -->\nold\n\nprose\n<!-- table: some -->\n<!-- end -->\n", "received 2 of them, 1 followed so"),
        ("<!-- table: some -->\nnever ended\n", "received 1 of them, 0 followed so"),
        ("<!-- setup: some -->\n", "received 1 of them, 0 followed so"),
        ("<!-- plot: some -->\nno picture\n", "must be followed by a picture"),
        ("<!-- table: broken -->\n<!-- end -->\n", "broken: Expecting"),
        ("<!-- table: list -->\n<!-- end -->\n", "list: "),
        ("<!-- table: some run -->\n<!-- end -->\n", "all of a table those of sweeps or those of single runs"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_made_stays_as_it_is(tmp_path, text, message, capsys):
    files = {"some": SWEEP, "list": [1], "run": {"metric": "mse"}}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "broken.json").write_text("{")
    document = tmp_path / "page.md"
    document.write_text(text)
    with pytest.raises(SystemExit):
        main(["--document", str(document), "--results", str(tmp_path)])
    assert message in capsys.readouterr().err
    assert document.read_text() == text


def test_a_dot_stands_in_the_row_of_its_variant():
    """Also where a sweep has other variants, or another order of them."""
    figures = pytest.importorskip("matplotlib.figure", reason="drawing needs matplotlib")
    axes = figures.Figure().subplots()
    runs = [run("e-prop", 0, 0.5), run("e-prop", 1, None), run("x", 0, float("nan"))]
    draw_sweep(axes, {**SWEEP, "runs": runs}, ["KeRNL", "e-prop", "x"])
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[[50.0, 1.0]]]  # 50 % of errors
    assert [label.get_text() for label in axes.get_yticklabels()] == ["KeRNL", "e-prop", "x"]
    assert [(text.get_text(), text.xy[1]) for text in axes.texts] == [("1 diverged", 1), ("diverged", 2)]


def test_an_axis_has_round_numbers_that_are_neither_few_nor_crowded():
    assert round_numbers(12.0, 33.0) == pytest.approx([15.0, 20.0, 30.0])
    assert round_numbers(2.4, 17.0) == pytest.approx([3.0, 5.0, 7.0, 10.0])
    assert round_numbers(5.5, 10.4) == pytest.approx([6.0, 7.0, 8.0, 9.0, 10.0])
    assert round_numbers(0.002, 0.06) == pytest.approx([0.002, 0.005, 0.01, 0.02, 0.05])


def test_the_pictures_of_a_document(tmp_path):
    """Drawn anew, whole; one of other results says so, and nothing changes it but results."""
    image = pytest.importorskip("PIL.Image", reason="reading a picture's metadata needs pillow")
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    (tmp_path / "some.json").write_text(json.dumps(SWEEP))
    document = tmp_path / "page.md"
    document.write_text("<!-- plot: some -->\n![what it shows](of-some.png)\n")
    update(document, tmp_path)
    assert image.open(tmp_path / "of-some.png").text[KEY] == fingerprint([SWEEP])
    other = {**SWEEP, "runs": [run("KeRNL", 0, 0.92, 0.5), *SWEEP["runs"][1:]]}
    assert fingerprint([other]) != fingerprint([SWEEP])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of-some.png", "page.md", "some.json"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_tables_of_a_document_are_those_of_the_results_files(document):
    text = document.read_text(encoding="utf-8")
    assert render(text, TOP / "notebooks" / "results") == text


def test_the_plots_of_the_documents_are_of_the_results_files():
    image = pytest.importorskip("PIL.Image", reason="reading a picture's metadata needs pillow")
    plots = [(path, plot) for path in DOCUMENTS for plot in PLOT.finditer(path.read_text(encoding="utf-8"))]
    assert len(plots) >= 2
    for path, plot in plots:
        results = read_results(plot["names"], TOP / "notebooks" / "results")
        assert image.open(path.parent / plot["path"]).text[KEY] == fingerprint(results), plot["path"]


def test_every_results_file_is_in_a_document_or_named_by_one():
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    tables = " ".join(match["names"] for match in TABLE.finditer(text)).split()
    files = {path.stem for path in (TOP / "notebooks" / "results").glob("*.json")}
    assert len(tables) > 20
    in_notebooks = {"proof", "mutants"}  # a notebook or a test reads them
    assert files - in_notebooks <= {*tables, *(file for file in files if f"results/{file}.json" in text)}


def test_heads_of_columns(tmp_path):
    for name in ("one", "other"):
        (tmp_path / f"{name}.json").write_text(json.dumps(SWEEP))
    text = "<!-- table: one other | first | and second -->\n<!-- end -->"
    assert render(text, tmp_path).splitlines()[:2] == [text.splitlines()[0], "|  | first | and second |"]
    assert render(render(text, tmp_path), tmp_path) == render(text, tmp_path)
    with pytest.raises(ValueError, match="a head for each results file"):
        render(text.replace(" | and second", ""), tmp_path)


def test_accuracies_of_a_purpose_are_those_of_the_files_now(tmp_path):
    rows = ("kernl", 1, 0.25), ("kernl", 16, 0.5), ("eprop", 1, 0.3)
    heard = [dict(zip(("rule", "window", "test"), row)) for row in rows]
    pixels = [{"variant": "KeRNL", "test": 0.9}, {"variant": "KeRNL, longer", "test": 0.4}]
    rows = [
        {"situation": which, "rule": "KeRNL", "accuracy_of": of, "kilobytes": 1.0, "steps_a_second": 1.0}
        for which, of in (("stream", "streams: digits, window 1"), ("whole", "pixels: KeRNL"))
    ]
    files = {"streams": {"streams": {"tasks": {"digits": heard}}}, "pixels": {"runs": pixels}, "p": {"purpose": rows}}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    found = render("<!-- table: p -->\n<!-- end -->", tmp_path)
    assert "| **stream** | accuracy | 75.0 % |" in found and "| **whole** | accuracy | 90.0 % |" in found
