"""Sequences to learn from, as `tf.data` pipelines: digits read or spoken, heartbeats, sums, A^n B^n; and streams.

This subpackage stands alone: of the package it imports only top-level modules, such as the checks of arguments.
"""

from .batches import SequenceData, Splits, full_batches
from .drawn import adding_problem, anbn
from .ecg import ecg
from .mnist import sequential_mnist
from .spoken_digits import spoken_digits
from .stream import arrays, stream

__all__ = [
    "SequenceData", "Splits", "adding_problem", "anbn", "arrays", "ecg", "full_batches", "sequential_mnist",
    "spoken_digits", "stream",
]  # fmt: skip
