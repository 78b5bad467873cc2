"""Files of a run directory: written whole or not at all, by one process at a time, with errors that say what to do."""

import contextlib
import json
import os

from ..whole_files import PART, whole

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CONFIG, RESULTS, MODEL, BACKUP, EVENTS = "config.json", "results.json", "model.keras", "backup.npz", "tensorboard"
GOOD_COPY = "Put a good copy of it there, or train again in another --run-dir."  # what to do with a damaged file


class UserError(Exception):
    """An error that the user can put right; the message says how."""


@contextlib.contextmanager
def as_user_error(*kinds):
    """Turns errors of some kinds, or a `ValueError` where none is named, into a `UserError` with their message."""
    kinds = kinds or (ValueError,)
    try:
        yield
    except kinds as error:
        raise UserError(str(error)) from error


@contextlib.contextmanager
def explained(problem, advice=""):
    """Turns an `OSError` into a `UserError`: what could not be done, why, and what to do, a sentence."""
    try:
        yield
    except OSError as error:
        reason = str(error.strerror or error).rstrip(".")
        raise UserError(f"{problem}: {reason}. {advice}".strip()) from error


def remove_parts(folder):
    """Removes the half-written files of a process that was killed."""
    for part in folder.glob(f"{PART}*"):
        part.unlink()


def write_json(path, content):
    """Writes a dict as JSON, for people to read."""
    with as_user_error(OSError), whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path):
    """The dict in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def alone(run_dir):
    """Keeps other runs out of a directory; a `UserError` where another process holds it.

    The kernel holds the lock, on the directory itself, and frees it when the process ends, however it ends. Where there
    are no such locks (Windows, some network file systems) runs are not kept apart.
    """
    if fcntl is None:
        yield
        return
    with explained(f"{run_dir} cannot be read"):
        descriptor = os.open(run_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{run_dir} is in use by a run in another process: wait for its end, or name another --run-dir."
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)
