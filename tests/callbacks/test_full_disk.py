"""Event files on a disk that is full: clear errors of Python, not of TensorFlow."""

import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.callbacks.event_writer import writing
from kernl_keras.keras_version import keras


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path, short_disk):
    """The system refuses; TensorFlow's own error is another one for each reason."""
    message = rf"log_dir must be a folder that can be written; received '{tmp_path}': .*tfevents.*; File too large"
    with short_disk(20_000), pytest.raises(OSError, match=message) as found:
        with writing(str(tmp_path)), tf.summary.create_file_writer(str(tmp_path)).as_default(1):
            for number in range(60):
                tf.summary.histogram(f"h{number}", tf.random.normal((1000,)))
    assert isinstance(found.value.__cause__, tf.errors.OpError)


def test_a_full_disk_leaves_the_backup_before_and_nothing_else(tmp_path, short_disk):
    path = tmp_path / "backup.npz"
    inputs = keras.Input(batch_shape=(1, 4, 100))
    model = kk.Model(inputs, kk.Readout(100, stateful=True)(inputs))
    model.compile("sgd", "mse")
    backup = kk.StreamBackup(path)
    backup.set_model(model)
    backup.on_epoch_end(0)
    before = path.read_bytes()
    message = r"backup\.npz cannot be written: File too large\. What was there before still is\.$"
    with short_disk(20_000), pytest.raises(OSError, match=message):
        backup.on_epoch_end(1)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["backup.npz"]
    assert backup.epochs == 1
