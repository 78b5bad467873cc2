"""Makes `mnist_sample.npz`, the packaged digits, from a prepared TensorFlow Datasets copy of MNIST.

    python -m notebooks.lab.make_sample --data-dir DIR

The first digits of each class are taken, in the order in which TensorFlow Datasets stores them. No pixel is changed.
Running it again writes the same bytes (with the same zlib).
"""

import io
import pathlib
import sys
import zipfile

import numpy as np

from kernl_keras import data
from kernl_keras.data.mnist import MNIST, SAMPLE_FILE, read_digits
from kernl_keras.data.tfds_folder import read_from_folder

from .options import Command

TRAIN_PER_CLASS = 700
TEST_PER_CLASS = 100


def first_of_each_class(labels, per_class):
    """Positions [10 * per_class] of the first digits of each class, ordered 0, 1, ..., 9, 0, 1, ..."""
    return np.stack([np.flatnonzero(labels == digit)[:per_class] for digit in range(10)], axis=1).ravel()


def run_lengths(inked):
    """Lengths uint8 of the runs of False and True in turn; a longer run is cut by an empty one of the other kind."""
    edges = np.flatnonzero(np.diff(inked, prepend=False, append=not inked[-1]))
    lengths = np.diff(edges, prepend=0)
    return np.array([part for length in lengths for part in [255, 0] * (length // 255) + [length % 255]], np.uint8)


def sample_arrays(digits):
    """The arrays of the file, by name."""
    train = first_of_each_class(digits.labels[: digits.train], TRAIN_PER_CLASS)
    test = first_of_each_class(digits.labels[digits.train :], TEST_PER_CLASS)
    chosen = np.concatenate([train, digits.train + test])
    pixels = digits.images[chosen].ravel()
    return {
        "runs": run_lengths(pixels > 0),
        "ink": pixels[pixels > 0],
        "labels": digits.labels[chosen].astype(np.uint8),
        "train": np.array(len(train), np.uint16),
        "index": np.concatenate([train, test]).astype(np.uint16),  # position in its TensorFlow Datasets split
    }


def write_npz(path, arrays):
    """`numpy.savez_compressed`, packed as small as deflate can, with nothing in it that changes from run to run."""
    with zipfile.ZipFile(path, "w") as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, the default
            entry.create_system = 3  # alike on every system
            file.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def run(options, about):
    """Reads MNIST and writes the sample."""
    digits, _ = read_from_folder(MNIST, read_digits, options.data_dir, download=False)
    arrays = sample_arrays(digits)
    write_npz(options.output, arrays)
    print(f"{options.output}: {len(arrays['labels'])} digits in {options.output.stat().st_size:,} bytes")


main = Command("make_sample", __doc__, run)
main.option("--data-dir", required=True, metavar="DIR", help="folder of prepared TensorFlow Datasets")
main.option("--output", type=pathlib.Path, default=pathlib.Path(data.__file__).with_name(SAMPLE_FILE), metavar="FILE")

if __name__ == "__main__":
    sys.exit(main())
