"""The named configurations: what they are, and what a configuration may not be."""

import dataclasses
import inspect
import json
import math

import pytest

from kernl_keras.cells.readout import ReadoutCell
from kernl_keras.experiments import packaged, pretrained
from kernl_keras.experiments.build import CELLS
from kernl_keras.experiments.configs import DEFAULT, EXPERIMENTS
from kernl_keras.experiments.experiment import Experiment
from kernl_keras.keras_version import keras
from kernl_keras.layers.audio import AudioEncoder
from kernl_keras.layers.encoder import SpikeEncoder
from kernl_keras.rules import NAMES, PlainKeRNL


def test_names():
    assert list(EXPERIMENTS) == [
        "smnist", "smnist-alif", "smnist-adlif", "smnist-reference", "smnist-rate", "smnist-irnn", "psmnist",
        "row-mnist", "row-mnist-rate", "adding", "adding-200", "adding-spiking", "adding-spiking-200", "ecg", "anbn",
        "spoken-digits",
    ]  # fmt: skip
    assert DEFAULT == "smnist"
    assert all(name == experiment.name for name, experiment in EXPERIMENTS.items())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_configuration_survives_json(name):
    experiment = EXPERIMENTS[name]
    assert Experiment(**json.loads(json.dumps(dataclasses.asdict(experiment)))) == experiment


def pinned(kind, settings):
    """Whether every argument of a cell is there, but for options that are off unless they are asked for.

    What learns stands in the experiment's own field.
    """
    off = {"learn", "recurrent_connectivity", "excitatory", "connectivity_seed", "feedback", "feedback_initializer"}
    arguments = {name for name in kind.arguments() if not name.endswith(("_regularizer", "_constraint"))} - off
    assert settings.keys() == arguments


@pytest.mark.parametrize("name", [*EXPERIMENTS, *(f"pretrained {name}" for name in packaged.NAMES)])
def test_no_setting_is_left_to_a_default(name):
    """A constructor whose defaults change leaves the numbers of experiments and of trained networks alone."""
    experiment = EXPERIMENTS.get(name) or pretrained.experiment_of(name.removeprefix("pretrained "))
    pinned(CELLS[experiment.cell], experiment.cell_settings)
    pinned(ReadoutCell, experiment.readout_settings)
    if experiment.encoder_settings is not None:
        arguments = inspect.signature(SpikeEncoder.__init__).parameters.keys() - {
            "self",
            "kwargs",
            "seed",
            "stateful",
            "delta",
            "period",
        }
        assert experiment.encoder_settings.keys() == arguments
    if experiment.front_end_settings is not None:
        arguments = inspect.signature(AudioEncoder.__init__).parameters.keys()
        assert arguments - experiment.front_end_settings.keys() == {
            "self", "kwargs", "seed", "stateful", "delta", "period",
        }  # fmt: skip
    assert experiment.rule_settings.keys() == set(NAMES[experiment.rule].names())
    for value in experiment.rule_settings.values():
        if isinstance(value, dict):
            kind = keras.saving.get_registered_object(value["class_name"])
            assert value["config"].keys() == set(kind.names())


def test_another_rule_has_its_own_settings():
    experiment = EXPERIMENTS["smnist"]
    assert experiment.with_rule("kernl") is experiment
    assert experiment.with_rule("eprop").make_rule().get_config() == {"adaptation": True, "reset_gradient": False}


def test_the_reference_is_that_of_the_design():
    """Section 3 of the equations, each number by hand; sqrt(200) = 14.142136."""
    reference = EXPERIMENTS["smnist-reference"]
    cell = reference.cell_settings
    assert reference.encoder_settings == {"units": 80, "code": "bernoulli", "context_switch": 784, "gain": 1.0}
    assert reference.task_settings == {"layout": "pixels", "context_steps": 54}
    assert (cell["units"], cell["tau_m"], cell["resistance"], cell["tau_s"], cell["tau_ref"]) == (200, 20, 2, 5, 1)
    assert (cell["adaptation_strength"], cell["reset"]) == (0, "hard")
    for weights in ("kernel_initializer", "recurrent_initializer"):
        assert cell[weights]["config"] == {"mean": 0.0, "stddev": pytest.approx(28.284271)}
    assert (reference.readout_settings["units"], reference.readout_settings["tau_out"]) == (10, 10.0)
    assert (reference.answer_steps, reference.batch_size) == (54, 25)
    assert reference.make_rule().get_config() == PlainKeRNL.reference(time_steps=838).get_config()
    assert (reference.optimizer, reference.optimizer_settings) == ("RMSprop", {"clipnorm": 200.0})
    assert (reference.sensitivity_optimizer, reference.sensitivity_learning_rate) == ("RMSprop", 1e-3)


@pytest.mark.parametrize(
    "length, steps_per_epoch, total", [({"epochs": 3}, 7, 21), ({"epochs": None, "steps": 5}, 7, 5)]
)
def test_total_steps(length, steps_per_epoch, total):
    assert dataclasses.replace(EXPERIMENTS["adding"], **length).total_steps(steps_per_epoch) == total


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("smnist", {"task": "mnits"}, "task must be one of .*received 'mnits'"),
        ("smnist", {"source": None}, "data must be 'sample' or 'tfds' for experiment smnist; received None"),
        ("spoken-digits", {"source": "sample"}, "data must be 'tfds' for experiment spoken-digits; received 'sample'"),
        ("adding", {"source": "tfds"}, "data must be left out for experiment adding; received 'tfds'"),
        ("smnist", {"data_dir": "x"}, "data_dir is where data 'tfds' lie; received 'x' with data 'sample'"),
        ("adding", {"rule": "hebb"}, "rule must be one of .*received 'hebb'"),
        ("adding", {"schedule": "linear"}, "schedule must be one of .*received 'linear'"),
        ("adding", {"epochs": None}, "epochs or steps must be given, one; received None and None"),
        ("adding", {"steps": 3}, "epochs or steps must be given, one; received 5 and 3"),
        ("adding", {"epochs": 0}, "epochs must be an integer >= 1; received 0"),
        ("adding", {"epochs": None, "steps": -1}, "steps must be an integer >= 1; received -1"),
        ("adding", {"batch_size": 0}, "batch_size must be an integer >= 1; received 0"),
        ("adding", {"learning_rate": math.nan}, "learning_rate must be a finite number; received nan"),
        ("adding", {"learning_rate": 0.0}, "learning_rate must be > 0; received 0.0"),
        ("adding", {"seed": -1}, "seed must be an integer >= 0; received -1"),
        ("adding", {"seed": 2**30}, "seed must be <= .*received 1073741824"),
        ("adding", {"sensitivity_only": -1}, "sensitivity_only must be an integer >= 0; received -1"),
        ("adding", {"sensitivity_only": 1, "rule": "bptt"}, "sensitivity_only needs a rule that has M.*'bptt'"),
    ],
)
def test_errors(name, settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EXPERIMENTS[name], **settings)
