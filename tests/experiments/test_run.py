"""Runs: a stopped and resumed run is the run that never stopped, bit for bit."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from kernl_keras.experiments import run
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.run import UserError, evaluate, read_config, train
from kernl_keras.keras_version import keras

pytestmark = pytest.mark.slow

# 5 batches an epoch; Bernoulli spikes, so that there are two counters of random draws; M and gamma alone at first.
TINY = dataclasses.replace(
    EXPERIMENTS["adding"],
    rule_settings={"form": "network", "sensitivity_mode": "tangent"},
    sensitivity_every=1,
    name="tiny",
    task_settings={"steps": 7, "examples": 23, "validation": 8, "test": 5},
    encoder_settings={"units": 3, "code": "bernoulli"},
    cell="spiking",
    cell_settings={"units": 5, "tau_m": 4.0, "adaptation_strength": 0.5, "tau_a": 9.0},
    window=3,
    batch_size=4,
    learning_rate=0.01,
    sensitivity_only=4,
    epochs=None,
    steps=18,  # three epochs, and three steps of a fourth
    seed=3,
)


class StopAt(keras.callbacks.Callback):
    """Stands in for TensorBoard; what a user's Ctrl-C does, at one batch."""

    at = None  # (epoch, batch)

    def __init__(self, log_dir):
        super().__init__()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that was never stopped: its directory and results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "KeRNLTensorBoard", StopAt)
        folder = tmp_path_factory.mktemp("straight") / "new" / "run"
        return folder, train(TINY, folder, command="the command", verbose=0)


def arrays(folder):
    with np.load(folder / "backup.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "progress"}


def saved_weights(folder):
    return keras.models.load_model(str(folder / "model.keras")).get_weights()


def stop_and_resume(experiment, folder, monkeypatch, at):
    """The results of a run that was stopped at (epoch, batch), both counted from 0, and gone on with."""
    monkeypatch.setattr(run, "KeRNLTensorBoard", StopAt)
    monkeypatch.setattr(StopAt, "at", at)
    with pytest.raises(KeyboardInterrupt):
        train(experiment, folder, verbose=0)
    assert not (folder / "results.json").exists()
    monkeypatch.setattr(StopAt, "at", None)
    return train(experiment, folder, resume=True, verbose=0)


def test_a_resumed_run_is_the_run_that_never_stopped(straight, tmp_path, monkeypatch):
    """Stopped inside the third epoch, it goes on from the end of the second."""
    results = stop_and_resume(TINY, tmp_path, monkeypatch, at=(2, 1))

    folder, expected = straight
    ours, theirs = arrays(tmp_path), arrays(folder)
    assert ours.keys() == theirs.keys() and len(ours) >= 20
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], strict=True)
    for a, b in zip(saved_weights(tmp_path), saved_weights(folder)):
        np.testing.assert_array_equal(a, b, strict=True)
    for key in ("curve", "test", "best_epoch", "steps"):
        assert results[key] == expected[key]


def test_a_run_that_stopped_before_its_test_is_tested(straight, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "KeRNLTensorBoard", StopAt)
    shutil.copytree(straight[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "results.json").unlink()
    results = train(TINY, tmp_path, resume=True, verbose=0)
    assert (results["curve"], results["test"]) == (straight[1]["curve"], straight[1]["test"])


def test_training_moved_everything(straight):
    """The comparison above would be empty if nothing had learned."""
    start, trained = (run.build_model(TINY, 7, 2, 18) for _ in range(2))
    run.restore(straight[0], trained)
    for before, after in zip(start.trainable_variables, trained.trainable_variables):
        assert np.any(before.numpy() != after.numpy())
    assert int(trained.optimizer.iterations) == 18 - 4 and int(trained.sensitivity_optimizer.iterations) == 18
    draws = [
        int(trained.get_layer(name).draws if name == "encoder" else trained.get_layer(name)._draws)
        for name in ("encoder", "hidden")
    ]
    assert draws == [18, 18]


def test_results(straight):
    folder, results = straight
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["examples"] == {"train": 23, "validation": 8, "test": 5}
    assert (results["experiment"], results["rule"], results["seed"], results["steps"]) == ("tiny", "kernl", 3, 18)
    assert (results["command"], results["metric"], results["chance"]) == ("the command", "mse", 1 / 6)
    assert [(entry["epoch"], entry["steps"]) for entry in results["curve"]] == [(1, 5), (2, 10), (3, 15), (4, 18)]
    scores = [entry["val_mse"] for entry in results["curve"]]
    assert scores[results["best_epoch"] - 1] == min(scores) and len(set(scores)) > 2
    assert {"loss", "sensitivity_loss", "explained_variance", "val_loss"} <= results["curve"][0].keys()
    assert results["test_mse"] == results["test"]["mse"] > 0
    assert results["seconds"] > 0
    assert results["versions"]["keras"] == keras.__version__
    assert read_config(folder) == TINY
    assert sorted(path.name for path in folder.iterdir()) == [
        "backup.npz",
        "config.json",
        "model.keras",
        "results.json",
    ]


def test_the_test_is_that_of_the_saved_model(straight):
    """The mean squared error by NumPy over the test set, a batch of four and one of one."""
    folder, results = straight
    model = keras.models.load_model(str(folder / "model.keras"))
    errors = [model(x).numpy() - y.numpy() for x, y in run.build_data(TINY).test]
    error = np.mean(np.concatenate(errors) ** 2, dtype=np.float64)
    assert len(errors) == 2 and results["test_mse"] == pytest.approx(error, rel=1e-5)


def test_evaluate_gives_the_same_digits(straight, capsys):
    folder, results = straight
    assert evaluate(folder, verbose=0) == results["test"]
    assert f"Test mse {results['test_mse']:.4f} (chance 0.17)" in capsys.readouterr().out


def test_stopped_in_the_first_epoch_and_without_validation(tmp_path, monkeypatch):
    """The run goes on from its start, and the last model counts."""
    experiment = dataclasses.replace(
        TINY,
        task_settings={**TINY.task_settings, "validation": 0},
        rule="eprop",
        sensitivity_only=0,
        validate_every=4,
        steps=6,
        jit_compile=False,
    )
    results = stop_and_resume(experiment, tmp_path, monkeypatch, at=(0, 2))
    assert [entry["steps"] for entry in results["curve"]] == [4, 6]
    assert results["best_epoch"] == 2 and "val_loss" not in results["curve"][0]
    model = keras.models.load_model(str(tmp_path / "model.keras"))
    assert int(model.optimizer.iterations) == int(model.get_layer("encoder").draws) == 6


@pytest.mark.parametrize(
    "prepare, settings, resume, message",
    [
        ("run", {}, False, "already holds something: name another --run-dir, or go on with its run by --resume"),
        ("other", {}, False, "already holds something"),
        ("empty", {}, True, "holds no run: it has no config.json"),
        ("none", {}, True, "holds no run: it has no config.json"),
        ("run", {}, True, "nothing to resume: the run in .* is complete"),
        ("stopped", {"seed": 4}, True, "another configuration: seed was 3, now 4. Leave the setting out"),
        ("stopped", {"rule": "eprop", "sensitivity_only": 0}, True, "rule was 'kernl', now 'eprop'"),
        ("no backup", {}, True, "nothing to resume: .* has no backup.npz"),
        ("broken", {}, True, "config.json cannot be read: .*colour"),
    ],
)
def test_a_directory_that_does_not_fit(straight, tmp_path, prepare, settings, resume, message):
    folder = tmp_path / "run"
    if prepare in ("run", "stopped", "no backup"):
        shutil.copytree(straight[0], folder)
    elif prepare != "none":
        folder.mkdir()
    if prepare in ("stopped", "no backup"):
        (folder / "results.json").unlink()
    if prepare == "no backup":
        (folder / "backup.npz").unlink()
    if prepare == "other":
        (folder / "notes.txt").write_text("mine")
    if prepare == "broken":
        (folder / "config.json").write_text('{"colour": 1}')
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(UserError, match=message):
        train(dataclasses.replace(TINY, **settings), folder, resume, verbose=0)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_data_may_move(straight, tmp_path):
    saved = dataclasses.replace(EXPERIMENTS["row-mnist"], source="tfds", data_dir="here")
    run.write_json(tmp_path / "config.json", dataclasses.asdict(saved))
    shutil.copy(straight[0] / "backup.npz", tmp_path)
    assert run.check_directory(tmp_path, dataclasses.replace(saved, data_dir="there"), resume=True).steps == 18


def test_missing_data_leave_no_directory(tmp_path, monkeypatch):
    def missing(*_):
        raise FileNotFoundError("MNIST is not prepared")

    monkeypatch.setattr(run, "build_data", missing)
    with pytest.raises(UserError, match="MNIST is not prepared"):
        train(TINY, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()
