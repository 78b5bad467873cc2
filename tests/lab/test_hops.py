"""Further hops behind the border of a window: the sweep beside the layer's own gradients."""

import dataclasses
import json

import numpy as np
import pytest

from kernl_keras.experiments.build import load_data
from kernl_keras.experiments.configs import RESONATOR
from kernl_keras.rules import BPTT, EProp, KeRNL
from kernl_keras.training.alignment import backpropagated_errors
from notebooks.lab import hops
from notebooks.lab.windows import Gradients

from .test_windows import ADAPTIVE, UNITS, write_run

RESONATING = dataclasses.replace(
    ADAPTIVE,
    name="resonating",
    cell="resonator",
    cell_settings={
        **RESONATOR,
        "units": UNITS,
        "tau_m": [5.0, 20.0, 5.0, 20.0],
        "period": [4.0, 9.0, 4.0, 6.0],
        "adaptation_strength": 1.0,
        "recurrent_gain": 2.0,
        "kernel_initializer": ADAPTIVE.cell_settings["kernel_initializer"],
    },
)
WINDOW = 2


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A layer of resonators with adapting thresholds, a `Sequence` of it and a function that gives the layer's own."""
    model = write_run(RESONATING, tmp_path_factory.mktemp("hops") / "run")
    layer = model.get_layer("hidden")
    layer.reset_sensitivity()
    batch = next(iter(load_data(RESONATING).validation))
    (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
    gradients = Gradients(layer, jit_compile=False)
    return hops.Sequence(layer, call, error), lambda *settings: gradients(call, error, *settings)


def apart(one, other):
    """The length of the difference of two gradients, in that of the first."""
    return np.linalg.norm(one - other) / np.linalg.norm(one)


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("count", [0, 1])
def test_hops_that_the_package_has(network, count, mean):
    sequence, package = network
    rule = KeRNL(kernel="membrane") if count else EProp()
    made = sequence.gradient(WINDOW, count, mean)
    assert apart(made, package(rule, WINDOW, mean)) < (5e-3 if count else 1e-5)  # of thresholds, see the module
    assert apart(made, sequence.gradient(WINDOW, 1 - count, mean)) > 0.05


def test_all_hops_are_backpropagation(network):
    sequence, package = network
    assert apart(sequence.gradient(WINDOW, None, False), package(BPTT())) < 1e-5


def test_further_hops_come_nearer(tmp_path):
    write_run(RESONATING, tmp_path / "run")
    path = tmp_path / "hops.json"
    assert hops.main([str(tmp_path / "run"), "--window", "1", "--output", str(path)]) == 0
    (network,) = json.loads(path.read_text())["hops"]["networks"]
    exact = [row["cosine"] for row in network["rows"] if row["slopes"] == "every step"]
    assert len(exact) == len(hops.HOPS) and exact[-1] == pytest.approx(1.0)
    assert exact[0] < exact[-1]


def test_a_window_of_no_step(tmp_path, capsys):
    with pytest.raises(SystemExit):
        hops.main(["smnist", "--window", "0", "--output", str(tmp_path / "hops.json")])
    assert "--window must be >= 1; received 0" in capsys.readouterr().err


def test_other_units_are_refused(tmp_path, capsys):
    write_run(ADAPTIVE, tmp_path / "run")
    with pytest.raises(SystemExit):
        hops.main([str(tmp_path / "run"), "--output", str(tmp_path / "hops.json")])
    assert "of resonators" in capsys.readouterr().err
