"""The sweeps: which runs are compared with each other, in one place."""

import dataclasses

from kernl_keras.experiments.configs import EXPERIMENTS, RESONATORS, SMNIST, SMNIST_ALIF, spread


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of a table: what is changed in the sweep's experiment. `settings` and `cell` go into its two dicts."""

    name: str
    changes: dict = dataclasses.field(default_factory=dict)  # fields of `Experiment`
    settings: dict = dataclasses.field(default_factory=dict)  # of `RNN`
    cell: dict = dataclasses.field(default_factory=dict)  # of the cell

    def of(self, experiment):
        """The experiment with the changes."""
        merged = {
            "rule_settings": {**experiment.rule_settings, **self.settings},
            "cell_settings": {**experiment.cell_settings, **self.cell},
        }
        return dataclasses.replace(experiment, **merged, **self.changes)


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


RULES = {
    "KeRNL": "kernl",
    "backpropagation": "bptt_adjoint",
    "e-prop": "eprop",
    "e-prop, adaptation": "eprop_alif",
    "RFLO": "rflo",
    "readout alone": "readout",
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
    cell="spiking",
    cell_settings={**SMNIST_ALIF.cell_settings, "tau_m": 20.0},
    rule_settings=SMNIST_ALIF.rule_settings,
    sensitivity_every=1,
)

ABLATIONS = (
    Variant("KeRNL as it is"),
    Variant("M is never trained", settings={"train_sensitivity": False}),
    Variant("M from zero", settings={"sensitivity_initializer": "zeros"}),
    Variant("M random, never trained", settings={"sensitivity_initializer": "orthogonal", "train_sensitivity": False}),
    Variant("M the identity, never trained", settings={"sensitivity_initializer": "local", "train_sensitivity": False}),
    Variant("M learns at every step", {"sensitivity_every": 1}),
    Variant("M learns at every 16th step", {"sensitivity_every": 16}),
    Variant("M's learning rate 1e-4", {"sensitivity_learning_rate": 1e-4}),
    Variant("M's learning rate 1e-2", {"sensitivity_learning_rate": 1e-2}),
    Variant("a twin network, noise 0.1", settings={"sensitivity_mode": "twin"}),
    Variant("a twin network, noise 0.01", settings={"sensitivity_mode": "twin", "noise_std": 0.01}),
    Variant("a replica", settings={"sensitivity_mode": "replica"}),
    Variant("V observed, not the distance", settings={"observe": "voltage"}),
    Variant("learned kernel exp(-gamma d)", settings={"temporal_kernel": "learned"}),
    Variant("the same, gamma frozen", settings={"temporal_kernel": "learned", "train_temporal_filter": False}),
    Variant("the same, 2 kernels", settings={"temporal_kernel": "learned", "num_kernels": 2}),
    Variant("the same, 3 kernels", settings={"temporal_kernel": "learned", "num_kernels": 3}),
    Variant(
        "plain form, noise on the current",
        settings={"temporal_kernel": "learned", "form": "plain", "perturbation": "current"},
    ),
    Variant(
        "plain form, noise on the synapse",
        settings={"temporal_kernel": "learned", "form": "plain", "perturbation": "synapse"},
    ),
    Variant("credit to the last step alone", settings={"temporal_kernel": "learned", "credit": "last"}),
    Variant("e-prop", {"rule": "eprop"}),
    Variant("backpropagation", {"rule": "bptt_adjoint"}),
)

ALIF_ABLATIONS = (
    Variant("KeRNL, learned kernel"),
    Variant("its own kernel", settings={"temporal_kernel": "own"}),
    Variant("M is never trained", settings={"train_sensitivity": False}),
    Variant("M from zero", settings={"sensitivity_initializer": "zeros"}),
    Variant("gamma frozen", settings={"train_temporal_filter": False}),
    Variant("the reset is not followed", settings={"reset_gradient": False}),
    Variant("2 kernels", settings={"num_kernels": 2}),
    Variant("plain form, noise on the current", settings={"form": "plain", "perturbation": "current"}),
    Variant("e-prop", {"rule": "eprop"}),
    Variant("e-prop, adaptation and reset", {"rule": "eprop_alif"}, {"reset_gradient": True}),
    Variant("backpropagation", {"rule": "bptt_adjoint"}),
)


def rules(experiment, learning_rates, seeds=(0, 1, 2), **changes):
    """The sweep over the rules on an experiment, without those that are another's twin on its units."""
    experiment = dataclasses.replace(experiment, **changes)
    twins = set()
    if experiment.cell == "rate":
        twins = {"eprop_alif", "rflo"}  # no threshold; psi and drive are one factor
    elif experiment.cell == "spiking" and not experiment.cell_settings.get("adaptation_strength"):
        twins = {"eprop_alif"}  # no threshold adapts; those of resonators do unless they are told not to
    variants = tuple(Variant(name, {"rule": rule}) for name, rule in RULES.items() if rule not in twins)
    name = f"rules-{experiment.name}"
    return Sweep(name, f"Every rule: {experiment.description}", experiment, variants, learning_rates, seeds)


def alone(name, seeds=(0, 1, 2), **changes):
    """KeRNL alone on an experiment as it is."""
    experiment = EXPERIMENTS[name]
    if experiment.task == "mnist":
        changes["source"] = "tfds"
    experiment = dataclasses.replace(experiment, **changes)
    return Sweep(name, experiment.description, experiment, (Variant("KeRNL"),), (experiment.learning_rate,), seeds)


BRIEF = {"source": "tfds", "steps": 1_000, "validate_every": 500}  # two minutes a run

SWEEPS = {
    sweep.name: sweep
    for sweep in (
        alone("row-mnist", epochs=5),
        alone("row-mnist-rate", epochs=5),
        alone("adding"),
        alone("adding-200", (0,)),
        alone("adding-spiking"),
        alone("adding-spiking-200", (0,)),
        rules(SMALL, (2e-3, 5e-3), (0, 1)),
        rules(SMALL_ALIF, (3e-3, 1e-2), (0, 1)),
        # Half an hour a run and more.
        rules(SMNIST, (2e-3,), (0,), source="tfds", steps=20_000, validate_every=1_000),
        rules(EXPERIMENTS["psmnist"], (2e-3, 5e-3), (0,), source="tfds", steps=2_000, validate_every=1_000),
        rules(EXPERIMENTS["smnist-rate"], (2e-3, 5e-3), (0,), **BRIEF),
        rules(EXPERIMENTS["smnist-irnn"], (1e-5, 1e-4, 4e-4), (0,), **BRIEF),  # backpropagation explodes at the others
        rules(EXPERIMENTS["row-mnist"], (2e-3, 5e-3), (0, 1), source="tfds", epochs=1),
        rules(EXPERIMENTS["adding"], (1e-3, 3e-3), (0, 1), epochs=2),
        rules(EXPERIMENTS["adding-spiking"], (1e-3, 3e-3), (0, 1), epochs=1),
        Sweep("ablations", "What of KeRNL matters, resonators", SMALL, ABLATIONS, (2e-3,), (0, 1)),
        Sweep("ablations-alif", "What of KeRNL matters, adaptive units", SMALL_ALIF, ALIF_ABLATIONS, (3e-3,), (0, 1)),
    )
}
