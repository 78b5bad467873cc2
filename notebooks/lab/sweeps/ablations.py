"""What of KeRNL matters: one thing is changed or left out at a time."""

import dataclasses

from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.rules import Exponential, Replica, Twin

from .definition import ADAFACTOR, Sweep, Variant
from .networks import EVERY_CONSTANT, ROWS_LIF, SMALL, SMALL_ADLIF
from .rules import adding

BY_ADAFACTOR = Variant("M by Adafactor", changes=ADAFACTOR)
UNTRAINED = Variant("M is never trained", settings={"learn_sensitivity": False})

ABLATIONS = (
    Variant("KeRNL as it is"),
    BY_ADAFACTOR,
    UNTRAINED,
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


OWN_STATE = (  # of units with an adaptation current
    Variant("KeRNL as it is"),
    BY_ADAFACTOR,
    Variant("the reset is followed", settings={"reset_gradient": True}),
    Variant("the membrane's kernel", settings={"kernel": "membrane"}),
    Variant("learned kernel exp(-gamma d)", settings={"kernel": "exponential"}),
    UNTRAINED,
    Variant("M from zero", settings={"sensitivity_initializer": "zeros"}),
    Variant("window 64", layer={"window": 64}),
    Variant("no constant learns", changes={"learn": []}),
    Variant("e-prop", "eprop"),
    Variant("e-prop, the reset is followed", "eprop", {"reset_gradient": True}),
    Variant("backpropagation", "bptt"),
)

WAYS_OF_M = (
    Variant("M by least squares"),
    BY_ADAFACTOR,
    UNTRAINED,
    Variant("e-prop", "eprop"),
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
    steps("Adafactor", 1e-1, relative_step=False),  # that of the experiments, but for its epsilon
    steps("Adafactor", 2e-1, relative_step=False),
)


def steps_of_m(experiment, learning_rate, **changes):
    """The sweep over how large M's steps are: all alike, or as large as M is."""
    norm = experiment.optimizer_settings["global_clipnorm"]
    first = {"sensitivity_optimizer": "RMSprop", "sensitivity_learning_rate": 1e-3}
    first["sensitivity_optimizer_settings"] = {"global_clipnorm": norm}
    experiment = dataclasses.replace(experiment, **first, **changes)
    name, words = f"steps-of-m-{experiment.name}", f"How large M's steps are: {experiment.description}"
    return Sweep(name, words, experiment, STEPS_OF_M, (learning_rate,), (0,))


SWEEPS = (
    Sweep("ablations", "What of KeRNL matters, resonators", SMALL, ABLATIONS, (2e-3,), (0, 1)),
    Sweep("ablations-adlif", "What of KeRNL matters, AdLIF units", SMALL_ADLIF, OWN_STATE, (4e-3,), (0, 1)),
    Sweep("ablations-rows-lif", "How M learns, leaky units", ROWS_LIF, WAYS_OF_M, (1e-3, 2e-3, 5e-3), (0, 1, 2)),
    steps_of_m(SMALL, 5e-3),
    steps_of_m(SMALL_ADLIF, 4e-3),
    steps_of_m(EXPERIMENTS["adding-spiking"], 3e-3, epochs=1),
    steps_of_m(adding(200), 3e-3, epochs=1),
)
