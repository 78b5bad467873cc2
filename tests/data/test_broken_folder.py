"""Folders of TensorFlow Datasets that are broken, or that an interrupted download left; nothing touches a network."""

import builtins
import json
import os
import pathlib
import shutil
import zipfile
from importlib import resources

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.data import sequential_mnist, spoken_digits
from kernl_keras.data.digits import DOWNLOAD_URL, SAMPLE_FILE, load_tfds
from kernl_keras.experiments.build import load_data
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.files import UserError

tfds = pytest.importorskip("tensorflow_datasets")
TRAIN, TEST = 12, 5


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data_dir that holds a few made-up digits as TFDS itself writes MNIST, and the digits."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    images = random.integers(0, 256, (TRAIN + TEST, 28, 28, 1), np.uint8)
    labels = random.integers(0, 10, TRAIN + TEST)
    parts = {"train": slice(TRAIN), "test": slice(TRAIN, None)}
    builder = tfds.dataset_builders.TfDataBuilder(
        name="mnist",
        version="3.0.1",
        data_dir=folder,
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
        ),
        split_datasets={
            name: tf.data.Dataset.from_tensor_slices({"image": images[part], "label": labels[part]})
            for name, part in parts.items()
        },
    )
    builder.download_and_prepare()
    return folder, images[..., 0], labels


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy of it to break; returns the data_dir and the folder of the files."""
    shutil.copytree(prepared[0], tmp_path / "data")
    return tmp_path / "data", tmp_path / "data" / "mnist" / "3.0.1"


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """The first thing a download does fails the test."""
    import requests

    monkeypatch.setattr(requests, "head", lambda *_, **__: pytest.fail("asked the network"))


def test_a_whole_folder_is_read(prepared):
    folder, images, labels = prepared
    digits, place = load_tfds(folder, download=False)
    assert place == str(folder / "mnist" / "3.0.1") and digits.train == TRAIN
    order = [np.lexsort(each.reshape(len(each), -1).T) for each in (images, digits.images)]  # TFDS shuffles
    np.testing.assert_array_equal(images[order[0]], digits.images[order[1]])
    np.testing.assert_array_equal(labels[order[0]], digits.labels[order[1]])


def cut(path, part):
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])


def records(path, keep):
    """Leaves the first records of a file, whole: nothing in the file itself says that some are missing."""
    kept = list(tf.data.TFRecordDataset(str(path)).take(keep).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in kept:
            writer.write(record)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def without(path, key):
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda folder: next(folder.glob("mnist-test*")).unlink(),
        lambda folder: next(folder.glob("mnist-train*")).unlink(),
        lambda folder: cut(next(folder.glob("mnist-train*")), 0.6),
        lambda folder: cut(next(folder.glob("mnist-train*")), 0.0),
        lambda folder: records(next(folder.glob("mnist-train*")), TRAIN - 2),
        lambda folder: flip(next(folder.glob("mnist-train*"))),
        lambda folder: cut(folder / "dataset_info.json", 0.5),
        lambda folder: (folder / "dataset_info.json").write_text("[]"),
        lambda folder: without(folder / "dataset_info.json", "splits"),
        lambda folder: cut(folder / "features.json", 0.5),
        lambda folder: (folder / "features.json").unlink(),
    ],
    ids=[
        "no test file", "no training file", "a file cut short", "an empty file", "a file of fewer digits",
        "a wrong bit", "half a description", "another description", "no splits", "half the features", "no features",
    ],
)  # fmt: skip
def test_a_broken_folder_is_named_and_what_to_do(copy, break_it):
    data_dir, folder = copy
    break_it(folder)
    message = (
        rf"MNIST in '{folder}' is damaged or not whole: remove the folder .* or use source=\"sample\" .*\. Reading it"
    )
    with pytest.raises(OSError, match=message):
        load_tfds(data_dir)
    experiment = EXPERIMENTS["row-mnist"]
    with pytest.raises(UserError, match=message):
        load_data(type(experiment)(**{**vars(experiment), "source": "tfds", "data_dir": str(data_dir)}))


def test_what_an_interrupted_download_left_is_no_data(copy, prepared):
    """TFDS prepares in a folder `incomplete.*`, description and all, and renames it in the end."""
    data_dir, folder = copy
    left = folder.with_name("incomplete.1F2E3D_3.0.1")
    folder.rename(left)
    with pytest.raises(FileNotFoundError, match="MNIST is not prepared in data_dir"):
        load_tfds(data_dir, download=False)
    shutil.copytree(prepared[0] / "mnist" / "3.0.1", folder)
    cut(next(left.glob("mnist-train*")), 0.5)
    assert load_tfds(data_dir, download=False)[0].train == TRAIN


def test_tfds_names_its_incomplete_folders_as_we_think(tmp_path):
    from tensorflow_datasets.core.utils import incomplete_dir

    with incomplete_dir(str(tmp_path / "mnist" / "3.0.1")) as folder:
        pathlib.Path(folder, "dataset_info.json").write_text("{}")
        with pytest.raises(FileNotFoundError, match="is not prepared"):
            load_tfds(tmp_path, download=False)


@pytest.mark.parametrize(
    "error", [ConnectionResetError("reset by peer"), ValueError("a wrong checksum"), KeyError("x")]
)
def test_a_download_that_breaks_off(tmp_path, monkeypatch, error):
    """TFDS has errors of its own, of no common type."""
    import requests

    class Builder:
        def download_and_prepare(self):
            raise error

    class Answer:
        def raise_for_status(self):
            pass

    asked = []
    monkeypatch.setattr(requests, "head", lambda url, timeout: asked.append(url) or Answer())
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Builder())
    with pytest.raises(
        OSError, match=r"is not prepared in data_dir=.* and cannot be downloaded: give data_dir=.*said:"
    ):
        load_tfds(tmp_path)
    assert asked == [DOWNLOAD_URL] and not os.listdir(tmp_path)


def test_ctrl_c_in_a_download_stops(tmp_path, monkeypatch):
    import requests

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(requests, "head", stop)
    with pytest.raises(KeyboardInterrupt):
        load_tfds(tmp_path)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: sequential_mnist("tfds"), 'pip install tensorflow-datasets.*source="sample"'),
        (spoken_digits, r"spoken_digits needs TensorFlow Datasets: pip install \S+ \S+\. The import"),
    ],
)
def test_without_tensorflow_datasets_the_error_names_the_command(monkeypatch, make, message):
    import_it = builtins.__import__

    def without_tfds(name, *arguments, **settings):
        if name == "tensorflow_datasets":
            raise ModuleNotFoundError("No module named 'tensorflow_datasets'")
        return import_it(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without_tfds)
    with pytest.raises(ImportError, match=message):
        make()


@pytest.mark.parametrize("how", ["cut short", "a wrong bit", "an array missing"])
def test_a_damaged_sample_is_named_and_what_to_do(tmp_path, monkeypatch, how):
    packaged = resources.files("kernl_keras.data").joinpath(SAMPLE_FILE).read_bytes()
    path = tmp_path / SAMPLE_FILE
    path.write_bytes(packaged)
    if how == "cut short":
        cut(path, 0.9)
    elif how == "a wrong bit":
        flip(path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("note.txt", "no digits")
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    with pytest.raises(OSError, match=rf"{SAMPLE_FILE} cannot be read: .+ Install kernl_keras again\."):
        sequential_mnist()
