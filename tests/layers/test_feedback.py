"""Random feedback at the readout: the error that reaches the layer below, and what is learned from it."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import naive as ref
from kernl_keras.keras_version import keras, short_name

from ..reference.cases import B, H, Network, T, draw, stacked
from ..reference.tools import all_same, outputs_and_gradients

O = 3  # noqa: E741
ERROR = draw(9, B, T, O)


def readout(kind="layer", seed=3, **settings):
    """A readout with B of its own, as a layer or as Keras' RNN over the cell."""
    settings = {"tau_out": 5.0, "gain": 4.0, "dtype": "float64", "feedback": "random", **settings}
    if kind == "layer":
        made = kk.Readout(O, **settings)
    else:
        made = keras.layers.RNN(kk.ReadoutCell(O, **settings), return_sequences=True, dtype="float64")
    made.build((B, T, H))
    made.cell.kernel.assign(draw(seed, H, O))
    if settings["feedback"] == "random":
        made.cell.feedback_kernel.assign(draw(seed + 1, H, O))
    return made


def signal(error, back, gain=4.0, tau_out=5.0):
    """L(t) of errors of v(t), one by one: v(t) = d v(t-1) + (1-d) gain z(t) W, and `back` [H, O] in W's place."""
    decay, found = np.exp(-1.0 / tau_out), np.zeros((B, T, H))
    for t in range(T):
        for later in range(t, T):
            found[:, t] += (1.0 - decay) * gain * decay ** (later - t) * error[:, later] @ back.T
    return found


def learned(hidden, above, x):
    """Gradients of the hidden cell's weights [J, H], of the readout's, and the outputs."""
    cell = hidden.cell
    weights = [cell.kernel, cell.recurrent_kernel, cell.bias, above.cell.kernel]
    outputs, (*of_hidden, of_kernel) = outputs_and_gradients(lambda: above(hidden(x)), ERROR, weights)
    return stacked(of_hidden), of_kernel, outputs


@pytest.mark.parametrize("kind", ["layer", "cell"])
@pytest.mark.parametrize("name, rule, learn", [("hard", "eprop", ref.traces_gradient), ("tanh", "rflo", ref.rflo)])
def test_the_hidden_layer_learns_from_an_error_that_comes_back_by_b(name, rule, learn, kind):
    n, above = Network(name), readout(kind)
    run = n.run()
    error = signal(ERROR, draw(4, H, O))
    expected = learn(error, n.presynaptic(run), n.linear(run, reset_gradient=False))
    assert np.abs(expected).max() > 0.1
    found, *_ = learned(n.layer(rule), above, n.inputs)
    np.testing.assert_allclose(found, n.used(expected), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", ["layer", "cell"])
def test_forward_and_the_readouts_own_gradient_are_those_without_feedback(kind):
    n = Network("hard")
    one, other = (learned(n.layer("eprop"), readout(kind, feedback=word), n.inputs) for word in ("random", "symmetric"))
    all_same(one[1:], other[1:])
    assert np.abs(one[0] - other[0]).max() > 0.1


@pytest.mark.parametrize(("kind", "jit_compile"), [("layer", True), ("cell", False)])
def test_with_b_equal_to_w_it_is_the_ordinary_gradient(kind, jit_compile):
    n, above, other = Network("soft euler"), readout(kind), readout(kind, feedback="symmetric")
    above.cell.feedback_kernel.assign(above.cell.kernel)

    z = tf.constant(n.run().output)
    found, expected = (
        tf.function(lambda z, each=each: outputs_and_gradients(lambda: each(z), ERROR, [z])[1][0], jit_compile=jit)(z)
        for each, jit in ((above, jit_compile), (other, False))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def network(feedback, seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((12, 6))
    hidden = kk.RNN(kk.LIFCell(24, tau_s=None), rule="eprop", name="hidden")(inputs)
    model = kk.Model(inputs, kk.Readout(2, feedback=feedback, return_sequences=False, name="readout")(hidden))
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.slow
def test_the_readout_aligns_with_the_feedback_and_the_hidden_layer_learns():
    """Lillicrap et al. (2016), a linear network and a linear teacher: W_out, which begins at zero, turns towards B.

    Then B takes the error in a direction of descent. With other signs of B the hidden weights turn against the readout.
    """
    keras.utils.set_random_seed(0)
    x, teacher = np.float32(draw(0, 64, 4, 6)), np.float32(draw(1, 6, 3))
    inputs = keras.Input((4, 6))
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
    cell = kk.LeakyRNNCell(20, tau=None, activation="identity", **zeros)
    hidden = kk.RNN(cell, rule="rflo")(inputs)
    above = kk.Readout(3, tau_out=None, gain=1.0, feedback="random", kernel_initializer="zeros")
    model = kk.Model(inputs, above(hidden))
    fixed = above.cell.feedback_kernel.numpy()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    first = model.evaluate(x, x @ teacher, verbose=0)
    model.fit(x, x @ teacher, epochs=100, batch_size=32, verbose=0)
    kernel = above.cell.kernel.numpy()
    np.testing.assert_array_equal(above.cell.feedback_kernel.numpy(), fixed)
    assert np.sum(kernel * fixed) / np.linalg.norm(kernel) / np.linalg.norm(fixed) > 0.6
    assert model.evaluate(x, x @ teacher, verbose=0) < 0.05 * first


def test_b_is_drawn_once_saved_and_not_trained(tmp_path):
    model = network("random")
    cell = model.get_layer("readout").cell
    assert [short_name(weight) for weight in cell.non_trainable_weights] == ["feedback_kernel"]
    assert len(cell.trainable_weights) == 2
    assert np.abs(cell.feedback_kernel.numpy() - cell.kernel.numpy()).max() > 0.0
    assert cell.feedback_kernel.numpy().std() == pytest.approx(cell.kernel.numpy().std(), rel=0.3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").get_layer("readout").cell
    np.testing.assert_array_equal(loaded.feedback_kernel.numpy(), cell.feedback_kernel.numpy())
    again, another = (network("random", seed).get_layer("readout").cell.feedback_kernel.numpy() for seed in (0, 1))
    np.testing.assert_array_equal(again, cell.feedback_kernel.numpy())
    assert np.abs(again - another).max() > 0.01


def test_an_initializer_of_b_with_a_seed():
    cells = []
    for _ in range(2):
        initializer = keras.initializers.RandomNormal(stddev=2.0, seed=7)
        cells.append(kk.ReadoutCell(O, feedback="random", feedback_initializer=initializer))
        cells[-1].build((None, 300))
    np.testing.assert_array_equal(*(cell.feedback_kernel.numpy() for cell in cells))
    assert cells[0].feedback_kernel.numpy().std() == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
def test_alignment_with_backpropagation_is_that_of_the_readouts_own_weights():
    """Where backpropagation is asked for, its errors come back by W_out."""
    generator = np.random.default_rng(0)
    x, y = np.float32(generator.normal(0.5, 1.0, (4, 12, 6))), generator.integers(0, 2, 4)
    model, other = network("random"), network("symmetric")
    for weight, trained in zip(other.trainable_weights, model.trainable_weights):
        weight.assign(trained)
    exact = kk.gradient_alignment(model, x, y, rules=("bptt",), windows=2)
    found, expected = (kk.gradient_alignment(each, x, y, rules=("eprop",), windows=2) for each in (model, other))
    assert exact.variables["hidden"]["bptt"].cosine == pytest.approx(1.0)
    norm_ratio = expected.variables["hidden"]["eprop"].norm_ratio
    assert found.variables["hidden"]["eprop"].norm_ratio == pytest.approx(norm_ratio, rel=1e-5)


def test_a_mask_and_pieces_go_with_it():
    """Of the layer: masked steps send no error, and the error of a piece stays within it."""
    z, mask = tf.constant(draw(5, B, T, H)), np.arange(T) < np.array([[T], [T - 2]])
    layer, errors = readout(), ERROR * mask[..., None]
    _, (found,) = outputs_and_gradients(lambda: layer(z, mask=tf.constant(mask)), errors, [z])
    np.testing.assert_allclose(found, signal(errors, draw(4, H, O)) * mask[..., None], rtol=1e-9, atol=1e-12)
