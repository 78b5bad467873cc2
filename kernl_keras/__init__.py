"""Recurrent spiking and rate networks for Keras that learn online by KeRNL, Kernel RNN Learning."""

from . import data, naive
from .callbacks.alignment import GradientAlignment
from .callbacks.tensorboard import KeRNLTensorBoard
from .cells.context import ContextCell
from .cells.input import InputSpikingCell
from .cells.rate import KeRNLRNNCell
from .cells.readout import ReadoutCell
from .cells.resonator import KeRNLResonatorCell
from .cells.spiking import KeRNLSpikingCell
from .experiments.pretrained import load_pretrained
from .initializers import LogUniform
from .interchange.one_step import one_step
from .interchange.to_nir import to_nir
from .layers.encoder import SpikeEncoder
from .layers.kernl import KeRNL
from .layers.readout import Readout
from .layers.window import WindowMean
from .training.alignment import gradient_alignment
from .training.model import KeRNLModel
from .version import __version__

__all__ = [
    "ContextCell",
    "GradientAlignment",
    "InputSpikingCell",
    "KeRNL",
    "KeRNLModel",
    "KeRNLRNNCell",
    "KeRNLResonatorCell",
    "KeRNLSpikingCell",
    "KeRNLTensorBoard",
    "LogUniform",
    "Readout",
    "ReadoutCell",
    "SpikeEncoder",
    "WindowMean",
    "__version__",
    "data",
    "gradient_alignment",
    "load_pretrained",
    "naive",
    "one_step",
    "to_nir",
]
