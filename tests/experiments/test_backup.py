"""What is kept after an epoch: the best model, and one file to go on from."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.experiments.backup import Backup, Progress, read_progress, restore, variables
from kernl_keras.experiments.files import whole


class StandIn(SimpleNamespace):
    """A model that saves its first weight as text."""

    def __init__(self, values=(0.0, 0.0, 0.0)):
        weight, slot, other = map(tf.Variable, values)
        super().__init__(
            weights=[weight],
            optimizer=SimpleNamespace(variables=[slot]),
            sensitivity_optimizer=SimpleNamespace(variables=[other]),
        )

    def save(self, path):
        with open(path, "w") as file:
            file.write(str(self.weights[0].numpy()))


def run_epochs(folder, monitor, sign, values):
    """The backup after epochs 1, 2, ... that logged `values`; the first weight is the epoch."""
    model, backup = StandIn(), Backup(folder, monitor, sign)
    backup.set_params({"steps": 3})
    backup.set_model(model)
    backup.on_train_begin()
    for epoch, value in enumerate(values):
        for variable, number in zip(variables(model), (epoch + 1, -epoch, 0.25)):
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
    assert read_progress(tmp_path) == progress
    assert (progress.epochs, progress.steps, progress.best_score) == (3, 9, np.float32(0.3))
    assert [entry["val_x"] for entry in progress.curve] == [np.float32(0.1), None, np.float32(0.3)]
    assert [(entry["epoch"], entry["steps"]) for entry in progress.curve] == [(1, 3), (2, 6), (3, 9)]
    assert 0 < progress.seconds < 60
    other = StandIn((7.0, 8.0, 9.0))
    restore(tmp_path, other)
    assert [variable.numpy() for variable in variables(other)] == [3.0, -2.0, 0.25]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.npz", "model.keras"]  # no half-written file


def test_seconds_add_up_over_pieces(tmp_path):
    backup = run_epochs(tmp_path, None, 1, [0.0])
    backup.progress = Progress(seconds=1000.0)
    backup.on_train_begin()
    backup.on_epoch_end(0, {})
    assert 1000 < backup.progress.seconds < 1060


def test_no_backup(tmp_path):
    assert read_progress(tmp_path) is None


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole(path) as part:
        part.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with whole(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "new")]
