"""Sweeps: what is run, what is chosen, what the results file and TensorBoard get."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.experiments.files import UserError
from notebooks.lab import sweep as runner
from notebooks.lab.sweeps import SWEEPS

from .tiny import SWEEP, TINY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, runner.run_sweep(SWEEP, folder / "runs", folder / "tiny.json", command="a command")


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


def test_it_goes_on_where_it_was_stopped(swept, monkeypatch):
    folder, results = swept
    monkeypatch.setattr(runner, "train", lambda *_, **__: pytest.fail("all runs are there"))
    assert runner.run_sweep(SWEEP, folder / "runs", folder / "again.json")["runs"] == results["runs"]


def test_a_run_of_another_configuration_is_no_run_of_the_sweep(swept):
    folder, _ = swept
    other = dataclasses.replace(SWEEP, experiment=dataclasses.replace(TINY, batch_size=7))
    with pytest.raises(UserError, match=r"holds a run of another configuration: batch_size was \d+, now 7"):
        runner.run_sweep(other, folder / "runs", folder / "other.json")
    assert not (folder / "other.json").exists()


def test_the_rows_of_other_variants_stay(swept, tmp_path):
    folder, results = swept
    shutil.copy(folder / "tiny.json", tmp_path / "tiny.json")
    again = runner.run_sweep(SWEEP, folder / "runs", tmp_path / "tiny.json", only=["e-prop"])
    assert again["runs"] == results["runs"]
    fresh = runner.run_sweep(SWEEP, folder / "runs", tmp_path / "fresh.json", only=["e-prop"])
    assert {row["variant"] for row in fresh["runs"]} == {"e-prop"}


def test_seeds_of_their_own_choose_a_learning_rate(swept, tmp_path):
    folder, results = swept
    made = runner.run_sweep(SWEEP, folder / "runs", tmp_path / "tiny.json", only=["KeRNL"], seeds=[0])
    assert made["runs"] == results["runs"][:1]


def test_the_same_command_goes_on(swept, tmp_path, monkeypatch):
    folder, results = swept
    shutil.copytree(folder / "runs", tmp_path / "runs")
    output = tmp_path / "tiny.json"
    output.write_text(json.dumps({**results, "runs": results["runs"][:1]}))
    monkeypatch.setitem(SWEEPS, "tiny", SWEEP)
    assert runner.main(["tiny", "--run-dir", str(tmp_path / "runs"), "--output", str(output)]) == 0
    assert json.loads(output.read_text())["runs"] == results["runs"]


def test_nothing_foreign_is_removed(tmp_path):
    place = tmp_path / "KeRNL-0.01-seed-0"
    place.mkdir()
    (place / "thesis.txt").write_text("five years")
    with pytest.raises(UserError, match="already holds something"):
        runner.run_sweep(SWEEP, tmp_path, tmp_path / "x.json")
    assert (place / "thesis.txt").read_text() == "five years"


def test_results_that_cannot_be_read_are_named(swept, tmp_path):
    folder, _ = swept
    shutil.copytree(folder / "runs", tmp_path / "runs")
    broken = tmp_path / "runs" / "KeRNL-0.01-seed-0" / "results.json"
    broken.write_text(broken.read_text()[:40])
    with pytest.raises(UserError, match=r"results\.json cannot be read: .*Remove it to make it anew"):
        runner.run_sweep(SWEEP, tmp_path / "runs", tmp_path / "x.json")


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


def test_tensorboard_compares_the_runs(swept):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    folder, results = swept
    found = {}
    for place in (folder / "runs").glob("*/tensorboard/hparams"):
        events = event_accumulator.EventAccumulator(str(place)).Reload()
        content = events.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
        data = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
        key = data["variant"].string_value, data["learning_rate"].number_value, int(data["seed"].number_value)
        found[key] = float(tf.make_ndarray(events.Tensors("test_mse")[0].tensor_proto))
    assert len(found) == 6
    for row in results["runs"]:
        assert found[row["variant"], row["learning_rate"], row["seed"]] == pytest.approx(row["test"], rel=1e-6)
