"""A graph of NIR in Norse and snnTorch: the same spikes, on a few digits of `notebooks.lab.nir_round_trip`."""

import importlib.util
import os
import sys

import numpy as np
import pytest

from kernl_keras.keras_version import keras
from notebooks.lab.nir_round_trip import NETWORKS, digits, elsewhere, network

pytest.importorskip("nir", reason="graphs of NIR need the package nir")


@pytest.fixture(scope="module")
def python():
    """A Python that has Norse and snnTorch: this one, or that which KERNL_KERAS_NIR_PYTHON names."""
    if all(importlib.util.find_spec(name) for name in ("norse", "snntorch", "nirtorch")):
        return sys.executable
    if name := os.environ.get("KERNL_KERAS_NIR_PYTHON"):
        return name
    pytest.skip(
        "norse, snntorch and nirtorch are not installed, and KERNL_KERAS_NIR_PYTHON names no Python that has them"
    )


@pytest.mark.parametrize(
    "name, importer",
    [
        (name, importer)
        for name, (layout, _, importers) in NETWORKS.items()
        if layout == "rows"
        for importer in importers
    ],
)
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
