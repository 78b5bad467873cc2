"""Spoken digits: parts, speakers, padding and front end, on made-up recordings; and on the true ones where they are."""

import functools
import importlib
import os
import pathlib

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.data.spoken_digits import SPOKEN_DIGIT, read_recordings
from kernl_keras.data.tfds_folder import read_from_folder

from ..reference import made_up_recordings
from ..reference.tools import all_same
from .test_batches import moves

pytest.importorskip("tensorflow_datasets")
TAKES = 7


@pytest.fixture(scope="module")
def sounds():
    return made_up_recordings.recordings(TAKES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sounds):
    return made_up_recordings.write(tmp_path_factory.mktemp("data"), sounds)


@pytest.fixture(scope="module", autouse=True)
def read_once():
    module = importlib.import_module("kernl_keras.data.spoken_digits")  # `kk.data.spoken_digits` is the function
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_from_folder", functools.cache(module.read_from_folder))
        yield


def named(part, sounds):
    """The file names of a part, told by the sounds themselves: each ends its sequence, after silence."""
    known = {(sound / 2.0**15).astype("float32").tobytes(): name for name, sound in sounds.items()}
    names = []
    for x, y in part.as_numpy_iterator():
        for row, digit in zip(x[..., 0], y):
            names.append(known[row[np.flatnonzero(row)[0] :].tobytes()])
            assert int(names[-1][0]) == digit
    return names


def take(name):
    return int(name.removesuffix(".wav").rpartition("_")[2])


def test_the_test_part_is_that_of_the_data_set(folder, sounds):
    data = kk.data.spoken_digits(data_dir=folder, seconds=0.125, batch_size=7, validation=50)
    assert data.examples == (50, 50, 250) and (data.time_steps, data.features) == (1000, 1)
    test, validation = named(data.test, sounds), named(data.validation, sounds)
    assert sorted(test) == sorted(name for name in sounds if take(name) <= 4)
    assert sorted(validation) == sorted(name for name in sounds if take(name) == TAKES - 1)
    train = set(sum((named(data.train, sounds) for _ in range(4)), []))  # an epoch leaves out one recording
    assert train == {name for name in sounds if take(name) == TAKES - 2}


def test_a_speaker_left_out(folder, sounds):
    data = kk.data.spoken_digits(speaker="theo", data_dir=folder, seconds=0.125, batch_size=40)
    assert data.examples == (140, 140, 70) and "theo for testing" in data.description
    assert sorted(named(data.test, sounds)) == sorted(name for name in sounds if "theo" in name)
    train = named(data.train, sounds)
    assert len(train) == 120 and not [name for name in train + named(data.validation, sounds) if "theo" in name]


def test_of_a_long_recording_the_end_is_taken(folder, sounds):
    data = kk.data.spoken_digits(data_dir=folder, seconds=0.025, batch_size=10, validation=0)
    assert data.validation is None and data.time_steps == 200
    x, y = next(data.test.as_numpy_iterator())
    names = [f"{digit}_{speaker}_0.wav" for digit in range(2) for speaker in made_up_recordings.SPEAKERS]
    np.testing.assert_allclose(x[..., 0], [sounds[name][-200:] / 2.0**15 for name in names], rtol=1e-6)
    assert y.tolist() == [0] * 5 + [1] * 5


def test_the_front_end_is_applied_once(folder):
    front_end = kk.AudioEncoder(6, compression="log")
    settings = dict(data_dir=folder, seconds=0.1, batch_size=10, seed=4)
    calls = []
    data = kk.data.spoken_digits(front_end=lambda x: calls.append(len(x)) or front_end(x), **settings)
    assert calls == [250, 100] and (data.time_steps, data.features) == (10, 6)
    for part, of_sounds in zip(data[:3], kk.data.spoken_digits(**settings)):
        (x, y), (sound, digits) = (next(each.as_numpy_iterator()) for each in (part, of_sounds))
        np.testing.assert_allclose(x, front_end(sound), atol=1e-6)
        np.testing.assert_array_equal(y, digits)
    assert calls == [250, 100]


def test_shift_moves_training_words_in_time_and_over_bands(folder):
    settings = dict(data_dir=folder, front_end=kk.AudioEncoder(6, compression="log"), seconds=0.1, batch_size=10)
    plain, data = kk.data.spoken_digits(**settings), kk.data.spoken_digits(**settings, shift=[3, 1])
    x, moved = (next(each.train.as_numpy_iterator())[0] for each in (plain, data))
    assert all(moves(before, after, (3, 1)) for before, after in zip(x, moved)) and not np.array_equal(x, moved)
    for before, after in zip(plain[1:3], data[1:3]):  # validation and test
        all_same(next(iter(before)), next(iter(after)))


def test_poor_copies_are_trained_on_beside_the_recordings(folder, sounds):
    """Each recording is still there once, and its copies have noise, any level, and no sample beyond full scale."""
    settings = dict(data_dir=folder, seconds=0.125, batch_size=10)
    plain, data = kk.data.spoken_digits(**settings), kk.data.spoken_digits(**settings, poor_copies=3)
    assert plain.examples.train == 50 and data.examples == (200, *plain.examples[1:])
    for before, after in zip(plain[1:3], data[1:3]):
        all_same(kk.data.arrays(before), kk.data.arrays(after))
    (x, _), (clean, _) = kk.data.arrays(data.train), kk.data.arrays(plain.train)
    x, clean = x[..., 0], clean[..., 0]
    known = {row.tobytes() for row in clean}
    is_copy = np.array([row.tobytes() not in known for row in x])
    assert {row.tobytes() for row in x[~is_copy]} == known and is_copy.sum() == 150
    copies = x[is_copy]
    likeness = np.corrcoef(copies, clean)[:150, 150:]
    assert np.mean(likeness.max(1) > 0.9) > 0.9  # of a few the noise is loud
    originals = clean[likeness.argmax(1)]
    gains = np.abs(copies).max(1) / np.abs(originals).max(1)
    assert min(gains) < 0.15 and max(gains) > 3.0 and np.abs(copies).max() == 1.0
    begins = (originals != 0.0).argmax(1) - (copies != 0.0).argmax(1)
    assert min(begins) < 100 < max(begins)  # samples of noise before the word


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"poor_copies": -1}, "poor_copies must be an integer >= 0; received -1"),
        ({"shift": (1, 2, 3)}, r"shift must be two integers, of steps and of features; received \(1, 2, 3\)"),
        ({"shift": (800, 0)}, r"shift\[0\] must be less than the 800 steps of a sequence; received 800"),
        ({"shift": (8, 1)}, r"shift\[1\] must be less than the 1 features of a sequence; received 1"),
        ({"front_end": 3}, "front_end must be a layer, a function or None; received 3"),
        ({"front_end": kk.AudioEncoder(4, stateful=True)}, "front_end must not be stateful"),
        ({"front_end": lambda x: x[..., 0]}, r"front_end must return \[batch, time, features\]; rec.*\(250, 800\)"),
        ({"speaker": "anna"}, "speaker must be one of .*received 'anna'"),
        ({"seconds": 0.0}, "seconds must be > 0; received 0.0"),
        ({"seconds": 0.00013}, "seconds must be a whole number of samples, of 1/8000 s; received 0.00013"),
        ({"validation": -1}, "validation must be an integer >= 0; received -1"),
        ({"validation": 100}, "validation must leave some of the 100 training recordings; received 100"),
    ],
)
def test_bad_arguments(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        kk.data.spoken_digits(**{"data_dir": folder, "seconds": 0.1, **settings})


@pytest.mark.slow
def test_the_true_recordings():
    """What the data set says of itself: 50 takes of each digit by each speaker."""
    name = os.environ.get("KERNL_KERAS_DATA_DIR")
    if not name or not pathlib.Path(name, "spoken_digit").is_dir():
        pytest.skip("KERNL_KERAS_DATA_DIR names no folder of TensorFlow Datasets that holds spoken_digit")
    recordings, _ = read_from_folder(SPOKEN_DIGIT, read_recordings, name, download=False)
    assert len(recordings.sounds) == 2500 and np.bincount(recordings.digits).tolist() == [250] * 10
    assert {each: recordings.speakers.count(each) for each in made_up_recordings.SPEAKERS} == dict.fromkeys(
        made_up_recordings.SPEAKERS, 500
    )
    assert max(map(len, recordings.sounds)) == 18262 and sum(len(sound) > 8000 for sound in recordings.sounds) == 4
    data = kk.data.spoken_digits(front_end=kk.AudioEncoder(40), data_dir=name)
    assert data.examples == (2000, 250, 250) and (data.time_steps, data.features) == (100, 40)
    assert kk.data.spoken_digits(speaker="theo", data_dir=name).examples == (1800, 200, 500)
