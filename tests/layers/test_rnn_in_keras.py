"""The RNN layer is a Keras layer like any other: modes, states, dtypes, saving, freezing, errors."""

import json

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, Exponential, KeRNL, LinearTraces, PlainKeRNL, Replica, Tangent, Twin

from ..reference.cases import B, H, I, J, Network, T, draw
from ..reference.expected import ERROR, STD, Expected, compute, kernels, noise, same
from ..reference.tools import all_same
from ..reference.units import Quadratic
from ..signatures import constructor_arguments

NETWORK = KeRNL("exponential", reset_gradient=False)


@pytest.mark.parametrize("rule", [KeRNL(), BPTT(), BPTT(tape=True)], ids=["kernl", "bptt", "tape"])
def test_the_gradient_of_the_final_state_is_cut_but_on_the_tape(rule):
    network = Network("soft euler")
    layer = network.layer(rule, return_state=True)
    for training in (False, True):
        with tf.GradientTape() as tape:
            _, *states = layer(network.inputs, training=training)
            loss = tf.reduce_sum(states[0])
        gradient = tape.gradient(loss, layer.cell.kernel)
        assert (gradient is None) != rule.by_tape


NOISY = {"tangent": Tangent(), "twin": Twin(STD), "replica": Replica(STD)}


@pytest.mark.parametrize("mode", NOISY)
def test_the_perturbed_pass_goes_on_in_the_next_piece(mode):
    """Its states, Omega and Gamma are the reference's at the end, and F of the second piece knows the first.

    Where the first piece is not perturbed, the perturbed pass starts where that ended.
    """
    network, (m, gamma), cut = Network("hard adaptive"), kernels(2), 3
    rule = KeRNL(Exponential(2), NOISY[mode])
    for perturbed in (True, False):
        layer = network.layer(rule, m, gamma, traces=True, return_state=True)
        _, *states = layer(network.inputs[:, :cut], training=perturbed)
        assert [s.shape[-1] for s in states] == [H] * 8 + [2 * H] * 2 + [H * J, H * J, 2 * H * J]
        _, *states = layer(network.inputs[:, cut:], initial_state=states, training=True)
        first = noise(cut, 1) if perturbed else np.zeros((B, cut, H))
        xi = np.concatenate([first, noise(T - cut, 1 + perturbed)], 1)
        effect = Expected(network, rule, m, gamma).effect(xi)
        omega, slope = ref.filtered_noise(xi, np.ones_like(xi), gamma, network.c.dt)
        loss, *_ = ref.sensitivity(effect[:, cut:], omega[:, cut:], slope[:, cut:], m)
        assert all(np.abs(x[:, cut - 1]).max() > 0.01 for x in (effect, omega, slope)) == perturbed
        same(layer.report.sensitivity_loss, loss)
        same(states[8], omega[:, -1].reshape(B, -1))
        same(states[9], slope[:, -1].reshape(B, -1))


def test_an_unrolled_layer_needs_a_number_of_steps():
    unknown = tf.function(kk.RNN(kk.LeakyRNNCell(2), unroll=True), input_signature=[tf.TensorSpec((1, None, 3))])
    with pytest.raises(ValueError, match=r"unroll=True needs a static number of steps; received shape \(1, None, 3\)"):
        unknown.get_concrete_function()


def test_of_a_shape_that_keras_forgot_the_step_itself_asks_for_the_features():
    """`fit` of a model that was built by its `call` forgets the shape when batches of two shapes have come."""
    for layer in (kk.RNN(kk.LIFCell(3)), kk.Readout(3)):
        x = draw(30, B, T, I).astype("float32")
        exact = layer(x)
        for shape in ((None, None, None), None):
            call = tf.function(layer, input_signature=[tf.TensorSpec(shape, "float32")])
            np.testing.assert_array_equal(call(x), exact)
            with pytest.raises(tf.errors.InvalidArgumentError, match=rf"not compatible with expected shape \[.*,{I}\]"):
                call(x[..., 1:])


DRAWN = kk.LogUniform(5.0, 50.0, seed=1)
SOME = [[True, False, True], [False, True, True], [True, True, False]]
BUILT_LATE = {
    "lists": lambda: kk.RNN(kk.LIFCell(3, tau_m=[5.0, 9.0, 20.0], recurrent_connectivity=SOME), "eprop"),
    "unit": lambda: kk.RNN(Quadratic(3), "eprop"),
    "unit, drawn constants": lambda: kk.RNN(Quadratic(3, tau_m=DRAWN), "kernl", window=2, traces="linear"),
    "unit, constants learn": lambda: kk.RNN(Quadratic(3, learn=["tau_m", "jump"]), "eprop"),
    "poles of drawn constants": lambda: kk.RNN(kk.AdLIFCell(3, tau_m=DRAWN), "eprop", traces="linear"),
    "poles of drawn periods": lambda: kk.RNN(kk.ResonatorCell(3, period=DRAWN), "kernl", traces="linear"),
    "poles of constants that learn": lambda: kk.RNN(kk.LIFCell(3, learn="tau_m"), "eprop", traces="linear"),
    "readout": lambda: kk.Readout(3, tau_out=DRAWN, learn="tau_out"),
    "loop of Keras": lambda: keras.layers.RNN(Quadratic(3, tau_m=DRAWN), return_sequences=True),
}


@pytest.mark.parametrize("make", BUILT_LATE.values(), ids=BUILT_LATE)
def test_a_layer_may_be_built_while_a_function_is_traced(make):
    """As `fit` builds the layers of a model that has no inputs yet. It outlives the graph."""
    x, late, layer = 3.0 * draw(31, B, T, I).astype("float32"), make(), make()
    layer.build(x.shape)
    call = tf.function(late)
    call(x)
    for one, other in zip(late.weights, layer.weights, strict=True):
        assert one.shape == other.shape and one.trainable == other.trainable
    late.set_weights(layer.get_weights())
    for outputs in (call(x), late(x)):
        np.testing.assert_allclose(outputs, layer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (kk.LIFCell(3, tau_m=1e-3, learn="tau_m"), "tau_m must be from 0.1 to 100000 where it learns; received 0.001"),
        (kk.ResonatorCell(3, period=kk.LogUniform(1.0, 1.5)), r"> 2 ms; its initializer LogUniform\(1, 1.5, .*\) drew"),
    ],
)
def test_bad_constants_are_refused_while_a_function_is_traced(cell, message):
    with pytest.raises(ValueError, match=message):
        tf.function(kk.RNN(cell, "eprop"))(tf.ones((B, T, I)))


@pytest.mark.parametrize("unroll", [False, True])
def test_an_unrolled_layer_has_no_loop_in_its_graph(unroll):
    layer = Network("hard").layer(BPTT(tape=True), unroll=unroll)
    graph = tf.function(lambda x: layer(x)).get_concrete_function(Network("hard").inputs).graph
    assert any("While" in operation.type for operation in graph.get_operations()) != unroll


def test_single_precision():
    network, m = Network("soft euler", dtype="float32"), kernels(1)[0]
    expected = Expected(network, KeRNL(), m)
    outputs, of_weights, of_x, _ = compute(network.layer(KeRNL(), m), network.inputs)
    assert {t.dtype for t in (outputs, of_weights, of_x)} == {tf.float32}
    for one, other in zip((of_weights, of_x), expected.gradients()):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_the_layer_computes_in_its_cells_dtype():
    layer = kk.RNN(kk.LeakyRNNCell(H, dtype="float64"))
    assert layer(draw(1, B, T, I), training=True).dtype == layer.compute_dtype == "float64"
    assert kk.RNN.from_config(layer.get_config()).compute_dtype == layer.sensitivity_tensor.dtype == "float64"
    other = kk.RNN(kk.LeakyRNNCell(H, dtype="float64"), dtype="float32")  # which casts what the cell computes
    assert other(draw(1, B, T, I), training=True).dtype == tf.float32
    assert other.sensitivity_tensor.dtype == "float64"


@pytest.mark.parametrize("policy", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "make",
    [
        lambda **given: kk.RNN(kk.LeakyRNNCell(4, tau=2e3), seed=1, **given),
        lambda **given: kk.Readout(4, tau_out=2e3, gain=None, **given),
    ],
    ids=["RNN", "Readout"],
)
def test_states_are_not_in_half_precision(make, policy):
    """Or a sum over many pieces would leave its range, and pieces would not be the whole."""
    stream, whole = (make(dtype=policy, stateful=stateful) for stateful in (True, False))
    x = np.full((1, 100, 3), 4.0, "float32")
    stream.build((1, 50, 3))
    whole.build(x.shape)
    whole.set_weights(stream.get_weights())
    pieces = []
    for piece in np.split(x, 2, axis=1):
        with tf.GradientTape() as tape:
            pieces.append(stream(piece))
            loss = tf.reduce_sum(tf.cast(pieces[-1], tf.float32))
        assert np.all(np.isfinite(tape.gradient(loss, stream.cell.kernel)))
    assert pieces[0].dtype == policy and all(state.dtype == "float32" for state in stream.states)
    np.testing.assert_array_equal(tf.concat(pieces, 1), whole(x))


@pytest.mark.parametrize(
    ("cell", "rule", "steps", "return_sequences"),
    [
        ("hard adaptive", KeRNL(), 1, True),
        ("tanh", NETWORK, 1, True),
        ("hard adaptive", PlainKeRNL(credit="last"), 1, True),
        ("hard adaptive", NETWORK, T, False),
    ],
)
def test_one_step_and_the_last_output_alone(cell, rule, steps, return_sequences):
    network, (m, gamma), error = Network(cell, time=steps), kernels(1), np.zeros((B, steps, H))
    error[:, -1] = ERROR[:, 0]
    layer = network.layer(rule, m, gamma, return_sequences=return_sequences)
    shown = np.s_[:, :] if return_sequences else np.s_[:, -1]
    expected = Expected(network, rule, m, gamma, error)
    outputs, of_weights, of_x, _ = compute(layer, network.inputs, error[shown])
    all_same((outputs, of_weights, of_x), (expected.run.output[shown], *expected.gradients()), 1e-9)
    assert np.abs(of_weights).max() > 0 and np.isfinite(layer.report.sensitivity_loss)


@pytest.mark.parametrize("settings", [{}, {"rule": NETWORK}, {"rule": "plain_kernl"}, {"traces": True}], ids="abcd")
def test_a_single_unit_learns(settings):
    layer, x = kk.RNN(kk.LIFCell(1, input_gain=3.0), seed=1, **settings), tf.ones((4, 3, 3))
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(outputs) + tf.add_n(layer.losses or [0.0])
    of_inputs = tape.gradient(loss, layer.cell.kernel)
    assert outputs.shape == (4, 3, 1) and np.isfinite(loss) and np.isfinite(of_inputs).all() and np.any(of_inputs)


@pytest.mark.parametrize("regularizer", ["l2", keras.regularizers.L2(0.75), kk.FiringRate(40.0, strength=3.0)])
def test_the_config_covers_the_signature(regularizer):
    """It is JSON, too."""
    settings = dict(rule=KeRNL(adaptation=False), window=3, traces=LinearTraces(8), seed=9, return_sequences=False)
    settings["activity_regularizer"] = regularizer
    names = set(constructor_arguments(kk.RNN))
    assert set(settings) | {"cell"} == names
    keras_own = dict(return_state=True, go_backwards=True, stateful=True, unroll=True, name="hidden")
    layer, default = kk.RNN(kk.LIFCell(H, tau_m=7.0), **settings, **keras_own), kk.RNN(kk.LIFCell(H))
    config = json.loads(json.dumps(layer.get_config()))
    assert all(config[name] != default.get_config()[name] for name in names)
    again = kk.RNN.from_config(dict(config))  # Keras takes the cell out
    assert again.get_config() == config and again.name == "hidden"
    assert again.cell.tau_m == 7.0 and again.traces.poles == 8
    assert layer.seed == 9 and default.seed == kk.RNN.from_config(default.get_config()).seed  # the drawn one is kept
    assert default.seed != kk.RNN(kk.LIFCell(H)).seed


def test_weights_of_a_model_with_another_rule_load(tmp_path):
    def small_model(rule):
        inputs = keras.Input((T, I))
        return keras.Model(inputs, kk.RNN(kk.LIFCell(H), rule, seed=3, name="hidden")(inputs))

    x, saved, model, other = np.float32(2.0 * draw(60, 6, T, I)), *map(small_model, ("eprop", "kernl", "bptt"))
    saved.save_weights(tmp_path / "eprop.weights.h5")
    hidden = model.get_layer("hidden")
    with pytest.warns(UserWarning, match="no sensitivity_tensor and no draws for layer 'hidden'"):
        model.load_weights(tmp_path / "eprop.weights.h5")
    same(model(x), saved(x), 1e-6)
    hidden.reset_sensitivity()
    drive, weights = hidden.cell.parameters().drive, hidden.cell.recurrent_weights().numpy()
    same(hidden.sensitivity_tensor.numpy(), drive * weights.T, 1e-6)
    model.save_weights(tmp_path / "kernl.weights.h5")  # and back, without a word
    other.load_weights(tmp_path / "kernl.weights.h5")
    same(other(x), saved(x), 1e-6)


@pytest.mark.parametrize(
    ("kind", "how"),
    [("RNN", "constructor"), ("Readout", "constructor"), ("RNN", "attribute"), ("Readout", "cell")],
)
def test_a_frozen_layer_stays_as_it_is_until_it_thaws(kind, how, tmp_path):
    """Whichever way it was frozen; saved and copied, too."""
    inputs = keras.Input((4, 2))
    settings = {"trainable": False} if how == "constructor" else {}
    layer = kk.Readout(3, **settings) if kind == "Readout" else kk.RNN(kk.LeakyRNNCell(3, tau=5.0), **settings)
    hidden = layer(inputs)
    if how == "attribute":
        layer.trainable = False
    if how == "cell":
        layer.cell.trainable = False
    model = kk.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile("sgd", "mse", sensitivity_every=1, run_eagerly=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded, keras.models.clone_model(model)):
        assert len(each.trainable_variables) == 2  # of the Dense layer
    for each in (model, loaded):
        kept, other = each.get_layer(layer.name).get_weights(), each.layers[-1].get_weights()
        each.train_on_batch(np.ones((2, 4, 2)), np.ones((2, 4, 1)))
        all_same(kept, each.get_layer(layer.name).get_weights())
        assert np.any(other[0] != each.layers[-1].get_weights()[0])
    (layer.cell if how == "cell" else layer).trainable = True
    assert len(model.trainable_variables) > 2 and layer.cell.trainable


def test_linear_memory_of_a_unit_of_ones_own_without_a_graph():
    """Keras 2 builds layers where no tape records, by which such a unit finds its derivatives."""
    layer = kk.RNN(Quadratic(4), rule="kernl", stateful=True)
    assert layer(np.ones((2, 5, 3), "float32")).shape == (2, 5, 4)
