"""The hidden cells in a plain `keras.layers.RNN`: dynamics, backpropagation through time, settings."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras, short_name

from ..reference import oracles
from ..reference.cases import CELLS, B, H, I, Network, T, draw, taking_turns
from ..reference.expected import compute
from ..reference.tools import MODES
from ..signatures import constructor_arguments

MODES = {**MODES, "unroll": tf.function}


def rnn(network, **settings):
    return keras.layers.RNN(network.cell(), return_sequences=True, dtype=network.dtype, **settings)


COMPILED = itertools.product(CELLS, ("graph", "unroll", "xla"))


@pytest.mark.parametrize(("name", "mode"), [*((name, "eager") for name in CELLS), *taking_turns(COMPILED, every=4)])
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


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("name", "mode"),
    [*((name, "eager") for name in CELLS), ("hard adaptive", "xla"), ("resonator", "graph"), ("tanh", "unroll")],
)
def test_a_plain_rnn_learns_by_backpropagation_through_time_with_the_surrogate(name, mode):
    network, error = Network(name), draw(9, B, T, H)
    layer = rnn(network, unroll=mode == "unroll")
    gradients = MODES[mode](lambda x: compute(layer, x, error, training=False)[1:3])
    of_weights, of_x = gradients(network.inputs)
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
def test_the_config_covers_the_signature_and_makes_the_same_cell(kind):
    """Initializers with seeds: the copy from the config starts and runs as the original."""
    names, settings, defaults = constructor_arguments(kind), SETTINGS[kind], kind(4).get_config()
    assert set(kind.arguments()) == set(names) == set(settings)
    dtype = "float32" if keras.__version__.startswith("3.12.") else "float64"  # its L1 has single precision alone
    cell = kind(**settings, name="cell", dtype=dtype)
    config = cell.get_config()
    untouched = {"units", "discretization"} if kind is kk.LeakyRNNCell else {"units"}  # a period leaves no choice of it
    assert all(config[name] != defaults[name] for name in names if name not in untouched)
    copy, outputs = keras.layers.deserialize(keras.layers.serialize(cell)), []
    assert copy.get_config() == config and copy.name == "cell" and copy.compute_dtype == dtype
    for one in (cell, copy):
        layer = keras.layers.RNN(one, return_sequences=True, dtype=dtype)
        outputs.append(layer(tf.constant(draw(1, B, T, I))))
        weights = [f"log_{name}" for name in settings["learn"]]
        weights += ["kernel", "recurrent_kernel"] + ["bias"] * settings["use_bias"]
        assert [short_name(weight) for weight in layer.trainable_weights] == weights
        assert len(layer.non_trainable_weights) == 1  # the drawn time constants
        assert len(layer.losses) == 2 + settings["use_bias"]
    np.testing.assert_allclose(*outputs, rtol=1e-12)


def test_the_config_of_a_rate_cell_keeps_its_discretization():
    config = kk.LeakyRNNCell(4, tau=5.0, discretization="euler").get_config()
    assert config["discretization"] == kk.LeakyRNNCell.from_config(config).discretization == "euler"


DRAWN = kk.LogUniform(3.0, 30.0, seed=4)
TIME_CONSTANTS = {"number": 9.0, "list": [5.0, 6.0, 20.0, 8.0], "initializer": DRAWN}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", TIME_CONSTANTS)
@pytest.mark.parametrize("argument", ["tau_m", "tau_s", "tau_a", "tau", "period"])
def test_time_constants_by_number_list_and_initializer(argument, kind):
    name = {"tau": "tanh", "period": "resonator"}.get(argument, "hard adaptive")
    values = DRAWN((H,), "float64").numpy() if kind == "initializer" else TIME_CONSTANTS[kind]
    network = Network(name, **{argument: values})  # of the oracle
    network.settings[argument] = TIME_CONSTANTS[kind]
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
    outputs = np.asarray(model(x))
    assert 0.05 < outputs.mean() < 0.9
    np.testing.assert_array_equal(loaded(x), outputs)


@pytest.mark.parametrize("tau_m", [20.0, [2.0, 20.0] * 200])
@pytest.mark.parametrize("gains, expected", [({}, (3.0, 0.3)), (dict(input_gain=1.5, recurrent_gain=0.7), (1.5, 0.7))])
def test_default_weights_move_the_potential_by_their_gains(gains, expected, tau_m):
    cell = kk.LIFCell(400, tau_m=tau_m, resistance=1.3, **gains)
    cell.build((None, 100))
    drive = 1.3 * (1.0 - np.exp(-1.0 / np.broadcast_to(tau_m, 400)))
    np.testing.assert_allclose((cell.kernel.numpy() * drive).std(), expected[0] / 10.0, rtol=0.02)
    np.testing.assert_allclose((cell.recurrent_kernel.numpy() * drive).std(), expected[1] / 20.0, rtol=0.02)


@pytest.mark.parametrize("weight, fans", [("kernel", 40 + 300), ("recurrent_kernel", 300 + 300), ("bias", 300 + 300)])
def test_no_initializer_is_keras_own_default(weight, fans):
    """Glorot's uniform numbers, as of `keras.layers.Dense(3, kernel_initializer=None)`."""
    argument = f"{weight.removesuffix('_kernel')}_initializer"
    cell = kk.LeakyRNNCell.from_config(kk.LeakyRNNCell(300, **{argument: None}).get_config())
    cell.build((None, 40))
    values, limit = getattr(cell, weight).numpy(), np.sqrt(6.0 / fans)
    assert 0.95 * limit < np.abs(values).max() <= limit
    np.testing.assert_allclose(values.std(), limit / np.sqrt(3.0), rtol=0.2)
