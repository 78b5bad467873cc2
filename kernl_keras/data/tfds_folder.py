"""Data sets of TensorFlow Datasets (TFDS) in a folder; the network is touched only to download what is not there."""

import importlib
import os
from typing import NamedTuple

import tensorflow as tf


class Source(NamedTuple):
    """A data set of TFDS, and the words of messages where it cannot be had."""

    name: str  # in TFDS, and of its folder
    title: str  # in messages
    asked_by: str  # the argument or function that asks for it
    url: str  # asked first whether it answers, because TFDS itself would retry for minutes
    what_to_do: str  # without it
    instead: str = ""  # of TFDS
    needs: tuple[str, str] | None = None  # (module, what to install) of what prepares it besides TFDS


def read_from_folder(source, read, data_dir=None, download=True):
    """A data set, which is downloaded and prepared first where it is not there, and the folder it was read from.

    `read` makes the data of TFDS' builder, and raises any error where they are not whole.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"{source.asked_by} needs TensorFlow Datasets: pip install tensorflow-datasets importlib_resources"
            f"{source.instead}. The import said: {error}"
        ) from error

    data_dir = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
    if not _prepared(source, data_dir):
        missing = f"{source.title} is not prepared in data_dir={data_dir!r}"
        if not download:
            raise FileNotFoundError(f"{missing} (download=False): {source.what_to_do}.")
        _prepare(source, tfds, data_dir, missing)

    folder = _prepared(source, data_dir)[-1]
    try:
        # It reads the folder alone; tfds.load may look for news in the cloud.
        return read(tfds.builder_from_directory(folder)), folder
    except Exception as error:  # TFDS, TensorFlow and protobuf raise what they happen to meet
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise OSError(
            f"{source.title} in {folder!r} is damaged or not whole: remove the folder to have it prepared anew, or "
            f"{source.what_to_do}. Reading it said: {reason[0]}"
        ) from error


def _prepared(source, data_dir):
    """Folders of prepared versions, the oldest first. An interrupted download leaves others, `incomplete.*`."""
    infos = tf.io.gfile.glob(os.path.join(data_dir, source.name, "[0-9]*", "dataset_info.json"))
    return sorted(map(os.path.dirname, infos))


def _prepare(source, tfds, data_dir, missing):
    import requests  # what TFDS downloads with: the same proxies and certificates

    if source.needs:
        module, what = source.needs
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ImportError(
                f"{missing}, and preparing it needs {what}; or {source.what_to_do}. The import said: {error}"
            ) from error
    try:
        requests.head(source.url, timeout=10).raise_for_status()
        tfds.builder(source.name, data_dir=data_dir).download_and_prepare()
    except Exception as error:  # the errors of TFDS' downloads, wrong checksums among them, have no type in common
        raise OSError(f"{missing} and cannot be downloaded: {source.what_to_do}. The download said: {error}") from error
