"""The layer test that comes with the installed Keras, for every cell and layer."""

import numpy as np
import pytest

from kernl_keras.keras_version import IS_KERAS_3

from .rows import HIDDEN, ROWS, TRAINED, B, T


def arguments(row):
    """What makes a layer of the row: its class and its settings."""
    if row.of_cell:
        return row.of_cell, {"cell": row.make_cell(), "return_sequences": True}
    return row.kind, {**row.settings, **({"cell": row.make_cell(), "return_sequences": True} if row.cell else {})}


@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2 has another harness")
@pytest.mark.parametrize("name", ROWS)
def test_keras_3(name):
    from keras.src.testing import TestCase

    row = ROWS[name]
    kind, settings = arguments(row)
    outputs = row.make()(row.inputs())
    TestCase().run_layer_test(
        kind,
        settings,
        input_data=row.inputs(),
        expected_output_shape=tuple(outputs.shape),
        supports_masking=True,
        run_training_check=name in (*TRAINED, *HIDDEN),
        run_mixed_precision_check=True,
        custom_objects={},
    )


@pytest.mark.skipif(IS_KERAS_3, reason="Keras 3 has another harness")
@pytest.mark.parametrize("name", ROWS)
def test_keras_2(name):
    from tf_keras.src.testing_infra.test_utils import layer_test

    row = ROWS[name]
    kind, settings = arguments(row)
    expected = row.make()(row.inputs())
    outputs = layer_test(
        kind,
        settings,
        input_data=row.inputs(),
        expected_output_dtype="float32",
        expected_output_shape=(None, *expected.shape[1:]),
        validate_training=name in (*TRAINED, *HIDDEN),
        supports_masking=True,
    )
    assert outputs.shape == (B, *expected.shape[1:]) and T and np.isfinite(outputs).all()
