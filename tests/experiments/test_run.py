"""Runs: a stopped and resumed run is the run that never stopped, bit for bit."""

import collections
import dataclasses
import errno
import importlib.util
import json
import os
import pathlib
import shutil
import zipfile

import numpy as np
import pytest

from kernl_keras.experiments import backup, run, same_bits
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.run import UserError, evaluate, read_config, train
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.training.optimizers import averaged

slow = pytest.mark.slow  # what trains a run of its own

# 5 batches an epoch; Bernoulli spikes, so that there are two counters of random draws; M and gamma alone at first.
TINY = dataclasses.replace(
    EXPERIMENTS["adding"],
    rule_settings={"kernel": "exponential"},  # so that there are M and gamma
    sensitivity_every=1,
    name="tiny",
    task_settings={"steps": 7, "examples": 23, "validation": 8, "test": 5},
    encoder_settings={"units": 3, "code": "bernoulli"},
    cell="lif",
    cell_settings={"units": 5, "tau_m": 4.0, "adaptation_strength": 0.5, "tau_a": 9.0},
    window=3,
    batch_size=4,
    learning_rate=0.01,
    sensitivity_only=4,
    epochs=None,
    steps=18,  # three epochs, and three steps of a fourth
    seed=3,
    jit_compile=False,
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
        patch.setattr(run, "TensorBoard", StopAt)
        folder = tmp_path_factory.mktemp("straight") / "new" / "run"
        return folder, train(TINY, folder, command="the command", verbose=0)


def arrays_of(folder):
    with np.load(folder / "backup.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name not in ("progress", "experiment")}


def saved_weights(folder):
    return keras.models.load_model(str(folder / "model.keras")).get_weights()


def stop_and_resume(experiment, folder, monkeypatch, at):
    """The results of a run that was stopped at (epoch, batch), both counted from 0, and gone on with."""
    monkeypatch.setattr(run, "TensorBoard", StopAt)
    monkeypatch.setattr(StopAt, "at", at)
    with pytest.raises(KeyboardInterrupt):
        train(experiment, folder, verbose=0)
    assert not (folder / "results.json").exists()
    monkeypatch.setattr(StopAt, "at", None)
    return train(experiment, folder, resume=True, verbose=0)


@slow
def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path, monkeypatch):
    """Stopped inside the third epoch, it goes on from the end of the second; under XLA, as the experiments are."""
    experiment, folder, straight = dataclasses.replace(TINY, jit_compile=True), tmp_path / "resumed", tmp_path / "run"
    results = stop_and_resume(experiment, folder, monkeypatch, at=(2, 1))
    expected = train(experiment, straight, verbose=0)
    ours, theirs = arrays_of(folder), arrays_of(straight)
    assert ours.keys() == theirs.keys() and len(ours) >= 20
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], strict=True, err_msg=name)
    for a, b in zip(saved_weights(folder), saved_weights(straight)):
        np.testing.assert_array_equal(a, b, strict=True)
    for key in ("curve", "test", "best_epoch", "steps"):
        assert results[key] == expected[key]


@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2's Dropout keeps the state of its random numbers in the kernel")
def test_dropout_goes_on_with_its_own_random_numbers(tmp_path, monkeypatch):
    upper = {"cell": "leaky_rnn", "cell_settings": {"units": 4, "tau": 5.0}, "dropout": 0.5}
    experiment = dataclasses.replace(TINY, above=[upper], steps=10)
    stop_and_resume(experiment, tmp_path / "resumed", monkeypatch, at=(1, 1))
    train(experiment, tmp_path / "run", verbose=0)
    ours, theirs = arrays_of(tmp_path / "resumed"), arrays_of(tmp_path / "run")
    assert any("seed_generator_state" in name for name in ours) and ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], strict=True, err_msg=name)


# Without a model that is the best on validation data, the last one is kept.
AVERAGED = dataclasses.replace(
    TINY,
    optimizer_settings={**TINY.optimizer_settings, "use_ema": True, "ema_momentum": 0.8},
    task_settings={**TINY.task_settings, "validation": 0},
)


@pytest.mark.slow
def test_averages_of_the_weights_are_kept_and_training_goes_on_with_the_weights(tmp_path, monkeypatch):
    """The last epoch is a `fit` of its own, before which the weights are no averages."""
    monkeypatch.setattr(run, "TensorBoard", StopAt)
    train(AVERAGED, tmp_path / "averaged", verbose=0)
    train(dataclasses.replace(TINY, task_settings=AVERAGED.task_settings), tmp_path / "plain", verbose=0)
    model = run.build_model(AVERAGED, 7, 2, 18)
    run.restore(tmp_path / "averaged", run.read_backup(tmp_path / "averaged"), model)
    for ours, theirs in zip(model.get_weights(), saved_weights(tmp_path / "plain"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with averaged(model):
        expected = model.get_weights()
    kept, weights = saved_weights(tmp_path / "averaged"), model.get_weights()
    for one, other in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(np.any(one != other) for one, other in zip(kept, weights))


def test_averages_of_the_weights_are_validated(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "TensorBoard", StopAt)
    experiment = dataclasses.replace(AVERAGED, task_settings=TINY.task_settings, steps=15)
    last = train(experiment, tmp_path / "run", verbose=0)["curve"][-1]["val_mse"]
    model = run.build_model(experiment, 7, 2, 15)
    run.restore(tmp_path / "run", run.read_backup(tmp_path / "run"), model)
    validation = run.load_data(experiment).validation
    with averaged(model):
        assert model.evaluate(validation, verbose=0, return_dict=True)["mse"] == pytest.approx(last, rel=1e-6)
    assert abs(model.evaluate(validation, verbose=0, return_dict=True)["mse"] / last - 1.0) > 1e-3


@pytest.mark.slow
def test_a_run_that_stopped_before_its_test_is_tested(straight, tmp_path, monkeypatch, capsys):
    """With other threads, too, which it says."""
    monkeypatch.setattr(run, "TensorBoard", StopAt)
    monkeypatch.setattr(same_bits, "threads", lambda: 77)
    shutil.copytree(straight[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "results.json").unlink()
    results = train(TINY, tmp_path, resume=True, verbose=0)
    assert (results["curve"], results["test"]) == (straight[1]["curve"], straight[1]["test"])
    before, now = (each["threads"] for each in results["computed_with"])
    assert now == 77 and f"threads was {before}, now 77: the run goes on" in capsys.readouterr().err


def test_training_moved_everything(straight):
    """The comparison above would be empty if nothing had learned."""
    start, trained = (run.build_model(TINY, 7, 2, 18) for _ in range(2))
    run.restore(straight[0], run.read_backup(straight[0]), trained)
    for before, after in zip(start.trainable_variables, trained.trainable_variables):
        assert np.any(before.numpy() != after.numpy())
    assert int(trained.optimizer.iterations) == 18 - 4 and int(trained.sensitivity_optimizer.iterations) == 18
    assert [int(trained.get_layer(name).draws) for name in ("encoder", "hidden")] == [18, 18]


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
    assert results["computed_with"] == [same_bits.computed_with()]
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


@slow
def test_stopped_in_the_first_epoch_and_without_validation(tmp_path, monkeypatch):
    """The run goes on from its start, and the last model counts."""
    experiment = dataclasses.replace(
        TINY,
        task_settings={**TINY.task_settings, "validation": 0},
        rule="eprop",
        rule_settings={},
        sensitivity_only=0,
        validate_every=4,
        steps=6,
    )
    results = stop_and_resume(experiment, tmp_path, monkeypatch, at=(0, 2))
    assert [entry["steps"] for entry in results["curve"]] == [4, 6]
    assert results["best_epoch"] == 2 and "val_loss" not in results["curve"][0]
    model = keras.models.load_model(str(tmp_path / "model.keras"))
    assert int(model.optimizer.iterations) == int(model.get_layer("encoder").draws) == 6


def break_model(folder, change):
    """The model in a folder with its parts changed: `change` gets and returns {name: bytes}."""
    with zipfile.ZipFile(folder / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, content in change(parts).items():
            archive.writestr(name, content)


def prepare_directory(kind, folder, straight):
    """Makes a run directory of some kind."""
    if kind == "none":
        return
    if kind in ("empty", "other", "broken", "not a dict"):
        folder.mkdir()
        if kind == "other":
            (folder / "notes.txt").write_text("mine")
        if kind != "empty":
            (folder / "config.json").write_text('{"colour": 1}' if kind == "broken" else "3")
        return
    shutil.copytree(straight, folder)
    if kind == "complete":
        return
    (folder / "results.json").unlink()
    model, backup = folder / "model.keras", folder / "backup.npz"
    if kind == "no backup":
        backup.unlink()
    elif kind == "no model":
        model.unlink()
    elif kind == "half a backup":
        backup.write_bytes(backup.read_bytes()[:-500])
    elif kind == "half a model":
        model.write_bytes(model.read_bytes()[:-500])
    elif kind == "a model that leads out":
        break_model(folder, lambda parts: {**parts, "../../evil.py": b"x"})
    elif kind == "another run's backup":
        saved = run.read_backup(folder)
        arrays = {name: value for name, value in arrays_of(folder).items()}
        experiment = json.dumps(dataclasses.asdict(dataclasses.replace(TINY, seed=9)))
        np.savez(backup, progress=json.dumps(dataclasses.asdict(saved.progress)), experiment=experiment, **arrays)
    elif kind == "another network's backup":
        changed = {"004": np.zeros((3, 3), "float32")}
        saved = run.read_backup(folder)
        arrays = {name: changed.get(name[:3], value) for name, value in arrays_of(folder).items()}
        texts = {"progress": saved.progress, "experiment": TINY}
        np.savez(backup, **arrays, **{name: json.dumps(dataclasses.asdict(value)) for name, value in texts.items()})


@pytest.mark.parametrize(
    "prepare, settings, resume, message",
    [
        ("complete", {}, False, "already holds something: name another --run-dir, or go on with its run by --resume"),
        ("other", {}, False, "already holds something"),
        ("empty", {}, True, "holds no run: it has no config.json"),
        ("none", {}, True, "holds no run: it has no config.json"),
        ("complete", {}, True, "nothing to resume: the run in .* is complete"),
        ("stopped", {"name": "other", "seed": 4}, True, r"configuration: name was 'tiny', now 'other'\. Leave"),
        ("stopped", {"seed": 4}, True, "another configuration: seed was 3, now 4. Leave the setting out"),
        ("stopped", {"rule": "eprop", "rule_settings": {}, "sensitivity_only": 0}, True, "rule was 'kernl', now"),
        ("no backup", {}, True, "nothing to resume: .* has a model.keras but no backup.npz"),
        ("no model", {}, True, r"model\.keras cannot be read: No such file or directory\. Put a good copy of it there"),
        ("broken", {}, True, "config.json cannot be read: .*colour"),
        ("not a dict", {}, True, "config.json cannot be read: "),
        ("half a backup", {}, True, r"backup\.npz cannot be read: .*not a zip file\. Put a good copy of it there"),
        ("half a model", {}, True, r"model\.keras cannot be read: .*not a zip file\. Put a good copy of it there"),
        ("a model that leads out", {}, True, r"model\.keras cannot be read: its member '\.\./\.\./evil\.py' leads out"),
        ("another run's backup", {}, True, r"backup\.npz is that of another run: seed was 9, now 3"),
        ("another network's backup", {}, True, r"backup\.npz is of another network: 004/.* is float32 \[3, 3\] in it"),
    ],
)
def test_a_directory_that_does_not_fit(straight, tmp_path, prepare, settings, resume, message):
    folder = tmp_path / "run"
    prepare_directory(prepare, folder, straight[0])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UserError, match=message):
        train(dataclasses.replace(TINY, **settings), folder, resume, verbose=0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_run_that_was_killed_at_once_is_begun_again(straight, tmp_path):
    """Before there is a configuration by the same command, after by `resume`; see `notebooks.lab.kills`."""
    (tmp_path / ".part-config.json").write_text("{")
    assert run.check_directory(tmp_path, TINY, resume=False) is None
    shutil.copy(straight[0] / "config.json", tmp_path)
    (tmp_path / ".part-backup.npz").write_text("PK")
    (tmp_path / "tensorboard").mkdir()
    assert run.check_directory(tmp_path, TINY, resume=True) is None


def test_a_second_run_in_the_directory_is_told_so(straight, tmp_path):
    """Two open files lock each other out, be they of one process or of two; `test_files` has two."""
    pytest.importorskip("fcntl")
    shutil.copytree(straight[0], tmp_path / "run")
    with run.alone(tmp_path / "run"), pytest.raises(UserError, match="is in use by a run in another process"):
        train(TINY, tmp_path / "run", resume=True, verbose=0)


@slow
def test_a_disk_that_is_full_costs_no_more_than_an_epoch(straight, tmp_path, monkeypatch):
    """The backup of the second epoch cannot be written; the run goes on from the first's."""
    monkeypatch.setattr(run, "TensorBoard", StopAt)
    real, times = os.replace, collections.Counter()

    def full(source, target):
        times[target.name] += 1
        if (target.name, times[target.name]) == ("backup.npz", 3):  # the first is that of the beginning
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        UserError, match=r"backup\.npz cannot be written: No space left on device\. What was there before"
    ):
        train(TINY, tmp_path, verbose=0)
    assert not list(tmp_path.glob(".part-*")) and run.read_backup(tmp_path).progress.epochs == 1
    results = train(TINY, tmp_path, resume=True, verbose=0)
    assert (results["curve"], results["test"]) == (straight[1]["curve"], straight[1]["test"])


@slow
def test_a_disk_that_is_full_in_tensorboard(tmp_path, short_disk):
    """Nothing is replaced by stand-ins: the system refuses to let files grow."""
    message = "The run stopped: log_dir must .*File too large.*go on with it by --resume"
    with short_disk(20_000), pytest.raises(UserError, match=message):
        train(dataclasses.replace(TINY, steps=4), tmp_path / "run", verbose=0)
    assert read_config(tmp_path / "run").name == "tiny"


def test_a_directory_that_cannot_be_made_or_written(straight, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made: Not a directory. Name another --run-dir"):
        train(TINY, tmp_path / "file" / "run", verbose=0)
    shutil.copytree(straight[0], tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    (tmp_path / "run" / ".part-model.keras").write_text("")

    def read_only(self, missing_ok=False):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(pathlib.Path, "unlink", read_only)
    with pytest.raises(UserError, match="run cannot be written: Read-only file system. Name another --run-dir"):
        train(TINY, tmp_path / "run", resume=True, verbose=0)


def test_without_tensorboard_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package tensorboard: pip install tensorboard"):
        train(TINY, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def poisoned(parts, path):
    """A model whose configuration would write a file where it is loaded: a Lambda, and a function of another module."""
    config = json.loads(parts["config.json"])
    for module, kind in (("keras.layers", "Lambda"), ("pathlib", "Path")):
        function = {"module": "builtins", "class_name": "__lambda__", "config": {"code": "4wAA", "defaults": None}}
        layer = {"module": module, "class_name": kind, "registered_name": None, "name": kind, "inbound_nodes": []}
        config["config"]["layers"].append({**layer, "config": {"name": kind, "function": function, "path": str(path)}})
    return {**parts, "config.json": json.dumps(config).encode()}


def test_nothing_in_a_model_file_is_run(straight, tmp_path, monkeypatch):
    """Numbers alone are taken from it; Keras' own deserialization is never asked."""
    shutil.copytree(straight[0], tmp_path / "run")
    break_model(tmp_path / "run", lambda parts: poisoned(parts, tmp_path / "ran"))
    with pytest.raises(Exception):  # noqa: B017  the file is one that Keras refuses
        keras.models.load_model(str(tmp_path / "run" / "model.keras"), safe_mode=True)

    def asked(*_, **__):
        pytest.fail("a configuration was deserialized")

    monkeypatch.setattr(keras.models, "load_model", asked)
    monkeypatch.setattr(keras.models.Model, "from_config", asked)
    assert evaluate(tmp_path / "run", verbose=0) == straight[1]["test"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda parts: {"config.json": parts["config.json"]}, "is no model of this run"),
        (lambda parts: {**parts, "model.weights.h5": b"no HDF5"}, "is no model of this run"),
        (lambda parts: {**parts, "/tmp/evil.py": b"x"}, "cannot be read: its member '/tmp/evil.py' leads out of it"),
    ],
)
def test_a_model_that_is_none_is_not_evaluated(straight, tmp_path, change, message):
    shutil.copytree(straight[0], tmp_path / "run")
    break_model(tmp_path / "run", change)
    with pytest.raises(UserError, match=rf"model\.keras {message}"):
        evaluate(tmp_path / "run", verbose=0)


@slow
def test_another_network_s_model_is_not_evaluated(straight, tmp_path):
    shutil.copytree(straight[0], tmp_path / "run")
    other = dataclasses.replace(TINY, cell_settings={**TINY.cell_settings, "units": 6})
    run.write_json(tmp_path / "run" / "config.json", dataclasses.asdict(other))
    with pytest.raises(UserError, match=r"model\.keras is no model of this run"):
        evaluate(tmp_path / "run", verbose=0)


def test_data_may_move(straight, tmp_path):
    saved = dataclasses.replace(EXPERIMENTS["row-mnist"], source="tfds", data_dir="here")
    run.write_json(tmp_path / "config.json", dataclasses.asdict(saved))
    progress = run.read_backup(straight[0]).progress
    texts = {
        name: json.dumps(dataclasses.asdict(part)) for name, part in (("progress", progress), ("experiment", saved))
    }
    np.savez(tmp_path / "backup.npz", **texts)
    shutil.copy(straight[0] / "model.keras", tmp_path)
    assert run.check_directory(tmp_path, dataclasses.replace(saved, data_dir="there"), resume=True).progress.steps == 18


def test_missing_data_leave_no_directory(tmp_path, monkeypatch):
    def missing(*_):
        raise FileNotFoundError("MNIST is not prepared")

    monkeypatch.setattr(run, "build_data", missing)
    with pytest.raises(UserError, match="MNIST is not prepared"):
        train(TINY, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


@slow
def test_killed_between_the_first_model_and_its_backup(straight, tmp_path, monkeypatch):
    """The model is there, the backup still that of the beginning."""
    folder = tmp_path / "run"
    written = run.write_backup  # that of the beginning is written by `run`, those of the epochs by `backup`

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(backup, "write_backup", killed)
    with pytest.raises(Killed):
        run.train(TINY, folder, verbose=0)
    monkeypatch.setattr(backup, "write_backup", written)
    assert (folder / "model.keras").is_file()
    run.train(TINY, folder, resume=True, verbose=0)
    for name, values in arrays_of(straight[0]).items():
        np.testing.assert_array_equal(arrays_of(folder)[name], values, err_msg=name)


def test_a_configuration_of_no_network_is_named(straight, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(straight[0], folder)
    config = json.loads((folder / "config.json").read_text())
    config["cell_settings"]["units"] = -1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config\.json describes no network: units must be an integer >= 1"):
        run.evaluate(folder, verbose=0)
