"""Sequences to learn from, as `tf.data` pipelines: digits pixel by pixel, heartbeats, the adding problem, and A^n B^n.

The room stands apart: it imports nothing of the package but the checks of arguments and of archives.
"""

from .adding import adding_problem
from .anbn import anbn
from .ecg import ecg
from .full_batches import full_batches
from .mnist import sequential_mnist
from .stream import SequenceData, Splits

__all__ = ["SequenceData", "Splits", "adding_problem", "anbn", "ecg", "full_batches", "sequential_mnist"]
