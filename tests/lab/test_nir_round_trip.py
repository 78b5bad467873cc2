"""A graph of NIR in Norse and snnTorch: the same spikes, on a few digits of `notebooks.lab.nir_round_trip`."""

import importlib.util
import json
import os
import sys

import numpy as np
import pytest

from kernl_keras.keras_version import keras
from notebooks.lab import nir_round_trip
from notebooks.lab.nir_round_trip import NETWORKS, NUMPY, digits, elsewhere, network

pytest.importorskip("nir", reason="graphs of NIR need the package nir")


@pytest.fixture(scope="module")
def python():
    """A Python that has Norse and snnTorch: this one, or that which KERNL_KERAS_NIR_PYTHON names."""
    if all(importlib.util.find_spec(name) for name in ("norse", "snntorch", "nirtorch")):
        return sys.executable
    if name := os.environ.get("KERNL_KERAS_NIR_PYTHON"):
        return name
    pytest.skip("norse, snntorch or nirtorch is missing, and KERNL_KERAS_NIR_PYTHON names no Python that has them")


ROWS = {name: importers for name, (layout, _, importers) in NETWORKS.items() if layout == "rows"}


@pytest.mark.parametrize("name, importer", [(name, each) for name, importers in ROWS.items() for each in importers])
def test_the_same_spikes_in_another_simulator(python, name, importer):
    layout, settings, _ = NETWORKS[name]
    model, *ends = network(layout, settings, units=20)
    x, _ = next(iter(digits(layout, batch_size=4).test))
    sent, spikes, voltage = (each.numpy() for each in keras.Model(model.input, ends)(x))
    theirs, versions = elsewhere(python, importer, keras.Model(model.input, ends[1]), sent)
    assert spikes.any((1, 2)).all() and "torch" in versions
    np.testing.assert_array_equal(theirs, spikes)
    if importer == "norse neurons":  # the imports of Norse and snnTorch know no leaky integrator
        theirs, _ = elsewhere(python, importer, model, sent)
        np.testing.assert_allclose(theirs, voltage, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_results_file(tmp_path, monkeypatch):
    """With our own executor of NIR's definitions alone, which needs no other simulator."""
    monkeypatch.setenv("KERNL_KERAS_NIR_PYTHON", sys.executable)
    monkeypatch.setattr(nir_round_trip, "NETWORKS", {"rows": ("rows", dict(tau_s=None), ())})
    path = tmp_path / "nir.json"
    assert nir_round_trip.main(["--steps", "1", "--digits", "5", "--output", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["command"] == f"python -m notebooks.lab.nir_round_trip --steps 1 --digits 5 --output {path.name}"
    (report,) = found["networks"]
    assert (found["digits"], report["network"], report["training_steps"]) == (5, "rows", 3)
    (row,) = report["comparisons"]
    assert row["importer"] == NUMPY and row["places"] == 5 * 28 * 100 and row["different"] < row["spikes"] / 100
