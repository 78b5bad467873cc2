"""Where a result came from: versions, the source's git revision, the machine, and all that decides its last bits."""

import os
import pathlib
import platform
import subprocess
import sys

import numpy as np
import tensorflow as tf

from ..keras_version import keras
from ..version import __version__

# What decides the last bits of a run besides its configuration and its seed, and how to have it as it was: in which
# order sums are added and how each is rounded. A spiking network turns a last bit into a spike more or less.
ADVICE = {
    "threads": "give --threads {}",
    "tensorflow": "install tensorflow {}",
    "keras": "install keras {}",
    "TF_ENABLE_ONEDNN_OPTS": "set TF_ENABLE_ONEDNN_OPTS={}",
    "XLA_FLAGS": "set XLA_FLAGS='{}'",
    "device": "compute on {}",
    "processor": "compute on {}",
    "instructions": "compute on a processor with {}",
}


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
    return _processor_entry("model name") or platform.processor()


def _processor_entry(name):
    """The value that Linux has for the first processor under a name; nothing elsewhere."""
    if not os.path.exists("/proc/cpuinfo"):
        return ""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def git_revision(file=__file__):
    """The commit of the checkout that tracks `file`, "-dirty" after it if tracked files were changed; None without.

    `notebooks/results` does not count: a program that writes results there does not change what the next one computes.
    """
    file = pathlib.Path(file).resolve()

    def git(*arguments):
        command = ["git", "--no-optional-locks", "-C", file.parent, *arguments]
        return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        changed = git(
            "status", "--porcelain", "--untracked-files=no", "--", ":(top)", ":(top,exclude)notebooks/results"
        )
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def computed_with():
    """`{name: value}` of all in `ADVICE`."""
    flags = _processor_entry("flags").split()
    threads = tf.config.threading.get_intra_op_parallelism_threads()  # that share one operation
    return {
        "threads": threads or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or cores(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "device": devices(),
        "processor": processor(),
        # those on several numbers at once sum in another order each
        "instructions": " ".join(sorted(flag for flag in flags if flag.startswith(("amx", "avx", "fma")))),
    }


def going_on_with(before):
    """Warns of what is not as it was when a run goes on; returns the list of its `computed_with` with today's."""
    last, now = before[-1], computed_with()
    for name in (name for name in now if now[name] != last.get(name)):
        advice = ADVICE[name].format(last.get(name))
        print(
            f"Warning    {name} was {last.get(name)!r}, now {now[name]!r}: the run goes on, but does not end with the "
            f"same bits as if it had never stopped. For these, {advice}.",
            file=sys.stderr,
        )
    return before if now == last else [*before, now]
