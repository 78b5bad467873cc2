"""Recurrent spiking and rate networks for Keras that learn online by KeRNL, Kernel RNN Learning."""

import importlib
from typing import TYPE_CHECKING

from . import quiet, rules  # noqa: F401, quiet before anything that imports TensorFlow
from .cells.adlif import AdLIFCell
from .cells.input import ContextCell, InputSpikeCell
from .cells.leaky_rnn import LeakyRNNCell
from .cells.lif import LIFCell
from .cells.lstm import LSTMCell
from .cells.readout import ReadoutCell
from .cells.resonator import ResonatorCell
from .cells.unit import Unit
from .initializers import LogSpaced, LogUniform
from .layers.audio import AudioEncoder
from .layers.encoder import SpikeEncoder
from .layers.readout import Readout
from .layers.rnn import RNN
from .layers.time_average import TimeAverage
from .regularizers import FiringRate
from .training.model import Model
from .version import __version__

if TYPE_CHECKING:
    from . import data, naive
    from .callbacks.alignment import GradientAlignment
    from .callbacks.stream_backup import StreamBackup
    from .callbacks.stream_monitor import StreamMonitor
    from .callbacks.tensorboard import TensorBoard
    from .experiments.pretrained import load_pretrained
    from .export.learner import learner
    from .export.one_step import one_step
    from .export.to_nir import to_nir
    from .training.alignment import gradient_alignment
else:
    ON_FIRST_USE = {  # public name: its module, which building and training a model do not need
        "GradientAlignment": ".callbacks.alignment",
        "StreamBackup": ".callbacks.stream_backup",
        "StreamMonitor": ".callbacks.stream_monitor",
        "TensorBoard": ".callbacks.tensorboard",
        "data": ".data",
        "gradient_alignment": ".training.alignment",
        "learner": ".export.learner",
        "load_pretrained": ".experiments.pretrained",
        "naive": ".naive",
        "one_step": ".export.one_step",
        "to_nir": ".export.to_nir",
    }

    def __getattr__(name):
        """Imports what is not there yet."""
        if name not in ON_FIRST_USE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(ON_FIRST_USE[name], __name__)
        globals()[name] = value = getattr(module, name, module)  # a room is its own value
        return value

    def __dir__():
        """The public names, whether they are there yet or not."""
        return sorted(__all__)


__all__ = [
    "AudioEncoder", "ContextCell", "FiringRate", "GradientAlignment", "InputSpikeCell", "RNN", "Model", "LeakyRNNCell",
    "ResonatorCell", "AdLIFCell", "LIFCell", "LSTMCell", "Unit", "TensorBoard", "LogSpaced", "LogUniform", "Readout",
    "ReadoutCell", "SpikeEncoder", "StreamBackup", "StreamMonitor", "TimeAverage", "__version__", "data",
    "gradient_alignment", "learner", "load_pretrained", "naive", "one_step", "rules", "to_nir",
]  # fmt: skip
