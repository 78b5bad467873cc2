"""The layer test that comes with the installed Keras: of every cell and layer, and of every rule over every cell."""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3
from kernl_keras.rules import NAMES

from ..reference.units import NO_GRADIENT
from .rows import ROWS, TRAINED, B, Row

pytestmark = pytest.mark.filterwarnings(NO_GRADIENT)
UNTRAINED = set(ROWS) - set(TRAINED)
HIDDEN = ["LIFCell", "ResonatorCell", "LeakyRNNCell"]
LAYERS = {name: row for name, row in ROWS.items() if row.kind is not kk.RNN}
LAYERS |= {
    f"{cell}, {rule}": Row(kk.RNN, {"rule": rule, "seed": 3}, cell=(ROWS[cell].kind, ROWS[cell].settings))
    for cell in HIDDEN
    for rule in NAMES
}
# Where time is short a layer of each kind is asked; all of them the rest of the contract asks often.
OFTEN = {"Readout", "SpikeEncoder", "TimeAverage", "LeakyRNNCell, eprop"}
assert set(LAYERS) >= OFTEN
rows = [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in LAYERS]
every = pytest.mark.parametrize("name", rows)


def arguments(row):
    """What makes a layer of the row: its class and its settings."""
    if row.of_cell:
        return row.of_cell, {"cell": row.make_cell(), "return_sequences": True}
    return row.kind, {**row.settings, **({"cell": row.make_cell(), "return_sequences": True} if row.cell else {})}


@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2 has another harness")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored:UserWarning")  # a `keras.Model` fits
@every
def test_keras_3(name):
    from keras.src.testing import TestCase

    row = LAYERS[name]
    kind, settings = arguments(row)
    outputs = row.make()(row.inputs())
    expected = {"input_data": row.inputs(), "expected_output_shape": tuple(outputs.shape), "supports_masking": True}
    checks = {"run_training_check": name not in UNTRAINED, "run_mixed_precision_check": True, "custom_objects": {}}
    TestCase().run_layer_test(kind, settings, **expected, **checks)


@pytest.mark.skipif(IS_KERAS_3, reason="Keras 3 has another harness")
@every
def test_keras_2(name):
    from tf_keras.src.testing_infra.test_utils import layer_test

    row = LAYERS[name]
    kind, settings = arguments(row)
    shape = row.make()(row.inputs()).shape[1:]
    expected = {"expected_output_dtype": "float32", "expected_output_shape": (None, *shape), "supports_masking": True}
    outputs = layer_test(kind, settings, input_data=row.inputs(), validate_training=name not in UNTRAINED, **expected)
    assert outputs.shape == (B, *shape) and np.isfinite(outputs).all()
