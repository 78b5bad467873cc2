"""Files that are replaced whole or not at all."""

import contextlib
import errno
import os

PART = ".part-"  # begins the name of a file that is being written


@contextlib.contextmanager
def whole(path):
    """Gives the path of a file to write, which takes the place of `path` when all of it is written, and on the disk.

    So `path` holds the old or the new, and never a part, whether the writing fails, the process is killed or the power
    is cut; and of two files written in turn, the second is not there without the first. An `OSError` where it cannot
    be written, as on a full disk, names the file.
    """
    part = path.with_name(f"{PART}{path.name}")  # the ending stays: Keras asks for .keras, NumPy for .npz
    try:
        yield part
        flush(part, os.O_RDWR)
        os.replace(part, path)
        if os.name != "nt":  # where a directory cannot be opened
            flush(path.parent, os.O_RDONLY)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path} cannot be written: {reason}. What was there before still is.") from error
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
