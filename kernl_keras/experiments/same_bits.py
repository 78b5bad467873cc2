"""What decides the last bits of a run besides its configuration and its seed, and what to say where it has changed.

They decide in which order sums are added and how each sum is rounded. A spiking network turns a last bit into a spike
more or less, and after some steps into another run.
"""

import os
import sys

import tensorflow as tf

from ..keras_version import keras
from .provenance import cores, devices, instructions, processor

ADVICE = {  # what decides: how to have it as it was
    "threads": "give --threads {}",
    "tensorflow": "install tensorflow {}",
    "keras": "install keras {}",
    "TF_ENABLE_ONEDNN_OPTS": "set TF_ENABLE_ONEDNN_OPTS={}",
    "XLA_FLAGS": "set XLA_FLAGS='{}'",
    "device": "compute on {}",
    "processor": "compute on {}",
    "instructions": "compute on a processor with {}",
}


def computed_with():
    """`{name: value}` of all that decides."""
    return {
        "threads": threads(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "device": devices(),
        "processor": processor(),
        "instructions": instructions(),
    }


def threads():
    """The number of threads that share one operation."""
    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    return chosen or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or cores()


def going_on_with(before):
    """What a run that goes on is computed with; says what is not as it was.

    Args:
        before: list of the `computed_with` of a run so far, each of which differs from the one before.

    Returns:
        the list, with what is true now.
    """
    last, now = before[-1], computed_with()
    for name in (name for name in now if now[name] != last.get(name)):
        advice = ADVICE[name].format(last.get(name))
        print(
            f"Warning    {name} was {last.get(name)!r}, now {now[name]!r}: the run goes on, but does not end with the "
            f"same bits as if it had never stopped. For these, {advice}.",
            file=sys.stderr,
        )
    return before if now == last else [*before, now]
