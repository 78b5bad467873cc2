"""Sweeps: their definitions, what is run, what is chosen, and the rows of the results file."""

import dataclasses
import functools
import json
import pathlib
import shutil

import numpy as np
import pytest

from kernl_keras.experiments.build import CELLS, build_model
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.experiment import Experiment
from kernl_keras.experiments.run import UserError
from kernl_keras.rules import Exponential
from notebooks.lab import sweep as runner
from notebooks.lab.sweep import folder_of
from notebooks.lab.sweeps import SWEEPS, Sweep, Variant
from notebooks.lab.sweeps.definition import named

TINY = dataclasses.replace(
    EXPERIMENTS["adding"], task_settings={"steps": 6, "examples": 40, "validation": 8, "test": 8},
    cell_settings={"units": 3, "tau": 5.0, "activation": "relu"}, batch_size=4, epochs=None, steps=4,
    jit_compile=False,
)  # fmt: skip
VARIANTS = Variant("KeRNL"), Variant("e-prop", "eprop", {"adaptation": False}, {"units": 4})
SWEEP = Sweep("tiny", "Two rules", TINY, VARIANTS, (1e-2, 1e-3), (0, 5))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, runner.run_sweep(SWEEP, folder / "runs", folder / "tiny.json", command="a command")


@pytest.mark.slow
def test_the_learning_rate_is_chosen_on_validation_data_with_the_first_seed(swept):
    folder, results = swept
    assert results == json.loads((folder / "tiny.json").read_text())
    assert [(row["variant"], row["seed"]) for row in results["runs"]] == [
        ("KeRNL", 0), ("KeRNL", 5), ("e-prop", 0), ("e-prop", 5),
    ]  # fmt: skip
    for first, second in (results["runs"][:2], results["runs"][2:]):
        rates, errors = zip(*first["chosen_from"])
        assert rates == (1e-2, 1e-3) and first["learning_rate"] == rates[int(np.argmin(errors))]
        assert first["validation"] == min(errors) and second["learning_rate"] == first["learning_rate"]
        assert "chosen_from" not in second
    assert results["command"] == "a command" and results["metric"] == "mse" and results["git_revision"]
    assert len(list((folder / "runs").iterdir())) == 6


@pytest.mark.slow
def test_the_same_command_goes_on_where_it_was_stopped(swept, tmp_path, monkeypatch):
    """A run of another configuration is none of the sweep, and results that cannot be read are named."""
    folder, results = swept
    runs, output = tmp_path / "runs", tmp_path / "tiny.json"
    shutil.copytree(folder / "runs", runs)
    output.write_text(json.dumps({**results, "runs": results["runs"][:1]}))
    monkeypatch.setitem(SWEEPS, "tiny", SWEEP)
    monkeypatch.setattr(runner, "train", lambda *_, **__: pytest.fail("all runs are there"))
    assert runner.main(["tiny", "--run-dir", str(runs), "--output", str(output)]) == 0
    assert json.loads(output.read_text())["runs"] == results["runs"]
    other = dataclasses.replace(SWEEP, experiment=dataclasses.replace(TINY, batch_size=7))
    with pytest.raises(UserError, match=r"holds a run of another configuration: batch_size was \d+, now 7"):
        runner.run_sweep(other, runs, tmp_path / "other.json")
    broken = runs / "KeRNL-0.01-seed-0" / "results.json"
    broken.write_text(broken.read_text()[:40])
    with pytest.raises(UserError, match=r"results\.json cannot be read: .*Remove it to make it anew"):
        runner.run_sweep(SWEEP, runs, tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("left", [(".part-config.json",), ("config.json", ".part-model.keras")])
def test_a_run_that_was_killed_at_once_is_made_anew(swept, tmp_path, left):
    folder, results = swept
    place = tmp_path / "runs" / "KeRNL-0.01-seed-0"
    place.mkdir(parents=True)
    for name in left:
        (place / name).write_text("")
    if "config.json" in left:
        shutil.copy(folder / "runs" / place.name / "config.json", place)
    one = dataclasses.replace(SWEEP, variants=SWEEP.variants[:1], learning_rates=(1e-2,), seeds=(0,))
    (made,) = runner.run_sweep(one, tmp_path / "runs", tmp_path / "one.json")["runs"]
    assert [1e-2, made["validation"]] in results["runs"][0]["chosen_from"]


@pytest.fixture
def numbers(monkeypatch):
    """A sweep in a moment: `numbers(path, ...)` is `run_sweep` of SWEEP, whose runs only say what they were given."""

    def run_one(base, variant, seed, learning_rate, folder, command, verbose):
        return {"seed": seed, "learning_rate": learning_rate, "validation": learning_rate + seed}

    monkeypatch.setattr(runner, "run_one", run_one)
    changed = functools.partial(dataclasses.replace, SWEEP)
    return lambda path, changes=(), **more: runner.run_sweep(changed(**dict(changes)), None, path, **more)


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
    assert rows(numbers(path, changes={"variants": SWEEP.variants[:1]})) == joined  # of a variant that is no more, too
    assert rows(numbers(path)) == joined
    assert rows(numbers(tmp_path / "fresh.json", only=["e-prop"])) == ALL[2:]


def test_the_first_seed_chooses_and_keeps_its_choice(numbers, tmp_path):
    path = tmp_path / "x.json"
    assert runner.score(TINY, {"validation": None}) < runner.score(TINY, {"validation": 1e9})  # a run that diverged
    accuracy = dataclasses.replace(TINY, metric="accuracy")
    assert runner.score(accuracy, {"validation": 0.9}) > runner.score(accuracy, {"validation": 0.8})
    assert rows(numbers(path, only=["KeRNL"], seeds=[7, 8])) == [("KeRNL", 7, 1e-3, True), ("KeRNL", 8, 1e-3, False)]
    numbers(path)
    made = numbers(path, only=["KeRNL"], seeds=[7], changes={"learning_rates": (1e-2, 1e-3)})
    assert [row for row in made["runs"] if row["seed"] == 7][0]["chosen_from"] == [[1e-2, 7.01], [1e-3, 7.001]]


def test_a_stopped_sweep_and_one_of_another_configuration_leave_the_rows_that_there_are(numbers, tmp_path, monkeypatch):
    path, whole = tmp_path / "x.json", runner.run_one
    numbers(path)
    before = path.read_text()

    def stopped(base, variant, *more):
        if variant.name == "e-prop":
            raise KeyboardInterrupt
        return whole(base, variant, *more)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_one", stopped)
        with pytest.raises(KeyboardInterrupt):
            numbers(path)
    assert json.loads(path.read_text())["runs"] == json.loads(before)["runs"]
    with pytest.raises(UserError, match=r"holds results of another configuration: steps was 4, now 5\. Name another"):
        numbers(path, seeds=[3], changes={"experiment": dataclasses.replace(TINY, steps=5)})
    assert json.loads(path.read_text())["runs"] == json.loads(before)["runs"]
    numbers(path, changes={"experiment": dataclasses.replace(TINY, description="in other words")})


NO_EXPERIMENT = r"x\.json cannot be read: its experiment is none\. Name another --output"
NOT_TINY = r"x\.json already exists, and holds no results of tiny"


@pytest.mark.parametrize(
    "content, message",
    [
        ({"sweep": "tiny", "runs": [], "experiment": None}, NO_EXPERIMENT),
        ({"sweep": "tiny", "runs": [], "experiment": {}}, NO_EXPERIMENT),
        ({"sweep": "tiny", "runs": [], "experiment": {"name": "tiny"}}, NO_EXPERIMENT),
        ({"sweep": "tiny"}, NOT_TINY),
        ({}, NOT_TINY),
        ({"sweep": "adding", "runs": []}, NOT_TINY),
    ],
)
def test_a_file_that_is_none_of_the_sweep_stays(numbers, tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(runner, "run_one", lambda *_: pytest.fail("it is refused before a run"))
    path, text = tmp_path / "x.json", json.dumps(content)
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        numbers(path)
    assert path.read_text() == text


RESULTS = pathlib.Path(__file__).parents[2] / "notebooks" / "results"
RECORDS = [path for path in sorted(RESULTS.glob("*.json")) if '"sweep":' in path.read_text()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:learn should name constants")  # a table compares rules with the same constants
@pytest.mark.parametrize("name", SWEEPS)
def test_every_variant_can_be_built(name):
    sweep = SWEEPS[name]
    for variant in sweep.variants:
        experiment = variant.of(sweep.experiment)
        assert experiment.source in ("tfds", None)
        features = {"adding": 2}.get(experiment.task, 28 if experiment.encoder_settings is None else 2)
        assert build_model(experiment, 20, features, 10).trainable_variables


def test_every_variant_has_one_folder_of_its_own():
    """A slash would make two, one in the other."""
    for name, sweep in SWEEPS.items():
        folders = [folder_of(variant.name, 2e-3, 1) for variant in sweep.variants]
        assert sweep.name == name and len(set(folders)) == len(folders)
        assert all(folder == pathlib.PurePosixPath(folder).name for folder in folders)


def test_a_variant_changes_what_it_names_alone():
    experiment = SWEEP.variants[1].of(TINY)
    assert (experiment.rule, experiment.rule_settings) == ("eprop", {"adaptation": False})  # none of another rule
    assert experiment.cell_settings == {**TINY.cell_settings, "units": 4}
    assert SWEEP.variants[0].of(TINY) == TINY
    kernels = Variant("2 kernels", settings={"kernel": Exponential(count=2)}, changes={"seed": 5}).of(TINY)
    assert kernels.make_rule().kernel.count == 2 and kernels.seed == 5
    assert kernels.rule_settings["perturbation"] == TINY.rule_settings["perturbation"]
    assert Experiment(**json.loads(json.dumps(dataclasses.asdict(kernels)))) == kernels


def test_a_name_says_what_its_variant_is():
    names = "e-prop, window 16, linear memory", "KeRNL, window 1", "truncated backpropagation, window 1"
    memory, first, truncated = named(*names)
    assert (memory.rule, memory.layer) == ("eprop", {"traces": "linear", "window": 16})
    assert (first.rule, first.layer) == ("kernl", {})  # one step is its own window
    assert (truncated.rule, truncated.layer) == ("bptt", {"window": 1})


@pytest.mark.parametrize("name", [name for name in SWEEPS if name.startswith("rules-")])
def test_a_sweep_over_the_rules_leaves_out_those_that_are_one_on_its_cell(name):
    """By the cell itself: a threshold adapts where its settings do not say so, too."""
    experiment = SWEEPS[name].experiment
    cell = CELLS[experiment.cell](**experiment.cell_settings)
    variants = {variant.name for variant in SWEEPS[name].variants}
    if "KeRNL" in variants:
        assert ("e-prop, adaptation" in variants) == cell.adapts
    else:
        assert "KeRNL, window 1" in variants and sum(name.startswith("KeRNL, window") for name in variants) == 2
    assert ("RFLO" in variants) == (experiment.cell != "leaky_rnn")
    assert variants >= {"backpropagation", "e-prop", "readout only"}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_results_are_of_the_sweep_as_it_is_defined(path):
    """What is changed in a definition must be run again, or its results file goes."""
    results = json.loads(path.read_text())
    sweep = SWEEPS[results["sweep"]]
    then = Experiment(**results["experiment"])
    assert path.stem == sweep.name
    assert dataclasses.replace(then, description=sweep.experiment.description) == sweep.experiment
    assert {run["variant"] for run in results["runs"]} <= {variant.name for variant in sweep.variants}
    for run in results["runs"]:
        assert [rate for rate, _ in run.get("chosen_from", [])] in ([], list(sweep.learning_rates))
    for variant in sweep.variants:  # all seeds at one learning rate
        assert len({run["learning_rate"] for run in results["runs"] if run["variant"] == variant.name}) <= 1
