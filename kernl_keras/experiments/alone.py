"""One run a directory: a second one is told so, and does not touch it."""

import contextlib
import os

from .errors import UserError, explained

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def alone(run_dir):
    """Keeps other runs out of a directory.

    The kernel holds the lock, on the directory itself, and frees it when the process ends, however it ends: nothing is
    left behind that would have to be removed. Where there are no such locks (Windows, some network file systems) runs
    are not kept apart.

    Args:
        run_dir: `pathlib.Path` of a directory.

    Raises:
        UserError: where another process holds the directory.
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
