"""What is kept after an epoch: the best model, and one file to go on from."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.experiments.backup import Backup, Progress, read_backup, restore, write_backup
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.files import UserError
from kernl_keras.training.state import moved

EXPERIMENT = EXPERIMENTS["adding"]


class Optimizer(SimpleNamespace):
    """One that keeps no averages."""

    def finalize_variable_values(self, variables):
        pass


class StandIn(SimpleNamespace):
    """A model that saves its first weight as text."""

    def __init__(self, values=(0.0, 0.0, 0.0)):
        weight, slot, other = map(tf.Variable, values)
        super().__init__(
            _flatten_layers=lambda include_self=True: [],
            weights=[weight],
            trainable_variables=[weight],
            non_trainable_variables=[],
            optimizer=Optimizer(variables=[slot]),
            sensitivity_optimizer=Optimizer(variables=[other]),
        )

    def save(self, path):
        with open(path, "w") as file:
            file.write(str(self.weights[0].numpy()))


def run_epochs(folder, monitor, sign, values):
    """The backup after epochs 1, 2, ... that logged `values`; the first weight is the epoch."""
    model, backup = StandIn(), Backup(folder, EXPERIMENT, monitor, sign)
    backup.set_params({"steps": 3})
    backup.set_model(model)
    backup.on_train_begin()
    for epoch, value in enumerate(values):
        for variable, number in zip(moved(model), (epoch + 1, -epoch, 0.25)):
            variable.assign(number)
        backup.on_epoch_end(epoch, {"val_x": np.float32(value)})
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
    progress = run_epochs(tmp_path, monitor, sign, values).progress
    assert progress.best_epoch == best
    assert float((tmp_path / "model.keras").read_text()) == best


def test_a_backup_is_read_again(tmp_path):
    values = [0.1, math.nan, 0.3]
    progress = run_epochs(tmp_path, "val_x", 1, values).progress
    saved = read_backup(tmp_path)
    assert (saved.progress, saved.experiment) == (progress, EXPERIMENT)
    assert (progress.epochs, progress.steps, progress.best_score) == (3, 9, np.float32(0.3))
    assert [entry["val_x"] for entry in progress.curve] == [np.float32(0.1), None, np.float32(0.3)]
    assert [(entry["epoch"], entry["steps"]) for entry in progress.curve] == [(1, 3), (2, 6), (3, 9)]
    assert 0 < progress.seconds < 60
    other = StandIn((7.0, 8.0, 9.0))
    restore(tmp_path, saved, other)
    assert [variable.numpy() for variable in moved(other)] == [3.0, -2.0, 0.25]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.npz", "model.keras"]  # no half-written file


def test_seconds_add_up_over_pieces(tmp_path):
    backup = run_epochs(tmp_path, None, 1, [0.0])
    backup.progress = Progress(seconds=1000.0)
    backup.on_train_begin()
    backup.on_epoch_end(0, {})
    assert 1000 < backup.progress.seconds < 1060


def test_an_epoch_counts_when_its_model_is_there(tmp_path, monkeypatch):
    """A kill may fall between the two files: a model that is ahead is made again, one that lags would stay so."""

    def killed(self, path):
        raise KeyboardInterrupt

    run_epochs(tmp_path, "val_x", 1, [0.1])
    monkeypatch.setattr(StandIn, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run_epochs(tmp_path, "val_x", 1, [0.2])
    saved = read_backup(tmp_path)
    assert saved.progress.best_score == np.float32(0.1) and saved.values["000/Variable"] == 1.0
    assert (tmp_path / "model.keras").read_text() == "1.0"


def test_no_backup(tmp_path):
    assert read_backup(tmp_path) is None


def test_names_do_not_count_what_a_process_made_before(tmp_path):
    """Keras numbers the second layer, and the second optimizer, of a process."""
    names = []
    for number in ("", "_1"):
        weight = tf.Variable(1.0, name=f"hidden/cell{number}/kernel{number}")
        model = SimpleNamespace(
            _flatten_layers=list,
            trainable_variables=[weight],
            non_trainable_variables=[],
            optimizer=SimpleNamespace(variables=[tf.Variable([2.0], name=f"adam{number}/m")]),
            sensitivity_optimizer=SimpleNamespace(variables=[]),
        )
        write_backup(tmp_path, model, Progress(), EXPERIMENT)
        names.append(list(read_backup(tmp_path).values))
    assert names[0] == names[1] == ["000/hidden/cell/kernel", "001/adam/m"]


def damaged(folder, how):
    """Does something to the backup in a folder."""
    path = folder / "backup.npz"
    content = path.read_bytes()
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    if how == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "a wrong bit":
        place = content.index(arrays["000/Variable"].tobytes(), content.index(b"000/Variable"))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    else:
        arrays |= {
            "unpickled": {"x": np.array([print])},
            "no progress": {"progress": np.array("null")},
            "another program's": {"progress": np.array('{"loss": 1}')},
            "not JSON": {"progress": np.array("{")},
            "no experiment": {"experiment": np.array("3")},
        }[how]
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    "how, message",
    [
        ("cut short", "cannot be read: .*not a zip file"),
        ("empty", "cannot be read: .*not a zip file"),
        ("a wrong bit", "cannot be read: its member '000/Variable.npy' is damaged"),
        ("unpickled", "cannot be read: Object arrays cannot be loaded"),
        ("no progress", "is no backup of a run: "),
        ("another program's", "is no backup of a run: .*unexpected keyword argument 'loss'"),
        ("not JSON", "is no backup of a run: Expecting property name"),
        ("no experiment", "is no backup of a run: "),
    ],
)
def test_a_damaged_backup_says_what_to_do(tmp_path, how, message):
    run_epochs(tmp_path, "val_x", 1, [0.1])
    damaged(tmp_path, how)
    with pytest.raises(
        UserError, match=rf"backup\.npz {message}.*Put a good copy of it there, or train again"
    ) as found:
        read_backup(tmp_path)
    assert str(found.value).count("backup.npz") == 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"002/Variable": np.zeros(2, "float32")}, r"002/Variable is float32 \[2\] in it and float32 \[\] here"),
        ({"001/Variable": np.array(1.0)}, r"001/Variable is float64 \[\] in it and float32 \[\] here"),
        ({"001/Variable": None}, r"001/Variable is missing in it and float32 \[\] here"),
        ({"003/Variable": np.array(1.0)}, r"003/Variable is float64 \[\] in it and missing here"),
    ],
)
def test_a_backup_of_another_network_sets_nothing(tmp_path, change, message):
    run_epochs(tmp_path, "val_x", 1, [0.1])
    saved = read_backup(tmp_path)
    values = {name: value for name, value in {**saved.values, **change}.items() if value is not None}
    model = StandIn((7.0, 8.0, 9.0))
    with pytest.raises(UserError, match=rf"backup\.npz is of another network: {message}"):
        restore(tmp_path, saved._replace(values=values), model)
    assert [variable.numpy() for variable in moved(model)] == [7.0, 8.0, 9.0]
