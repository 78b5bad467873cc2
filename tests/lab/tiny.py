"""A sweep whose runs take seconds: two rules, two learning rates, two seeds."""

import dataclasses

from kernl_keras.experiments.configs import EXPERIMENTS
from notebooks.lab.sweeps import Sweep, Variant

TINY = dataclasses.replace(
    EXPERIMENTS["adding"],
    task_settings={"steps": 6, "examples": 40, "validation": 8, "test": 8},
    cell_settings={"units": 3, "tau": 5.0, "activation": "relu"},
    batch_size=4,
    epochs=None,
    steps=4,
    jit_compile=False,
)
SWEEP = Sweep(
    "tiny",
    "Two rules",
    TINY,
    (Variant("KeRNL"), Variant("e-prop", "eprop", {"adaptation": False}, {"units": 4})),
    (1e-2, 1e-3),
    (0, 5),
)
