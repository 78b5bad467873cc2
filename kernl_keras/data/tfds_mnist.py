"""All 70,000 MNIST digits through TensorFlow Datasets."""

import numpy as np

from .sample import Digits
from .tfds_folder import Source, read_from_folder

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


def load_tfds(data_dir=None, download=True):
    """Reads MNIST in the order in which TFDS stores it.

    Args:
        data_dir, download: as of `read_from_folder`.

    Returns:
        A `Digits` and the folder it was read from.

    Raises:
        ImportError, FileNotFoundError, OSError: as `read_from_folder`.
    """
    return read_from_folder(MNIST, read_digits, data_dir, download)


def read_digits(builder):
    """The `Digits`; a `ValueError` where they are not all there."""
    parts = [builder.as_dataset(split=split, batch_size=-1, shuffle_files=False) for split in ("train", "test")]
    images = np.concatenate([part["image"].numpy()[..., 0] for part in parts])
    labels = np.concatenate([part["label"].numpy() for part in parts]).astype(np.int32)
    expected = sum(builder.info.splits[split].num_examples for split in ("train", "test"))
    if not len(labels) == expected > 0 or images.shape[1:] != (28, 28):
        raise ValueError(f"it holds images {images.shape} of {expected} digits")
    return Digits(images, labels, len(parts[0]["label"]))
