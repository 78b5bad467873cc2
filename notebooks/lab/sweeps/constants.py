"""Which constants learn beside the weights, and what that gains."""

import dataclasses

from kernl_keras.experiments.build import CELLS
from kernl_keras.experiments.configs import EXPERIMENTS

from .definition import Sweep, Variant
from .networks import SMALL

OSCILLATION = ["tau_m", "period"]
EVERY_CONSTANT = [*OSCILLATION, "tau_a", "base_threshold", "adaptation_strength", "tau_out"]


def constants(experiment, learning_rates, **changes):
    """The sweep over what learns besides the weights."""
    experiment = dataclasses.replace(experiment, **changes)
    cell = CELLS[experiment.cell](**experiment.cell_settings)
    time = OSCILLATION if "period" in cell.LEARNABLE else ["tau_m"]
    rest = ["base_threshold", *["tau_a", "adaptation_strength"] * cell.adapts, *["tau_s"] * (cell.tau_s is not None)]
    learn = {"none learns": [], "time constants learn": [*time, "tau_out"], "all learn": [*time, *rest, "tau_out"]}
    variants = tuple(Variant(name, changes={"learn": names}) for name, names in learn.items())
    name, words = f"constants-{experiment.name}", f"Which constants learn: {experiment.description}"
    return Sweep(name, words, experiment, variants, learning_rates, (0, 1))


def wrong(factor):
    """The cell of `SMALL` with its time constants and periods times a factor. A period has more than two steps."""
    periods = [max(2.1, factor * period) for period in SMALL.cell_settings["period"]]
    return {"tau_m": factor * SMALL.cell_settings["tau_m"], "period": periods}


WRONG = tuple(
    Variant(f"constants times {word}, {does}", cell=wrong(factor), changes={"learn": learn})
    for word, factor in (("0.2", 0.2), ("1", 1.0), ("5", 5.0))
    for does, learn in (("stand still", []), ("learn", EVERY_CONSTANT))
)

SWEEPS = (
    constants(SMALL, (2e-3, 5e-3)),
    constants(EXPERIMENTS["adding-spiking"], (1e-3, 3e-3), epochs=1),
    Sweep(
        "wrong-constants",
        "Time constants and periods that begin wrong",
        SMALL,
        WRONG,
        (2e-3, 5e-3),
        (0, 1),
    ),
)
