"""The rules compared with each other, task by task."""

import dataclasses

from kernl_keras.experiments.configs import ECG, EXPERIMENTS, SMNIST, SPOKEN_DIGITS

from .definition import Sweep, Variant, named, sweep
from .networks import BRIEF, ECG_128, EVERY_CONSTANT, LONG_ALIF, ROWS_LIF, SMALL, SMALL_ADLIF, SMNIST_ADLIF

TFDS = {"source": "tfds", "validate_every": 500}  # full MNIST, and how often a long run is validated
HALVES = named("KeRNL, window 419")


def rules(experiment, learning_rates, seeds=(0, 1, 2), window=64, **changes):
    """The sweep over the rules on an experiment. Of units without spikes, e-prop and RFLO are one rule."""
    experiment = dataclasses.replace(experiment, weight_decay=0.0, **changes)
    names = ["KeRNL, window 1", f"KeRNL, window {window}", "e-prop", "RFLO", "readout only", "backpropagation"]
    if experiment.cell == "leaky_rnn":
        names.remove("RFLO")
    variants = named(*names)
    name = f"rules-{experiment.name}"
    return Sweep(name, f"Every rule: {experiment.description}", experiment, variants, learning_rates, seeds)


def long_moved(
    name, what, variants, seeds, experiment=SMNIST, steps=50_000, pixels="784 pixels", rates=(2e-3,), **changes
):
    """A long run on pixels from nothing: digits that are moved, constants that learn."""
    moved = {"task_settings": {**experiment.task_settings, "shift": [1, 1]}, "learn": EVERY_CONSTANT, "steps": steps}
    moved |= {**TFDS, **changes}
    description = f"digits that are moved from the start, constants that learn, {steps:,} updates of {what}"
    return sweep(name, f"{pixels}, {description}", experiment, variants, rates, seeds, **moved)


WINDOWS = (
    *named("KeRNL, window 64, linear memory", "backpropagation", "truncated backpropagation, window 64"),
    *named("KeRNL, window 1", "KeRNL, window 64", "e-prop", "RFLO", "readout only"),
    *named("e-prop, window 64, linear memory"),
    *named("truncated backpropagation, window 98"),  # with as many numbers as window 64 and its linear memory
    Variant("KeRNL, window T/2", "kernl", layer={"window": 419}),
)
DECAYING = tuple(
    dataclasses.replace(row, name=f"{row.name}, weight decay", changes={"weight_decay": 1.0}) for row in WINDOWS
)
MEMORY = (
    *named("KeRNL, window 16, linear memory", "e-prop, window 16, linear memory"),
    *named("truncated backpropagation, window 16"),
    *named("KeRNL, window 64, linear memory", "e-prop, window 64, linear memory"),
    *named("truncated backpropagation, window 64", "e-prop", "backpropagation"),
    *named("KeRNL, window 64", "e-prop, window 64"),  # exact traces
)
ROWS = named(  # four windows in a sequence
    "KeRNL, window 7, linear memory",
    "KeRNL, window 7",
    "KeRNL, window 1",
    "e-prop, window 7, linear memory",
    "e-prop",
    "truncated backpropagation, window 7",
    "backpropagation",
    "readout only",
)


def adding(steps, **changes):
    """The adding problem over more steps; the units' time constants grow with the sequences."""
    base, factor = EXPERIMENTS["adding"], steps / 100
    periods = [factor * period for period in base.cell_settings["period"]]
    return dataclasses.replace(
        base,
        name=f"adding-{steps}",
        description=f"The adding problem over {steps} steps",
        task_settings={**base.task_settings, "steps": steps},
        cell_settings={**base.cell_settings, "tau": factor * base.cell_settings["tau"], "period": periods},
        **changes,
    )


LONG_SUMS = named("KeRNL, window 64", "KeRNL, window 64, linear memory", "e-prop", "backpropagation")
STILL = named("KeRNL, window 64", "e-prop", "backpropagation")
HEARTBEATS = (
    *named("KeRNL, window 64", "KeRNL, window 1", "e-prop", "RFLO", "readout only", "backpropagation"),
    *(dataclasses.replace(v, name=f"{v.name}, constants stand still", changes={"learn": []}) for v in STILL),
)

WORDS = (
    *named("KeRNL, window 1", "KeRNL, window 16", "e-prop"),
    Variant("e-prop, words are not moved", "eprop", changes={"task_settings": {"seconds": 1.0}}),
    *named("RFLO", "readout only", "backpropagation"),
)

STRINGS = (
    *named("KeRNL, window 1", "KeRNL, window 64", "e-prop", "truncated backpropagation, window 1"),
    *named("truncated backpropagation, window 16", "backpropagation", "readout only"),
)

BORDER = "What crosses a window's border"
SWEEPS = (
    rules(SMALL, (2e-3, 5e-3, 1e-2)),
    rules(EXPERIMENTS["psmnist"], (1e-3, 2e-3, 5e-3), source="tfds", steps=2_000, validate_every=1_000),
    rules(EXPERIMENTS["row-mnist"], (2e-3, 5e-3, 1e-2), window=14, source="tfds", epochs=1),
    rules(EXPERIMENTS["adding"], (1e-3, 3e-3, 1e-2), epochs=2),
    rules(EXPERIMENTS["adding-spiking"], (1e-3, 3e-3), (0, 1), epochs=1),
    rules(EXPERIMENTS["smnist-rate"], (2e-3, 5e-3), (0,), **BRIEF),
    rules(SMNIST_ADLIF, (2e-3, 4e-3), (0,)),
    sweep("memory-rows-lif", f"Linear memory: {ROWS_LIF.description}", ROWS_LIF, ROWS, (1e-3, 2e-3, 5e-3)),
    sweep("adding-500", "The adding problem over 500 steps", adding(500), LONG_SUMS, (1e-3, 3e-3), (0, 1), epochs=2),
    sweep(
        "ecg-all",
        "Heartbeats, 128 units, trained on all 618 sequences after all is chosen",
        ECG_128,
        HEARTBEATS,
        (ECG.learning_rate,),
        task_settings={**ECG.task_settings, "validation": 0},
    ),
    sweep(
        "ecg-200",
        "Heartbeats, 200 units, trained on all 618 sequences after all is chosen",
        ECG,
        named("KeRNL, window 64", "e-prop", "backpropagation"),
        (ECG.learning_rate,),
        task_settings={**ECG.task_settings, "validation": 0},
    ),
    sweep(
        "anbn",
        "A^n B^n, LSTM units",
        EXPERIMENTS["anbn"],
        STRINGS,
        (5e-3, 1e-2, 2e-2),
        epochs=None,
        steps=1_000,
        validate_every=500,
    ),
    sweep(
        "spoken-digits",
        "Spoken digits",  # the recordings as they are, without poor copies of them
        SPOKEN_DIGITS,
        WORDS,
        (2e-3, 5e-3, 1e-2),
        task_settings={"seconds": 1.0, "shift": [8, 1]},
        epochs=20,
    ),
    Sweep(
        "spoken-digits-all",
        "Spoken digits, trained on the validation part too after all is chosen",
        dataclasses.replace(SPOKEN_DIGITS, task_settings={**SPOKEN_DIGITS.task_settings, "validation": 0}),
        WORDS[1:2],
        (5e-3,),
    ),
    Sweep(
        "smnist-alif-8000",
        "Adaptive thresholds, 784 pixels, 8,000 steps",
        LONG_ALIF,
        named("KeRNL", "backpropagation"),
        (3e-3,),
        (0,),
    ),
    sweep("windows", f"{BORDER}, 2,000 updates", SMNIST, WINDOWS, (1e-3, 2e-3, 4e-3), steps=2_000, **TFDS),
    sweep("windows-decay", f"{BORDER}, 2,000 updates", SMNIST, DECAYING, (1e-3, 2e-3, 4e-3), steps=2_000, **TFDS),
    sweep("windows-20000-decay", f"{BORDER}, 20,000 updates", SMNIST, DECAYING, (1e-3,), (0,), steps=20_000, **TFDS),
    sweep(
        "memory-smnist14-adlif",
        f"Linear memory: {SMALL_ADLIF.description}",
        SMALL_ADLIF,
        MEMORY,
        (2e-3, 5e-3, 1e-2),
        sensitivity_every=4,
    ),
    long_moved("smnist-50000", "KeRNL", HALVES, (1, 2)),
    long_moved("smnist-50000-backpropagation", "backpropagation", named("backpropagation"), (1,)),
    long_moved(
        "smnist-linear",
        "KeRNL in linear memory",
        named("KeRNL, window 64, linear memory"),
        (0,),
        steps=35_000,
        weight_decay=1.0,
        sensitivity_every=8,
        validate_every=1_000,
    ),
    long_moved(
        "psmnist-56000",
        "KeRNL",
        HALVES,
        (0, 1),
        EXPERIMENTS["psmnist"],
        56_000,
        "784 pixels in a random order",
        weight_decay=1.0,
        validate_every=1_000,
    ),
    long_moved(
        "smnist-adlif-28000",
        "KeRNL",
        HALVES,
        (0, 1),
        SMNIST_ADLIF,
        28_000,
        "AdLIF units, 784 pixels",
        rates=(4e-3,),
        learn=SMNIST_ADLIF.learn,
        weight_decay=1.0,
        validate_every=1_000,
    ),
)
