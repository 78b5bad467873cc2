"""One step after the other, states in and out, is the whole sequence."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.tools import all_same, digits, run_by_steps, through

B, T, I, H, O = 4, 14, 29, 6, 3  # noqa: E741
CELLS = {
    "spiking": lambda: kk.LIFCell(H, adaptation_strength=1.0, use_bias=True),
    "resonator": lambda: kk.ResonatorCell(H, period=9.0, tau_s=4.0),
    "rate": lambda: kk.LeakyRNNCell(H, tau=None),
    "swinging rate": lambda: kk.LeakyRNNCell(H, tau=30.0, period=20.0),
}
CODES = {"threshold": dict(context_switch=8), "current": {}, "none": None}


def network(cell, code):
    """The network, and the same up to its readout."""
    x = inputs = keras.Input((T, I))
    if CODES[code] is not None:
        x = kk.SpikeEncoder(4, code=code, name="encoder", **CODES[code])(inputs)
    x = keras.layers.RNN(CELLS["rate"](), return_sequences=True, name="below")(x)
    voltage = kk.Readout(O, name="readout")(kk.RNN(CELLS[cell](), name="hidden")(x))
    return kk.Model(inputs, kk.TimeAverage(4)(voltage)), keras.Model(inputs, voltage)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "cell, code", [*((cell, "threshold") for cell in CELLS), ("spiking", "current"), ("rate", "none")]
)
def test_steps_are_the_sequence(cell, code):
    model, sequence = network(cell, code)
    expected = sequence(digits(B, T)).numpy()
    step = kk.one_step(model)
    voltages, states = run_by_steps(step, digits(B, T))
    assert states.keys() == step.input.keys() - {"x"}
    assert np.ptp(expected[:, -1], 0).min() > 1e-4
    np.testing.assert_allclose(voltages, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(states["readout_v"], voltages[:, -1])


def test_names_and_shared_weights():
    model, _ = network("spiking", "threshold")
    step = kk.one_step(model)
    hidden = [f"hidden_{name}" for name in ("v", "adaptation", "refractory", "trace")]
    assert step.input.keys() == {"x", "encoder_seen", "below_activity", *hidden, "readout_v"}
    assert step.output.keys() == {"outputs", *step.input} - {"x"}
    cell = model.get_layer("hidden").cell
    assert any(each is cell.kernel for each in step.weights)
    assert not [weight.name for weight in step.weights if "sensitivity" in weight.name or "filter" in weight.name]


def test_names_do_not_count_what_the_process_has_made():
    """And double precision stays."""
    for _ in range(2):
        inputs = keras.Input((T, I), dtype="float64")
        wide = [kk.RNN(kk.LeakyRNNCell(H, dtype="float64")) for _ in range(2)]
        layers = kk.SpikeEncoder(2, "threshold", dtype="float64"), *wide, kk.Readout(O, dtype="float64")
        step = kk.one_step(keras.Model(inputs, through(layers, inputs)))
        assert step.input.keys() == {"x", "spike_encoder_seen", "rnn_activity", "rnn_1_activity", "readout_v"}
        assert all(step.input[name].dtype == "float64" for name in step.input)
        assert all(step.output[name].dtype == "float64" for name in step.input if name != "x")


def of_each_step(cell, masking, **settings):
    """A model with Keras layers that act on each step alone, and the same without its average."""
    of_keras = keras.layers
    x = inputs = keras.Input((T, I))
    if masking:
        x = of_keras.Masking(-1.0)(x)
    else:  # in Keras 2 the mask ends there
        x = of_keras.Rescaling(0.5, offset=0.1)(of_keras.Normalization(mean=0.3, variance=2.0)(x))
    x = of_keras.LayerNormalization(scale=False)(of_keras.Dense(8)(x))
    x = kk.SpikeEncoder(2, code="threshold" if masking else "current", name="encoder")(x)
    x = kk.RNN(cell(), name="hidden", **settings)(of_keras.Dropout(0.5)(x))
    x = of_keras.TimeDistributed(of_keras.Dense(5, activation="tanh"))(of_keras.BatchNormalization()(x))
    x = keras.layers.RNN(CELLS["rate"](), return_sequences=True, name="above", **settings)(of_keras.LeakyReLU()(x))
    x = of_keras.Activation("tanh")(kk.Readout(O, name="readout", **settings)(x))
    x = x if masking else of_keras.Softmax()(x)  # which takes a mask of steps for one of classes
    return kk.Model(inputs, kk.TimeAverage(4)(x)), keras.Model(inputs, x)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("cell", "masking", "settings"),
    [("rate", False, {}), ("spiking", True, {}), ("rate", True, {"zero_output_for_mask": True})],
    ids=["no mask", "repeat", "zero"],
)
def test_keras_layers_of_each_step(cell, masking, settings):
    """Also where steps are masked, at the start, in the middle and at the end."""
    model, sequence = of_each_step(CELLS[cell], masking, **settings)
    for layer in model.layers:  # scales and averages that differ from 0 and 1
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([np.linspace(0.5, 2.0, len(w)) for w in layer.get_weights()])
    x = digits(B, T)
    if masking:
        x[0, :3], x[1, 5:7], x[2, -4:] = -1.0, -1.0, -1.0
    expected = sequence(x).numpy()
    outputs, states = run_by_steps(kk.one_step(model), x)
    assert np.ptp(expected, 0).max() > 1e-3
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    assert ("hidden_output" in states) == (masking and not settings)
    assert "readout_output" not in states


@pytest.mark.parametrize(
    "code, message",
    [
        ("bernoulli", "must have an encoder without random spikes; received code='bernoulli'"),
        ("delta", "code 'threshold', 'current' or 'population'; received code='delta'"),
        ("latency", "code 'threshold', 'current' or 'population'; received code='latency'"),
    ],
)
def test_an_encoder_that_draws_or_looks_back(code, message):
    inputs = keras.Input((T, I))
    model = keras.Model(inputs, kk.Readout(O)(kk.SpikeEncoder(2, code)(inputs)))
    with pytest.raises(ValueError, match=message):
        kk.one_step(model)


def test_an_encoder_that_is_stateful():
    """Its states are inputs here, as everybody's; the layer's own stay as they are."""
    inputs = keras.Input(batch_shape=(2, 5, 2))
    encoder = kk.SpikeEncoder(4, "threshold", context_switch=2, stateful=True, name="encoder")
    model = keras.Model(inputs, kk.Readout(2, name="readout")(encoder(inputs)))
    x = tf.random.stateless_uniform((2, 5, 2), [0, 1])
    expected, step = model(x), kk.one_step(model)
    before = [tf.identity(state) for state in encoder.states]
    np.testing.assert_allclose(run_by_steps(step, x)[0], expected, rtol=1e-5)
    all_same([state.numpy() for state in encoder.states], before)
