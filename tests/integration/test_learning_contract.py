"""What a user of the layer and the model relies on, whatever the rule: one table of rules, one test a promise."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

B, T, I, H, O = 3, 11, 5, 7, 2  # noqa: E741

RULES = {
    "network": {"form": "network"},
    "network, two kernels": {"form": "network", "num_kernels": 2},
    "plain": {"form": "plain"},
    "plain, twin": {"form": "plain", "perturbation": "synapse", "sensitivity_mode": "twin", "resync_every": 4},
    "eprop": {"rule": "eprop"},
    "eprop_alif": {"rule": "eprop_alif"},
    "rflo": {"rule": "rflo"},
}
SLOW = {name: pytest.mark.slow for name in ("network, two kernels", "eprop_alif", "rflo")}
CELLS = {
    "spiking": lambda: kk.LIFCell(H, tau_m=8.0, adaptation_strength=0.5, use_bias=True, recurrent_gain=1.0),
    "rate": lambda: kk.LeakyRNNCell(H, tau=6.0),
}


def inputs(steps=T):
    return np.random.default_rng(3).normal(0.6, 1.0, (B, steps, I)).astype("float32")


def errors(steps=T):
    return np.random.default_rng(4).normal(size=(B, steps, H)).astype("float32")


def layer_of(rule, cell="spiking", **settings):
    layer = kk.RNN(CELLS[cell](), seed=5, **{**RULES[rule], **settings})
    layer(inputs())
    return layer


def twin_of(layer, **settings):
    """A layer with the same weights and other settings."""
    config = {**layer.get_config(), **settings}
    other = type(layer).from_config(config)
    other(inputs())
    for mine, theirs in zip(other.weights, layer.weights):
        mine.assign(theirs)
    return other


def weight_gradients(layer, x, error, initial_state=None):
    """Gradients of the inner product of outputs and `error`; the final states."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, initial_state=initial_state)
        outputs, states = (outputs[0], list(outputs[1:])) if isinstance(outputs, (list, tuple)) else (outputs, [])
        cost = tf.reduce_sum(outputs * error)
    weights = [layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias]
    return [gradient.numpy() for gradient in tape.gradient(cost, [*weights, x])], states


@pytest.mark.parametrize(
    ("rule", "cell"), [*((name, "spiking") for name in RULES if name != "plain, twin"), ("network", "rate")]
)
def test_three_implementations_give_one_gradient(rule, cell):
    factored = layer_of(rule, cell)
    expected, _ = weight_gradients(factored, inputs(), errors())
    assert all(np.abs(gradient).max() > 1e-3 for gradient in expected)
    others = {"implementation": "online"}, {"implementation": "chunked", "chunk_size": 4}  # other sizes: test_rules.py
    for settings in others:
        found, _ = weight_gradients(twin_of(factored, **settings), inputs(), errors())
        for one, other in zip(found, expected):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5, err_msg=str(settings))


@pytest.mark.parametrize("settings", [{"implementation": "online"}, {"implementation": "chunked", "chunk_size": 3}])
@pytest.mark.parametrize("rule", [name for name in RULES if name != "plain, twin"])
def test_a_sequence_in_pieces_gives_the_gradient_of_the_whole(rule, settings):
    whole = layer_of(rule, return_state=True, **settings)
    expected, expected_states = weight_gradients(whole, inputs(), errors())
    total, states = None, None
    for piece in (slice(0, 4), slice(4, 9), slice(9, T)):
        found, states = weight_gradients(whole, inputs()[:, piece], errors()[:, piece], states)
        total = found[:3] if total is None else [a + b for a, b in zip(total, found[:3])]
    for one, other in zip(total, expected[:3]):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    for one, other in zip(states, expected_states):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


# What is slow here has its own oracle, in `test_rules.py` and `test_kernl.py`.
@pytest.mark.parametrize("rule", [pytest.param(name, marks=SLOW.get(name, ())) for name in RULES])
def test_eager_graph_and_xla_agree(rule):
    found, weights = [], None
    for wrap in (lambda f: f, tf.function, tf.function(jit_compile=True)):
        layer = layer_of(rule)

        def step(x, error, layer=layer):
            with tf.GradientTape(persistent=True) as tape:
                outputs = layer(x, training=True)
                cost = tf.reduce_sum(outputs * error)
                loss = layer.report.sensitivity_loss
            of_weights = tape.gradient(cost, [layer.cell.kernel, layer.cell.recurrent_kernel])
            return [outputs, *of_weights, *([] if loss is None else tape.gradient(loss, layer.sensitivity_weights))]

        if weights:
            for mine, first in zip(layer.weights, weights):
                mine.assign(first)
        else:
            weights = [weight.numpy() for weight in layer.weights]
        found.append([np.array(tensor) for tensor in wrap(step)(tf.constant(inputs()), tf.constant(errors()))])
    assert all(np.abs(tensor).max() > 0 for tensor in found[0])
    for other in found[1:]:
        for one, first in zip(other, found[0]):
            np.testing.assert_allclose(one, first, rtol=2e-4, atol=2e-5)


def model_of(rule, **compiled):
    x = keras.Input((T, I))
    hidden = kk.RNN(CELLS["spiking"](), name="hidden", seed=5, **RULES[rule])(x)
    voltage = keras.layers.RNN(kk.ReadoutCell(O), return_sequences=True, name="readout")(hidden)
    model = kk.Model(x, kk.TimeAverage(4)(voltage))
    settings = {"optimizer": keras.optimizers.SGD(0.1), "sensitivity_optimizer": keras.optimizers.SGD(0.01)}
    model.compile(loss="mse", **{**settings, **compiled})
    return model


def weights_of(model):
    """Without the metrics' variables, which Keras 2 counts among a model's weights."""
    return [weight for layer in model.layers for weight in layer.weights]


def batch():
    return inputs(), np.random.default_rng(6).normal(size=(B, O)).astype("float32")


@pytest.mark.parametrize(
    ("rule", "jit_compile"),
    [
        ("network", True),
        ("network, two kernels", False),
        ("plain", False),
        ("plain, twin", True),
        pytest.param("network", False, marks=pytest.mark.slow),
        pytest.param("network, two kernels", True, marks=pytest.mark.slow),
        pytest.param("plain", True, marks=pytest.mark.slow),
        pytest.param("plain, twin", False, marks=pytest.mark.slow),
    ],
)
def test_a_step_moves_m_and_gamma_first_and_then_the_weights(rule, jit_compile):
    x, y = batch()
    model, by_hand = model_of(rule, jit_compile=jit_compile), model_of(rule)
    for mine, theirs in zip(weights_of(by_hand), weights_of(model)):
        mine.assign(theirs)
    layer = by_hand.get_layer("hidden")
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_mean((by_hand(x, training=True) - y) ** 2)
        sensitivity_loss = layer.report.sensitivity_loss
    m, gamma = layer.sensitivity_weights
    of_m, of_gamma = tape.gradient(sensitivity_loss, [m, gamma])
    assert np.abs(of_m).max() > 1e-5 and np.abs(of_gamma).max() > 1e-7
    m.assign(m - 0.01 * of_m)
    gamma.assign(tf.nn.relu(gamma - 0.01 * of_gamma))
    readout = by_hand.get_layer("readout").cell.kernel
    weights = [layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias, readout]
    for weight, gradient in zip(weights, tape.gradient(loss, weights)):  # the tape reads M and gamma now
        weight.assign(weight - 0.1 * gradient)
    model.train_on_batch(x, y)
    for mine, theirs in zip(weights_of(model), weights_of(by_hand)):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


def test_readout_trains_what_is_above_the_layer_alone():
    x = keras.Input((T, I))
    hidden = kk.RNN(CELLS["spiking"](), name="hidden", rule="readout")(keras.layers.Dense(I, name="below")(x))
    model = kk.Model(x, keras.layers.Dense(O, name="readout")(hidden))
    model.compile("sgd", "mse", run_eagerly=True)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.train_on_batch(inputs(), errors()[..., :O])
    moved = {name: any((w != old).any() for w, old in zip(model.get_layer(name).get_weights(), weights))
             for name, weights in before.items()}  # fmt: skip
    assert {name for name in moved if moved[name]} == {"readout"}


def snapshot(model):
    return [weight.numpy() for weight in weights_of(model)]


def test_evaluate_and_predict_leave_every_weight_alone():
    model = model_of("network")
    before = snapshot(model)
    model.evaluate(*batch(), verbose=0)
    model.predict(batch()[0], verbose=0)
    for one, other in zip(snapshot(model), before):
        np.testing.assert_array_equal(one, other)


def test_sensitivity_only_leaves_the_weights_alone_at_first():
    model = model_of("network", sensitivity_only=2)
    layer = model.get_layer("hidden")
    kernel, m = layer.cell.kernel.numpy(), layer.sensitivity_tensor.numpy()
    for _ in range(2):
        model.train_on_batch(*batch())
    np.testing.assert_array_equal(layer.cell.kernel.numpy(), kernel)
    assert np.abs(layer.sensitivity_tensor.numpy() - m).max() > 0
    model.train_on_batch(*batch())
    assert np.abs(layer.cell.kernel.numpy() - kernel).max() > 0


def test_sensitivity_every_second_step():
    model = model_of("network", sensitivity_every=2)
    layer = model.get_layer("hidden")
    seen = [layer.sensitivity_tensor.numpy()]
    for _ in range(3):
        model.train_on_batch(*batch())
        seen.append(layer.sensitivity_tensor.numpy())
    moved = [np.abs(b - a).max() > 0 for a, b in zip(seen, seen[1:])]
    assert moved == [True, False, True]


def test_a_nan_in_a_batch_changes_no_weight_and_is_reported():
    model = model_of("network")
    x, y = batch()
    before = [weight.numpy() for weight in model.trainable_variables]
    logs = model.train_on_batch(x, np.full_like(y, np.nan), return_dict=True)
    layer = model.get_layer("hidden")
    for weight, old in zip(model.trainable_variables, before):
        if weight is not layer.sensitivity_tensor and weight is not layer.temporal_filter:
            np.testing.assert_array_equal(weight.numpy(), old)
    assert logs["skipped_updates"] == 1.0


def test_an_exploding_tangent_is_bounded():
    cell = kk.LIFCell(H, recurrent_gain=40.0, surrogate="exponential", surrogate_damping=5.0)
    layer = kk.RNN(cell, seed=1)
    layer(np.repeat(inputs(), 30, axis=1), training=True)
    report = layer.report
    assert np.isfinite(report.sensitivity_loss)
    assert 1.0 < report.perturbation_variance <= 30.0**2


def test_a_saved_model_goes_on_where_it_stopped(tmp_path):
    optimizers = {"optimizer": keras.optimizers.Adam(0.01), "sensitivity_optimizer": keras.optimizers.RMSprop(0.01)}
    model = model_of("network", **optimizers)
    model.train_on_batch(*batch())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.train_on_batch(*batch())
    for one, other in zip(snapshot(loaded), snapshot(model)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_plain_keras_model_trains_m_and_gamma_too():
    x = keras.Input((T, I))
    layer = kk.RNN(CELLS["spiking"](), seed=5, return_sequences=False)
    model = keras.Model(x, keras.layers.Dense(O)(layer(x)))
    model.compile("sgd", "mse")
    before = [weight.numpy() for weight in (layer.sensitivity_tensor, layer.cell.recurrent_kernel)]
    model.train_on_batch(*batch())
    for weight, old in zip((layer.sensitivity_tensor, layer.cell.recurrent_kernel), before):
        assert np.abs(weight.numpy() - old).max() > 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"form": "deep"}, "form must be one of .*received 'deep'"),
        ({"perturbation": "current"}, "perturbation must be 'synapse' in the network form; received 'current'"),
        ({"form": "plain", "perturbation": "activity"}, "perturbation must be one of .*received 'activity'"),
        ({"chunk_size": 3}, "chunk_size must be given for implementation='chunked', .*received chunk_size=3"),
        ({"implementation": "chunked"}, "chunk_size must be given .*received chunk_size=None"),
        ({"num_kernels": 0}, "num_kernels must be an integer >= 1; received 0"),
        ({"noise_std": 0.0}, "noise_std must be > 0; received 0.0"),
    ],
)
def test_settings_that_do_not_go_together(settings, message):
    with pytest.raises(ValueError, match=message):
        kk.RNN(CELLS["spiking"](), **settings)


def test_no_time_step_and_one():
    layer = layer_of("network")
    assert layer(inputs(1)).shape == (B, 1, H)
    with pytest.raises(ValueError, match="sequences must have at least one time step"):
        layer(inputs()[:, :0])
