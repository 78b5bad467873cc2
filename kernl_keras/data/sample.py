"""The packaged sample: a few thousand real MNIST digits, so that everything runs without a download."""

from importlib import resources
from typing import NamedTuple

import numpy as np

from ..archives import read_arrays

SAMPLE_FILE = "mnist_sample.npz"


class Digits(NamedTuple):
    """MNIST digits in memory.

    Attributes:
        images: uint8 [N, 28, 28], the digits of the official training set before those of the official test set.
        labels: int32 [N].
        train: int, how many of them are of the training set.
    """

    images: np.ndarray
    labels: np.ndarray
    train: int


def load_sample():
    """Reads the packaged digits; example i shows digit i % 10, so that any slice is balanced.

    The file holds two streams: `ink`, the grey values above 0, and `runs`, the lengths of the runs of pixels, in turn
    without and with ink. Deflate packs them 12 % smaller than the pixels themselves.

    Returns:
        A `Digits`.

    Raises:
        OSError: the file is damaged; the message names it.
    """
    file = read_arrays(resources.files(__package__).joinpath(SAMPLE_FILE), "Install kernl_keras again.")
    runs, ink, labels, train = file["runs"], file["ink"], file["labels"], int(file["train"])
    inked = np.repeat(np.arange(runs.size) % 2 == 1, runs)  # [N * 784]
    pixels = np.zeros(inked.size, np.uint8)
    pixels[inked] = ink
    return Digits(pixels.reshape(-1, 28, 28), labels.astype(np.int32), train)
