"""The first examples of whatever holds data, settings out of range, and folders that cannot be written."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.callbacks.alignment import GradientAlignment
from kernl_keras.callbacks.event_writer import first_examples, writing
from kernl_keras.callbacks.tensorboard import TensorBoard
from kernl_keras.keras_version import keras

X, Y, W = np.arange(30.0).reshape(10, 3), np.arange(10) * 2, np.ones(10)


class Batches(keras.utils.Sequence):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[5 * index : 5 * index + 5], Y[5 * index : 5 * index + 5]


def dataset(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(5)


ARRAYS = [(X, Y), [X, Y], (tf.constant(X), tf.constant(Y)), (X, Y, W)]
BATCHES = [dataset(X, Y), dataset(X, Y, W), Batches()]  # of which there is the first


@pytest.mark.parametrize("data, most", [*((each, 10) for each in ARRAYS), *((each, 5) for each in BATCHES)])
def test_examples(data, most):
    for count, expected in ((4, 4), (None, most), (99, most)):
        x, y = first_examples(data, count)
        assert tf.is_tensor(x) and tf.is_tensor(y)
        np.testing.assert_array_equal(x, X[:expected])
        np.testing.assert_array_equal(y, Y[:expected])


def test_structures_keep_their_form():
    x, y = first_examples(({"a": X, "b": 2.0 * X}, None), 3)
    np.testing.assert_array_equal(x["b"], 2.0 * X[:3])
    assert y is None


def test_nothing_to_take():
    """A generator loses no example."""
    generator = iter([(X, Y)])
    for data in (None, generator, tf.data.Dataset.range(0).batch(2), dataset(X).take(0)):
        assert first_examples(data, 4) == (None, None)
    assert len(list(generator)) == 1


@pytest.mark.parametrize("kind", [TensorBoard, GradientAlignment])
@pytest.mark.parametrize("examples", [0, True, "four", (1, 2, 3)])
def test_examples_of_another_kind(kind, examples):
    with pytest.raises(ValueError, match="examples must be an integer >= 1, a batch .*; received") as error:
        kind(examples=examples)
    assert str(error.value).endswith(f"received {examples!r}.")


def test_folders_that_cannot_be_written_are_told_before_the_first_step(tmp_path):
    """And before that no file is made."""
    (tmp_path / "file").write_text("in the way")
    for callback in (TensorBoard(tmp_path / "logs"), TensorBoard(tmp_path / "file" / "logs")):
        callback.set_model(keras.Sequential())
        callback.set_validation_data((X, Y))
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    with pytest.raises(OSError, match=r"log_dir must be a folder that can be written; received '.*file.logs'"):
        callback.on_train_begin()


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path, short_disk):
    """The system refuses; TensorFlow's own error is another one for each reason."""
    message = rf"log_dir must be a folder that can be written; received '{tmp_path}': .*tfevents.*; File too large"
    with short_disk(20_000), pytest.raises(OSError, match=message) as found:
        with writing(str(tmp_path)), tf.summary.create_file_writer(str(tmp_path)).as_default(1):
            for _ in range(60):
                tf.summary.write("numbers", tf.zeros(1000))
    assert isinstance(found.value.__cause__, tf.errors.OpError)
