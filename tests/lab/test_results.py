"""Tables from results files, and that those of README and of the pages are of the files beside them."""

import json
import pathlib

import pytest

from notebooks.lab.plot import KEY, draw_sweep, fingerprint, round_numbers
from notebooks.lab.results import DOCUMENTS, PLOT, TABLE, main, read_results, render, update
from notebooks.lab.tables import run_table, spread_of, table_of

TOP = pathlib.Path(__file__).parents[2]


def run(variant, seed, test, explained=0.0):
    return {
        "variant": variant, "seed": seed, "test": test, "learning_rate": 0.002, "explained_variance": explained,
        "firing_rate": 0.25, "seconds": 10.4, "steps": 2000,
    }  # fmt: skip


RESULTS = {
    "sweep": "rules",
    "metric": "accuracy",
    "runs": [run("KeRNL", 0, 0.91, 0.5), run("KeRNL", 1, 0.93, 0.7), run("e-prop", 0, 0.5, None)],
}
OF_ONE = """\
|  | test accuracy | seeds | learning rate | explained | spikes per step | s |
| --- | --- | --- | --- | --- | --- | --- |
| KeRNL | 92.0 ± 1.4 % | 2 | 0.002 | 0.60 | 0.25 | 10 |
| e-prop | 50.0 % | 1 | 0.002 |  | 0.25 | 10 |"""


def test_a_table_by_hand():
    assert table_of([RESULTS]) == OF_ONE


def test_tables_of_sweeps_by_hand():
    of_errors = {"sweep": "adding", "metric": "mse", "runs": [run("KeRNL", 0, 0.01), run("KeRNL", 1, None)]}
    assert table_of([RESULTS, of_errors, RESULTS]).splitlines() == [
        "|  | `rules` | `adding` | `rules` |",
        "| --- | --- | --- | --- |",
        "| KeRNL | 92.0 ± 1.4 % | 0.0100, 1 diverged | 92.0 ± 1.4 % |",
        "| e-prop | 50.0 % |  | 50.0 % |",
    ]
    assert table_of([RESULTS, of_errors]).splitlines()[2:] == ["| KeRNL | 92.0 ± 1.4 % | 0.0100, 1 diverged |"]
    assert (
        table_of([of_errors, of_errors]).splitlines()[2:]
        == ["| `adding` | 2,000 | 0.0100, 1 diverged | 2 | 0.002 |  | 0.25 | 10 |"] * 2
    )


def test_windows_of_every_length_are_one_row_beside_each_other():
    """And only there; windows of one step are no windows."""
    of = [
        {**RESULTS, "runs": [{**RESULTS["runs"][0], "variant": f"KeRNL, window {window}"} for window in (1, longer)]}
        for longer in (14, 64)
    ]
    assert [line.split(" | ")[0] for line in table_of(of).splitlines()[2:]] == ["| KeRNL, window 1", "| KeRNL, windows"]
    assert [line.split(" | ")[0] for line in table_of(of[:1]).splitlines()[2:]] == [
        "| KeRNL, window 1",
        "| KeRNL, window 14",
    ]


def test_a_table_of_runs_by_hand():
    one = {"experiment": "smnist", "rule": "kernl", "metric": "accuracy", "test_accuracy": 0.9512, "steps": 20000}
    other = {**one, "rule": "eprop", "test_accuracy": 0.5, "seconds": 59.0}
    assert run_table([{**one, "seconds": 3000.0}, other]).splitlines()[2:] == [
        "| `smnist` | kernl | 20,000 | 50 | 95.1 % |",
        "| `smnist` | eprop | 20,000 | 1 | 50.0 % |",
    ]


def test_spreads():
    assert spread_of([0.01, 0.02], "mse") == "0.0150 ± 0.0071"
    assert spread_of([None], "mse") == spread_of([float("nan")], "accuracy") == "diverged"


def test_a_document_is_made_anew(tmp_path):
    (tmp_path / "some-table.json").write_text(json.dumps(RESULTS))
    document = tmp_path / "page.md"
    document.write_text("Before.\n<!-- table: some-table -->\nold\n<!-- end -->\nAfter.\n")
    update(document, tmp_path)
    once = document.read_text()
    assert once == f"Before.\n<!-- table: some-table -->\n{OF_ONE}\n<!-- end -->\nAfter.\n"
    update(document, tmp_path)
    assert document.read_text() == once
    with pytest.raises(FileNotFoundError):
        render("<!-- table: none -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("<!-- table: a -->\nold\n\nprose\n<!-- table: some -->\n<!-- end -->\n", "received 2 of them, 1 followed so"),
        ("<!-- table: some -->\nnever ended\n", "received 1 of them, 0 followed so"),
        ("<!-- plot: some -->\nno picture\n", "must be followed by a picture"),
        ("<!-- table: broken -->\n<!-- end -->\n", "broken: Expecting"),
        ("<!-- table: list -->\n<!-- end -->\n", "list: "),
        ("<!-- table: some run -->\n<!-- end -->\n", "all of a table those of sweeps or those of single runs"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_made_stays_as_it_is(tmp_path, text, message, capsys):
    files = {"some": RESULTS, "list": [1], "run": {"metric": "mse"}}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "broken.json").write_text("{")
    document = tmp_path / "page.md"
    document.write_text(text)
    with pytest.raises(SystemExit):
        main(["--document", str(document), "--results", str(tmp_path)])
    assert message in capsys.readouterr().err
    assert document.read_text() == text


def test_a_document_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["--document", "page.md"])
    assert "page.md cannot be used: No such file or directory" in capsys.readouterr().err


def test_the_table_of_other_simulators(tmp_path):
    counts = {"places": 2800, "spikes": 210, "different": 1, "digits_without_a_difference": 99}
    comparisons = [
        {"importer": "NumPy, double precision", "versions": {}, **counts},
        {"importer": "norse neurons", "versions": {"norse": "1.1.0", "torch": "2.13"}, **counts},
    ]
    (tmp_path / "nir.json").write_text(json.dumps({"networks": [{"network": "rows", "comparisons": comparisons}]}))
    table = render("<!-- table: nir -->\n<!-- end -->", tmp_path).splitlines()
    assert table[3:-1] == [
        "| rows | NumPy, double precision | 2,800 | 210 | 1 | 99 |",
        "| rows | Norse 1.1.0 neurons | 2,800 | 210 | 1 | 99 |",
    ]


def test_the_table_of_the_contract(tmp_path):
    outcomes = {"layers: config": {"a": "passed", "b": "passed"}, "layers: unroll": {"a": "failed", "b": "skipped"}}
    kerases = {
        "Keras 3.15": {"behaviours": outcomes},
        "Keras 2.21": {"behaviours": {"layers: config": {"a": "passed"}}},
    }
    (tmp_path / "contract.json").write_text(json.dumps({"contract": kerases}))
    table = render("<!-- table: contract -->\n<!-- end -->", tmp_path).splitlines()
    assert table[1:-1] == [
        "|  | Keras 3.15 | Keras 2.21 |",
        "| --- | --- | --- |",
        "| layers: config | 2 of 2 | 1 of 1 |",
        "| layers: unroll | 0 of 1 |  |",
    ]


def test_the_table_of_bad_input(tmp_path):
    kerases = {
        "Keras 3.15": {"tried": {"NaN in a batch": {"skipped": 1200}, "a word": {"ValueError": 3, "TypeError": 1}}},
        "Keras 2.21": {"tried": {"a word": {"ValueError": 4}}},
    }
    (tmp_path / "bad-input.json").write_text(json.dumps({"bad_input": kerases}))
    table = render("<!-- table: bad-input -->\n<!-- end -->", tmp_path).splitlines()
    assert table[1:-1] == [
        "| bad input | what it gets | Keras 3.15 | Keras 2.21 |",
        "| --- | --- | --- | --- |",
        "| NaN in a batch | skipped | 1,200 | 0 |",
        "| a word | TypeError | 1 | 0 |",
        "| a word | ValueError | 3 | 4 |",
        "| all |  | 1,204 | 4 |",
    ]


def test_what_diverged_says_so():
    diverged = {**run("x", 0, None), "firing_rate": None, "explained_variance": None}
    sweep = {**RESULTS, "runs": [*RESULTS["runs"], diverged]}
    assert table_of([sweep]).splitlines()[-1] == "| x | diverged | 1 | 0.002 |  |  | 10 |"


def test_a_dot_stands_in_the_row_of_its_variant():
    """Also where a sweep has other variants, or another order of them."""
    figures = pytest.importorskip("matplotlib.figure", reason="drawing needs matplotlib")
    axes = figures.Figure().subplots()
    runs = [run("e-prop", 0, 0.5), run("e-prop", 1, None), run("x", 0, float("nan"))]
    draw_sweep(axes, {**RESULTS, "runs": runs}, ["KeRNL", "e-prop", "x"])
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[[50.0, 1.0]]]  # 50 % of errors
    assert [label.get_text() for label in axes.get_yticklabels()] == ["KeRNL", "e-prop", "x"]
    assert [(text.get_text(), text.xy[1]) for text in axes.texts] == [("1 diverged", 1), ("diverged", 2)]


@pytest.mark.parametrize(
    "low, high, ticks",
    [
        (12.0, 33.0, [15.0, 20.0, 30.0]),
        (2.4, 17.0, [3.0, 5.0, 7.0, 10.0]),
        (5.5, 10.4, [6.0, 7.0, 8.0, 9.0, 10.0]),
        (0.002, 0.06, [0.002, 0.005, 0.01, 0.02, 0.05]),
    ],
)
def test_an_axis_has_round_numbers_that_are_neither_few_nor_crowded(low, high, ticks):
    assert round_numbers(low, high) == pytest.approx(ticks)


def test_the_pictures_of_a_document(tmp_path):
    """Drawn anew, whole; one of other results says so, and nothing changes it but results."""
    image = pytest.importorskip("PIL.Image", reason="reading a picture's metadata needs pillow")
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    (tmp_path / "some.json").write_text(json.dumps(RESULTS))
    document = tmp_path / "page.md"
    document.write_text("<!-- plot: some -->\n![what it shows](of-some.png)\n")
    update(document, tmp_path)
    assert image.open(tmp_path / "of-some.png").text[KEY] == fingerprint([RESULTS])
    other = {**RESULTS, "runs": [run("KeRNL", 0, 0.92, 0.5), *RESULTS["runs"][1:]]}
    assert fingerprint([other]) != fingerprint([RESULTS])
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
    in_notebooks = {"proof", "mutants", "distribution"}  # a notebook or a test reads them
    assert files - in_notebooks <= {*tables, *(file for file in files if f"results/{file}.json" in text)}


def test_heads_of_columns(tmp_path):
    for name in ("one", "other"):
        (tmp_path / f"{name}.json").write_text(json.dumps(RESULTS))
    text = "<!-- table: one other | first | and second -->\n<!-- end -->"
    assert render(text, tmp_path).splitlines()[:2] == [text.splitlines()[0], "|  | first | and second |"]
    assert render(render(text, tmp_path), tmp_path) == render(text, tmp_path)
    with pytest.raises(ValueError, match="a head for each results file"):
        render(text.replace(" | and second", ""), tmp_path)


def test_the_table_of_a_training_step_by_hand():
    def row(name, seconds, **versions):
        return {"name": name, "seconds": seconds, "versions": versions}

    rows = [
        row("norse, bptt, 1 threads", 0.35, norse="1.1.0"),
        row("norse, bptt, 2 threads", 0.3, norse="1.1.0"),
        row("kernl", 0.15),
        row("floor", 0.1),
        row("bptt", 0.1),
    ]
    assert table_of([{"parts": {"step": rows}}]).splitlines() == [
        "|  | seconds | relative to the first row |",
        "| --- | --- | --- |",
        '| **backpropagation through time**, `rule="bptt"` | 0.100 | 1.0 |',
        "| KeRNL, exponential kernels, M learns in every step | 0.150 | 1.5 |",
        "| Norse 1.1.0, backpropagation through time | 0.300 | 3.0 |",
    ]


def test_the_table_of_windows_by_hand():
    rows = [
        {"name": "exact backpropagation", "seconds": 0.1, "peak_mb": 1234.4},
        {"name": "KeRNL, window 64", "seconds": 0.15, "peak_mb": 999.6},
    ]
    assert table_of([{"parts": {"windows": rows}}]).splitlines() == [
        "|  | seconds | relative to exact backpropagation | peak MB |",
        "| --- | --- | --- | --- |",
        "| exact backpropagation | 0.100 | 1.00 | 1,234 |",
        "| KeRNL, window 64 | 0.150 | 1.50 | 1,000 |",
    ]


def test_the_table_of_hops_by_hand():
    def network(seed, one, every):
        rows = [{"slopes": "mean", "hops": 1, "cosine": one}, {"slopes": "mean", "hops": None, "cosine": every}]
        return {"run": {"experiment": "smnist", "steps": 600, "seed": seed}, "rows": rows}

    found = {"networks": [network(0, 0.5, 0.9), network(1, 0.7, 0.9)]}
    assert table_of([{"hops": found}]).splitlines() == [
        "| slopes behind the border | hops | `smnist`, 600 updates |",
        "| --- | --- | --- |",
        "| mean | 1 | 0.60 ± 0.14 |",
        "| mean | all | 0.90 ± 0.00 |",
    ]


def test_the_setup_of_sweeps_by_hand(tmp_path):
    """The rates are those that the runs could choose from, and not only the chosen ones."""
    experiment = {
        "cell": "lif", "cell_settings": {"units": 3}, "batch_size": 16, "sensitivity_optimizer": "RMSprop",
        "sensitivity_learning_rate": 0.001,
    }  # fmt: skip
    chosen = {**run("KeRNL", 0, 0.91), "chosen_from": [[0.002, 0.9], [0.005, 0.8]]}
    (tmp_path / "one.json").write_text(json.dumps({**RESULTS, "experiment": experiment, "runs": [chosen]}))
    text = "<!-- setup: one | small -->\n<!-- end -->"
    assert render(text, tmp_path).splitlines()[1:-1] == [
        "|  | results file | network | batch | updates | learning rates | M learns by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| small | `rules` | 3 LIF | 16 | 2,000 | 0.002, 0.005 | RMSprop 0.001 |",
    ]
    with pytest.raises(ValueError, match="received 1 of them, 0 followed so"):
        render("<!-- setup: one -->\n", tmp_path)
