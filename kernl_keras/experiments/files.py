"""Files of a run directory, each of them replaced whole or not at all."""

import contextlib
import errno
import json
import os

from .errors import explained

CONFIG, RESULTS, MODEL, BACKUP, EVENTS = "config.json", "results.json", "model.keras", "backup.npz", "tensorboard"
PART = ".part-"  # begins the name of a file that is being written


@contextlib.contextmanager
def whole(path):
    """Gives the path of a file to write, which takes the place of `path` when all of it is written, and on the disk.

    So `path` holds the old or the new, and never a part, whether the writing fails, the process is killed or the power
    is cut; and of two files written in turn, the second is not there without the first.

    Raises:
        UserError: where it cannot be written, as on a full disk.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.txt")
    >>> with whole(path) as part:
    ...     _ = part.write_text("all of it")
    >>> path.read_text()
    'all of it'
    """
    part = path.with_name(f"{PART}{path.name}")  # the ending stays: Keras asks for .keras, NumPy for .npz
    try:
        with explained(f"{path} cannot be written", "What was there before still is."):
            yield part
            flush(part, os.O_RDWR)
            os.replace(part, path)
            if os.name != "nt":  # where a directory cannot be opened
                flush(path.parent, os.O_RDONLY)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def flush(path, mode):
    """Waits until the disk has the content of a file, or the names of a directory."""
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems know of no such thing
            raise
    finally:
        os.close(descriptor)


def remove_parts(folder):
    """Removes what a killed process had begun to write."""
    for part in folder.glob(f"{PART}*"):
        part.unlink()


def write_json(path, content):
    """Writes a dict as JSON, for people to read."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path):
    """The dict in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
