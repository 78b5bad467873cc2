"""All 70,000 MNIST digits through TensorFlow Datasets (TFDS); the network is touched only to download them once."""

import os

import numpy as np
import tensorflow as tf

from .sample import Digits

# Where TFDS gets MNIST from. Asked first whether it answers, because TFDS itself would retry for minutes.
DOWNLOAD_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz"
WHAT_TO_DO = (  # --: on the command line
    "give data_dir=... (--data-dir) of a folder with a prepared copy (it holds mnist/3.0.1), "
    'or use source="sample" (--data sample)'
)


def load_tfds(data_dir=None, download=True):
    """Reads MNIST in the order in which TFDS stores it.

    Args:
        data_dir: folder of prepared datasets; None is TFDS' own, `~/tensorflow_datasets` or `TFDS_DATA_DIR`.
        download: bool, whether TFDS may download and prepare MNIST in `data_dir` if it is not there.

    Returns:
        A `Digits` and the folder it was read from.

    Raises:
        ImportError: TensorFlow Datasets is not installed.
        FileNotFoundError: MNIST is not prepared in `data_dir` and `download=False`.
        OSError: MNIST cannot be downloaded, or what lies there is damaged.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            'source="tfds" needs TensorFlow Datasets: pip install tensorflow-datasets importlib_resources '
            f'(or use source="sample"). The import said: {error}'
        ) from error

    data_dir = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
    if not _prepared(data_dir):
        if not download:
            raise FileNotFoundError(f"MNIST is not prepared in data_dir={data_dir!r} (download=False): {WHAT_TO_DO}.")
        _download(tfds, data_dir)

    folder = _prepared(data_dir)[-1]
    return _read(tfds, folder), folder


def _prepared(data_dir):
    """Folders of prepared MNIST versions, the oldest first. An interrupted download leaves others, `incomplete.*`."""
    return sorted(
        map(os.path.dirname, tf.io.gfile.glob(os.path.join(data_dir, "mnist", "[0-9]*", "dataset_info.json")))
    )


def _read(tfds, folder):
    """The `Digits` in a folder; an `OSError` where they are not all there."""
    try:
        builder = tfds.builder_from_directory(
            folder
        )  # reads the folder alone; tfds.load may look for news in the cloud
        parts = [builder.as_dataset(split=split, batch_size=-1, shuffle_files=False) for split in ("train", "test")]
        images = np.concatenate([part["image"].numpy()[..., 0] for part in parts])
        labels = np.concatenate([part["label"].numpy() for part in parts]).astype(np.int32)
        expected = sum(builder.info.splits[split].num_examples for split in ("train", "test"))
        if not len(labels) == expected > 0 or images.shape[1:] != (28, 28):
            raise ValueError(f"it holds images {images.shape} of {expected} digits")
    except Exception as error:  # TFDS, TensorFlow and protobuf raise what they happen to meet
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise OSError(
            f"MNIST in {folder!r} is damaged or not whole: remove the folder to have it prepared anew, or "
            f"{WHAT_TO_DO}. Reading it said: {reason[0]}"
        ) from error
    return Digits(images, labels, len(parts[0]["label"]))


def _download(tfds, data_dir):
    import requests  # what TFDS downloads with: the same proxies and certificates

    try:
        requests.head(DOWNLOAD_URL, timeout=10).raise_for_status()
        tfds.builder("mnist", data_dir=data_dir).download_and_prepare()
    except Exception as error:  # the errors of TFDS' downloads, wrong checksums among them, have no type in common
        raise OSError(
            f"MNIST is not prepared in data_dir={data_dir!r} and cannot be downloaded: {WHAT_TO_DO}. "
            f"The download said: {error}"
        ) from error
