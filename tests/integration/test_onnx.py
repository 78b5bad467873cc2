"""ONNX, by way of tf2onnx: the same predictions in ONNX Runtime, of any batch size."""

import logging

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras

pytest.importorskip("tf2onnx", reason="the export to ONNX needs tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="a network in ONNX needs onnxruntime to run")
if not IS_KERAS_3:
    pytest.skip("Keras 2 has no export to ONNX", allow_module_level=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning"),  # tf2onnx's
]

B, T, I, H, O = 6, 20, 29, 7, 5  # noqa: E741


def digits():
    """Real digits, a row a step, and steps to answer in."""
    data = kk.data.sequential_mnist("sample", layout="rows", context_steps=2, batch_size=B)
    return next(iter(data.test))[0].numpy()[:, -T:]


def test_predictions_on_whole_sequences(tmp_path):
    inputs = keras.Input((T, I), name="x")
    spikes = kk.SpikeEncoder(4, code="threshold", context_switch=10)(inputs)
    hidden = kk.RNN(kk.LIFCell(H, adaptation_strength=1.0))(spikes)
    model = kk.Model(inputs, kk.TimeAverage(6)(kk.Readout(O)(hidden)))
    expected = model.predict(digits(), verbose=0)  # before the export: Keras wants the model to have been called
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # it reports an optimization that it cannot make
    model.export(tmp_path / "network.onnx", format="onnx", verbose=False)
    run = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"]).run
    assert np.ptp(expected, 0).min() > 1e-4
    np.testing.assert_allclose(run(None, {"x": digits()})[0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run(None, {"x": digits()[:2]})[0], expected[:2], rtol=1e-5, atol=1e-5)
