"""Files of a run directory, each of them replaced whole or not at all."""

import contextlib
import json

from .. import whole_files
from .errors import UserError

CONFIG, RESULTS, MODEL, BACKUP, EVENTS = "config.json", "results.json", "model.keras", "backup.npz", "tensorboard"


@contextlib.contextmanager
def whole(path):
    """`whole_files.whole`, whose complaint is a `UserError`."""
    try:
        with whole_files.whole(path) as part:
            yield part
    except OSError as error:
        raise UserError(str(error)) from error


def remove_parts(folder):
    """Removes what a killed process had begun to write."""
    for part in folder.glob(f"{whole_files.PART}*"):
        part.unlink()


def write_json(path, content):
    """Writes a dict as JSON, for people to read."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path):
    """The dict in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
