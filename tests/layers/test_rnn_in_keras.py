"""The RNN layer is a Keras layer like any other: modes, states, stacking, saving, errors."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.cells.leaky_rnn import LeakyRNNCell
from kernl_keras.cells.lif import LIFCell
from kernl_keras.keras_version import keras
from kernl_keras.layers.rnn import RNN

from ..reference.cases import B, H, I, J, Network, T, draw, stacked
from ..reference.expected import ERROR, IMPLEMENTATIONS, STD, Expected, compute, kernels, noise, same


def test_layers_stack():
    """The lower layer's error is the upper one's dC/dx, Eq. (15)."""
    lower, upper = Network("soft euler"), Network("hard adaptive", seed=30)
    rng = np.random.default_rng(0)
    upper.w_in = rng.normal(size=(H, H)) / upper.c.drive
    upper.x = lower.run().output
    settings = dict(form="network")
    m, gamma = kernels(1)
    upper_gradient, error = Expected(upper, m, gamma, **settings).gradients()
    of_lower, of_x = Expected(lower, m, gamma, error, **settings).gradients()
    layers = [lower.layer(m, gamma), None]
    cell = LIFCell(H, use_bias=True, dtype="float64", **upper.settings)
    layers[1] = RNN(cell, reset_gradient=False)
    layers[1].build((B, T, H))
    values = upper.w_in, upper.w_rec, upper.bias, m[0], gamma[0]
    weights = cell.kernel, cell.recurrent_kernel, cell.bias, *layers[1].sensitivity_weights
    for variable, value in zip(weights, values):
        variable.assign(value)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x := lower.inputs)
        loss = tf.reduce_sum(layers[1](layers[0](x, training=True), training=True) * ERROR)
    below = layers[0].cell
    assert upper.run().z.mean() > 0.05 and np.abs(of_lower).max() > 1e-3
    of_weights = [tape.gradient(loss, w) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]
    same(stacked(of_weights), upper_gradient)
    same(stacked(tape.gradient(loss, [below.kernel, below.recurrent_kernel, below.bias])), of_lower)
    same(tape.gradient(loss, x), of_x)


@pytest.mark.parametrize(
    ("rule", "implementation"),
    [
        (dict(form="network"), IMPLEMENTATIONS[1]),
        (dict(form="network"), IMPLEMENTATIONS[2]),
        (dict(form="plain"), IMPLEMENTATIONS[1]),
        (dict(rule="eprop"), IMPLEMENTATIONS[2]),
    ],
    ids=str,
)
def test_a_sequence_in_pieces_learns_as_one(implementation, rule):
    network, (m, gamma), cut = Network("hard adaptive"), kernels(2), 3
    if "rule" in rule:
        m = gamma = None
    layer = network.layer(m, gamma, num_kernels=2, return_state=True, **rule, **implementation)
    weights = layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias

    def learn(pieces):
        states, outputs, total = None, [], 0.0
        for now in pieces:
            with tf.GradientTape() as tape:
                out, *states = layer(network.inputs[:, now], initial_state=states)
                loss = tf.reduce_sum(out * ERROR[:, now])
            total = total + stacked(tape.gradient(loss, weights))
            outputs.append(out)
        return tf.concat(outputs, 1), total, states

    (one_out, one, one_states), (out, several, states) = (
        learn([slice(T)]),
        learn([slice(cut), slice(cut, 5), slice(5, T)]),
    )
    same(out, one_out)
    same(several, one)
    assert len(states) == len(layer.state_size) and all(s.shape == (B, n) for s, n in zip(states, layer.state_size))
    for state, one_state in zip(states, one_states):
        same(state, one_state)
    # without the states the pieces are strangers
    with tf.GradientTape() as tape:
        out, *_ = layer(network.inputs[:, cut:])
        loss = tf.reduce_sum(out * ERROR[:, cut:])
    assert np.abs(out - one_out[:, cut:]).max() > 0
    assert np.isfinite(stacked(tape.gradient(loss, weights))).all()


@pytest.mark.parametrize("rule", ["kernl", "bptt"])
def test_the_gradient_of_the_final_state_is_cut_but_in_backpropagation(rule):
    network = Network("soft euler")
    layer = network.layer(rule=rule, return_state=True)
    for training in (False, True):
        with tf.GradientTape() as tape:
            _, *states = layer(network.inputs, training=training)
            loss = tf.reduce_sum(states[0])
        gradient = tape.gradient(loss, layer.cell.kernel)
        assert (gradient is None) == (rule == "kernl")


@pytest.mark.parametrize("mode", ["tangent", "twin"])
def test_the_perturbed_pass_goes_on_in_the_next_piece(mode):
    """Its states, Omega and Gamma are the reference's at the end, and F of the second piece knows the first."""
    network, (m, gamma), cut = Network("hard adaptive"), kernels(2), 3
    settings = dict(form="network", perturbation="synapse", sensitivity_mode=mode, observe="distance")
    layer = network.layer(
        m, gamma, num_kernels=2, noise_std=STD, return_state=True, implementation="online", **settings
    )
    out, *states = layer(network.inputs[:, :cut], training=True)
    assert [s.shape[-1] for s in states] == [H] * 8 + [2 * H] * 2 + [H * J, 2 * H * J]
    out, *states = layer(network.inputs[:, cut:], initial_state=states, training=True)
    expected = Expected(network, m, gamma, **settings)
    xi = np.concatenate([noise(cut, 1), noise(T - cut, 2)], 1)
    effect, omega, slope = expected.perturbation(xi, slice(T))
    loss, *_ = ref.sensitivity(effect[:, cut:], omega[:, cut:], slope[:, cut:], m)
    assert all(np.abs(x[:, cut - 1]).max() > 0.01 for x in (effect, omega, slope))
    same(layer.report.sensitivity_loss, loss)
    same(states[8], omega[:, -1].reshape(B, -1))
    same(states[9], slope[:, -1].reshape(B, -1))


@pytest.mark.parametrize("mode", ["tangent", "twin"])
def test_the_perturbed_pass_starts_where_an_unperturbed_piece_ended(mode):
    network, (m, gamma), cut = Network("hard adaptive"), kernels(2), 3
    settings = dict(form="network", perturbation="synapse", sensitivity_mode=mode, observe="distance")
    layer = network.layer(m, gamma, num_kernels=2, noise_std=STD, return_state=True, **settings)
    _, *states = layer(network.inputs[:, :cut])
    layer(network.inputs[:, cut:], initial_state=states, training=True)
    xi = np.concatenate([np.zeros((B, cut, H)), noise(T - cut, 1)], 1)
    loss, *_ = ref.sensitivity(*Expected(network, m, gamma, **settings).perturbation(xi, slice(cut, T)), m)
    same(layer.report.sensitivity_loss, loss)


@pytest.mark.parametrize("unroll", [False, True])
def test_an_unrolled_layer_has_no_loop_in_its_graph(unroll):
    layer = Network("hard").layer(unroll=unroll, rule="bptt")
    graph = tf.function(lambda x: layer(x)).get_concrete_function(Network("hard").inputs).graph
    assert any("While" in operation.type for operation in graph.get_operations()) != unroll


def test_stateful():
    network = Network("hard adaptive")
    layer = RNN(network.cell(), stateful=True, implementation="online")
    layer.build((B, 3, I))
    pieces = [layer(network.inputs[:, cut]) for cut in (slice(3), slice(3, 6))]
    same(tf.concat(pieces, 1), network.run().output[:, :6])
    reset = layer.reset_state if hasattr(layer, "reset_state") else layer.reset_states
    reset()
    same(layer(network.inputs[:, :3]), pieces[0])


@pytest.mark.parametrize("training", [False, True])
def test_go_backwards(training):
    network, (m, gamma) = Network("hard adaptive"), kernels(1)
    layer = network.layer(m, gamma, go_backwards=True)
    outputs, of_weights, of_x, _ = compute(layer, network.inputs, training=training)
    network.x = network.x[:, ::-1]
    expected = Expected(network, m, gamma, form="network")
    weights_expected, x_expected = expected.gradients()
    same(outputs, expected.run.output)  # like Keras, in the order in which they were computed
    same(of_weights, weights_expected)
    same(of_x, x_expected[:, ::-1])


def test_the_last_output_alone():
    network, (m, gamma) = Network("hard adaptive"), kernels(1)
    layer = network.layer(m, gamma, return_sequences=False)
    outputs, of_weights, of_x, _ = compute(layer, network.inputs, ERROR[:, -1])
    expected = Expected(network, m, gamma, form="network", credit="last")
    same(outputs, expected.run.output[:, -1])
    for one, other in zip((of_weights, of_x), expected.gradients()):
        same(one, other)


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        pytest.param(
            "hard adaptive", dict(form="network", num_kernels=2, implementation="online"), marks=pytest.mark.slow
        ),
        (
            "soft euler",
            dict(form="plain", sensitivity_mode="twin", implementation="chunked", chunk_size=3, resync_every=2),
        ),
    ],
)
def test_every_mode_agrees(cell, settings):
    """Gradients of everything, the noise included; the graph knows neither batch nor length."""
    network = Network(cell)
    m, gamma = kernels(settings.get("num_kernels", 1))
    expected = compute(network.layer(m, gamma, **settings), network.inputs)
    assert np.abs(expected[1]).max() > 1e-3
    signature = [tf.TensorSpec((None, None, I), tf.float64)]
    modes = {
        "graph": (lambda f: tf.function(f, input_signature=signature), {}),
        "xla": (lambda f: tf.function(f, jit_compile=True), {}),
        "unroll": (lambda f: f, dict(unroll=True)),
    }
    found = {}
    for mode, (wrap, loop) in modes.items():
        layer = network.layer(m, gamma, **loop, **settings)
        found[mode] = wrap(lambda x, f=layer: compute(f, x))(network.inputs)
    for mode, results in found.items():
        for one, other in zip(tf.nest.flatten(results), tf.nest.flatten(expected)):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12, err_msg=mode)


def test_single_precision():
    network, (m, gamma) = Network("soft euler", dtype="float32"), kernels(1)
    expected = Expected(network, m, gamma, form="network")
    outputs, of_weights, of_x, _ = compute(network.layer(m, gamma), network.inputs)
    assert {t.dtype for t in (outputs, of_weights, of_x)} == {tf.float32}
    for one, other in zip((of_weights, of_x), expected.gradients()):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_the_dtype_of_a_layer_is_its_cells_unless_it_is_given():
    layer = RNN(LeakyRNNCell(H, dtype="float64"))
    assert layer.compute_dtype == "float64"
    assert layer(draw(1, B, T, I), training=True).dtype == tf.float64
    assert layer.sensitivity_tensor.dtype == "float64"
    assert RNN.from_config(layer.get_config()).compute_dtype == "float64"
    other = RNN(LeakyRNNCell(H, dtype="float64"), dtype="float32")  # which casts what the cell computes
    assert other(draw(1, B, T, I), training=True).dtype == tf.float32
    assert other.sensitivity_tensor.dtype == "float64"


@pytest.mark.parametrize("cell", ["hard adaptive", "tanh"])
@pytest.mark.parametrize("settings", [{}, *IMPLEMENTATIONS[1:], dict(form="plain", credit="last")], ids=str)
def test_one_step(settings, cell):
    network = Network(cell, time=1)
    m, gamma = kernels(1)
    layer = network.layer(m, gamma, **settings)
    outputs, of_weights, of_x, of_sensitivity = compute(layer, network.inputs, ERROR[:, :1])
    factor = layer.post_factor
    form = settings.get("form", "network")
    expected = Expected(network, m, gamma, ERROR[:, :1], form=form, post_factor=factor).gradients()
    for one, other in zip((of_weights, of_x), expected):
        same(one, other)
    assert np.abs(of_weights).max() > 0 and np.isfinite(layer.report.sensitivity_loss)


def test_no_step_is_an_error():
    layer = Network("hard").layer()
    with pytest.raises(ValueError, match=r"sequences must have at least one time step; received shape \(2, 0, 3\)"):
        layer(tf.zeros((B, 0, I), tf.float64))


ERRORS = [
    (
        dict(rule="rtrl"),
        r"rule must be one of \['bptt', 'bptt_adjoint', 'eprop', .*, 'readout', 'rflo'\]; received 'rtrl'",
    ),
    (dict(form="full"), r"form must be one of \['network', 'plain'\]; received 'full'"),
    (dict(form="plain", perturbation="weights"), "perturbation must be one of .*'current'.*; received 'weights'"),
    (
        dict(form="plain", perturbation="activity"),
        r"perturbation must be one of \['current', 'synapse'\]; received 'act",
    ),
    (dict(perturbation="current"), "perturbation must be 'synapse' in the network form; received 'current'"),
    (dict(sensitivity_mode="both"), r"sensitivity_mode must be one of \['replica', 'tangent', 'twin'\]; received"),
    (dict(cell=LeakyRNNCell(H), sensitivity_mode="replica"), r"must be one of \['tangent', 'twin'\]; received 'rep"),
    (dict(resync_every=0), "resync_every must be an integer >= 1; received 0"),
    (dict(observe="spikes"), r"observe must be one of \['distance', 'reset_voltage', 'voltage'\]; received 's"),
    (dict(post_factor="slope"), r"post_factor must be one of \['gate', 'surrogate', 'trace'\]; received 'slope'"),
    (dict(credit="first"), r"credit must be one of \['all', 'last'\]; received 'first'"),
    (dict(noise_std=0.0), "noise_std must be > 0; received 0.0"),
    (dict(num_kernels=0), "num_kernels must be an integer >= 1; received 0"),
    (dict(implementation="fast"), "implementation must be one of .*'factored'.*; received 'fast'"),
    (
        dict(implementation="chunked"),
        "chunk_size must be given for implementation='chunked', and only there; received c",
    ),
    (
        dict(chunk_size=3),
        "chunk_size must be given for implementation='chunked', and only there; received chunk_size=3",
    ),
    (dict(implementation="chunked", chunk_size=0), "chunk_size must be an integer >= 1; received 0"),
    (dict(max_perturbation=0), "max_perturbation must be > 0; received 0"),
    (dict(seed=-1), "seed must be an integer >= 0; received -1"),
    (
        dict(form="plain", reset_gradient=True),
        "reset_gradient must be None or False .*; received True with rule='kernl'",
    ),
    (dict(rule="rflo", reset_gradient=True), "reset_gradient must be None or False .*; received True with rule='rflo'"),
    (
        dict(cell=keras.layers.SimpleRNNCell(3)),
        r"cell must be a kernl_keras cell \(spiking, resonator or rate\); received <",
    ),
]


@pytest.mark.parametrize(("settings", "message"), ERRORS, ids=[next(iter(e[0])) + str(n) for n, e in enumerate(ERRORS)])
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        RNN(**{"cell": LIFCell(H), **settings})


SETTINGS = dict(
    rule="eprop", form="plain", perturbation="current", sensitivity_mode="twin", resync_every=4, observe="voltage",
    post_factor="trace", credit="last", reset_gradient=False, noise_std=0.7, num_kernels=2, implementation="chunked",
    chunk_size=3, max_perturbation=11.0, train_sensitivity=False, train_temporal_filter=False,
    sensitivity_initializer=keras.initializers.GlorotUniform(seed=1),
    temporal_filter_initializer=keras.initializers.RandomUniform(0.0, 0.1, seed=2), seed=9, return_sequences=False,
)  # fmt: skip


def test_the_config_covers_the_signature():
    names = {name for name in inspect.signature(RNN).parameters if name != "kwargs"}
    assert set(SETTINGS) | {"cell", "temporal_kernel"} == names
    keras_own = dict(return_state=True, go_backwards=True, stateful=True, unroll=True, name="hidden")
    layer, default = RNN(LIFCell(H, tau_m=7.0), **SETTINGS, **keras_own), RNN(LIFCell(H))
    config = layer.get_config()
    assert all(config[name] != default.get_config()[name] for name in names - {"temporal_kernel"})
    again = RNN.from_config(dict(config))  # Keras takes the cell out
    assert again.get_config() == config and again.name == "hidden" and again.cell.tau_m == 7.0
    assert keras.layers.deserialize(keras.layers.serialize(layer)).get_config() == config
    assert RNN.from_config(default.get_config()).get_config() == default.get_config()
    own = RNN(LIFCell(H), temporal_kernel="own")  # which goes with few of the others
    assert RNN.from_config(own.get_config()).temporal_kernel == "own" != default.temporal_kernel


def small_model(**settings):
    inputs = keras.Input((T, I))
    hidden = RNN(LIFCell(H), seed=3, name="hidden", **settings)(inputs)
    return keras.Model(inputs, keras.layers.Dense(2)(hidden))


def data():
    return np.float32(2.0 * draw(60, 6, T, I)), np.float32(draw(61, 6, T, 2))


def test_m_and_gamma_learn_in_any_keras_model():
    model = small_model(sensitivity_initializer="zeros")
    model.compile(keras.optimizers.SGD(0.01), "mse")
    before = {w.name: w.numpy() for w in model.get_layer("hidden").weights}
    x, y = data()
    history = model.fit(x, y, epochs=2, batch_size=3, verbose=0).history
    after = {w.name: w.numpy() for w in model.get_layer("hidden").weights}
    moved = {name.split("/")[-1].split(":")[0] for name in before if np.abs(after[name] - before[name]).max() > 0}
    assert moved == {"kernel", "recurrent_kernel", "sensitivity_tensor", "temporal_filter", "draws"}
    # F is part of the training loss, not of the evaluation's
    prediction = model.predict(x, verbose=0)
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), np.mean((prediction - y) ** 2), rtol=1e-4)
    assert history["loss"][0] > 0


@pytest.mark.parametrize("settings", [{}, dict(implementation="chunked", chunk_size=2, num_kernels=2, form="plain")])
def test_save_and_load(settings, tmp_path):
    model = small_model(**settings)
    x, y = data()
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert len(loaded.get_layer("hidden").weights) == 5  # kernels, M, gamma, the count of draws
    for one, other in zip(loaded.get_layer("hidden").weights, model.get_layer("hidden").weights):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert loaded.get_layer("hidden")._draws.numpy() == 1


def test_states_in_a_functional_model():
    """One layer's states start another, and come out with the shapes that were promised."""
    inputs = keras.Input((T, I))
    first, second = (RNN(LIFCell(H), return_state=True, implementation="online") for _ in range(2))
    _, *states = first(inputs)
    out, *_ = second(inputs, initial_state=states)
    model = keras.Model(inputs, [out, *states])
    x, _ = data()
    values = model(x)
    assert [tuple(v.shape) for v in values] == [(6, T, H)] + [(6, n) for n in first.state_size]
    same(values[0], second(x, initial_state=first(x)[1:])[0], 1e-5)


def test_the_reference_preset():
    layer = RNN.from_preset("reference", LIFCell(H), time_steps=50, noise_std=0.25)
    names = "form", "perturbation", "sensitivity_mode", "observe", "post_factor", "credit", "noise_std"
    expected = "plain", "synapse", "replica", "reset_voltage", "trace", "last", 0.25
    assert tuple(getattr(layer, name) for name in names) == expected
    layer.build((None, 50, I))
    gamma = layer.temporal_filter.numpy()
    assert (gamma >= 0).all() and (gamma <= 0.02).all() and len(set(gamma)) == H
    limit = (6.0 / (2 * H)) ** 0.5
    assert np.abs(layer.sensitivity_tensor).max() <= limit
    with pytest.raises(ValueError, match=r"preset must be one of \['default', 'reference'\]; received 'paper'"):
        RNN.from_preset("paper", LIFCell(H), time_steps=50)


def test_a_drawn_seed_is_kept():
    layer = RNN(LIFCell(H))
    assert layer.seed == layer.get_config()["seed"] == RNN.from_config(layer.get_config()).seed
    assert layer.seed != RNN(LIFCell(H)).seed


def test_states_of_another_number_are_an_error():
    layer = RNN(LIFCell(H))
    layer(x := data()[0])
    with pytest.raises(
        ValueError, match="initial_state must be the 10 states that return_state=True gives .* received 4"
    ):
        layer(x, initial_state=[tf.zeros((len(x), H))] * 4)


@pytest.mark.parametrize("settings", [{}, {"temporal_kernel": "own"}, {"form": "plain"}, {"implementation": "online"}])
def test_a_single_unit_trains(settings):
    inputs = keras.Input((5, 3))
    hidden = RNN(LIFCell(1, input_gain=3.0), **settings)(inputs)
    model = keras.Model(inputs, hidden)
    model.compile("sgd", "mse", jit_compile=False)
    history = model.fit(np.ones((4, 5, 3), "float32"), np.ones((4, 5, 1), "float32"), verbose=0).history
    assert np.isfinite(history["loss"]).all() and hidden.shape[-1] == 1
