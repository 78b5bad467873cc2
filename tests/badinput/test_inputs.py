"""What layers and cells are called with: wrong shapes and dtypes are refused, and no good one makes NaN."""

import itertools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.cases import taking_turns
from .tried import count, refused, some

T, I, H = 4, 3, 2  # noqa: E741
LAYERS = {  # of a name in messages
    "RNN": (lambda **more: kk.RNN(kk.LIFCell(H, **more)), "sequences"),
    "RNN, resonators": (lambda **more: kk.RNN(kk.ResonatorCell(H, **more)), "sequences"),
    "RNN, rates": (lambda **more: kk.RNN(kk.LeakyRNNCell(H, **more)), "sequences"),
    "Readout": (lambda **more: kk.Readout(H, **more), "sequences"),
    "SpikeEncoder": (lambda **more: kk.SpikeEncoder(2, seed=1, **more), "inputs"),
    "AudioEncoder": (lambda **more: kk.AudioEncoder(2, sampling_rate=1e3, frame=8.0, hop=1.0, **more), "inputs"),
    "TimeAverage": (lambda **more: kk.TimeAverage(**more), "inputs"),
}
CELLS = {
    "LIFCell": lambda: kk.LIFCell(H),
    "ResonatorCell": lambda: kk.ResonatorCell(H),
    "LeakyRNNCell": lambda: kk.LeakyRNNCell(H),
    "ReadoutCell": lambda: kk.ReadoutCell(H),
    "ContextCell": lambda: kk.ContextCell(2),
    "InputSpikeCell": lambda: kk.InputSpikeCell(I, seed=1),
}
CHANNELS = {"ContextCell": 1}
BUILT, CLEAN = {}, np.random.default_rng(0).normal(1.0, 2.0, (3, T, I)).astype("float32")


def built(name):
    """A layer that has seen inputs; made once."""
    if name not in BUILT:
        layer = LAYERS[name][0]()
        BUILT[name] = layer, layer(CLEAN).numpy()
    return BUILT[name][0]


@pytest.mark.parametrize("name", LAYERS)
@some
@hypothesis.given(shape=st.lists(st.integers(1, 4), max_size=5).filter(lambda shape: len(shape) != 3))
def test_another_rank_is_refused(name, shape):
    """By a layer that is built, and by one that is not."""
    for which, layer in (("built", built(name).call), ("not built", LAYERS[name][0]())):
        what, words = (name, which, shape), {"names": LAYERS[name][1], "received": str(tuple(shape))}
        if shape or which == "built":  # of no axis at all Keras says something
            refused("input: a wrong rank", what, layer, tf.ones(shape), **words)


@pytest.mark.parametrize("name", LAYERS)
@some
@hypothesis.given(batch=st.integers(1, 4), channels=st.integers(1, 4))
def test_no_time_step_is_refused(name, batch, channels):
    what, words = (name, batch, channels), {"names": LAYERS[name][1], "received": "at least one time step"}
    refused("input: no time step", what, LAYERS[name][0](), tf.ones((batch, 0, channels)), **words)


@pytest.mark.parametrize("name", ["RNN", "RNN, resonators", "RNN, rates", "Readout"])
@some
@hypothesis.given(channels=st.integers(1, 9).filter(lambda n: n != I), batch=st.integers(1, 3), steps=st.integers(1, 3))
def test_another_number_of_features_is_refused(name, channels, batch, steps):
    shape = (batch, steps, channels)
    words = {"names": "sequences must have 3", "received": str(shape)}  # `call`, as Keras 2 has its own words
    refused("input: other features", (name, shape), built(name).call, tf.ones(shape), **words)


WHOLE, OTHER = ["bool", "int8", "uint8", "int32", "int64"], ["complex64", "string"]


def of_dtype(shape, dtype):
    return tf.fill(shape, "1") if dtype == "string" else tf.cast(tf.ones(shape), dtype)


@pytest.mark.parametrize(("name", "dtype"), taking_turns([(name, dtype) for dtype in WHOLE for name in LAYERS], 6))
def test_whole_numbers_are_taken(name, dtype):
    """By every layer, in eager mode and in a graph."""
    layer, x = built(name), of_dtype((2, T, I), dtype)
    expected = layer(tf.ones((2, T, I)))
    for outputs in (layer(x), layer(x.numpy()), tf.function(layer)(x)):
        assert outputs.dtype == "float32"
        np.testing.assert_allclose(outputs, expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "dtype"), taking_turns(itertools.product([*CELLS][::-1], WHOLE), every=6))
def test_cells_take_whole_numbers(name, dtype):
    """By themselves and in Keras' own layer."""
    cell, channels = CELLS[name](), CHANNELS.get(name, I)
    ones, x = tf.ones((2, T, channels)), of_dtype((2, T, channels), dtype)
    states = [tf.zeros((2, size)) for size in cell.state_size] if name != "InputSpikeCell" else [tf.zeros((2, 2))]
    for given, expected in zip(tf.nest.flatten(cell(x[:, 0], states)), tf.nest.flatten(cell(ones[:, 0], states))):
        np.testing.assert_array_equal(given, expected)
    layer = keras.layers.RNN(cell, return_sequences=True)
    expected = layer(ones)
    for outputs in (layer(x), tf.function(layer)(x)):
        assert outputs.dtype == "float32"
        np.testing.assert_allclose(outputs, expected, rtol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_cells_refuse_another_dtype_and_another_number_of_features(name):
    cell, right = CELLS[name](), CHANNELS.get(name, I)
    cell.build((2, right))
    states = [tf.zeros((2, size)) for size in cell.state_size]
    for dtype in OTHER:
        words = {"names": "inputs", "received": repr(dtype)}
        refused("input: a wrong dtype", (name, dtype), cell.call, of_dtype((2, right), dtype), states, **words)
    for shape in [(2, channels) for channels in range(2, 10) if channels != I]:
        words = {"names": "inputs", "received": str(shape)}
        refused("input: other features", (name, shape), cell.call, tf.ones(shape), states, **words)


@pytest.mark.parametrize("name", ["RNN", "Readout"])
@some
@hypothesis.given(number=st.integers(0, 12))
def test_another_number_of_states_is_refused(name, number):
    layer = built(name)
    needed = len(layer.state_size) if name == "RNN" else 1
    hypothesis.assume(number != needed)
    words = {"names": "initial_state", "received": f"received {number}", "initial_state": [tf.zeros((1, H))] * number}
    refused("input: another number of states", (name, number), layer.call, tf.ones((1, T, I)), **words)


UNLIKE = {  # what is no dense tensor of real numbers and three axes, how the error calls it, and what to do
    "a wrong dtype, complex64": (lambda: of_dtype((2, T, I), "complex64"), "'complex64'", ""),
    "a wrong dtype, string": (lambda: of_dtype((2, T, I), "string"), "'string'", ""),
    "ragged": (lambda: tf.RaggedTensor.from_row_lengths(tf.ones((5, I)), [2, 3]), "RaggedTensor", "x.to_tensor()"),
    "sparse": (lambda: tf.sparse.from_dense(tf.ones((2, T, I))), "SparseTensor", "tf.sparse.to_dense(x)"),
    "nothing": (lambda: None, "None", ""),
    "a wrong rank, when a model is built": (lambda: keras.Input((7,)), "", ""),
    "a wrong rank, of four axes": (lambda: keras.Input((7, 2, 1)), "", ""),
}
REQUIRED = {"ragged": " must be a dense tensor", "sparse": " must be a dense tensor", "nothing": " must be a tensor"}


@pytest.mark.parametrize("what", UNLIKE)
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_no_tensor_of_sequences_is_refused(name, what):
    make, received, advice = UNLIKE[what]
    kind, names = f"input: {what.partition(',')[0]}", LAYERS[name][1] + REQUIRED.get(what, "")
    assert advice in refused(kind, (name, what), LAYERS[name][0](), make(), names=names, received=received)


VALUES = st.floats(-1e6, 1e6, width=32)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
@some
@hypothesis.given(data=st.data())
def test_finite_inputs_give_finite_outputs(name, data):
    """Of any size and dtype policy that the layer knows: no example, one step, one channel."""
    whole = name in ("AudioEncoder", "SpikeEncoder", "TimeAverage")
    dtype = data.draw(st.sampled_from(["float32", "float64", *(["float16", "bfloat16", "mixed_float16"] * whole)]))
    shape = tuple(data.draw(st.integers(low, 4)) for low in (0, 1, 1))
    layer = LAYERS[name][0](dtype=dtype)
    low, high = (-1e3, 1e3) if "16" in dtype else (-1e6, 1e6)
    x = np.clip(data.draw(st.lists(VALUES, min_size=4, max_size=4)), low, high)
    outputs = layer(tf.cast(np.resize(x, shape), "float32"), **({"training": True} if "RNN" in name else {}))
    assert outputs.shape[0] == shape[0] and outputs.dtype == layer.compute_dtype
    assert np.isfinite(tf.cast(outputs, "float64")).all()


@pytest.mark.parametrize("name", LAYERS)
@some
@hypothesis.given(value=st.sampled_from([np.nan, np.inf, -np.inf]), step=st.integers(0, T - 1))
def test_what_is_not_finite_stays_in_its_example(name, value, step):
    """No other example hears of it, whatever the layer makes of it in its own: spikes know no NaN, potentials do."""
    layer, x = built(name), CLEAN.copy()
    x[1, step, 0] = value
    outputs, expected = layer(x).numpy(), BUILT[name][1]
    np.testing.assert_array_equal(outputs[[0, 2]], expected[[0, 2]])
    if outputs.ndim == 3:  # nor an earlier step
        np.testing.assert_array_equal(outputs[1, :step], expected[1, :step])
    finite = "the outputs are finite" if np.isfinite(outputs).all() else "its outputs are not finite"
    count("input: NaN or infinity in an example", f"no other example is affected; {finite}", (name, value, step))
