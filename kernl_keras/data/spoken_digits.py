"""Spoken digits: recordings of five speakers, as sound or as what a front end makes of it."""

import os
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from ..checks import flag, integer, number, one_of
from ..keras_version import keras
from .augment import check_moves, largest_moves, shifted
from .batches import SequenceData, array_data, counted, held_out
from .recording import loudness
from .tfds_folder import Source, read_from_folder

SPEAKERS = ("george", "jackson", "nicolas", "theo", "yweweler")
SAMPLING_RATE = 8000  # Hz
TEST_TAKES = 5  # of each digit and speaker; their file names end in _0 to _4
FULL_SCALE = 2.0**15  # of 16-bit sound
AT_ONCE = 250  # recordings that the front end gets in one call
GAIN = (-1.0, 0.7)  # of poor copies, power of 10: from a tenth to five times as loud
NOISE = (-2.5, -0.5)  # of poor copies, power of 10: its root mean square by that of the loudest 25 ms

SPOKEN_DIGIT = Source(
    name="spoken_digit",
    title="spoken_digit",
    asked_by="spoken_digits",
    url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz",
    what_to_do="give data_dir=... (--data-dir) of a folder with a prepared copy (it holds spoken_digit/1.0.9)",
    needs=("pydub", "pydub: pip install pydub, and on Python 3.13 audioop-lts as well"),
)


class Recordings(NamedTuple):
    """Recordings in the order of their takes, within a take of the digits, then of the speakers."""

    sounds: list  # of float32 [samples] in [-1, 1]
    digits: np.ndarray  # int32 [n]
    speakers: list  # of str
    takes: np.ndarray  # int [n], the last number of the file name: 0 to 49


def spoken_digits(
    *,
    front_end: Callable[[Any], Any] | None = None,
    speaker: Literal["george", "jackson", "nicolas", "theo", "yweweler"] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    validation: int | None = None,
    seconds: float = 1.0,
    shift: tuple[int, int] = (0, 0),
    poor_copies: int = 0,
    batch_size: int = 16,
    seed: int = 0,
    repeat: bool = False,
    skip_batches: int = 0,
) -> SequenceData:
    """The Free Spoken Digit Dataset: 2,500 recordings of "zero" to "nine" by five speakers, at 8 kHz.

    All sequences have one length. A recording is preceded by silence: it ends with the last step, where recurrent
    networks in Keras answer. Of those longer than `seconds`, 4 of 2,500 with the default, the beginning is left out.

    Args:
        front_end: a layer or function from sound [n, samples, 1] to sequences [n, T, I], such as `AudioEncoder(40)`. It
            is applied once to all recordings, and what it makes of them is kept in memory. None for the sound itself,
            [B, 8000 * seconds, 1] in [-1, 1].
        speaker: the one whose 500 recordings make the test part. None for the test part of the data set itself: the
            first 5 of the 50 takes of each digit and speaker (file names that end in _0 to _4).
        data_dir, download: as in `sequential_mnist`, of 10 MB.
        validation: int, how many recordings are held out from the end of the training set, the last takes of each digit
            and speaker. None for 5 takes, which are 250 recordings, or 200 with a `speaker` left out; 0 for no
            validation part.
        seconds: length of the sequences; a whole number of samples.
        shift: two int, S and F. Each time it is trained on, a training sequence is moved by up to S steps, earlier or
            later, and by up to F features, such as the bands of a front end, up or down; what moves in is zero.
        poor_copies: int, how many copies of each training recording are trained on beside it, each as a poor recorder
            makes it: at random from a tenth to five times as loud, cut off at full scale, with white noise 10 to 50 dB
            below its loudest 25 ms. The noise begins at a random time before the word, or with it.
        batch_size: int, B.
        seed: int, the seed of the order of the training recordings, of their moves and of their copies.
        repeat, skip_batches: as in `sequential_mnist`.

    Returns:
        `SequenceData` of x float32 [B, T, I] and y int32 [B].

    Raises:
        ValueError: an argument is out of range, or `front_end` is stateful or returns something else than sequences.
        ImportError, FileNotFoundError, OSError: the recordings are not prepared and cannot be downloaded, or what TFDS
            needs to prepare them is not installed; the message says what to do.

    Example (the recordings are not part of the package):
        >>> import kernl_keras as kk
        >>> kk.data.spoken_digits(data_dir="nowhere", download=False)
        Traceback (most recent call last):
        FileNotFoundError: spoken_digit is not prepared in data_dir='nowhere' (download=False): ...

    References:
        Jackson et al. 2018, "Jakobovski/free-spoken-digit-dataset: v1.0.8", which defines the test part.
    """
    if front_end is not None and not callable(front_end):
        raise ValueError(f"front_end must be a layer, a function or None; received {front_end!r}.")
    if getattr(front_end, "stateful", False):
        raise ValueError("front_end must not be stateful: recordings do not go on one another; received stateful=True.")
    if speaker is not None:
        one_of("speaker", speaker, SPEAKERS)
    samples = number("seconds", seconds, above=0.0) * SAMPLING_RATE
    if samples != round(samples):
        raise ValueError(f"seconds must be a whole number of samples, of 1/8000 s; received {seconds!r}.")
    largest = largest_moves(shift, ("steps", "features"))
    validation = None if validation is None else integer("validation", validation, low=0)
    copies = integer("poor_copies", poor_copies, low=0)

    recordings, folder = read_from_folder(SPOKEN_DIGIT, read_recordings, data_dir, flag("download", download))
    tested = is_test(recordings, speaker)
    order, train = np.argsort(tested, kind="stable"), int(np.sum(~tested))
    if validation is None:
        validation = min(50 * (5 if speaker is None else 4), train // 2)
    examples = held_out(validation, train, len(order), "recordings")
    trained = order[: examples.train]
    order = np.concatenate([*[trained] * copies, order])  # copies, recordings, those held out, those for testing
    examples = examples._replace(train=(1 + copies) * len(trained))

    x = padded([recordings.sounds[number] for number in order], round(samples))
    spoil(x[: copies * len(trained)], np.random.default_rng(seed))
    with tf.device("CPU"):  # a GPU would round otherwise
        x = encoded(x, front_end)
    check_moves(largest, x.shape[1:], ("steps", "features"), "sequence")
    return array_data(
        x,
        recordings.digits[order],
        examples,
        f"spoken digits, {f'{speaker} for testing' if speaker else 'all speakers'}, read from {folder}: "
        f"{counted(examples)}",
        augment=(lambda x, key: shifted(x, largest, key)) if any(largest) else None,
        **dict(batch_size=batch_size, seed=seed, repeat=repeat, skip_batches=skip_batches),
    )


def read_recordings(builder):
    """The `Recordings` of a builder of TFDS; a `ValueError` where they are not all there."""
    rows = []
    for each in builder.as_dataset(split="train", shuffle_files=False).as_numpy_iterator():
        name = each["audio/filename"].decode()
        digit, speaker, take = re.fullmatch(r"(\d)_([a-z]+)_(\d+)\.wav", name).groups()
        rows.append((int(take), int(digit), speaker, (each["audio"] / FULL_SCALE).astype(np.float32)))
    expected = builder.info.splits["train"].num_examples
    if not len(rows) == expected > 0:
        raise ValueError(f"it holds {len(rows)} of {expected} recordings")
    takes, digits, speakers, sounds = zip(*sorted(rows, key=lambda each: each[:3]))
    return Recordings(list(sounds), np.array(digits, np.int32), list(speakers), np.array(takes))


def is_test(recordings, speaker):
    """True where a recording is for testing [n]: those of the speaker, or the first takes of all."""
    if speaker is None:
        return recordings.takes < TEST_TAKES
    return np.array(recordings.speakers) == speaker


def padded(sounds, samples):
    """[n, samples, 1], each sound at the end; of a longer one the end."""
    return keras.utils.pad_sequences(sounds, samples, "float32")[..., None]


def spoil(x, rng):
    """Makes each sound of x [n, samples, 1] one of a poor recorder, in place: noise, another level, full scale."""
    for sound in x[..., 0]:
        begin = int(rng.integers(0, np.argmax(sound != 0.0) + 1))
        noise = loudness(sound, SAMPLING_RATE).max() * 10.0 ** rng.uniform(*NOISE)
        sound[begin:] += noise * rng.normal(size=len(sound) - begin)
        np.clip(sound * 10.0 ** rng.uniform(*GAIN), -1.0, 1.0, out=sound)


def encoded(x, front_end):
    """The outputs of the front end for sounds x [n, samples, 1], float32 [n, T, I]."""
    if front_end is None:
        return x
    parts = [np.asarray(front_end(x[first : first + AT_ONCE]), np.float32) for first in range(0, len(x), AT_ONCE)]
    if any(part.ndim != 3 for part in parts) or sum(map(len, parts)) != len(x):
        raise ValueError(f"front_end must return [batch, time, features]; received shape {parts[0].shape}.")
    return np.concatenate(parts)
