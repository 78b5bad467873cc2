"""The named configurations: what they are, and what a configuration may not be."""

import dataclasses
import json
import math

import pytest

from kernl_keras.cells.readout import ReadoutCell
from kernl_keras.experiments.build import CELLS
from kernl_keras.experiments.configs import DEFAULT, EXPERIMENTS, Experiment


def test_names():
    assert list(EXPERIMENTS) == [
        "smnist", "smnist-alif", "smnist-reference", "smnist-rate", "smnist-irnn", "psmnist", "row-mnist",
        "row-mnist-rate", "adding", "adding-200", "adding-spiking", "adding-spiking-200",
    ]  # fmt: skip
    assert DEFAULT == "smnist"
    assert all(name == experiment.name for name, experiment in EXPERIMENTS.items())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_configuration_survives_json(name):
    experiment = EXPERIMENTS[name]
    assert Experiment(**json.loads(json.dumps(dataclasses.asdict(experiment)))) == experiment


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_default_of_a_cell_decides(name):
    experiment = EXPERIMENTS[name]
    for cell, settings in (
        (CELLS[experiment.cell], experiment.cell_settings),
        (ReadoutCell, experiment.readout_settings),
    ):
        left = set(cell.arguments()) - set(settings)
        assert all(each.endswith(("_initializer", "_regularizer", "_constraint")) for each in left)


def test_the_reference_is_that_of_the_design():
    """Section 3 of the equations, each number by hand; sqrt(200) = 14.142136."""
    reference = EXPERIMENTS["smnist-reference"]
    cell = reference.cell_settings
    assert reference.encoder_settings == {"units": 80, "code": "bernoulli", "context_switch": 784}
    assert reference.task_settings == {"layout": "pixels", "context_steps": 54}
    assert (cell["units"], cell["tau_m"], cell["resistance"], cell["tau_s"], cell["tau_ref"]) == (200, 20, 2, 5, 1)
    assert (cell["adaptation_strength"], cell["reset"]) == (0, "hard")
    for weights in ("kernel_initializer", "recurrent_initializer"):
        assert cell[weights]["config"] == {"mean": 0.0, "stddev": pytest.approx(28.284271)}
    readout = reference.readout_settings
    assert (readout["units"], readout["tau_out"], readout["gain"], readout["use_bias"]) == (10, 10.0, None, False)
    assert (reference.window, reference.batch_size, reference.preset) == (54, 25, "reference")
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
        ("adding", {"sensitivity_only": 1, "rule": "bptt"}, "sensitivity_only needs rule 'kernl'.*received 'bptt'"),
    ],
)
def test_errors(name, settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EXPERIMENTS[name], **settings)
