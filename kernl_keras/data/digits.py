"""MNIST digits in memory: a packaged sample, so that everything runs without a download, or all 70,000."""

from importlib import resources
from typing import NamedTuple

import numpy as np

from ..archives import read_arrays
from .tfds_folder import Source, read_from_folder

SAMPLE_FILE = "mnist_sample.npz"
DOWNLOAD_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz"
MNIST = Source(
    name="mnist",
    title="MNIST",
    asked_by='source="tfds"',
    url=DOWNLOAD_URL,
    what_to_do="give data_dir=... (--data-dir) of a folder with a prepared copy (it holds mnist/3.0.1), "
    'or use source="sample" (--data sample)',  # --: on the command line
    instead=' (or use source="sample")',
)


class Digits(NamedTuple):
    """MNIST digits; those of the official training set come before those of the official test set."""

    images: np.ndarray  # uint8 [N, 28, 28]
    labels: np.ndarray  # int32 [N]
    train: int  # how many of them are of the training set


def load_sample():
    """The packaged `Digits`; example i shows digit i % 10, so that any slice is balanced.

    The file holds two streams: `ink`, the grey values above 0, and `runs`, the lengths of the runs of pixels, in turn
    without and with ink. Deflate packs them 12 % smaller than the pixels themselves.

    Raises:
        OSError: the file is damaged; the message names it.
    """
    file = read_arrays(resources.files(__package__).joinpath(SAMPLE_FILE), "Install kernl_keras again.")
    runs = file["runs"]
    pixels = np.zeros(runs.sum(), np.uint8)  # [N * 784]
    pixels[np.repeat(np.arange(runs.size) % 2 == 1, runs)] = file["ink"]
    return Digits(pixels.reshape(-1, 28, 28), file["labels"].astype(np.int32), int(file["train"]))


def load_tfds(data_dir=None, download=True):
    """All `Digits` in the order in which TFDS stores them, and their folder; errors as of `read_from_folder`."""
    return read_from_folder(MNIST, _read_digits, data_dir, download)


def _read_digits(builder):
    """The `Digits`; a `ValueError` where they are not all there."""
    parts = [builder.as_dataset(split=split, batch_size=-1, shuffle_files=False) for split in ("train", "test")]
    images = np.concatenate([part["image"].numpy()[..., 0] for part in parts])
    labels = np.concatenate([part["label"].numpy() for part in parts]).astype(np.int32)
    expected = sum(builder.info.splits[split].num_examples for split in ("train", "test"))
    if not len(labels) == expected > 0 or images.shape[1:] != (28, 28):
        raise ValueError(f"it holds images {images.shape} of {expected} digits")
    return Digits(images, labels, len(parts[0]["label"]))
