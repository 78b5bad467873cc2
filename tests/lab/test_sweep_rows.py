"""The rows of a sweep's results file: which are made anew, which stay, what is refused. No run is made here."""

import dataclasses
import json

import pytest

from kernl_keras.experiments.files import UserError
from notebooks.lab import sweep as runner

from .tiny import SWEEP, TINY


@pytest.fixture
def numbers(monkeypatch):
    """A sweep in a moment: `numbers(path, ...)` is `run_sweep` of SWEEP, whose runs only say what they were given."""

    def run_one(base, variant, seed, learning_rate, folder, command, verbose):
        return {
            "seed": seed,
            "learning_rate": learning_rate,
            "validation": learning_rate + seed,
            "test": base.cell_settings["units"],
        }

    monkeypatch.setattr(runner, "run_one", run_one)
    return lambda path, **more: runner.run_sweep(
        dataclasses.replace(SWEEP, **more.pop("changes", {})), None, path, **more
    )


def rows(results):
    return [(row["variant"], row["seed"], row["learning_rate"], "chosen_from" in row) for row in results["runs"]]


ALL = [("KeRNL", 0, 1e-3, True), ("KeRNL", 5, 1e-3, False), ("e-prop", 0, 1e-3, True), ("e-prop", 5, 1e-3, False)]


def test_seeds_join_those_of_the_file_at_their_learning_rate(numbers, tmp_path):
    path = tmp_path / "x.json"
    assert rows(numbers(path)) == ALL
    more = rows(numbers(path, only=["KeRNL"], seeds=[3], changes={"learning_rates": (1e-5, 1e-7)}))
    joined = [ALL[0], ("KeRNL", 3, 1e-3, False), *ALL[1:]]
    assert more == joined
    # Whatever is asked for next, no row is lost.
    assert rows(numbers(path, only=["e-prop"])) == joined
    assert rows(numbers(path, only=["KeRNL"])) == joined
    assert rows(numbers(path, seeds=[0, 5])) == joined
    assert rows(numbers(path)) == joined


def test_the_first_seed_chooses_and_keeps_its_choice(numbers, tmp_path):
    path = tmp_path / "x.json"
    assert rows(numbers(path, only=["KeRNL"], seeds=[7, 8])) == [("KeRNL", 7, 1e-3, True), ("KeRNL", 8, 1e-3, False)]
    numbers(path)
    made = numbers(path, only=["KeRNL"], seeds=[7], changes={"learning_rates": (1e-2, 1e-3)})
    assert [row for row in made["runs"] if row["seed"] == 7][0]["chosen_from"] == [[1e-2, 7.01], [1e-3, 7.001]]


def test_a_stopped_sweep_leaves_the_rows_that_it_had(numbers, tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    before = numbers(path)
    whole = runner.run_one

    def stopped(base, variant, *more):
        if variant.name == "e-prop":
            raise KeyboardInterrupt
        return whole(base, variant, *more)

    monkeypatch.setattr(runner, "run_one", stopped)
    with pytest.raises(KeyboardInterrupt):
        numbers(path)
    assert json.loads(path.read_text())["runs"] == before["runs"]


def test_rows_of_another_configuration_stay_alone(numbers, tmp_path):
    path = tmp_path / "x.json"
    numbers(path)
    before = path.read_text()
    with pytest.raises(UserError, match=r"holds results of another configuration: steps was 4, now 5\. Name another"):
        numbers(path, seeds=[3], changes={"experiment": dataclasses.replace(TINY, steps=5)})
    assert path.read_text() == before
    numbers(path, changes={"experiment": dataclasses.replace(TINY, description="in other words")})


def test_rows_of_a_variant_that_is_no_more_stay(numbers, tmp_path):
    path = tmp_path / "x.json"
    before = rows(numbers(path))
    assert rows(numbers(path, changes={"variants": SWEEP.variants[:1]})) == before


@pytest.mark.parametrize("experiment", [None, {}, {"name": "tiny"}])
def test_a_file_without_a_configuration_is_no_results_file(numbers, tmp_path, experiment):
    path = tmp_path / "x.json"
    text = json.dumps({"sweep": "tiny", "runs": [], "experiment": experiment})
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.json cannot be read: its experiment is none\. Name another --output"):
        numbers(path)
    assert path.read_text() == text


@pytest.mark.parametrize("content", ['{"sweep": "tiny"}', "{}", '{"sweep": "adding", "runs": []}'])
def test_no_foreign_file_is_overwritten(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"x\.json already exists, and holds no results of tiny"):
        runner.run_sweep(SWEEP, tmp_path / "runs", path)
    assert path.read_text() == content and not (tmp_path / "runs").exists()


def test_a_run_that_diverged_is_never_chosen():
    assert runner.score(TINY, {"validation": None}) < runner.score(TINY, {"validation": 1e9})
    accuracy = dataclasses.replace(TINY, metric="accuracy")
    assert runner.score(accuracy, {"validation": 0.9}) > runner.score(accuracy, {"validation": 0.8})


def test_an_unknown_variant_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"--only must name variants of tiny, \['KeRNL', 'e-prop'\]; received \['x'\]"):
        runner.run_sweep(SWEEP, tmp_path, tmp_path / "x.json", only=["x"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["everything"], "invalid choice: 'everything'"),
        (["adding", "--seeds", "1", "1"], "--seeds must be from 0 to 1073741823, each of them once; received [1, 1]."),
        (["adding", "--only", "x"], "--only must name variants of adding, ['KeRNL']; received ['x']"),
        (["adding", "--output", "there/adding.json"], "there is no directory: make it, or name another --output."),
    ],
)
def test_mistakes_of_the_command_line(arguments, message, tmp_path, capsys, monkeypatch):
    """Status 2 and one line that says what is wrong; nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        runner.main(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
