"""The errors that a user can put right."""

import contextlib

GOOD_COPY = "Put a good copy of it there, or train again in another --run-dir."  # what to do with a damaged file


class UserError(Exception):
    """What the user can put right; the message says how."""


@contextlib.contextmanager
def as_user_error(*kinds):
    """Turns a `ValueError`, or what else is named, into a `UserError` with its message.

    Example:

    >>> with as_user_error():
    ...     raise ValueError("window must be >= 1; received 0.")
    Traceback (most recent call last):
    kernl_keras.experiments.errors.UserError: window must be >= 1; received 0.
    """
    try:
        yield
    except (ValueError, *kinds) as error:
        raise UserError(str(error)) from error


@contextlib.contextmanager
def explained(what, advice=""):
    """Turns an `OSError` into a `UserError` that says what could not be done, why, and what to do.

    Example:

    >>> with explained("nothing.txt cannot be read", "Write it first."):
    ...     _ = open("nothing.txt")
    Traceback (most recent call last):
    kernl_keras.experiments.errors.UserError: nothing.txt cannot be read: No such file or directory. Write it first.
    """
    try:
        yield
    except OSError as error:
        reason = str(error.strerror or error).rstrip(".")
        raise UserError(f"{what}: {reason}. {advice}".strip()) from error
