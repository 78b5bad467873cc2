"""The sweeps: which runs are compared with each other."""

import dataclasses

from . import ablations, layers, rules
from .definition import ADAFACTOR, Sweep, Variant

__all__ = ["SWEEPS", "Sweep", "Variant"]

# In these M learned by Adafactor. All others find it by least squares, as the experiments do now; of LSTM units, as in
# `anbn`, least squares find no M.
BY_ADAFACTOR = """
anbn smnist-alif-8000 smnist-50000 smnist-50000-backpropagation smnist-linear psmnist-56000 smnist-adlif-28000
""".split()

SWEEPS = {sweep.name: sweep for module in (rules, ablations, layers) for sweep in module.SWEEPS}
for name in BY_ADAFACTOR:
    experiment = dataclasses.replace(SWEEPS[name].experiment, **ADAFACTOR)
    SWEEPS[name] = dataclasses.replace(SWEEPS[name], experiment=experiment)
