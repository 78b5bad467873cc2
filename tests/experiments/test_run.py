"""Runs: a stopped and resumed run is the run that never stopped, bit for bit; directories and files that do not fit."""

import dataclasses
import errno
import json
import math
import os
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.archives import read_arrays
from kernl_keras.callbacks.stream_backup import StreamBackup
from kernl_keras.experiments import feeds, provenance, run
from kernl_keras.experiments.backup import Backup, Progress
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.feeds import Epochs
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.experiments.run import evaluate, read_config, train
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.training.nonfinite import Suspect
from kernl_keras.training.optimizers import averaged

from ..reference.tools import all_same

slow = pytest.mark.slow  # what trains a run of its own
# Said of the functions of tf.data, which `quick` does not mean.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")

# All that a resumed run could forget: two counters of Bernoulli spikes and noise, the seeds of Dropout (which Keras 2
# lets no one read), M and gamma alone at first, averages of the weights. 2 batches an epoch.
UPPER = {"cell": "leaky_rnn", "cell_settings": {"units": 4, "tau": 5.0}, "dropout": 0.5 if IS_KERAS_3 else 0.0}
TINY = dataclasses.replace(
    EXPERIMENTS["adding"], name="tiny", sensitivity_every=2,
    rule_settings={"kernel": "exponential"},  # so that there are M and gamma
    task_settings={"steps": 4, "examples": 10, "validation": 4, "test": 5},
    encoder_settings={"units": 3, "code": "bernoulli"}, cell="lif",
    cell_settings={"units": 5, "tau_m": 4.0, "adaptation_strength": 0.5, "tau_a": 9.0}, above=[UPPER], answer_steps=3,
    batch_size=4, learning_rate=0.01, sensitivity_only=1, seed=3, jit_compile=False,
    optimizer_settings={"global_clipnorm": 10.0, "use_ema": True, "ema_momentum": 0.8},
    epochs=None, steps=3,  # an epoch, and a step of a second, which is a `fit` of its own
)  # fmt: skip


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


@pytest.fixture(autouse=True, scope="module")
def quick(eagerly):
    """No pictures, no function is traced, and no data are made twice."""
    load_data, known = feeds.load_data, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeds, "TensorBoard", StopAt)
        patch.setattr(feeds, "load_data", lambda *of: known.get(str(of)) or known.setdefault(str(of), load_data(*of)))
        yield


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that was never stopped: its directory and results."""
    folder = tmp_path_factory.mktemp("straight") / "new" / "run"
    return folder, train(TINY, folder, command="the command", verbose=0)


@pytest.fixture
def copy(straight, tmp_path):
    """The directory of a copy of that run, and its results."""
    return shutil.copytree(straight[0], tmp_path / "run"), straight[1]


def arrays_of(folder):
    """The variables in the backup, by their places."""
    return {name: array for name, array in read_arrays(folder / "backup.npz").items() if name.isdigit()}


def restored(folder, experiment=TINY):
    """The model as the backup has it."""
    model = run.build_model(experiment, 4, 2, experiment.steps)
    Backup(folder, Epochs(experiment)).restore(model)
    return model


def saved_weights(folder):
    return keras.models.load_model(str(folder / "model.keras")).get_weights()


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "stop, epochs, xla",
    [
        ((StopAt, "at", (1, 0)), 1, False),
        pytest.param((StopAt, "at", (1, 0)), 1, True, marks=slow),  # as the experiments are
        pytest.param((StopAt, "at", (0, 1)), 0, False, marks=slow),
        pytest.param((StreamBackup, "on_epoch_end", interrupted), 0, False, marks=slow),  # the model is there already
    ],
)
def test_a_resumed_run_is_the_run_that_never_stopped(straight, tmp_path, monkeypatch, stop, epochs, xla):
    (whole, expected), experiment = straight, dataclasses.replace(TINY, jit_compile=xla)
    if xla:
        tf.config.run_functions_eagerly(False)
        whole = tmp_path / "whole"
        expected = train(experiment, whole, verbose=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(*stop)
        train(experiment, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run" / "results.json").exists() and not list(tmp_path.rglob(".part-*"))
    assert Backup(tmp_path / "run", Epochs(experiment)).epochs == epochs
    results = train(experiment, tmp_path / "run", resume=True, verbose=0)
    ours, theirs = arrays_of(tmp_path / "run"), arrays_of(whole)
    assert ours.keys() == theirs.keys() and len(ours) >= 20
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], strict=True, err_msg=name)
    for one, other in zip(saved_weights(tmp_path / "run"), saved_weights(whole), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    for key in ("curve", "test", "best_epoch", "steps"):
        assert results[key] == expected[key]
    tf.config.run_functions_eagerly(True)


def test_training_moved_everything(straight):
    """The comparison above would be empty if nothing had learned."""
    start, trained = run.build_model(TINY, 4, 2, 3), restored(straight[0])
    for before, after in zip(start.trainable_variables, trained.trainable_variables):
        assert np.any(before.numpy() != after.numpy())
    assert int(trained.optimizer.iterations) == 3 - 1 and int(trained.sensitivity_optimizer.iterations) == 1 + 1
    assert [int(trained.get_layer(name).draws) for name in ("encoder", "hidden")] == [3, 3]
    if IS_KERAS_3:
        seeds = [variable for variable in trained.non_trainable_variables if "seed_generator" in variable.path]
        assert len(seeds) == 1 and {*seeds[0].numpy().tolist()} not in [
            {*variable.numpy().tolist()} for variable in start.non_trainable_variables if "seed_gen" in variable.path
        ]


def test_averages_of_the_weights_are_validated_and_kept_in_the_model(straight):
    """Training goes on with the weights, and these are in the backup."""
    folder, results = straight
    model, feed = restored(folder), Epochs(TINY)
    feed.load()
    scores = [entry["val_mse"] for entry in results["curve"]]

    def score(model):
        return model.evaluate(feed.validation, verbose=0, return_dict=True)["mse"]

    assert abs(score(model) / scores[-1] - 1.0) > 1e-3
    with averaged(model):
        assert score(model) == pytest.approx(scores[-1], rel=1e-6)
    best = keras.models.load_model(str(folder / "model.keras"))
    assert score(best) == pytest.approx(scores[results["best_epoch"] - 1], rel=1e-6)


@slow
def test_training_goes_on_with_the_weights_and_not_with_their_averages(straight, tmp_path):
    """The last epoch is a `fit` of its own, and the one before ended with the averages."""
    plain = dataclasses.replace(TINY, optimizer_settings={"global_clipnorm": 10.0})
    train(plain, tmp_path / "plain", verbose=0)
    one, other = restored(straight[0]), restored(tmp_path / "plain", plain)
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_results(straight):
    folder, results = straight
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["examples"] == {"train": 10, "validation": 4, "test": 5}
    assert (results["experiment"], results["rule"], results["seed"], results["steps"]) == ("tiny", "kernl", 3, 3)
    assert (results["command"], results["metric"], results["chance"]) == ("the command", "mse", 1 / 6)
    assert [(entry["epoch"], entry["steps"]) for entry in results["curve"]] == [(1, 2), (2, 3)]
    scores = [entry["val_mse"] for entry in results["curve"]]
    assert scores[results["best_epoch"] - 1] == min(scores) and len(set(scores)) == 2
    assert {"loss", "sensitivity_loss", "explained_variance", "val_loss"} <= results["curve"][0].keys()
    assert results["test_mse"] == results["test"]["mse"] > 0 and results["seconds"] > 0
    assert results["versions"].keys() == {"kernl_keras", "python", "tensorflow", "keras", "numpy"}
    assert results["versions"]["keras"] == keras.__version__
    assert results["computed_with"] == [provenance.computed_with()]
    assert read_config(folder) == TINY
    names = ["backup.npz", "config.json", "model.keras", "results.json"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_the_test_is_that_of_the_saved_model_and_evaluate_gives_the_same_digits(straight, capsys):
    """The mean squared error by NumPy over the test set, a batch of four and one of one."""
    folder, results = straight
    model, feed = keras.models.load_model(str(folder / "model.keras")), Epochs(TINY)
    feed.load()
    errors = [model(x).numpy() - y.numpy() for x, y in feed.data.test]
    error = np.mean(np.concatenate(errors) ** 2, dtype=np.float64)
    assert len(errors) == 2 and results["test_mse"] == pytest.approx(error, rel=1e-5)
    assert evaluate(folder, verbose=0) == results["test"]
    assert f"Test mse {results['test_mse']:.4f} (chance 0.17)" in capsys.readouterr().out


@slow
def test_a_run_that_stopped_before_its_test_is_tested(copy, monkeypatch, capsys):
    """With other threads, too, which it says."""
    folder, expected = copy
    monkeypatch.setattr(provenance.tf.config.threading, "get_intra_op_parallelism_threads", lambda: 77)
    (folder / "results.json").unlink()
    results = train(TINY, folder, resume=True, verbose=0)
    assert (results["curve"], results["test"]) == (expected["curve"], expected["test"])
    before, now = (each["threads"] for each in results["computed_with"])
    assert now == 77 and f"threads was {before}, now 77: the run goes on" in capsys.readouterr().err


def test_training_takes_the_batches_after_those_that_are_learned():
    feed = Epochs(TINY)
    feed.load(1)
    batches, rest, again = (list(feed.batches(learned).take(3)) for learned in (0, 1, 1))
    all_same(rest, again)
    all_same(batches[1:], rest[:2])
    assert np.any(batches[0][0] != batches[1][0])


def test_it_is_validated_after_so_many_steps():
    feed = Epochs(dataclasses.replace(TINY, validate_every=5))
    feed.load()
    assert (feed.every, feed.total, feed.monitor, feed.sign) == (5, 3, "val_mse", -1)
    feed = Epochs(dataclasses.replace(TINY, task_settings={**TINY.task_settings, "validation": 0}))
    feed.load()
    assert (feed.every, feed.monitor) == (2, None)  # an epoch


# The backup itself


def network():
    """One whose weight is the first of what training moves."""
    inputs = keras.Input((1,))
    model = kk.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), "mse")
    return model


def a_backup(folder, monitor="val_x", sign=1, model=None):
    """A `Backup` of epochs of 3 batches."""
    feed = Epochs(TINY)
    feed.monitor, feed.sign, feed.every = monitor, sign, 3
    feed.row = lambda model, epoch, learned, seconds, logs: {"epoch": epoch, "steps": learned, **feeds._finite(logs)}
    backup = Backup(folder, feed)
    backup.set_model(model or network())
    backup.on_train_begin()
    return backup


def run_epochs(backup, values):
    """Epochs 1, 2, .. that log `values`; the weight is the number of the epoch."""
    for epoch, value in enumerate(values, 1):
        backup.model._nonfinite.clear()
        for _ in range(3):
            backup.model._nonfinite.write(True, [Suspect("loss", "result", tf.zeros(1))])
        backup.model.set_weights([np.full((1, 1), float(epoch))])
        backup.on_epoch_end(epoch - 1, {"val_x": np.float32(value)})
    return backup


@pytest.mark.parametrize(
    "monitor, sign, values, best",
    [
        ("val_x", 1, [0.1, 0.3, 0.3, 0.2], 3),  # the latest of equals
        ("val_x", -1, [0.5, 0.2, math.nan, 0.2, 0.3], 4),
        ("val_x", 1, [math.nan, 0.1, math.nan], 2),
        (None, 1, [0.5, 0.2, 0.1], 3),  # nothing to go by: the last
    ],
)
def test_the_best_model_is_kept(tmp_path, monitor, sign, values, best):
    backup = run_epochs(a_backup(tmp_path, monitor, sign), values)
    assert backup.progress.best_epoch == best and saved_weights(tmp_path) == [[[best]]]


def test_a_backup_is_read_again(tmp_path):
    progress = run_epochs(a_backup(tmp_path), [0.1, math.nan, 0.3]).progress
    model = network()
    again = a_backup(tmp_path, model=model)  # which restores it
    assert (again.progress, again.experiment, again.begun) == (progress, TINY, True)
    assert (again.epochs, again.pieces, progress.best_score) == (3, 9, np.float32(0.3))
    assert [entry["val_x"] for entry in progress.curve] == [np.float32(0.1), None, np.float32(0.3)]
    assert [(entry["epoch"], entry["steps"]) for entry in progress.curve] == [(1, 3), (2, 6), (3, 9)]
    assert 0 < progress.seconds < 60
    assert model.get_weights() == [[[3.0]]]
    again.progress = Progress(seconds=1000.0)
    again.on_epoch_end(3, {"val_x": 0.0})
    assert 1000 < again.progress.seconds < 1060  # they add up over pieces of a run
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.npz", "model.keras"]  # no half-written file


def test_an_epoch_counts_when_its_model_is_there(tmp_path, monkeypatch):
    """A kill may fall between the two files: a model that is ahead is made again, one that lags would stay so."""
    backup = run_epochs(a_backup(tmp_path), [0.1])
    monkeypatch.setattr(type(backup.model), "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_epochs(backup, [0.2])
    again = a_backup(tmp_path)
    assert again.progress.best_score == np.float32(0.1) and again.epochs == 1
    assert again.model.get_weights() == saved_weights(tmp_path) == [[[1.0]]]


def change_backup(folder, change):
    """Changes arrays of the backup in a folder; False removes one."""
    path = folder / "backup.npz"
    arrays = read_arrays(path) | {name: np.array(value) for name, value in change.items()}
    np.savez(path, **{name: array for name, array in arrays.items() if array.dtype != bool or array.ndim})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"0000": [print]}, "cannot be read: Object arrays cannot be loaded"),
        ({"progress": "null"}, "is no backup of a run: "),
        ({"progress": '{"loss": 1}'}, "is no backup of a run: .*unexpected keyword argument 'loss'"),
        ({"progress": "{"}, "is no backup of a run: Expecting property name"),
        ({"experiment": "3"}, "is no backup of a run: "),
        ({"epochs": "many"}, "is no backup of a run: "),
    ],
)
def test_a_damaged_backup_says_what_to_do(tmp_path, change, message):
    run_epochs(a_backup(tmp_path), [0.1])
    change_backup(tmp_path, change)
    with pytest.raises(OSError, match=rf"backup\.npz {message}.*Put a good copy of it there, or train again") as found:
        a_backup(tmp_path)
    assert str(found.value).count("backup.npz") == 1


def test_a_backup_of_another_network_sets_nothing(tmp_path):
    run_epochs(a_backup(tmp_path), [0.1])
    whole, model = (tmp_path / "backup.npz").read_bytes(), network()
    model.set_weights([np.full((1, 1), 7.0)])
    for change, message in (
        ({"0001": np.zeros(2, "int64")}, r"number 0001 is int64 \[2\] in the backup and \w+ \[\] in the model"),
        ({"0000": np.ones((1, 1))}, r"number 0000 is float64 \[1, 1\] in .* and float32 \[1, 1\] in the model"),
        ({"0001": False}, "number 0001 is missing in the backup"),
        ({"9999": 1.0}, r"number 9999 is float64 \[\] in the backup and missing in the model"),
    ):
        (tmp_path / "backup.npz").write_bytes(whole)
        change_backup(tmp_path, change)
        with pytest.raises(ValueError, match=rf"must be that of the backup .*backup\.npz, which has .*: {message}"):
            a_backup(tmp_path, model=model)
        assert model.get_weights() == [[[7.0]]]


# Directories


def break_model(folder, change):
    """The model in a folder with its parts changed: `change` gets and returns {name: bytes}."""
    with zipfile.ZipFile(folder / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, content in change(parts).items():
            archive.writestr(name, content)


FILES = {  # kinds of run directories that are made of new files
    "empty": {},
    "other": {"notes.txt": "mine"},
    "broken": {"config.json": '{"colour": 1}'},
    "not a dict": {"config.json": "3"},
}


def prepare_directory(kind, folder, straight):
    """Makes a run directory of some kind: of `FILES`, or a copy of a run that lacks its results, or is damaged."""
    if kind in FILES:
        folder.mkdir()
        for name, text in FILES[kind].items():
            (folder / name).write_text(text)
    if kind == "a file":
        folder.write_text("")
    if kind in ("none", "a file", *FILES):
        return
    shutil.copytree(straight, folder)
    if kind == "complete":
        return
    (folder / "results.json").unlink()
    file = folder / ("model.keras" if "model" in kind else "backup.npz")
    if kind.startswith("no "):
        file.unlink()
    elif kind.startswith("half "):
        file.write_bytes(file.read_bytes()[:-500])
    elif kind == "another run's backup":
        change_backup(folder, {"experiment": json.dumps(dataclasses.asdict(dataclasses.replace(TINY, seed=9)))})
    elif kind == "another network's backup":
        change_backup(folder, {"0004": np.zeros((3, 3), "float32")})


@pytest.mark.parametrize(
    "prepare, settings, resume, message",
    [
        ("complete", {}, False, "already holds something: name another --run-dir, or go on with its run by --resume"),
        ("other", {}, False, "already holds something"),
        ("a file", {}, False, "is a file: name another --run-dir"),
        ("a file", {}, True, "is a file: name another --run-dir"),
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
        ("another run's backup", {}, True, r"backup\.npz is that of another run: seed was 9, now 3"),
        ("another network's backup", {}, True, r"backup\.npz.* number 0004 is float32 \[3, 3\] in .* Put a good copy"),
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
    assert not run.open_backup(tmp_path, Epochs(TINY), resume=False).begun
    shutil.copy(straight[0] / "config.json", tmp_path)
    (tmp_path / ".part-backup.npz").write_text("PK")
    (tmp_path / "tensorboard").mkdir()
    assert not run.open_backup(tmp_path, Epochs(TINY), resume=True).begun


def test_data_may_move_and_another_keras_may_not(straight, tmp_path):
    saved = dataclasses.replace(EXPERIMENTS["row-mnist"], source="tfds", data_dir="here")
    moved = Epochs(dataclasses.replace(saved, data_dir="there"))
    write_json(tmp_path / "config.json", dataclasses.asdict(saved))
    for name in ("backup.npz", "model.keras"):
        shutil.copy(straight[0] / name, tmp_path)
    change_backup(tmp_path, {"experiment": json.dumps(dataclasses.asdict(saved))})
    assert run.open_backup(tmp_path, moved, resume=True).pieces == 3
    change_backup(tmp_path, {"progress": '{"keras": "1.0"}'})
    with pytest.raises(UserError, match=rf"was written by Keras 1\.0, this is {keras.__version__}; resume with the fo"):
        run.open_backup(tmp_path, moved, resume=True)


def test_a_second_run_in_the_directory_is_told_so(straight):
    """Two open files lock each other out, be they of one process or of two; `test_files` has two."""
    pytest.importorskip("fcntl")
    with run.alone(straight[0]), pytest.raises(UserError, match="is in use by a run in another process"):
        train(TINY, straight[0], resume=True, verbose=0)


@slow
def test_a_disk_that_is_full_in_tensorboard(tmp_path, short_disk, monkeypatch):
    """Nothing is replaced by stand-ins: the system refuses to let files grow."""
    monkeypatch.setattr(feeds, "TensorBoard", kk.TensorBoard)
    monkeypatch.setattr(run, "git_revision", lambda: None)  # git would leave its own half-written file, a lock
    message = "The run stopped: log_dir must .*File too large.*go on with it by --resume"
    experiment = dataclasses.replace(TINY, steps=18, above=[], optimizer_settings={})
    with short_disk(45_000), pytest.raises(UserError, match=message):  # more than the model takes
        train(experiment, tmp_path / "run", verbose=0)
    assert read_config(tmp_path / "run").name == "tiny"


def test_a_directory_that_cannot_be_made_or_written(copy, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made: Not a directory. Name another --run-dir"):
        train(TINY, tmp_path / "file" / "run", verbose=0)
    (copy[0] / "results.json").unlink()
    (copy[0] / ".part-model.keras").write_text("")

    def read_only(self, missing_ok=False):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(pathlib.Path, "unlink", read_only)
    with pytest.raises(UserError, match="run cannot be written: Read-only file system. Name another --run-dir"):
        train(TINY, copy[0], resume=True, verbose=0)


# The model of a run


def poisoned(parts, path):
    """A model whose configuration would write a file where it is loaded: a Lambda, and a function of another module."""
    config = json.loads(parts["config.json"])
    for module, kind in (("keras.layers", "Lambda"), ("pathlib", "Path")):
        function = {"module": "builtins", "class_name": "__lambda__", "config": {"code": "4wAA", "defaults": None}}
        layer = {"module": module, "class_name": kind, "registered_name": None, "name": kind, "inbound_nodes": []}
        config["config"]["layers"].append({**layer, "config": {"name": kind, "function": function, "path": str(path)}})
    return {**parts, "config.json": json.dumps(config).encode()}


def test_nothing_in_a_model_file_is_run(copy, tmp_path, monkeypatch):
    """Numbers alone are taken from it; Keras' own deserialization is never asked."""
    folder, results = copy
    break_model(folder, lambda parts: poisoned(parts, tmp_path / "ran"))
    with pytest.raises(Exception):  # noqa: B017  the file is one that Keras refuses
        keras.models.load_model(str(folder / "model.keras"), safe_mode=True)

    def asked(*_, **__):
        pytest.fail("a configuration was deserialized")

    monkeypatch.setattr(keras.models, "load_model", asked)
    monkeypatch.setattr(keras.models.Model, "from_config", asked)
    assert evaluate(folder, verbose=0) == results["test"]


OTHER_UNITS = {"cell_settings": {**TINY.cell_settings, "units": 6}}
NO_UNITS = {"cell_settings": {**TINY.cell_settings, "units": -1}}


@pytest.mark.parametrize(
    "change, settings, message",
    [
        (lambda parts: {"config.json": parts["config.json"]}, {}, r"model\.keras is no model of this run"),
        (lambda parts: {**parts, "model.weights.h5": b"no HDF5"}, {}, r"model\.keras is no model of this run"),
        (lambda parts: {**parts, "/tmp/evil.py": b"x"}, {}, r"cannot be read: its member '/tmp/evil\.py' leads out of"),
        (None, OTHER_UNITS, r"model\.keras is no model of this run"),
        (None, NO_UNITS, r"config\.json describes no network: units must be an integer >= 1"),
        ("none", {}, r"holds no model\.keras: the run stopped before its first epoch ended; resume"),
    ],
)
def test_a_model_that_is_none_is_not_evaluated(straight, tmp_path, change, settings, message):
    write_json(tmp_path / "config.json", dataclasses.asdict(dataclasses.replace(TINY, **settings)))
    if change != "none":
        shutil.copy(straight[0] / "model.keras", tmp_path)
    if callable(change):
        break_model(tmp_path, change)
    with pytest.raises(UserError, match=message):
        evaluate(tmp_path, verbose=0)


def test_of_two_runs_that_begin_together_one_goes_on(tmp_path, monkeypatch):
    """The other one makes the directory while this one's data are loaded."""
    load = Epochs.load

    def load_late(feed, pieces):
        load(feed, pieces)
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "config.json").write_text("{}")

    monkeypatch.setattr(Epochs, "load", load_late)
    with pytest.raises(UserError, match="already holds something: name another --run-dir"):
        train(TINY, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["config.json"]
