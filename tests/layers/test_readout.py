"""The Readout layer is Keras' RNN over its cell: outputs, states, gradients, masks, modes."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

B, T, H, O = 2, 5, 3, 4  # noqa: E741
X = np.random.default_rng(0).normal(size=(B, T, H))
ERROR = np.random.default_rng(1).normal(size=(B, T, O))
START = np.random.default_rng(2).normal(size=(B, O))
MASK = np.array([[True, True, False, True, False], [False, True, True, True, True]])
CELLS = {
    "number": dict(tau_out=3.0),
    "list": dict(tau_out=[2.0, 3.0, 9.0, 4.0], discretization="euler", dt=0.5),
    "bias": dict(tau_out=5.0, use_bias=True, bias_initializer="ones"),
    "no memory": dict(tau_out=None),
    "initializer": dict(tau_out=keras.initializers.RandomUniform(2.0, 9.0, seed=1)),
}


def both(cell, dtype="float64", **settings):
    """The layer and Keras' own over cells of the same weights."""
    layers = [
        make(kk.ReadoutCell(O, dtype=dtype, **cell), dtype=dtype, return_sequences=True, **settings)
        for make in (kk.Readout, keras.layers.RNN)
    ]
    for layer in layers:
        layer.build((B, T, H))
    layers[0].set_weights(layers[1].get_weights())
    return layers


def run(layer, x, **arguments):
    """Outputs, and gradients by x and the weights."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, **arguments)
        first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        loss = tf.reduce_sum(first * ERROR) + sum(tf.reduce_sum(state**2) for state in tf.nest.flatten(outputs)[1:])
    return [*tf.nest.flatten(outputs), *tape.gradient(loss, [x, *layer.trainable_weights])]


def same(one, other):
    assert len(one) == len(other) >= 3
    for left, right in zip(one, other):
        assert np.abs(right).max() > 1e-3
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "settings",
    [{}, dict(return_state=True), dict(go_backwards=True), dict(return_state=True, go_backwards=True)],
    ids=str,
)
def test_it_is_keras_rnn(cell, settings):
    one, other = (run(layer, tf.constant(X)) for layer in both(CELLS[cell], **settings))
    same(one, other)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_modes(jit_compile):
    layer, other = both(CELLS["list"])
    specification = tf.TensorSpec((None, None, H), tf.float64)
    compiled = tf.function(lambda x: run(layer, x), [specification], jit_compile=jit_compile)
    same(compiled(tf.constant(X)), run(other, tf.constant(X)))


def test_an_initial_state_has_a_gradient():
    results = []
    for layer in both(CELLS["number"]):
        with tf.GradientTape() as tape:
            tape.watch(start := tf.constant(START))
            loss = tf.reduce_sum(layer(tf.constant(X), initial_state=[start]) * ERROR)
        results.append([loss, loss, tape.gradient(loss, start)])
    same(*results)


def test_a_masked_step_is_no_step():
    """As Keras' own, and exact: the unmasked steps are those of the sequence without the masked ones."""
    layer, other = both(CELLS["number"], return_state=True)
    outputs, state = layer(tf.constant(X), mask=tf.constant(MASK))
    theirs, their_state = other(tf.constant(X), mask=tf.constant(MASK))
    np.testing.assert_allclose(outputs, theirs, rtol=1e-12)
    np.testing.assert_allclose(state, their_state, rtol=1e-12)
    for b in range(B):
        short = layer(tf.constant(X[b : b + 1, MASK[b]]))[0][0]
        np.testing.assert_allclose(outputs[b][MASK[b]], short, rtol=1e-12)
    assert np.abs(np.subtract(layer(tf.constant(X))[0], outputs)).max() > 0.01


@pytest.mark.parametrize("zero", [False, True])
def test_gradients_under_a_mask(zero):
    """Of numbers, too, as some layers pass them on."""
    results = []
    for layer in both(CELLS["bias"], zero_output_for_mask=zero):
        results.append(run(layer, tf.constant(X), mask=tf.constant(MASK)))
    same(*results)
    layer, _ = both(CELLS["bias"])
    one, other = (layer(tf.constant(X), mask=tf.constant(mask)) for mask in (MASK, MASK.astype("int32")))
    np.testing.assert_array_equal(one, other)


def test_pieces_of_a_stateful_layer_are_the_whole():
    whole, _ = both(CELLS["number"])
    layer = kk.Readout(kk.ReadoutCell(O, dtype="float64", **CELLS["number"]), stateful=True, dtype="float64")
    layer.build((B, T, H))
    layer.cell.kernel.assign(whole.cell.kernel)
    pieces = [layer(tf.constant(X[:, :2])), layer(tf.constant(X[:, 2:]))]
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole(tf.constant(X)), rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_last_output_alone(steps):
    layer = kk.Readout(kk.ReadoutCell(O), return_sequences=False)
    outputs = layer(np.float32(X[:, :steps]))
    layer.return_sequences = True
    np.testing.assert_array_equal(outputs, layer(np.float32(X[:, :steps]))[:, -1])


def test_save_and_load(tmp_path):
    inputs = keras.Input((T, H))
    model = keras.Model(inputs, kk.Readout(kk.ReadoutCell(O, tau_out=7.0), name="readout")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(np.float32(X)), model(np.float32(X)))
    assert loaded.get_layer("readout").cell.tau_out == 7.0


def test_the_config_covers_the_signature():
    layer = kk.Readout(kk.ReadoutCell(O), return_sequences=False)
    names = {name for name in inspect.signature(kk.Readout.__init__).parameters if name not in ("self", "kwargs")}
    assert names <= set(layer.get_config())
    assert kk.Readout.from_config(layer.get_config()).return_sequences is False


def test_errors():
    with pytest.raises(ValueError, match="cell must be a ReadoutCell; received"):
        kk.Readout(kk.LIFCell(3))
    with pytest.raises(ValueError, match="cell must compute in float32 or more, dtype='float32'; received 'float16'"):
        kk.Readout(kk.ReadoutCell(O, dtype="mixed_float16"))
    with pytest.raises(ValueError, match="dtype must be the cell's, 'float32'; received 'float16'"):
        kk.Readout(kk.ReadoutCell(O), dtype="mixed_float16")
    with pytest.raises(ValueError, match="sequences must have at least one time step"):
        kk.Readout(kk.ReadoutCell(O))(np.zeros((B, 0, H), "float32"))
    with pytest.raises(ValueError, match=r"sequences must have shape \[batch, time, features\]"):
        kk.Readout(kk.ReadoutCell(O))(np.zeros((B, H), "float32"))
