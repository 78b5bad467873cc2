"""Files of a run directory, each of them replaced whole or not at all."""

import contextlib
import json
import os

CONFIG, RESULTS, MODEL, BACKUP, EVENTS = "config.json", "results.json", "model.keras", "backup.npz", "tensorboard"


@contextlib.contextmanager
def whole(path):
    """Gives the path of a file to write, which takes the place of `path` when all of it is written.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.txt")
    >>> with whole(path) as part:
    ...     _ = part.write_text("all of it")
    >>> path.read_text()
    'all of it'
    """
    part = path.with_name(f".part-{path.name}")  # the ending stays: Keras asks for .keras, NumPy for .npz
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path, content):
    """Writes a dict as JSON, for people to read."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path):
    """The dict in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
