"""Tables from results files, and that README's are those of the files beside it."""

import json
import pathlib

import pytest

from kernl_keras.experiments.tables import BLOCK, render, run_table, spread_of, sweep_table, update

TOP = pathlib.Path(__file__).parents[2]


def run(variant, seed, test, explained=0.0):
    return {
        "variant": variant, "seed": seed, "test": test, "learning_rate": 0.002, "explained_variance": explained,
        "firing_rate": 0.25, "seconds": 10.4,
    }  # fmt: skip


RESULTS = {
    "metric": "accuracy",
    "runs": [run("KeRNL", 0, 0.91, 0.5), run("KeRNL", 1, 0.93, 0.7), run("e-prop", 0, 0.5, None)],
}
TABLE = """\
| | test accuracy | seeds | learning rate | explained | spikes a step | s |
|---|---|---|---|---|---|---|
| KeRNL | 92.0 ± 1.4 % | 2 | 0.002 | 0.60 | 0.25 | 10 |
| e-prop | 50.0 % | 1 | 0.002 |  | 0.25 | 10 |"""


def test_a_table_by_hand():
    assert sweep_table(RESULTS) == TABLE


def test_a_table_of_runs_by_hand():
    one = {"experiment": "smnist", "rule": "kernl", "metric": "accuracy", "test_accuracy": 0.9512, "steps": 20000}
    other = {**one, "rule": "eprop", "test_accuracy": 0.5, "seconds": 59.0}
    assert run_table([{**one, "seconds": 3000.0}, other]).splitlines()[2:] == [
        "| smnist | kernl | 20,000 | 50 | 95.1 % |",
        "| smnist | eprop | 20,000 | 1 | 50.0 % |",
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
    assert once == f"Before.\n<!-- table: some-table -->\n{TABLE}\n<!-- end -->\nAfter.\n"
    update(document, tmp_path)
    assert document.read_text() == once
    with pytest.raises(FileNotFoundError):
        render("<!-- table: none -->\n<!-- end -->", tmp_path)


def test_the_tables_of_the_readme_are_those_of_the_results_files():
    text = (TOP / "README.md").read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) >= 5
    assert render(text, TOP / "notebooks" / "results") == text
