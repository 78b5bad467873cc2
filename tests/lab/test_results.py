"""Tables from results files, and that those of README and of the pages are of the files beside them."""

import json
import pathlib

import pytest

from notebooks.lab.plot import KEY, draw_sweep, fingerprint, round_numbers
from notebooks.lab.results import DOCUMENTS, PLOT, TABLE, main, read_results, render, update
from notebooks.lab.tables import table_of

from .test_tables import SWEEP as RESULTS
from .test_tables import run

TOP = pathlib.Path(__file__).parents[2]


def test_a_document_is_made_anew(tmp_path):
    (tmp_path / "some-table.json").write_text(json.dumps(RESULTS))
    document = tmp_path / "page.md"
    document.write_text("Before.\n<!-- table: some-table -->\nold\n<!-- end -->\nAfter.\n")
    update(document, tmp_path)
    once = document.read_text()
    assert once == f"Before.\n<!-- table: some-table -->\n{table_of([RESULTS])}\n<!-- end -->\nAfter.\n"
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


def test_an_axis_has_round_numbers_that_are_neither_few_nor_crowded():
    assert round_numbers(12.0, 33.0) == pytest.approx([15.0, 20.0, 30.0])
    assert round_numbers(2.4, 17.0) == pytest.approx([3.0, 5.0, 7.0, 10.0])
    assert round_numbers(5.5, 10.4) == pytest.approx([6.0, 7.0, 8.0, 9.0, 10.0])
    assert round_numbers(0.002, 0.06) == pytest.approx([0.002, 0.005, 0.01, 0.02, 0.05])


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
    in_notebooks = {"proof", "mutants"}  # a notebook or a test reads them
    assert files - in_notebooks <= {*tables, *(file for file in files if f"results/{file}.json" in text)}


def test_heads_of_columns(tmp_path):
    for name in ("one", "other"):
        (tmp_path / f"{name}.json").write_text(json.dumps(RESULTS))
    text = "<!-- table: one other | first | and second -->\n<!-- end -->"
    assert render(text, tmp_path).splitlines()[:2] == [text.splitlines()[0], "|  | first | and second |"]
    assert render(render(text, tmp_path), tmp_path) == render(text, tmp_path)
    with pytest.raises(ValueError, match="a head for each results file"):
        render(text.replace(" | and second", ""), tmp_path)
