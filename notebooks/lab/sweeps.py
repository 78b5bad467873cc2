"""The sweeps: which runs are compared with each other, in one place."""

import dataclasses
import math

from kernl_keras.experiments.build import CELLS
from kernl_keras.experiments.configs import (
    ECG,
    EXPERIMENTS,
    RESONATORS,
    SMNIST,
    SMNIST_ALIF,
    SPOKEN_DIGITS,
    TAU_A,
    TAU_M,
    spread,
)
from kernl_keras.rules import Exponential, Membrane, Replica, Tangent, Twin
from kernl_keras.rules.settings import serialized


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of a table: what is changed in the sweep's experiment."""

    name: str
    rule: str | None = None  # another rule; its settings are then the variant's alone
    settings: dict = dataclasses.field(default_factory=dict)  # of the rule
    cell: dict = dataclasses.field(default_factory=dict)  # settings of the cell
    layer: dict = dataclasses.field(default_factory=dict)  # settings of `RNN`
    changes: dict = dataclasses.field(default_factory=dict)  # fields of `Experiment`

    def of(self, experiment):
        """The experiment with the changes."""
        base = experiment.with_rule(self.rule or experiment.rule)
        settings = {name: serialized(value) for name, value in self.settings.items()}
        return dataclasses.replace(
            base,
            rule_settings={**base.rule_settings, **settings},
            cell_settings={**base.cell_settings, **self.cell},
            layer_settings={**base.layer_settings, **self.layer},
            **self.changes,
        )


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Variants of one experiment, of which each takes the learning rate that is best on the validation data.

    The learning rate is chosen with the first seed; the other seeds run with the chosen one alone.
    """

    name: str
    description: str
    experiment: object  # `Experiment`
    variants: tuple
    learning_rates: tuple
    seeds: tuple = (0, 1, 2)
    former: tuple = ()  # names of rows that the results file still has, and no code makes any more


FORMER_RULES = {  # name of the variant: the rule, and its settings
    "KeRNL": ("kernl", {}),  # as the experiment has it
    "backpropagation": ("bptt", {}),
    "e-prop": ("eprop", {"adaptation": False}),
    "e-prop, adaptation": ("eprop", {"adaptation": True}),
    "RFLO": ("rflo", {}),
    "readout only": ("readout_only", {}),
}

# 14 x 14 pixels, one a step: a quarter of the steps. Periods about that of a row, 14 ms.
SMALL = dataclasses.replace(
    SMNIST,
    name="smnist14",
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
LONG = (Variant("KeRNL"), Variant("backpropagation", "bptt"))
CURRENTS = (
    Variant("KeRNL"),
    Variant("KeRNL, the membrane's kernel", settings={"kernel": "membrane"}),
    Variant("e-prop", "eprop"),
    Variant("backpropagation", "bptt"),
    Variant("readout only", "readout_only"),
)


def with_rmsprop(experiment, **changes):
    """The experiment with the optimizer of M that these sweeps were run with."""
    optimizer = {"sensitivity_optimizer": "RMSprop", "sensitivity_learning_rate": 1e-3}
    norm = experiment.optimizer_settings["global_clipnorm"]
    optimizer["sensitivity_optimizer_settings"] = {"global_clipnorm": norm}
    return dataclasses.replace(experiment, **optimizer, **changes)


def potential_alone(experiment, **changes):
    """The same when the threshold was no part of KeRNL's own traces either."""
    if experiment.rule == "kernl":
        changes["rule_settings"] = {**experiment.rule_settings, "adaptation": False}
    return with_rmsprop(experiment, **changes)


OSCILLATION = ["tau_m", "period"]
EVERY_CONSTANT = [*OSCILLATION, "tau_a", "base_threshold", "adaptation_strength", "tau_out"]

ABLATIONS = (
    Variant("KeRNL as it is"),
    Variant("M is never trained", settings={"learn_sensitivity": False}),
    Variant("M from zero", settings={"sensitivity_initializer": "zeros"}),
    Variant("M random, trained", settings={"sensitivity_initializer": "orthogonal"}),
    Variant("M random, never trained", settings={"sensitivity_initializer": "orthogonal", "learn_sensitivity": False}),
    Variant("M the identity, never trained", settings={"sensitivity_initializer": "local", "learn_sensitivity": False}),
    Variant("M learns at every step", changes={"sensitivity_every": 1}),
    Variant("M learns at every 16th step", changes={"sensitivity_every": 16}),
    Variant("a twin network, noise 0.1", settings={"perturbation": Twin(std=0.1)}),
    Variant("a replica", settings={"perturbation": Replica(std=0.1)}),
    Variant("learned kernel exp(-gamma d)", settings={"kernel": "exponential"}),
    Variant("the same, 2 kernels", settings={"kernel": Exponential(count=2)}),
    Variant("the same, 4 kernels", settings={"kernel": Exponential(count=4)}),
    Variant("the same, 8 kernels", settings={"kernel": Exponential(count=8)}),
    Variant("the threshold is no part of its traces", settings={"adaptation": False}),
    Variant("window 16", layer={"window": 16}),
    Variant("window 64", layer={"window": 64}),
    Variant("window 64, linear memory", layer={"window": 64, "traces": "linear"}),
    Variant("all constants learn", changes={"learn": EVERY_CONSTANT}),
    Variant("plain form, noise on the current", "plain_kernl", {"noise": "current"}),
    Variant("e-prop", "eprop"),
    Variant("backpropagation", "bptt"),
)


ALIF_ABLATIONS = (
    Variant("KeRNL, learned kernel"),
    Variant("its own kernel", settings={"kernel": "membrane"}),
    Variant("M is never trained", settings={"learn_sensitivity": False}),
    Variant("M from zero", settings={"sensitivity_initializer": "zeros"}),
    Variant("gamma frozen", settings={"kernel": Exponential(learn=False)}),
    Variant("the reset is not followed", settings={"reset_gradient": False}),
    Variant("2 kernels", settings={"kernel": Exponential(count=2)}),
    Variant("plain form, noise on the current", "plain_kernl", {"noise": "current"}),
    Variant("e-prop", "eprop", {"adaptation": False}),
    Variant("e-prop, adaptation and reset", "eprop", {"adaptation": True, "reset_gradient": True}),
    Variant("backpropagation", "bptt"),
)


def stacked(count, units=200, cell=None, **above):
    """What makes `count` layers of `SMALL`; `cell` and `above` are settings of the upper ones' cells and layers."""
    own = {"units": units, "period": spread(6.0, 21.0, units=units)}
    upper = {"cell": SMALL.cell, "cell_settings": {**SMALL.cell_settings, **own, **(cell or {})}, **above}
    return {"cell": own, "changes": {"above": [upper] * (count - 1)}}


LAYERS = (  # 331 units have as many weights as two layers of 200, and two layers of 124 as one of 200
    Variant("one layer of 200 units"),
    Variant("one layer of 331 units", **stacked(1, 331)),
    Variant("two layers of 124 units", **stacked(2, 124)),
    Variant("two layers of 200 units", **stacked(2)),
    Variant("the same, no recurrence in the upper one", **stacked(2, cell={"recurrent_connectivity": 0.0})),
    Variant("the same, normalized between", **stacked(2, normalization="batch")),
    Variant("the same, dropout of 20 % between", **stacked(2, dropout=0.2)),
    Variant("the same, e-prop in the upper one", **stacked(2, rule="eprop")),
    Variant("the same, window 64 in both", **stacked(2, layer_settings={"window": 64}), layer={"window": 64}),
    Variant("three layers of 200 units", **stacked(3)),
    Variant("one layer, backpropagation", "bptt"),
    Variant("two layers, backpropagation", "bptt", **stacked(2)),
)

OWN_STATE = (  # of units with an adaptation current
    Variant("KeRNL as it is"),
    Variant("the reset is followed", settings={"reset_gradient": True}),
    Variant("the membrane's kernel", settings={"kernel": "membrane"}),
    Variant("learned kernel exp(-gamma d)", settings={"kernel": "exponential"}),
    Variant("the current is no part of its traces", settings={"adaptation": False}),
    Variant("M is never trained", settings={"learn_sensitivity": False}),
    Variant("M from zero", settings={"sensitivity_initializer": "zeros"}),
    Variant("window 64", layer={"window": 64}),
    Variant("no constant learns", changes={"learn": []}),
    Variant("e-prop", "eprop"),
    Variant("e-prop, the reset is followed", "eprop", {"reset_gradient": True}),
    Variant("backpropagation", "bptt"),
)


def steps(optimizer, learning_rate, **settings):
    """The variant in which M and gamma have that optimizer."""
    changes = {"sensitivity_optimizer": optimizer, "sensitivity_learning_rate": learning_rate}
    return Variant(f"{optimizer} {learning_rate:g}", changes={**changes, "sensitivity_optimizer_settings": settings})


STEPS_OF_M = (
    steps("RMSprop", 1e-3, global_clipnorm=1.0),
    steps("RMSprop", 1e-4, global_clipnorm=1.0),
    steps("Adafactor", 2e-2, relative_step=False),
    steps("Adafactor", 5e-2, relative_step=False),
    steps("Adafactor", 1e-1, relative_step=False),  # the default of `Model.compile`, but for its epsilon
    steps("Adafactor", 2e-1, relative_step=False),
)
IN_PROPORTION = STEPS_OF_M[4].changes


def steps_of_m(experiment, learning_rate, **changes):
    """The sweep over how large M's steps are: all alike, or as large as M is."""
    experiment = with_rmsprop(experiment, **changes)
    name, words = f"steps-of-m-{experiment.name}", f"How large M's steps are: {experiment.description}"
    return Sweep(name, words, experiment, STEPS_OF_M, (learning_rate,), (0,))


def rules(experiment, learning_rates, seeds=(0, 1, 2), window=64, **changes):
    """The sweep over the rules on an experiment. Of units without spikes, e-prop and RFLO are one rule."""
    experiment = dataclasses.replace(experiment, **changes)
    variants = (
        Variant("KeRNL, window 1", "kernl"),
        Variant(f"KeRNL, window {window}", "kernl", layer={"window": window}),
        Variant("e-prop", "eprop"),
        *[Variant("RFLO", "rflo")] * (experiment.cell != "leaky_rnn"),
        Variant("readout only", "readout_only"),
        Variant("backpropagation", "bptt"),
    )
    name = f"rules-{experiment.name}"
    return Sweep(name, f"Every rule: {experiment.description}", experiment, variants, learning_rates, seeds)


def former_rules(experiment, learning_rates, seeds=(0,), **changes):
    """The same with KeRNL as it was when these were run, and e-prop without adaptation."""
    experiment = potential_alone(experiment, **changes)
    twins = set()
    if experiment.cell == "leaky_rnn":
        twins = {"e-prop, adaptation", "RFLO"}  # no threshold; psi and drive are one factor
    elif not CELLS[experiment.cell](**experiment.cell_settings).adapts:
        twins = {"e-prop, adaptation"}
    variants = tuple(Variant(name, *rule) for name, rule in FORMER_RULES.items() if name not in twins)
    name = f"rules-{experiment.name}"
    return Sweep(name, f"Every rule: {experiment.description}", experiment, variants, learning_rates, seeds)


def alone(name, seeds=(0, 1, 2), **changes):
    """KeRNL alone on an experiment as it is."""
    experiment = EXPERIMENTS[name]
    if experiment.task == "mnist":
        changes["source"] = "tfds"
    experiment = potential_alone(experiment, **changes)
    return Sweep(name, experiment.description, experiment, (Variant("KeRNL"),), (experiment.learning_rate,), seeds)


WINDOWS = (
    Variant("KeRNL, window 64, linear memory", "kernl", layer={"window": 64, "traces": "linear"}),
    Variant("backpropagation", "bptt"),
    Variant("truncated backpropagation, window 64", "bptt", layer={"window": 64}),
    Variant("KeRNL, window 1", "kernl"),
    Variant("KeRNL, window 64", "kernl", layer={"window": 64}),
    Variant("e-prop", "eprop"),
    Variant("RFLO", "rflo"),
    Variant("readout only", "readout_only"),
    Variant("truncated backpropagation, window 92", "bptt", layer={"window": 92}),  # with the memory of the linear form
    Variant("KeRNL, window T", "kernl", layer={"window": 838}),  # backpropagation, by another way
)


def adding(steps, learning_rates, seeds):
    """The rules on longer adding problems; the units' time constants grow with the sequences."""
    base, factor = EXPERIMENTS["adding"], steps / 100
    periods = [factor * period for period in base.cell_settings["period"]]
    experiment = with_rmsprop(
        base,
        name=f"adding-{steps}",
        description=f"The adding problem over {steps} steps",
        task_settings={**base.task_settings, "steps": steps},
        cell_settings={**base.cell_settings, "tau": factor * base.cell_settings["tau"], "period": periods},
        epochs=2,
    )
    variants = (
        Variant("KeRNL"),
        Variant("KeRNL, steps of M in proportion", changes=IN_PROPORTION),
        Variant("e-prop", "eprop"),
        Variant("backpropagation", "bptt"),
    )
    return Sweep(experiment.name, experiment.description, experiment, variants, learning_rates, seeds)


LEARNS = (  # which constants do, by e-prop, on the validation data
    Variant("none learns"),
    Variant("tau_out", changes={"learn": ["tau_out"]}),
    Variant("tau_m and period", changes={"learn": OSCILLATION}),
    Variant("tau_m, period, tau_out", changes={"learn": [*OSCILLATION, "tau_out"]}),
    Variant("threshold and adaptation", changes={"learn": ["tau_a", "base_threshold", "adaptation_strength"]}),
    Variant("all learn", changes={"learn": EVERY_CONSTANT}),
)


def constants(experiment, learning_rates, **changes):
    """The sweep over what learns besides the weights."""
    experiment = with_rmsprop(experiment, **changes)
    cell = CELLS[experiment.cell](**experiment.cell_settings)
    time = OSCILLATION if cell.oscillates else ["tau_m"]
    rest = ["base_threshold", *["tau_a", "adaptation_strength"] * cell.adapts, *["tau_s"] * (cell.tau_s is not None)]
    learn = {"none learns": [], "time constants learn": [*time, "tau_out"], "all learn": [*time, *rest, "tau_out"]}
    return Sweep(
        f"constants-{experiment.name}",
        f"Which constants learn: {experiment.description}",
        experiment,
        tuple(Variant(name, changes={"learn": names}) for name, names in learn.items()),
        learning_rates,
        (0, 1),
    )


def wrong(factor):
    """The cell of `SMALL` with its time constants and periods times a factor. A period has more than two steps."""
    periods = [max(2.1, factor * period) for period in SMALL.cell_settings["period"]]
    return {"tau_m": factor * SMALL.cell_settings["tau_m"], "period": periods}


WRONG = tuple(
    Variant(f"constants times {word}, {does}", cell=wrong(factor), changes={"learn": learn})
    for word, factor in (("0.2", 0.2), ("1", 1.0), ("5", 5.0))
    for does, learn in (("stand still", []), ("learn", EVERY_CONSTANT))
)

RESTARTS = (  # after how many steps the perturbation starts anew: M answers for a hop, not for a chain of them
    Variant("M learns over 30 steps", settings={"perturbation": Tangent(resync_every=30)}),
    Variant("M learns over 100 steps", settings={"perturbation": Tangent(resync_every=100)}),
    Variant(
        "without the slope, over 100 steps",
        settings={"perturbation": Tangent(resync_every=100), "kernel": Membrane(arrival=False)},
    ),
    Variant("M learns over all steps"),
)

STILL: dict = {"learn": []}
FEW = {"units": 36, "period": spread(20.0, 800.0, count=36, units=36)}
HEARTBEATS = (
    Variant("KeRNL, window 64", "kernl", layer={"window": 64}),
    Variant("KeRNL, window 64, 36 units", "kernl", layer={"window": 64}, cell=FEW),
    Variant("KeRNL, window 1", "kernl"),
    Variant("e-prop", "eprop"),
    Variant("RFLO", "rflo"),
    Variant("readout only", "readout_only"),
    Variant("backpropagation", "bptt"),
    Variant("KeRNL, window 64, constants stand still", "kernl", layer={"window": 64}, changes=STILL),
    Variant("e-prop, constants stand still", "eprop", changes=STILL),
    Variant("backpropagation, constants stand still", "bptt", changes=STILL),
)

AVERAGES = (  # chosen on the validation data
    Variant("cosine", changes={"schedule": "cosine", "optimizer_settings": {"global_clipnorm": 1.0}}),
    Variant("constant", changes={"optimizer_settings": {"global_clipnorm": 1.0}}),
    Variant("constant, averages of the weights"),
)

WORDS = (
    Variant("KeRNL, window 1"),
    Variant("KeRNL, window 16", layer={"window": 16}),
    Variant("KeRNL, window 16, linear memory", layer={"window": 16, "traces": "linear"}),
    Variant("e-prop", "eprop"),
    Variant("RFLO", "rflo"),
    Variant("truncated backpropagation, window 16", "bptt", layer={"window": 16}),
    Variant("backpropagation", "bptt"),
    Variant("readout only", "readout_only"),
)

STRINGS = (
    Variant("KeRNL, window 1", "kernl"),
    Variant("KeRNL, window 64", "kernl", layer={"window": 64}),
    Variant("e-prop", "eprop"),
    Variant("truncated backpropagation, window 1", "bptt", layer={"window": 1}),
    Variant("truncated backpropagation, window 16", "bptt", layer={"window": 16}),
    Variant("backpropagation", "bptt"),
    Variant("readout only", "readout_only"),
)

BRIEF = {"source": "tfds", "steps": 1_000, "validate_every": 500}  # two minutes a run

SWEEPS = {
    sweep.name: sweep
    for sweep in (
        alone("row-mnist", epochs=5),
        alone("row-mnist-rate", epochs=5),
        alone("adding"),
        alone("adding-200", (0,)),
        adding(500, (1e-3, 3e-3), (0, 1)),
        adding(1_000, (3e-3,), (0,)),
        alone("adding-spiking"),
        alone("adding-spiking-200", (0,)),
        rules(SMALL, (2e-3, 5e-3)),
        rules(EXPERIMENTS["row-mnist"], (2e-3, 5e-3), window=14, source="tfds", epochs=1),
        rules(EXPERIMENTS["adding"], (1e-3, 3e-3), epochs=2),
        rules(EXPERIMENTS["adding-spiking"], (1e-3, 3e-3), epochs=1),
        rules(EXPERIMENTS["psmnist"], (2e-3, 5e-3), source="tfds", steps=2_000, validate_every=1_000),
        former_rules(SMALL_ALIF, (3e-3, 1e-2), (0, 1)),
        former_rules(SMNIST, (2e-3,), source="tfds", steps=20_000, validate_every=1_000),  # half an hour a run
        former_rules(EXPERIMENTS["smnist-rate"], (2e-3, 5e-3), **BRIEF),
        former_rules(EXPERIMENTS["smnist-irnn"], (1e-5, 1e-4, 4e-4), **BRIEF),  # backpropagation explodes at the others
        Sweep(
            "rate-perturbation",
            "How far the perturbation of tanh units goes, 784 pixels",
            with_rmsprop(EXPERIMENTS["smnist-rate"], **BRIEF),
            RESTARTS,
            (2e-3,),
            (0,),
        ),
        Sweep("ecg", "Heartbeats", ECG, HEARTBEATS, (1e-2,)),
        Sweep(
            "ecg-all",
            "Heartbeats, trained on all 618 sequences after all is chosen",
            dataclasses.replace(ECG, task_settings={"validation": 0}),
            HEARTBEATS,
            (1e-2,),
        ),
        Sweep(
            "ecg-constants",
            "Which constants learn, heartbeats",
            with_rmsprop(
                ECG.with_rule("eprop"), learn=[], schedule="cosine", optimizer_settings={"global_clipnorm": 1.0}
            ),
            LEARNS,
            (1e-2,),
            (0, 1),
        ),
        Sweep(
            "ecg-averages",
            "A falling learning rate or averages of the weights, heartbeats",
            with_rmsprop(ECG.with_rule("eprop")),
            AVERAGES,
            (1e-2,),
            (0, 1),
        ),
        Sweep(
            "anbn",
            "A^n B^n, LSTM units",
            dataclasses.replace(EXPERIMENTS["anbn"], epochs=None, steps=1_000, validate_every=500),
            STRINGS,
            (1e-2,),
        ),
        Sweep("spoken-digits", "Spoken digits", SPOKEN_DIGITS, WORDS, (2e-3, 5e-3)),
        Sweep(
            "spoken-digits-all",
            "Spoken digits, trained on the validation part too after all is chosen",
            dataclasses.replace(SPOKEN_DIGITS, task_settings={**SPOKEN_DIGITS.task_settings, "validation": 0}),
            WORDS[:4],
            (5e-3,),
        ),
        constants(SMALL, (2e-3, 5e-3)),
        constants(SMALL_ALIF, (3e-3, 1e-2)),
        constants(EXPERIMENTS["adding-spiking"], (1e-3, 3e-3), epochs=1),
        Sweep(
            "wrong-constants",
            "Time constants and periods that begin wrong",
            with_rmsprop(SMALL),
            WRONG,
            (2e-3, 5e-3),
            (0, 1),
        ),
        Sweep("ablations", "What of KeRNL matters, resonators", SMALL, ABLATIONS, (2e-3,), (0, 1)),
        Sweep("layers", "One layer and more, 14 x 14 pixels", SMALL, LAYERS, (2e-3, 5e-3), (0, 1)),
        Sweep("ablations-adlif", "What of KeRNL matters, AdLIF units", SMALL_ADLIF, OWN_STATE, (4e-3,), (0, 1)),
        steps_of_m(SMALL, 5e-3),
        steps_of_m(SMALL_ADLIF, 4e-3),
        steps_of_m(EXPERIMENTS["adding-spiking"], 3e-3, epochs=1),
        steps_of_m(adding(200, (), ()).experiment, 3e-3, epochs=1),
        steps_of_m(SPOKEN_DIGITS, 5e-3),
        Sweep("smnist-adlif", "AdLIF units, 784 pixels", with_rmsprop(SMNIST_ADLIF), CURRENTS, (4e-3,), (0,)),
        Sweep(
            "smnist-adlif-16000",
            "AdLIF units, 784 pixels, 16,000 steps",
            with_rmsprop(SMNIST_ADLIF, steps=16_000),
            CURRENTS[:1],
            (3e-3,),
            (0,),
        ),
        Sweep("smnist-alif-8000", "Adaptive thresholds, 784 pixels, 8,000 steps", LONG_ALIF, LONG, (3e-3,), (0,)),
        Sweep(
            "windows",
            "What crosses a window's border, 2000 steps",
            dataclasses.replace(SMNIST, source="tfds", steps=2_000, validate_every=500),
            WINDOWS,
            (2e-3, 4e-3),
        ),
        Sweep(
            "windows-20000",
            "What crosses a window's border, 20000 steps",
            with_rmsprop(SMNIST, source="tfds", steps=20_000, validate_every=500),
            WINDOWS,
            (2e-3,),
            (0,),
        ),
        Sweep(
            "ablations-alif",
            "What of KeRNL matters, adaptive units",
            potential_alone(SMALL_ALIF),
            ALIF_ABLATIONS,
            (3e-3,),
            (0, 1),
        ),
    )
}
