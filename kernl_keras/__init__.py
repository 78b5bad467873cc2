"""Recurrent spiking and rate networks for Keras that learn online by KeRNL, Kernel RNN Learning."""

from . import data, naive, rules
from .callbacks.alignment import GradientAlignment
from .callbacks.tensorboard import TensorBoard
from .cells.context import ContextCell
from .cells.input import InputSpikeCell
from .cells.leaky_rnn import LeakyRNNCell
from .cells.lif import LIFCell
from .cells.readout import ReadoutCell
from .cells.resonator import ResonatorCell
from .experiments.pretrained import load_pretrained
from .export.one_step import one_step
from .export.to_nir import to_nir
from .initializers import LogUniform
from .layers.encoder import SpikeEncoder
from .layers.readout import Readout
from .layers.rnn import RNN
from .layers.time_average import TimeAverage
from .training.alignment import gradient_alignment
from .training.model import Model
from .version import __version__

__all__ = [
    "ContextCell",
    "GradientAlignment",
    "InputSpikeCell",
    "RNN",
    "Model",
    "LeakyRNNCell",
    "ResonatorCell",
    "LIFCell",
    "TensorBoard",
    "LogUniform",
    "Readout",
    "ReadoutCell",
    "SpikeEncoder",
    "TimeAverage",
    "__version__",
    "data",
    "gradient_alignment",
    "load_pretrained",
    "naive",
    "one_step",
    "rules",
    "to_nir",
]
