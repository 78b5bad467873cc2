"""The same predictions on real digits in LiteRT (TensorFlow Lite), with operations that every interpreter has, and in
ONNX Runtime.
"""

import logging

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras

from ..reference.tools import digits, operations

pytestmark = pytest.mark.slow

B, T, I, H, O = 8, 20, 29, 7, 5  # noqa: E741


def network(cell):
    """A network up to its readout, and with the mean over the last steps."""
    inputs = keras.Input((T, I), name="x")
    spikes = kk.SpikeEncoder(4, code="threshold", context_switch=10)(inputs)
    hidden = kk.RNN(cell, name="hidden")(spikes)
    voltage = kk.Readout(O, name="readout")(hidden)
    return keras.Model(inputs, voltage), kk.Model(inputs, kk.TimeAverage(6)(voltage))


@pytest.fixture(scope="module")
def whole():
    """A network that is called with whole sequences: the file's content, and what the network says itself."""
    _, model = network(kk.LIFCell(H, adaptation_strength=1.0))
    one = keras.Input(batch_shape=(1, T, I), name="x")  # one size of batch, or the loop needs TensorFlow's operations
    content = tf.lite.TFLiteConverter.from_keras_model(keras.Model(one, model(one))).convert()
    return content, model.predict(digits(B, T), verbose=0)


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """A network of one step: the file's content, the states to start from, and the voltages of the whole sequence."""
    voltages, model = network(kk.ResonatorCell(H, period=9.0))
    step, folder = kk.one_step(model), str(tmp_path_factory.mktemp("step"))
    step.export(folder)
    content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    start = {name: np.zeros((1, each.shape[-1]), "float32") for name, each in step.input.items() if name != "x"}
    return content, start, voltages.predict(digits(B, T), verbose=0)


@pytest.fixture(params=["tensorflow", "ai_edge_litert"])
def interpreter(request):
    """Of TensorFlow, which is to go, or of the package that takes its place."""
    if request.param == "tensorflow":
        return tf.lite.Interpreter
    package = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT's own interpreter needs ai-edge-litert")
    return package.Interpreter


ignored = pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated:UserWarning")


@ignored
def test_predictions_on_whole_sequences(whole, interpreter):
    content, expected = whole
    loaded = interpreter(model_content=content)
    assert "WHILE" in operations(loaded) and not any(name.startswith("Flex") for name in operations(loaded))
    run = loaded.get_signature_runner()
    (says,) = zip(*(run(x=x[None]).values() for x in digits(B, T)))
    assert np.ptp(expected, 0).min() > 1e-4
    np.testing.assert_allclose(np.concatenate(says), expected, rtol=1e-5, atol=1e-5)


@ignored
def test_one_step_with_states(step, interpreter):
    content, start, expected = step
    loaded = interpreter(model_content=content)
    assert "FULLY_CONNECTED" in operations(loaded)
    assert not any(name.startswith("Flex") or name == "WHILE" for name in operations(loaded))
    run = loaded.get_signature_runner()
    assert np.ptp(expected, 0).max() > 0.1
    for digit, voltages in zip(digits(B, T), expected):
        states, says = start, []
        for x in digit:
            states = run(x=x[None], **states)
            says.append(states.pop("outputs")[0])
        np.testing.assert_allclose(says, voltages, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2 has no export to ONNX")
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")  # tf2onnx's
@pytest.mark.parametrize(
    "cell",
    [
        lambda: kk.LIFCell(H, adaptation_strength=[1.0] * H),  # a constant for each unit
        pytest.param(lambda: kk.ResonatorCell(H, period=kk.LogSpaced(4.0, 20.0)), marks=pytest.mark.slow),
        pytest.param(lambda: kk.LeakyRNNCell(H), marks=pytest.mark.slow),
    ],
)
def test_onnx(cell, tmp_path):
    """By way of tf2onnx; of any batch size."""
    pytest.importorskip("tf2onnx", reason="the export to ONNX needs tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="a network in ONNX needs onnxruntime to run")
    (_, model), x = network(cell()), digits(B, T)
    expected = model.predict(x, verbose=0)  # before the export: Keras wants the model to have been called
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # it reports an optimization that it cannot make
    model.export(tmp_path / "network.onnx", format="onnx", verbose=False)
    run = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"]).run
    assert np.ptp(expected, 0).min() > 1e-4
    np.testing.assert_allclose(run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run(None, {"x": x[:2]})[0], expected[:2], rtol=1e-5, atol=1e-5)
