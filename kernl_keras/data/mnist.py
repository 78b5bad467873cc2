"""MNIST read as a sequence: one pixel, or one row of pixels, a time step; a packaged sample, or all 70,000 digits."""

import os
from importlib import resources
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from ..archives import read_arrays
from ..checks import flag, integer, one_of
from .augment import check_moves, largest_moves, shifted
from .batches import SequenceData, array_data, counted, held_out
from .tfds_folder import Source, read_from_folder

SAMPLE_FILE = "mnist_sample.npz"
MNIST = Source(
    name="mnist",
    title="MNIST",
    asked_by='source="tfds"',
    url="https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
    what_to_do="give data_dir=... (--data-dir) of a folder with a prepared copy (it holds mnist/3.0.1), "
    'or use source="sample" (--data sample)',  # --: on the command line
    instead=' (or use source="sample")',
)


class Digits(NamedTuple):
    """MNIST digits; those of the official training set come before those of the official test set."""

    images: np.ndarray  # uint8 [N, 28, 28]
    labels: np.ndarray  # int32 [N]
    train: int  # how many of them are of the training set


def sequential_mnist(
    source: Literal["sample", "tfds"] = "sample",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    validation: int | None = None,
    layout: Literal["pixels", "rows"] = "pixels",
    size: Literal[28, 14] = 28,
    order: Literal["row", "permuted"] = "row",
    permutation_seed: int = 92916,
    context_steps: int = 54,
    shift: tuple[int, int] = (0, 0),
    batch_size: int = 25,
    seed: int = 0,
    repeat: bool = False,
    skip_batches: int = 0,
) -> SequenceData:
    """Handwritten digits, one pixel per time step, followed by some steps to answer in.

    Each step of x holds a pixel in [0, 1] (0 in the context steps) and the context input, which is 1 at every step and
    which a `ContextCell` counts: x [B, 784 + context_steps, 2]. With `layout="rows"` a step holds a whole row of
    pixels: x [B, 28 + context_steps, 29]. With `context_steps=0` there is no context input.

    Args:
        source: "sample" for the digits that come with the package (7,000 of MNIST's training set and 1,000 of its test
            set, 700 and 100 of each class), or "tfds" for all 70,000, through TensorFlow Datasets.
        data_dir: folder of prepared TensorFlow Datasets; None for `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.
            Only for "tfds".
        download: bool, whether "tfds" may download MNIST (11 MB) if it is not in `data_dir`. If it is there, the
            network is not used.
        validation: int, how many digits are held out from the end of the training set, whatever the seed. None for 500
            of the sample or 5,000 of all MNIST; 0 for no validation part.
        layout: "pixels" (784 steps of one pixel) or "rows" (28 steps of 28 pixels).
        size: 28, or 14 for digits of 14 x 14 pixels, each the mean of four: a quarter of the steps.
        order: "row", from the top left to the bottom right, or "permuted", one fixed random order of the pixels for all
            digits.
        permutation_seed: int, the seed of that order alone. The default is that of published code for permuted MNIST.
        context_steps: int, steps after the last pixel.
        shift: two int, R and C. Each time it is trained on, a training digit is moved by up to R rows of pixels, up or
            down, and by up to C columns, left or right; what moves in is black. This holds for every layout and order.
        batch_size: int, B.
        seed: int, the seed of the order of the training digits and of their moves, and of nothing else.
        repeat: bool. False: `train` is one epoch, and each pass over it has the order of the next. True: it is an
            endless stream of the same epochs.
        skip_batches: int, starts the endless stream where it would be after that many batches, at no cost. It needs
            repeat=True.

    Returns:
        `SequenceData` of x float32 [B, T, I] and y int32 [B]. Training batches are full: each epoch leaves out the few
        digits that do not fill a batch, and not always the same ones. The last batch of the other parts may be smaller.

    Raises:
        ValueError: an argument is out of range.
        ImportError, FileNotFoundError, OSError: "tfds" is not installed, not prepared, or cannot be downloaded; the
            message says what to do.

    Example:
        >>> import kernl_keras as kk
        >>> data = kk.data.sequential_mnist(batch_size=25)
        >>> data.steps_per_epoch
        Splits(train=260, validation=20, test=40)
        >>> x, y = next(iter(data.train))
        >>> x.shape, y.shape
        (TensorShape([25, 838, 2]), TensorShape([25]))

    References:
        LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition" (MNIST);
        Le, Jaitly, Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units" (pixel by
        pixel, and permuted).
    """
    one_of("source", source, ("sample", "tfds"))
    one_of("layout", layout, ("pixels", "rows"))
    one_of("size", size, (28, 14))
    one_of("order", order, ("row", "permuted"))
    context_steps = integer("context_steps", context_steps, low=0)
    permutation_seed = integer("permutation_seed", permutation_seed, low=0)
    largest = largest_moves(shift, ("rows", "columns"))
    check_moves(largest, (size, size), ("rows", "columns"), "digit")

    if source == "sample":
        digits, default = load_sample(), 500
        description = "the sample of real MNIST digits that comes with kernl_keras"
    else:
        digits, folder = read_from_folder(MNIST, read_digits, data_dir, flag("download", download))
        default = 5000
        description = f"MNIST through TensorFlow Datasets, read from {folder}"
    examples = held_out(default if validation is None else validation, digits.train, len(digits.labels), "digits")

    images = digits.images
    if size == 14:
        means = images.reshape(-1, 14, 2, 14, 2).astype("float32").mean((2, 4))
        images = np.round(means).astype(images.dtype)
    # RandomState, unlike NumPy's newer generators, promises the same stream in every version
    places = np.random.RandomState(permutation_seed).permutation(size**2)

    def as_sequences(x):
        """From pictures [B, size, size] to [B, T, I]."""
        if order == "permuted":
            x = tf.gather(tf.reshape(x, (-1, size**2)), places, axis=1)
        x = tf.reshape(x, (-1, size**2, 1) if layout == "pixels" else (-1, size, size)) / 255
        if context_steps:
            x = tf.pad(x, [[0, 0], [0, context_steps], [0, 0]])
            x = tf.pad(x, [[0, 0], [0, 0], [0, 1]], constant_values=1)
        return x

    return array_data(
        images,
        digits.labels,
        examples,
        f"{description}: {counted(examples)}",
        augment=(lambda x, key: shifted(x, largest, key)) if any(largest) else None,
        finish=as_sequences,
        **dict(batch_size=batch_size, seed=seed, repeat=repeat, skip_batches=skip_batches),
    )


def load_sample():
    """The packaged `Digits`; example i shows digit i % 10, so that any slice is balanced.

    The file holds two streams: `ink`, the grey values above 0, and `runs`, the lengths of the runs of pixels, in turn
    without and with ink. Deflate packs them 12 % smaller than the pixels themselves.
    """
    file = read_arrays(resources.files(__package__).joinpath(SAMPLE_FILE), "Install kernl_keras again.")
    runs = file["runs"]
    pixels = np.zeros(runs.sum(), np.uint8)  # [N * 784]
    pixels[np.repeat(np.arange(runs.size) % 2 == 1, runs)] = file["ink"]
    return Digits(pixels.reshape(-1, 28, 28), file["labels"].astype(np.int32), int(file["train"]))


def read_digits(builder):
    """All `Digits` of a builder of TFDS, in its order; a `ValueError` where they are not all there."""
    parts = [builder.as_dataset(split=split, batch_size=-1, shuffle_files=False) for split in ("train", "test")]
    images = np.concatenate([part["image"].numpy()[..., 0] for part in parts])
    labels = np.concatenate([part["label"].numpy() for part in parts]).astype(np.int32)
    expected = sum(builder.info.splits[split].num_examples for split in ("train", "test"))
    if not len(labels) == expected > 0 or images.shape[1:] != (28, 28):
        raise ValueError(f"it holds images {images.shape} of {expected} digits")
    return Digits(images, labels, len(parts[0]["label"]))
