"""Experiments that only sweeps have: smaller digits, and longer runs."""

import dataclasses
import math

from kernl_keras.experiments.configs import (
    ECG,
    EXPERIMENTS,
    RESONATORS,
    SMNIST,
    SMNIST_ALIF,
    TAU_A,
    TAU_M,
    normal,
    spread,
)

EVERY_CONSTANT = ["tau_m", "period", "tau_a", "base_threshold", "adaptation_strength", "tau_out"]

# 14 x 14 pixels, one a step: a quarter of the steps. Periods about that of a row, 14 ms.
SMALL = dataclasses.replace(
    SMNIST,
    name="smnist14",
    weight_decay=0.0,
    description="MNIST of 14 x 14 pixels, one a step",
    source="tfds",
    task_settings={"layout": "pixels", "size": 14, "context_steps": 20},
    encoder_settings={**SMNIST.encoder_settings, "context_switch": 196},  # type: ignore[dict-item]  # not None here
    cell_settings={**RESONATORS, "tau_m": 150.0, "period": spread(6.0, 21.0)},
    steps=800,
    validate_every=800,
)
SMALL_ALIF = dataclasses.replace(
    SMALL,
    name="smnist14-alif",
    description="The same, leaky units of which half adapt their threshold",
    cell="lif",
    cell_settings={**SMNIST_ALIF.cell_settings, "tau_m": 20.0},
    rule_settings=SMNIST_ALIF.rule_settings,
    sensitivity_every=1,
)

# Rows of 28 pixels, which such units learn.
ROWS_LIF = dataclasses.replace(
    EXPERIMENTS["row-mnist"],
    name="rows-lif",
    description="MNIST row by row, leaky units of which half adapt their threshold",
    source="tfds",
    cell="lif",
    cell_settings={**SMNIST_ALIF.cell_settings, "tau_m": 10.0, "tau_a": 30.0},
    rule_settings={},
    epochs=1,
)

# Fewer units than the experiment has.
ECG_128 = dataclasses.replace(
    ECG,
    cell_settings={
        **dict(ECG.cell_settings, units=128, period=spread(20.0, 800.0, count=128, units=128)),
        "recurrent_initializer": normal(0.3 / math.sqrt(128)),
    },
    readout_settings={**ECG.readout_settings, "kernel_initializer": normal(1 / 128)},
)

SMNIST_ADLIF = dataclasses.replace(EXPERIMENTS["smnist-adlif"], source="tfds", steps=2_000, validate_every=500)
SMALL_PERIODS = spread(28.0, 420.0, count=200)
SMALL_COUPLING = [(2.0 * math.pi / period) ** 2 * tau_m * TAU_A for period, tau_m in zip(SMALL_PERIODS, TAU_M)]
SMALL_ADLIF = dataclasses.replace(
    SMNIST_ADLIF,
    name="smnist14-adlif",
    description="The same, leaky units with an adaptation current",
    task_settings=SMALL.task_settings,
    encoder_settings=SMALL.encoder_settings,
    cell_settings={
        **SMNIST_ADLIF.cell_settings,
        "coupling": SMALL_COUPLING,
        "adaptation_strength": [5.0 * coupling for coupling in SMALL_COUPLING],
    },
    steps=800,
    validate_every=800,
)
# The best of short runs. With a damping of 0.3 the gradient of backpropagation explodes after 1,000 updates.
LONG_ALIF = dataclasses.replace(
    SMNIST_ALIF,
    source="tfds",
    cell_settings={**SMNIST_ALIF.cell_settings, "surrogate": "gaussian", "surrogate_damping": 0.1},
    learn=["tau_m", "tau_a", "base_threshold", "adaptation_strength", "tau_out"],
    rule_settings={**SMNIST_ADLIF.rule_settings},
    sensitivity_every=4,
    steps=8_000,
    validate_every=500,
)

BRIEF = {"source": "tfds", "steps": 1_000, "validate_every": 500}  # two minutes a run
