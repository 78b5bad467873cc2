"""The packaged heartbeats: what they are, and the pipelines of them."""

import hashlib
import pathlib
from importlib import resources

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.data.ecg import load_ecg

SHA256 = "d64819b37b67b9199ad31e5d0b97dec0720e277d7655d7b1877644420dcbf62e"


def test_the_recordings_are_those_that_were_packaged():
    recordings = load_ecg()
    assert recordings.crossings.shape == (759, 1301, 4) and recordings.crossings.dtype == np.int8
    classes = recordings.classes.astype(np.uint8)
    assert hashlib.sha256(recordings.crossings.tobytes() + classes.tobytes()).hexdigest() == SHA256
    assert set(np.unique(recordings.classes)) == set(range(6)) and recordings.train == 618
    assert (recordings.crossings[:, -1, 0] == -1).all() and (recordings.crossings[:, :-1] >= 0).all()
    counts = np.bincount(recordings.classes[:618].ravel())
    assert counts.max() / counts.sum() == pytest.approx(0.33, abs=0.01)  # the most frequent class


def test_the_licence_lies_beside_the_file():
    file = resources.files("kernl_keras.data").joinpath("ecg_qtdb.npz").read_bytes()
    licence = resources.files("kernl_keras.data").joinpath("ecg_qtdb.LICENSE.txt").read_text(encoding="utf-8")
    assert len(file) < 350_000 and SHA256 in licence
    assert "Open Data Commons Attribution" in licence and "Laguna" in licence and "Yin" in licence


def test_the_pipelines_are_the_recordings():
    recordings, data = load_ecg(), kk.data.ecg(batch_size=7, validation=20, seed=3)
    assert data.examples == (598, 20, 141) and (data.time_steps, data.features) == (1301, 4)
    for part, at in ((data.validation, slice(598, 618)), (data.test, slice(618, None))):
        x, y = (np.concatenate(each) for each in zip(*part.as_numpy_iterator()))
        np.testing.assert_array_equal(x, recordings.crossings[at])
        np.testing.assert_array_equal(y, recordings.classes[at])
    x, y = next(iter(data.train))
    assert x.shape == (7, 1301, 4) and y.shape == (7, 1301) and x.dtype == "float32" and y.dtype == "int32"
    known = {each.tobytes(): number for number, each in enumerate(recordings.crossings[:598])}
    for each, classes in zip(x.numpy(), y.numpy()):
        np.testing.assert_array_equal(classes, recordings.classes[known[each.astype(np.int8).tobytes()]])


def test_nothing_is_left_to_train_on():
    with pytest.raises(ValueError, match="validation must leave some of the 618 training sequences; received 618"):
        kk.data.ecg(validation=618)


def test_the_file_is_made_of_the_sources(tmp_path):
    """Where the sources are at hand: the same bytes."""
    source = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "ecg_qtdb"
    pytest.importorskip("scipy")
    if not source.is_dir():
        pytest.skip("the sources of the recordings are not here")
    from notebooks.lab.make_ecg import main

    assert main(["--source", str(source), "--output", str(tmp_path / "ecg.npz")]) == 0
    packaged = resources.files("kernl_keras.data").joinpath("ecg_qtdb.npz").read_bytes()
    assert (tmp_path / "ecg.npz").read_bytes() == packaged
