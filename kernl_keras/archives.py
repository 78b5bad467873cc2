"""Zip archives, of arrays and of models: checked before anything is taken out of them; nothing is unpickled."""

import contextlib
import stat
import zipfile
import zlib

import numpy as np

# Errors of zipfile and NumPy for damaged files; an encrypted member raises a RuntimeError.
DAMAGE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, MemoryError, RuntimeError, ValueError)


@contextlib.contextmanager
def checked(path, advice=""):
    """Opens a zip archive after a check of all of its members.

    `path` may be one of `importlib.resources`. A file that cannot be read, is damaged or dangerous raises an `OSError`
    with its name and the `advice`, a sentence; so do such errors inside the block.
    """
    try:
        with path.open("rb") as stream:
            with zipfile.ZipFile(stream) as archive:
                check(archive)
            stream.seek(0)
            yield stream
    except DAMAGE as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"{path} cannot be read: {reason}. {advice}".strip()) from error


def check(archive):
    """Raises `zipfile.BadZipFile` for members that lead out of the archive, are there twice, or are damaged."""
    names = set()
    for member in archive.infolist():
        name = member.orig_filename
        absolute, up = name.startswith("/"), ".." in name.split("/")
        if absolute or up or set("\\:\0") & set(name) or not name or stat.S_ISLNK(member.external_attr >> 16):
            raise zipfile.BadZipFile(f"its member {name!r} leads out of it")
        if member.filename in names:
            raise zipfile.BadZipFile(f"its member {member.filename!r} is there twice")
        names.add(member.filename)
    if damaged := archive.testzip():
        raise zipfile.BadZipFile(f"its member {damaged!r} is damaged")


def read_arrays(path, advice=""):
    """All arrays of an `.npz` file, by name; an `OSError` as of `checked`, and for more than numbers and text."""
    with checked(path, advice) as stream, np.load(stream, allow_pickle=False) as content:
        arrays = dict(content)
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"its member {name!r} is no array")
        return arrays
