"""Sequences to learn from, as `tf.data` pipelines: digits read or spoken, heartbeats, sums, A^n B^n; and streams.

This subpackage stands alone: of the package it imports only the checks of arguments and archives, and uniform draws.
"""

from .adding import adding_problem
from .anbn import anbn
from .batches import SequenceData, Splits
from .ecg import ecg
from .full_batches import full_batches
from .mnist import sequential_mnist
from .spoken_digits import spoken_digits
from .stream import arrays, stream

__all__ = [
    "SequenceData",
    "Splits",
    "adding_problem",
    "anbn",
    "arrays",
    "ecg",
    "full_batches",
    "sequential_mnist",
    "spoken_digits",
    "stream",
]
