"""The definitions of the sweeps: every variant can be built, and the results files are of what they define."""

import dataclasses
import json
import pathlib

import pytest

from kernl_keras.experiments.build import CELLS, build_model
from kernl_keras.experiments.experiment import Experiment
from kernl_keras.rules import Exponential
from notebooks.lab.sweep import folder_of
from notebooks.lab.sweeps import SWEEPS, Variant

from .tiny import SWEEP, TINY

RESULTS = pathlib.Path(__file__).parents[2] / "notebooks" / "results"
RECORDS = [path for path in sorted(RESULTS.glob("*.json")) if '"sweep":' in path.read_text()]


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_every_variant_can_be_built(name):
    sweep = SWEEPS[name]
    assert sweep.name == name and len({variant.name for variant in sweep.variants}) == len(sweep.variants)
    for variant in sweep.variants:
        experiment = variant.of(sweep.experiment)
        assert experiment.source in ("tfds", None)
        features = {"adding": 2}.get(experiment.task, 28 if experiment.encoder_settings is None else 2)
        assert build_model(experiment, 20, features, 10).trainable_variables


@pytest.mark.parametrize("name", SWEEPS)
def test_every_variant_has_one_folder_of_its_own(name):
    """A slash would make two, one in the other."""
    folders = [folder_of(variant.name, 2e-3, 1) for variant in SWEEPS[name].variants]
    assert len(set(folders)) == len(folders)
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
