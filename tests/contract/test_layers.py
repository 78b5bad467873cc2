"""What Keras promises of a layer, for every cell and layer: the columns of the contract are the tests of this file."""

import functools
import inspect
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.keras_version import IS_KERAS_3, keras

from ..reference import tools
from .rows import CELLS, LAYERS, RECURRENT, ROWS, TRAINED, B, T

# All rules share the layer's code: where time is short two rows of them are asked.
SLOW = {name: pytest.mark.slow for name in ("RNN, kernl", "RNN, plain_kernl", "RNN, bptt")}


def row(names=ROWS):
    """A test of these rows; where time is short of a sixth of them, which take turns."""
    rows = pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in names])
    return lambda test: pytest.mark.sampled(6)(rows(test))


def same(one, other, tolerance=1e-5):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def call(layer, x, **arguments):
    return keras.ops.convert_to_numpy(layer(x, **arguments)) if IS_KERAS_3 else layer(x, **arguments).numpy()


def reset(layer):
    layer.reset_state() if hasattr(layer, "reset_state") else layer.reset_states()


def functional(layer, row, shape=(T,)):
    inputs = keras.Input((*shape, row.channels))
    return keras.Model(inputs, layer(inputs))


@functools.cache
def build(name):
    """A layer of the row, its inputs and its outputs. Made once, so no test may change the layer."""
    keras.utils.set_random_seed(1)
    layer, x = ROWS[name].make(), ROWS[name].inputs()
    return layer, x, call(layer, x)


@functools.cache
def model_of(name):
    """The functional model of that layer."""
    return functional(build(name)[0], ROWS[name])


def alike(name, **settings):
    """Another layer of the row, with the same weights."""
    other = ROWS[name].make(**settings)
    other.build(ROWS[name].inputs().shape) if not IS_KERAS_3 else other(ROWS[name].inputs())
    other.set_weights(build(name)[0].get_weights())
    return other


@row(CELLS)
@pytest.mark.skipif(IS_KERAS_3, reason="Keras 3 has no AbstractRNNCell")
def test_cells_are_of_keras_own_kind(name):
    assert issubclass(ROWS[name].kind, keras.layers.AbstractRNNCell)


@row()
def test_config(name):
    """It covers the signature, is JSON, and makes a layer of the same configuration."""
    layer = ROWS[name].make_cell() if ROWS[name].of_cell else ROWS[name].make()
    config = layer.get_config()
    given = {n for n, p in inspect.signature(type(layer).__init__).parameters.items() if p.kind is not p.VAR_KEYWORD}
    assert given - {"self"} <= set(config)
    json.dumps(config)
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config


@row()
def test_saved_model(name, tmp_path):
    """As `.keras`, loaded without `custom_objects`, in safe mode."""
    model, (_, x, outputs) = model_of(name), build(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(call(loaded, x), outputs)
    configs = [json.dumps(each.layers[-1].get_config()) for each in (loaded, model)]  # in JSON a tuple is a list
    assert configs[0] == configs[1]


@row()
def test_saved_weights(name, tmp_path):
    model, other = model_of(name), functional(ROWS[name].make(), ROWS[name])
    for weight in other.weights:
        weight.assign(weight + tf.cast(1, weight.dtype))
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    tools.all_same(model.get_weights(), other.get_weights())


@row()
def test_clone_model(name):
    model, (_, x, outputs) = model_of(name), build(name)
    clone = keras.models.clone_model(model)
    assert clone.layers[-1].get_config() == model.layers[-1].get_config()
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(call(clone, x), outputs)


@row()
def test_summary_and_output_shape(name, capsys):
    model, (layer, x, outputs) = model_of(name), build(name)
    model.summary(print_fn=print)
    printed = capsys.readouterr().out
    assert tuple(model.output_shape) == (None, *outputs.shape[1:])
    assert str(model.output_shape).replace(" ", "")[1:-1] in printed.replace(" ", "")
    assert tuple(layer.compute_output_shape((B, T, x.shape[-1]))) == outputs.shape
    assert tuple(layer.compute_output_shape((None, T, x.shape[-1]))) == (None, *outputs.shape[1:])
    assert model.count_params() == sum(np.size(weight) for weight in model.get_weights())


@row()
def test_unknown_batch_and_time(name):
    layer = build(name)[0]
    model = functional(layer, ROWS[name], (None,))
    assert model.output_shape[0] is None and (None in model.output_shape[1:]) == (name != "TimeAverage")
    graph = tf.function(lambda x: model(x), [tf.TensorSpec((None, None, ROWS[name].channels))])
    for batch, time in ((1, 4), (3, 7)):
        x = ROWS[name].inputs(batch, time)
        same(graph(x), call(layer, x))


@row()
def test_sequential(name):
    layer, x, outputs = build(name)
    model = keras.Sequential([keras.Input((T, ROWS[name].channels)), layer])
    same(model.predict(x, verbose=0), outputs)


@row()
def test_subclassed(name):
    class Subclassed(keras.Model):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def call(self, x, training=False):
            return self.layer(x, training=training) if name in LAYERS else self.layer(x)

    layer, x, outputs = build(name)
    same(call(Subclassed(layer), x), outputs)


@row(RECURRENT)
def test_return_sequences(name):
    _, x, outputs = build(name)
    same(call(alike(name, return_sequences=False), x), outputs[:, -1])
    assert outputs.shape[:2] == (B, T)


@row(RECURRENT)
def test_return_state_and_initial_state(name):
    """A sequence in two pieces, the states handed over, is the sequence."""
    _, x, outputs = build(name)
    stepwise = alike(name, return_state=True)
    first, *states = stepwise(x[:, :2])
    rest, *_ = stepwise(x[:, 2:], initial_state=states)
    same(np.concatenate([first, rest], 1), outputs)


@row(RECURRENT)
def test_states_in_a_functional_model(name):
    layer, x = ROWS[name].make(return_state=True), tf.constant(ROWS[name].inputs())
    expected, *states = layer(x)
    inputs = keras.Input((None, x.shape[-1]))
    initial = [keras.Input(tuple(state.shape[1:])) for state in states]
    model = keras.Model([inputs, *initial], layer(inputs, initial_state=initial))
    first, *states = model([x[:, :2], *(tf.zeros(state.shape) for state in states)])
    if name == "InputSpikeCell":
        pytest.skip("its state counts the calls: of zeros it draws what no layer would")
    rest = model([x[:, 2:], *states])[0]
    same(np.concatenate([first, rest], 1), expected)


@row(RECURRENT)
def test_stateful(name):
    _, x, outputs = build(name)
    carried = alike(name, stateful=True)
    reset(carried)
    for _ in range(2):
        same(np.concatenate([call(carried, x[:, :2]), call(carried, x[:, 2:])], 1), outputs)
        assert np.abs(call(carried, x) - outputs).max() > 1e-3 or name in ("InputSpikeCell", "RNN, kernl, traces")
        reset(carried)


@row(RECURRENT)
def test_go_backwards(name):
    _, x, outputs = build(name)
    same(call(alike(name, go_backwards=True), x[:, ::-1]), outputs)


@row(RECURRENT)
def test_unroll(name):
    _, x, outputs = build(name)
    same(call(alike(name, unroll=True), x), outputs)


@row(CELLS)
def test_stacked_cells(name):
    """`StackedRNNCells` is one `RNN` after the other."""
    cells = [keras.layers.SimpleRNNCell(ROWS[name].channels), ROWS[name].make_cell()]
    if ROWS[name].values != "normal":  # what leaves the first cell must be 0 or 1
        cells[0] = ROWS[name].make_cell()
    stacked = keras.layers.RNN(keras.layers.StackedRNNCells(cells), return_sequences=True)
    x = np.ones((B, T, ROWS[name].channels), "float32") * (np.arange(T)[:, None] % 2).astype("float32")
    outputs = call(stacked, x)
    between = call(keras.layers.RNN(cells[0], return_sequences=True), x)
    same(outputs, call(keras.layers.RNN(cells[1], return_sequences=True), between))


@row(RECURRENT)
def test_bidirectional(name):
    both = keras.layers.Bidirectional(ROWS[name].make())
    x = ROWS[name].inputs()
    outputs = call(both, x)
    one, other = call(both.forward_layer, x), call(both.backward_layer, x)
    same(outputs, np.concatenate([one, other[:, ::-1]], -1))
    clone = keras.models.clone_model(functional(both, ROWS[name]))
    clone.set_weights(both.get_weights())
    same(call(clone, x), outputs)


@row()
def test_time_distributed(name):
    layer, x = build(name)[0], ROWS[name].inputs(B, 3, T)
    expected = np.stack([call(layer, x[:, n]) for n in range(3)], 1)
    same(call(functional(keras.layers.TimeDistributed(layer), ROWS[name], (3, T)), x), expected)


MASK = np.array([[1, 1, 1, 1, 0, 0], [0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]], bool)


@row(RECURRENT)
def test_masks(name):
    """Valid steps are those of the sequence without the masked ones, and the mask goes on."""
    layer, x, _ = build(name)
    masked = call(layer, np.where(MASK[..., None], x, 7.0).astype("float32"), mask=tf.constant(MASK))
    for b in range(B):
        same(masked[b, MASK[b]], call(layer, np.repeat(x[b : b + 1, MASK[b]], B, 0))[b])
    inputs = keras.Input((T, x.shape[-1]))
    model = keras.Model(inputs, layer(keras.layers.Masking(7.0)(inputs)))
    same(call(model, np.where(MASK[..., None], x, 7.0).astype("float32")), masked)
    assert layer.compute_mask(tf.constant(x), tf.constant(MASK)) is not None


HALVES = itertools.cycle(["mixed_float16", "mixed_bfloat16"])


def policies(names):
    """Each name with double precision and one of the halves, which take turns."""
    pairs = [(name, policy) for name in names for policy in ("float64", next(HALVES))]
    rows = [pytest.param(*pair, marks=SLOW.get(pair[0], ())) for pair in pairs]
    return lambda test: pytest.mark.sampled(6)(pytest.mark.parametrize(("name", "policy"), rows)(test))


@policies(ROWS)
def test_dtype_policies(name, policy):
    """Finite in every policy; recurrent states and traces in float32 at least; float64 is exact to float32."""
    row_, (expected, x, outputs) = ROWS[name], build(name)
    with tools.policy(policy):
        layer = row_.make()
        cast = tf.cast(x, keras.mixed_precision.global_policy().compute_dtype)
        layer(cast)
        layer.set_weights(expected.get_weights())
        found = np.asarray(tf.cast(layer(cast), tf.float64))
    assert np.isfinite(found).all() and found.shape == outputs.shape
    if policy == "float64":
        same(found, outputs, 1e-4)
    if row_.recurrent:
        assert tf.as_dtype(layer.cell.compute_dtype).size >= 4


@row(TRAINED)
def test_training(name):
    """`fit` moves every trainable weight, M and gamma among them. (With XLA Keras' own layer test trains.)"""
    layer, x = ROWS[name].make(), ROWS[name].inputs()
    model = functional(layer, ROWS[name])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    history = model.fit(x, np.ones(call(model, x).shape), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for weight, old in zip(model.trainable_weights, before):
        assert (weight.numpy() != old).any(), weight.name
        assert np.isfinite(weight.numpy()).all()


@row(TRAINED)
def test_sample_and_class_weights(name):
    """Weights of examples weigh the loss, and so the step."""
    layer, x = ROWS[name].make(return_sequences=False), ROWS[name].inputs()
    inputs = keras.Input((T, ROWS[name].channels))
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))
    y = np.array([0, 1, 1, 0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)
    start = model.get_weights()

    def moved(**arguments):
        model.set_weights(start)
        model.train_on_batch(x, y, **arguments)
        return [weight.numpy() for weight in model.trainable_weights]

    by_example, by_class = moved(sample_weight=np.array([2.0, 0.5, 0.5, 2.0])), moved(class_weight={0: 2.0, 1: 0.5})
    tools.all_same(by_example, by_class, 1e-5, 1e-5)
    assert any((one != other).any() for one, other in zip(by_example, moved()))


@row(LAYERS)
def test_constraints_and_regularizers(name):
    """A regularizer adds its loss, a constraint holds after a step."""
    row_, constraint = ROWS[name], keras.constraints.MaxNorm(0.1)
    layer = row_.make(of_cell={"kernel_regularizer": keras.regularizers.L2(0.5), "recurrent_constraint": constraint})
    model = functional(layer, row_)
    kernel = layer.cell.kernel.numpy()
    added = keras.ops.convert_to_numpy(sum(layer.losses)) if IS_KERAS_3 else sum(layer.losses).numpy()
    same(added, 0.5 * np.sum(kernel**2))
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    x = row_.inputs()
    model.train_on_batch(x, np.ones(call(model, x).shape))
    norms = np.linalg.norm(layer.cell.recurrent_kernel.numpy(), axis=0)
    assert (norms <= 0.1 + 1e-6).all() and norms.max() > 0.05


@policies([*LAYERS, "Readout"])
def test_a_dtype_policy_of_the_layer_alone(name, policy):
    """The cell computes in float32, and the layer casts what goes in and what comes out: the rule's gradients stay."""
    layer, other = ROWS[name].make(), ROWS[name].make(dtype=policy)
    half = tf.as_dtype(other.compute_dtype)
    x = tf.cast(tf.cast(ROWS[name].inputs(), half), tf.float32)  # values that the other dtype has
    other.build(x.shape) if not IS_KERAS_3 else other(x)
    layer(x)
    other.set_weights(layer.get_weights())
    results = []
    for each in (layer, other):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = each(x, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2) + sum(each.losses)
        results.append([outputs, *tape.gradient(loss, [x, *each.trainable_variables])])
        assert {weight.dtype for weight in each.trainable_variables} == {each.cell.kernel.dtype}
    assert results[0][0].dtype == "float32" and results[1][0].dtype == half
    for one, another in zip(*results):
        scale = np.abs(one).max()
        np.testing.assert_allclose(tf.cast(another, tf.float32), one, rtol=0.0, atol=0.01 * scale)
