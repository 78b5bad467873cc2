"""One step after the other, states in and out, is the whole sequence."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

B, T, I, H, O = 4, 14, 29, 6, 3  # noqa: E741
CELLS = {
    "spiking": lambda: kk.LIFCell(H, adaptation_strength=1.0, use_bias=True),
    "resonator": lambda: kk.ResonatorCell(H, period=9.0, tau_s=4.0),
    "rate": lambda: kk.LeakyRNNCell(H),
    "swinging rate": lambda: kk.LeakyRNNCell(H, tau=30.0, period=20.0),
}
CODES = {"threshold": dict(context_switch=8), "current": {}, "none": None}


def digits():
    """Real digits, a row a step."""
    data = kk.data.sequential_mnist("sample", layout="rows", context_steps=2, batch_size=B)
    return next(iter(data.test))[0].numpy()[:, -T:]


def network(cell, code):
    """The network, and the same up to its readout."""
    x = inputs = keras.Input((T, I))
    if CODES[code] is not None:
        x = kk.SpikeEncoder(4, code=code, name="encoder", **CODES[code])(inputs)
    x = keras.layers.RNN(CELLS["rate"](), return_sequences=True, name="below")(x)
    voltage = kk.Readout(O, name="readout")(kk.RNN(CELLS[cell](), name="hidden")(x))
    return kk.Model(inputs, kk.TimeAverage(4)(voltage)), keras.Model(inputs, voltage)


@pytest.mark.parametrize(
    "cell, code", [*((cell, "threshold") for cell in CELLS), ("spiking", "current"), ("rate", "none")]
)
def test_steps_are_the_sequence(cell, code):
    model, sequence = network(cell, code)
    expected = sequence(digits()).numpy()
    step = kk.one_step(model)
    states = {name: np.zeros((B, each.shape[-1]), "float32") for name, each in step.input.items() if name != "x"}
    step_by_step = tf.function(lambda received: step(received))
    voltages = []
    for x in np.moveaxis(digits(), 1, 0):
        answer = step_by_step({"x": x, **states})
        voltages.append(answer.pop("outputs"))
        assert answer.keys() == states.keys()
        states = answer
    assert np.ptp(expected, 0).min() > 1e-4
    np.testing.assert_allclose(np.stack(voltages, 1), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(states["readout_v"], voltages[-1])


def test_names_and_shared_weights():
    model, _ = network("spiking", "threshold")
    step = kk.one_step(model)
    hidden = [f"hidden_{name}" for name in ("v", "adaptation", "refractory", "trace")]
    assert step.input.keys() == {"x", "encoder_seen", "below_activity", *hidden, "readout_v"}
    assert step.output.keys() == {"outputs", *step.input} - {"x"}
    cell = model.get_layer("hidden").cell
    assert any(each is cell.kernel for each in step.weights)
    assert not [weight.name for weight in step.weights if "sensitivity" in weight.name or "filter" in weight.name]


def test_double_precision_stays():
    inputs = keras.Input((T, I), dtype="float64")
    layer = kk.RNN(kk.LIFCell(H, dtype="float64"), name="hidden")
    step = kk.one_step(keras.Model(inputs, layer(inputs)))
    assert {each.dtype for each in step.input.values()} == {step.output["hidden_v"].dtype} and (
        step.output["hidden_v"].dtype == "float64"
    )


def test_an_encoder_that_draws():
    inputs = keras.Input((T, I))
    spikes = kk.RNN(kk.LIFCell(H))(kk.SpikeEncoder(2)(inputs))
    with pytest.raises(ValueError, match="must have an encoder that does not draw; received code='bernoulli'"):
        kk.one_step(keras.Model(inputs, spikes))


def test_what_is_no_chain():
    inputs = keras.Input((T, I))
    with pytest.raises(ValueError, match="received 'dense.*', a Dense"):
        kk.one_step(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
