"""The hidden cells in a plain `keras.layers.RNN`: dynamics, backpropagation through time, settings."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras

from ..reference import oracles
from ..reference.cases import CELLS, RATE, RESONATOR, SPIKING, B, H, I, Network, T, draw
from ..reference.expected import compute
from ..signatures import constructor_arguments

MODES = {
    "eager": lambda f: f,
    "graph": tf.function,
    "xla": lambda f: tf.function(f, jit_compile=True),
    "unroll": tf.function,
}


def rnn(network, **settings):
    return keras.layers.RNN(network.cell(), return_sequences=True, dtype=network.dtype, **settings)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        # every cell in eager mode, and where time is short one of each kind in one of the other modes
        pytest.param(name, mode, marks=() if mode == "eager" or number % 4 == turn else pytest.mark.slow)
        for number, name in enumerate(CELLS)
        for turn, mode in enumerate(["eager", "graph", "unroll", "xla"])
    ],
)
def test_sequences_are_the_references_in_every_mode(name, mode):
    network = Network(name)
    layer = rnn(network, return_state=True, unroll=mode == "unroll")
    outputs, *states = MODES[mode](lambda x: layer(x))(network.inputs)
    run = network.run()
    assert outputs.dtype == tf.float64 and np.abs(run.output).mean() > 0.1
    np.testing.assert_allclose(outputs, run.output, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(states, run.end, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["hard", "soft euler", "tanh"])
def test_sequences_in_single_precision(name):
    network = Network(name, dtype="float32")
    outputs = rnn(network)(network.inputs)
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs, network.run().output, rtol=1e-5, atol=1e-6)


def expected_gradients(network, error):
    """By differences of the smooth run, or of the run itself for rate units: [J, H] and [B, T, I]."""
    n = network
    if n.spiking:
        return oracles.smooth_gradient(error, n.x, n.w_in, n.w_used, n.bias, n.c, forward=n.forward)

    def loss(weights, x):
        return np.sum(error * ref.rate(x, weights[:I], weights[I : I + H], weights[-1], n.c).output)

    weights = np.concatenate([n.w_in, n.w_used, n.bias[None]])
    return oracles.difference(lambda w: loss(w, n.x), weights), oracles.difference(lambda x: loss(weights, x), n.x)


@pytest.mark.parametrize("name", CELLS)
def test_a_plain_rnn_learns_by_backpropagation_through_time_with_the_surrogate(name):
    network, error = Network(name), draw(9, B, T, H)
    _, of_weights, of_x, _ = compute(rnn(network), network.inputs, error, training=False)
    weights_expected, x_expected = expected_gradients(network, error)
    assert np.abs(weights_expected).max() > 0.1
    np.testing.assert_allclose(of_weights, network.used(weights_expected), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(of_x, x_expected, rtol=1e-6, atol=1e-7)


# Settings

SPIKING_SETTINGS = dict(
    units=4, tau_m=[5.0, 6.0, 7.0, 8.0], tau_s=None, tau_a=kk.LogUniform(10.0, 90.0, seed=3), tau_ref=2.5,
    resistance=1.5, base_threshold=0.7, adaptation_strength=[0.0, 1.0, 2.0, 3.0], reset_potential=-0.2, reset="soft",
    dt=0.5, discretization="euler", surrogate="exponential", surrogate_damping=0.4, self_connections=True,
    use_bias=True, input_gain=2.0, recurrent_gain=1.0, learn=["tau_m"],
    kernel_initializer=keras.initializers.GlorotNormal(seed=1), recurrent_initializer=keras.initializers.Zeros(),
    bias_initializer=keras.initializers.Ones(), kernel_regularizer=keras.regularizers.L2(0.1),
    recurrent_regularizer=keras.regularizers.L1(0.2), bias_regularizer=keras.regularizers.L2(0.3),
    kernel_constraint=keras.constraints.NonNeg(), recurrent_constraint=keras.constraints.MaxNorm(3.0),
    bias_constraint=keras.constraints.NonNeg(), excitatory=0.5, connectivity_seed=2,
    recurrent_connectivity=[[False, True, True, False], [True] * 4, [False] * 4, [True, False, True, False]],
)  # fmt: skip
SETTINGS = {
    kk.LIFCell: SPIKING_SETTINGS,
    kk.ResonatorCell: {
        **{k: v for k, v in SPIKING_SETTINGS.items() if k in constructor_arguments(kk.ResonatorCell)},
        **dict(period=[5.0, 6.0, 7.0, 8.0], tau_s=9.0, surrogate="triangle", use_bias=False),
    },
    kk.LeakyRNNCell: {
        **{k: v for k, v in SPIKING_SETTINGS.items() if k in constructor_arguments(kk.LeakyRNNCell)},
        **dict(tau=kk.LogUniform(5.0, 60.0, seed=2), period=9.0, activation="relu", learn=["period"]),
        **dict(discretization="exponential", self_connections=False, use_bias=False),
    },
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_config_covers_the_signature(kind):
    names = constructor_arguments(kind)
    settings, defaults = SETTINGS[kind], kind(4).get_config()
    assert set(names) == set(settings)
    cell = kind(**settings, name="cell", dtype="float64")
    config = cell.get_config()
    assert set(kind.arguments()) == set(names)
    untouched = {"units", "discretization"} if kind is kk.LeakyRNNCell else {"units"}  # a period leaves no choice of it
    assert all(config[name] != defaults[name] for name in names if name not in untouched)
    again = kind.from_config(config)
    assert again.get_config() == config and again.name == "cell" and again.compute_dtype == "float64"
    deserialized = keras.layers.deserialize(keras.layers.serialize(cell))
    assert type(deserialized) is kind and deserialized.get_config() == config


def test_the_config_of_a_rate_cell_keeps_its_discretization():
    config = kk.LeakyRNNCell(4, tau=5.0, discretization="euler").get_config()
    assert config["discretization"] == kk.LeakyRNNCell.from_config(config).discretization == "euler"


@pytest.mark.parametrize("kind", SETTINGS)
def test_weights_of_a_cell_and_its_copy(kind):
    """Initializers with seeds: the copy from the config starts and runs as the original."""
    x, outputs = tf.constant(draw(1, B, T, I), tf.float32), []
    cell = kind(**SETTINGS[kind])
    for one in (cell, kind.from_config(cell.get_config())):
        layer = keras.layers.RNN(one, return_sequences=True)
        outputs.append(layer(x))
        names = [f"log_{name}" for name in SETTINGS[kind]["learn"]]
        names += ["kernel", "recurrent_kernel"] + ["bias"] * SETTINGS[kind]["use_bias"]
        assert [w.name.split("/")[-1].split(":")[0] for w in layer.trainable_weights] == names
        assert len(layer.non_trainable_weights) == 1  # the drawn time constants
        assert len(layer.losses) == 2 + SETTINGS[kind]["use_bias"]
    if kind is not kk.LeakyRNNCell:
        np.testing.assert_array_equal(*outputs)


DRAWN = kk.LogUniform(3.0, 30.0, seed=4)
TIME_CONSTANTS = {"number": 9.0, "list": [5.0, 6.0, 20.0, 8.0], "initializer": DRAWN}


@pytest.mark.parametrize("kind", TIME_CONSTANTS)
@pytest.mark.parametrize("argument", ["tau_m", "tau_s", "tau_a", "tau", "period"])
def test_time_constants_by_number_list_and_initializer(argument, kind):
    name = {"tau": "tanh", "period": "resonator"}.get(argument, "hard adaptive")
    network = Network(name)
    network.settings = {**network.settings, argument: TIME_CONSTANTS[kind]}
    values = DRAWN((H,), "float64").numpy() if kind == "initializer" else TIME_CONSTANTS[kind]
    known = {key: value for key, value in network.settings.items() if key != "self_connections"}
    network.c = network.constants(H, **{**known, argument: values})
    layer = rnn(network)
    np.testing.assert_allclose(layer(network.inputs), network.run().output, rtol=1e-9, atol=1e-12)
    assert len(layer.non_trainable_weights) == (kind == "initializer")
    other = Network(name)
    assert np.abs(other.run().end - network.run().end).max() > 1e-3  # the argument matters


def test_drawn_time_constants_are_saved_with_a_model(tmp_path):
    inputs = keras.Input((T, I))
    cell = kk.LIFCell(H, tau_m=kk.LogUniform(3.0, 30.0), tau_a=keras.initializers.RandomUniform(10.0, 40.0))
    model = keras.Model(inputs, keras.layers.RNN(cell, return_sequences=True)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.float32(3.0 * draw(1, B, T, I))
    outputs = model.predict(x, verbose=0)
    assert 0.05 < outputs.mean() < 0.9
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), outputs)


@pytest.mark.parametrize("tau_m", [20.0, [2.0, 20.0] * 200])
@pytest.mark.parametrize(
    ("gains", "expected"), [({}, (3.0, 0.3)), (dict(input_gain=1.5, recurrent_gain=0.7), (1.5, 0.7))]
)
def test_default_weights_move_the_potential_by_their_gains(gains, expected, tau_m):
    cell = kk.LIFCell(400, tau_m=tau_m, resistance=1.3, **gains)
    cell.build((None, 100))
    drive = 1.3 * (1.0 - np.exp(-1.0 / np.broadcast_to(tau_m, 400)))
    np.testing.assert_allclose((cell.kernel.numpy() * drive).std(), expected[0] / 10.0, rtol=0.02)
    np.testing.assert_allclose((cell.recurrent_kernel.numpy() * drive).std(), expected[1] / 20.0, rtol=0.02)


@pytest.mark.parametrize("own", [False, True])
def test_self_connections(own):
    cell = kk.LIFCell(H, self_connections=own)
    cell.build((None, I))
    weights = cell.recurrent_kernel.numpy()
    np.testing.assert_array_equal(cell.recurrent_weights(), weights if own else weights * (1.0 - np.eye(H)))
    assert np.diag(weights).all()


ERRORS = [
    (kk.LIFCell, dict(units=0), "units must be an integer >= 1; received 0"),
    (kk.LIFCell, dict(tau_m=0.0), "tau_m must be > 0; received 0.0"),
    (kk.LIFCell, dict(tau_s=[1.0, 2.0]), r"tau_s must have one value a unit \(4\); received 2 values"),
    (kk.LIFCell, dict(tau_a=-1.0), "tau_a must be > 0; received -1.0"),
    (kk.LIFCell, dict(tau_ref=-1.0), "tau_ref must be >= 0; received -1.0"),
    (kk.LIFCell, dict(resistance=0.0), "resistance must be > 0; received 0.0"),
    (kk.LIFCell, dict(resistance=[1.0, 2.0]), r"resistance must have one value a unit \(4\); received 2"),
    (kk.LIFCell, dict(base_threshold=0), "base_threshold must be > 0; received 0"),
    (kk.LIFCell, dict(base_threshold="1"), "base_threshold must be a number or a list; received '1'"),
    (kk.LIFCell, dict(adaptation_strength=[1.0, 2.0, 3.0, -4.0]), "adaptation_strength must be >= 0"),
    (kk.LIFCell, dict(reset_potential=np.nan), "reset_potential must be a finite number; received nan"),
    (kk.LIFCell, dict(reset="none"), r"reset must be one of \['hard', 'soft'\]; received 'none'"),
    (kk.LIFCell, dict(dt=0), "dt must be > 0; received 0"),
    (kk.LIFCell, dict(discretization="rk4"), "discretization must be one of .*'euler'.*; received 'rk4'"),
    (kk.LIFCell, dict(surrogate="box"), "surrogate must be one of .*'triangle'.*; received 'box'"),
    (kk.LIFCell, dict(input_gain=-1.0), "input_gain must be >= 0; received -1.0"),
    (kk.LIFCell, dict(recurrent_gain=-2.0), "recurrent_gain must be >= 0; received -2.0"),
    (kk.LIFCell, dict(surrogate_damping=-0.1), "surrogate_damping must be >= 0; received -0.1"),
    (kk.ResonatorCell, dict(tau_m=0.0), "tau_m must be > 0; received 0.0"),
    (kk.ResonatorCell, dict(period=2.0), r"period must be > 2 dt = 2 ms; received 2.0"),
    (kk.ResonatorCell, dict(period=[9.0, 9.0, 0.9, 9.0], dt=0.5), r"period must be > 2 dt = 1 ms; received \[9.0, 9.0"),
    (kk.ResonatorCell, dict(period=-1.0), "period must be > 0; received -1.0"),
    (kk.ResonatorCell, dict(base_threshold=0.0), "base_threshold must be > 0; received 0.0"),
    (kk.ResonatorCell, dict(adaptation_strength=-1.0), "adaptation_strength must be >= 0"),
    (kk.ResonatorCell, dict(surrogate="box"), "surrogate must be one of .*'triangle'.*; received 'box'"),
    (kk.LeakyRNNCell, dict(tau=[1.0]), r"tau must have one value a unit \(4\); received 1 values"),
    (kk.LeakyRNNCell, dict(activation="sigmoid"), "activation must be one of .*'tanh'.*; received 'sigmoid'"),
    (kk.LeakyRNNCell, dict(dt=-1.0), "dt must be > 0; received -1.0"),
    (kk.LeakyRNNCell, dict(discretization="rk4"), "discretization must be one of"),
    (kk.LeakyRNNCell, dict(period=9.0), "period needs a tau and discretization='exponential'; received tau=None"),
    (kk.LeakyRNNCell, dict(tau=9.0, period=1.0), "period must be > 2 dt = 2 ms; received 1.0"),
    (kk.AdLIFCell, dict(coupling=-1.0), "coupling must be >= 0; received -1"),
    # in half precision exp(-1/700) is 1
    *((kind, dict(dtype="mixed_bfloat16"), "dtype must compute in float32 .*; received 'bf") for kind in SETTINGS),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings", "message"), ERRORS, ids=[message[:40] for *_, message in ERRORS])
def test_errors(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"units": 4, **settings})


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_unknown_number_of_inputs_is_an_error(kind):
    with pytest.raises(ValueError, match="inputs must have a known last axis; received shape"):
        kind(4).build((None, None))


def test_tables_of_cells():
    assert set(CELLS) == set(SPIKING) | set(RESONATOR) | set(RATE)
    assert {SPIKING[name].get("reset", "hard") for name in SPIKING} == {"hard", "soft"}
    assert {SPIKING[name].get("discretization", "exponential") for name in SPIKING} == {"exponential", "euler"}
    assert {RATE[name]["activation"] for name in RATE} == {"tanh", "relu", "identity"}


@pytest.mark.parametrize(
    ("weight", "argument", "fans"),
    [
        ("kernel", "kernel_initializer", 40 + 300),
        ("recurrent_kernel", "recurrent_initializer", 300 + 300),
        ("bias", "bias_initializer", 300 + 300),
    ],
)
def test_no_initializer_is_keras_own_default(weight, argument, fans):
    """Glorot's uniform numbers, as of `keras.layers.Dense(3, kernel_initializer=None)`."""
    cell = kk.LeakyRNNCell.from_config(kk.LeakyRNNCell(300, **{argument: None}).get_config())
    cell.build((None, 40))
    values, limit = getattr(cell, weight).numpy(), np.sqrt(6.0 / fans)
    assert 0.95 * limit < np.abs(values).max() <= limit
    np.testing.assert_allclose(values.std(), limit / np.sqrt(3.0), rtol=0.2)
