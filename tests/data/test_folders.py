"""Folders of TensorFlow Datasets, whole, broken, or that an interrupted download left; nothing touches a network."""

import functools
import json
import pathlib
import shutil
import socket
import sys
import zipfile
from importlib import resources
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.data import arrays, sequential_mnist, spoken_digits
from kernl_keras.data.mnist import MNIST, SAMPLE_FILE, load_sample, read_digits
from kernl_keras.data.tfds_folder import read_from_folder
from kernl_keras.experiments.build import load_data
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.files import UserError

from ..reference import made_up_recordings

tfds = pytest.importorskip("tensorflow_datasets")
TRAIN, TEST = 12, 5
load_tfds = functools.partial(read_from_folder, MNIST, read_digits)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data_dir that holds a few made-up digits as TFDS itself writes MNIST, and the digits."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    images = random.integers(0, 256, (TRAIN + TEST, 28, 28, 1), np.uint8)
    labels = random.integers(0, 10, TRAIN + TEST)
    features = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
    digits = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
    made_up_recordings.prepare(folder, "mnist", "3.0.1", features, train=digits.take(TRAIN), test=digits.skip(TRAIN))
    return folder, images[..., 0], labels


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy of it to break; returns the data_dir and the folder of the files."""
    shutil.copytree(prepared[0], tmp_path / "data")
    return tmp_path / "data", tmp_path / "data" / "mnist" / "3.0.1"


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Every attempt to find or reach another machine fails as without a network, and no test leaves one here."""
    attempts = []

    def unreachable(*arguments, **settings):
        attempts.append(arguments)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    yield attempts
    assert not attempts


def test_a_whole_folder_is_read(prepared):
    folder, images, labels = prepared
    digits, place = load_tfds(folder, download=False)
    assert place == str(folder / "mnist" / "3.0.1") and digits.train == TRAIN
    order = [np.lexsort(each.reshape(len(each), -1).T) for each in (images, digits.images)]  # TFDS shuffles
    np.testing.assert_array_equal(images[order[0]], digits.images[order[1]])
    np.testing.assert_array_equal(labels[order[0]], digits.labels[order[1]])
    data = sequential_mnist("tfds", data_dir=folder, validation=3, batch_size=4, layout="rows")
    assert data.examples == (9, 3, TEST) and f"read from {folder}" in data.description
    np.testing.assert_array_equal(arrays(data.test)[1], digits.labels[TRAIN:])


def cut(path, part):
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])


def keep(path, count):
    """Leaves the first records of a file, whole: nothing in the file itself says that some are missing."""
    kept = list(tf.data.TFRecordDataset(str(path)).take(count).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in kept:
            writer.write(record)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def without_splits(path):
    path.write_text(json.dumps({name: part for name, part in json.loads(path.read_text()).items() if name != "splits"}))


BREAKS = {
    "no test file": ("mnist-test*", pathlib.Path.unlink),
    "no training file": ("mnist-train*", pathlib.Path.unlink),
    "a file cut short": ("mnist-train*", lambda path: cut(path, 0.6)),
    "an empty file": ("mnist-train*", lambda path: cut(path, 0.0)),
    "a file of fewer digits": ("mnist-train*", lambda path: keep(path, TRAIN - 2)),
    "a wrong bit": ("mnist-train*", flip),
    "half a description": ("dataset_info.json", lambda path: cut(path, 0.5)),
    "another description": ("dataset_info.json", lambda path: path.write_text("[]")),
    "no splits": ("dataset_info.json", without_splits),
    "half the features": ("features.json", lambda path: cut(path, 0.5)),
    "no features": ("features.json", pathlib.Path.unlink),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_folder_is_named_and_what_to_do(copy, how):
    """Also by an experiment, which has errors for users."""
    (data_dir, folder), (name, break_it) = copy, BREAKS[how]
    break_it(next(folder.glob(name)))
    message = (
        rf"MNIST in '{folder}' is damaged or not whole: remove the folder .* or use source=\"sample\" .*\. Reading it"
    )
    with pytest.raises(OSError, match=message):
        load_tfds(data_dir)
    if how == "no test file":
        experiment = EXPERIMENTS["row-mnist"]
        with pytest.raises(UserError, match=message):
            load_data(type(experiment)(**{**vars(experiment), "source": "tfds", "data_dir": str(data_dir)}))


@pytest.mark.parametrize("names, kept", [(("1 theo.wav", "2_theo_0.wav"), 2), (("1_theo_0.wav", "2_theo_0.wav"), 1)])
def test_recordings_of_other_names_or_fewer_of_them_are_damaged(tmp_path, names, kept):
    made_up_recordings.write(tmp_path, dict.fromkeys(names, np.ones(3, np.int64)))
    keep(next(tmp_path.glob("spoken_digit/1.0.9/*.tfrecord*")), kept)
    with pytest.raises(OSError, match="spoken_digit in .* is damaged or not whole: remove the folder .* give data_dir"):
        spoken_digits(data_dir=tmp_path)


def test_what_an_interrupted_download_left_is_no_data(prepared, tmp_path):
    """TFDS prepares in a folder of a name that it makes up, description and all, and renames it in the end."""
    whole, folder = prepared[0] / "mnist" / "3.0.1", tmp_path / "mnist" / "3.0.1"
    with tfds.core.utils.incomplete_dir(str(folder)) as incomplete:
        shutil.copytree(whole, incomplete, dirs_exist_ok=True)
        with pytest.raises(FileNotFoundError, match="MNIST is not prepared in data_dir"):
            load_tfds(tmp_path, download=False)
    left = folder.rename(incomplete)
    shutil.copytree(whole, folder)
    cut(next(left.glob("mnist-train*")), 0.5)
    assert load_tfds(tmp_path, download=False)[0].train == TRAIN


@pytest.mark.parametrize(
    "error, raised",
    [
        (ConnectionResetError("reset by peer"), OSError),
        (ValueError("a wrong checksum"), OSError),  # TFDS has errors of its own, of no common type
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_download_that_breaks_off(tmp_path, monkeypatch, error, raised):
    import requests

    builder, ask = mock.Mock(), mock.Mock()
    builder.download_and_prepare.side_effect = error
    monkeypatch.setattr(requests, "head", ask)
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
    message = r"is not prepared in data_dir=.* and cannot be downloaded: give data_dir=.*said:"
    with pytest.raises(raised, match=message if raised is OSError else None):
        load_tfds(tmp_path)
    ask.assert_called_once_with(MNIST.url, timeout=10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("download, error", [(False, FileNotFoundError), (True, OSError)])
def test_an_empty_data_dir_says_what_to_do(tmp_path, network, download, error):
    with pytest.raises(error, match=r'MNIST is not prepared in data_dir=.*give data_dir=.*or use source="sample"'):
        sequential_mnist("tfds", data_dir=str(tmp_path), download=download)
    assert bool(network) == download and not list(tmp_path.iterdir())  # and leaves nothing half done
    network.clear()


def test_without_the_recordings_the_message_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"spoken_digit is not prepared in data_dir=.*give data_dir=.*1\.0\.9"):
        spoken_digits(data_dir=tmp_path, download=False)
    monkeypatch.setitem(sys.modules, "pydub", None)
    with pytest.raises(
        ImportError, match=r"preparing it needs pydub: pip install pydub, and on Python 3.13 audioop-lts"
    ):
        spoken_digits(data_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_tensorflow_datasets_the_error_names_the_command_and_the_sample_is_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match='pip install tensorflow-datasets.*source="sample"'):
        sequential_mnist("tfds")
    with pytest.raises(ImportError, match=r"spoken_digits needs TensorFlow Datasets: pip install \S+ \S+\. The import"):
        spoken_digits()
    assert next(iter(sequential_mnist().train))[0].shape == (25, 838, 2)


@pytest.mark.slow
def test_all_of_mnist_from_a_prepared_folder(data_dir):
    data = sequential_mnist("tfds", data_dir=data_dir, layout="rows", context_steps=0, batch_size=500)
    assert data.examples == (55_000, 5_000, 10_000) and data.steps_per_epoch == (110, 10, 20)
    assert f"read from {data_dir}" in data.description
    counts = [np.bincount(arrays(part)[1]) for part in data[:3]]
    # the published class counts of MNIST
    assert (counts[0] + counts[1]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts[2].tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.slow
def test_data_dir_may_come_from_the_environment_of_tfds(data_dir, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", data_dir)
    assert sequential_mnist("tfds", download=False, validation=0).examples == (60_000, 0, 10_000)


@pytest.mark.slow
def test_the_sample_is_mnists_at_the_positions_the_file_names(data_dir):
    sample, (mnist, _) = load_sample(), load_tfds(data_dir, download=False)
    with np.load(resources.files("kernl_keras.data").joinpath(SAMPLE_FILE), allow_pickle=False) as file:
        index = file["index"].astype(int)
    index[7000:] += mnist.train
    np.testing.assert_array_equal(sample.images, mnist.images[index])
    np.testing.assert_array_equal(sample.labels, mnist.labels[index])


def without_arrays(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("note.txt", "no digits")


@pytest.mark.parametrize("damage", [lambda path: cut(path, 0.9), flip, without_arrays])
def test_a_damaged_sample_is_named_and_what_to_do(tmp_path, monkeypatch, damage):
    path = shutil.copyfile(resources.files("kernl_keras.data").joinpath(SAMPLE_FILE), tmp_path / SAMPLE_FILE)
    damage(path)
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    with pytest.raises(OSError, match=rf"{SAMPLE_FILE} cannot be read: .+ Install kernl_keras again\."):
        sequential_mnist()
