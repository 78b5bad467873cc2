"""Where a result came from: versions, the source's git revision, the machine."""

import os
import pathlib
import platform
import subprocess

import numpy as np
import tensorflow as tf

from ..keras_version import keras
from ..version import __version__


def versions():
    """The versions that decide a result, by name."""
    return {
        "kernl_keras": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def devices():
    """The kind of device that computes, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    return f"{len(gpus)} GPU" if gpus else "CPU"


def processor():
    """The kind of processor, in words."""
    return of_processor("model name") or platform.processor()


def instructions():
    """The processor's instructions on several numbers at once, which sum in another order each; in words."""
    return " ".join(sorted(flag for flag in of_processor("flags").split() if flag.startswith(("amx", "avx", "fma"))))


def of_processor(name):
    """What Linux says of the first processor under a name; nothing elsewhere."""
    if not os.path.exists("/proc/cpuinfo"):
        return ""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def git_revision(file=__file__):
    """The commit of the checkout that `file` belongs to, "-dirty" after it where tracked files were changed.

    None outside a checkout, in one that does not track the file (an environment inside another project), and where
    there is no git.
    """
    file = pathlib.Path(file).resolve()
    try:
        _git(file.parent, "ls-files", "--error-unmatch", file.name)
        return _git(file.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder, *arguments):
    return subprocess.run(
        ["git", "-C", folder, *arguments], check=True, capture_output=True, encoding="utf-8"
    ).stdout.strip()
