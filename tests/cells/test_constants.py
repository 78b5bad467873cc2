"""Constants of cells: time constants of every kind, from the check to the weight; those that learn; resistances."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.cells.constants import built_constant, check_time_constant
from kernl_keras.cells.wide import serialized
from kernl_keras.keras_version import keras, short_name
from kernl_keras.layers.names import layers_that_learn_constants
from kernl_keras.rules import KeRNL

from ..reference.cases import draw, taking_turns
from ..reference.expected import compute, same
from ..reference.units import NO_GRADIENT, layer_over

GIVEN = {
    "integer": 20,
    "number": 2.5,
    "numpy number": np.float32(2.5),
    "list": [3, 40.0, 5],
    "array": np.array([3.0, 40.0, 5.0]),
    "tensor": tf.constant([3.0, 40.0, 5.0]),
    "values of a dict": {"a": 3, "b": 40.0, "c": 5}.values(),
    "initializer": kk.LogUniform(10.0, 100.0, seed=1),
    "config": keras.initializers.serialize(kk.LogUniform(10.0, 100.0, seed=1)),
    "keras initializer": keras.initializers.Constant(7.0),
    "class": keras.initializers.Ones,
}


@pytest.mark.parametrize("kind", GIVEN)
def test_round_trip(kind):
    value = check_time_constant("tau", GIVEN[kind], 3)
    stored = serialized("tau", value)
    assert serialized("tau", check_time_constant("tau", stored, 3)) == stored
    if isinstance(stored, list):  # the config does not share the list
        stored[0] = -1.0
        assert value[0] == 3.0


def test_numbers_stay_numbers_and_lists_become_arrays_of_the_variable_dtype():
    """No tensors: these would be inputs of an exported graph."""
    layer = keras.layers.Layer(dtype="float64")
    assert built_constant(layer, "tau", check_time_constant("tau", 20, 3), 3) == 20.0
    assert built_constant(layer, "tau", None, 3) is None and serialized("tau", None) is None
    constant = built_constant(layer, "tau", [3.0, 0.1], 2)
    assert isinstance(constant, np.ndarray) and constant.dtype == "float64" and layer.weights == []
    np.testing.assert_array_equal(constant, [3.0, 0.1])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_an_initializer_becomes_an_untrained_weight_that_keeps_its_digits(policy):
    class Reader(keras.layers.Layer):
        def build(self, input_shape):
            self.tau = built_constant(self, "tau", kk.LogUniform(10.0, 1000.0, seed=1), 5)
            self.built = True

        def call(self, inputs):
            return tf.convert_to_tensor(self.tau)

    layer = Reader(dtype=policy)
    tau = layer(tf.zeros((1, 2)))
    assert layer.trainable_weights == [] and len(layer.weights) == 1
    assert short_name(layer.weights[0]) == "tau"
    assert tau.dtype == tf.float32
    np.testing.assert_array_equal(tau, kk.LogUniform(10.0, 1000.0, seed=1)((5,)))


# Constants that learn

ALL = ("tau_m", "tau_s", "tau_a", "base_threshold", "adaptation_strength")


def built(cell):
    cell.build((None, 3))
    return cell


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (kk.LIFCell, dict(tau_m=[5.0, 20.0], tau_s=3.0, tau_a=kk.LogUniform(9, 90), adaptation_strength=[0.0, 2.0])),
        (kk.ResonatorCell, dict(tau_m=50.0, period=[9.0, 30.0], tau_s=4.0)),
        (kk.LeakyRNNCell, dict(tau=[5.0, 20.0], period=9.0)),
    ],
)
def test_they_start_at_the_values_that_were_given(kind, settings):
    """And a unit whose adaptation has the strength 0 keeps it."""
    still, learning = (built(kind(2, learn=learn, **settings)) for learn in ((), kind.LEARNABLE))
    assert still.learn == () and learning.learn == kind.LEARNABLE
    assert set(map(short_name, learning.trainable_weights)) >= {f"log_{name}" for name in kind.LEARNABLE}
    for name, value in still.constants().items():
        if name != "tau_a":  # drawn anew
            np.testing.assert_allclose(learning.constants()[name], np.broadcast_to(value, 2), rtol=1e-6)
    weights = learning.learned_weights()
    for weight in weights.values():
        weight.assign_add(np.full(2, np.log(2.0), "float32"))
    for name in ("tau_m", "tau", "period"):
        if name in weights:
            np.testing.assert_allclose(learning.constant(name), 2.0 * np.broadcast_to(still.constant(name), 2), 1e-5)
    if kind is kk.LIFCell:
        np.testing.assert_allclose(learning.constant("adaptation_strength"), [0.0, 4.0], rtol=1e-5)


@pytest.mark.filterwarnings(NO_GRADIENT)
@pytest.mark.parametrize(
    ("optimizer", "discretization"),
    taking_turns([("Adam", "euler"), ("SGD", "exponential"), ("RMSprop", "exponential")]),
)
def test_no_learning_rate_drives_them_out_of_range(optimizer, discretization):
    cell = kk.LIFCell(4, adaptation_strength=1.0, learn=ALL, dt=0.5, discretization=discretization)
    layer, inputs = kk.RNN(cell, rule="eprop"), keras.Input((6, 3))
    model = kk.Model(inputs, kk.Readout(2, learn="tau_out", dt=0.5)(layer(inputs)))
    model.compile(getattr(keras.optimizers, optimizer)(1e4), "mse", run_eagerly=True)
    x = np.random.default_rng(0).normal(2.0, 3.0, (8, 6, 3))
    model.fit(x, np.ones((8, 6, 2)), batch_size=4, verbose=0)
    values = {name: np.asarray(value) for name, value in layer.cell.constants().items()}
    low, high = 0.05 if discretization == "exponential" else 0.5005, 5e4
    for name, value in values.items():
        least, most = (low, high) if name.startswith("tau") else (1e-3, 1e3)
        assert (value >= least * (1 - 1e-5)).all() and (value <= most * (1 + 1e-5)).all(), (name, value)
    assert any((value > high * 0.99).any() or (value < low * 1.01).any() for value in values.values())
    assert np.isfinite(model.predict(x, verbose=0)).all()


SEVERAL = hasattr(keras.optimizers, "MultiOptimizer")
several = pytest.param("one of several", marks=pytest.mark.skipif(not SEVERAL, reason="this Keras has one alone"))


@pytest.mark.parametrize("how", ["as it is", "loaded", "with a loss scale", "built before", several])
def test_weight_decay_leaves_them_out_and_what_a_user_leaves_out(how, tmp_path):
    """A decay takes learning rate times decay of a weight, and of their logarithms nothing."""
    inputs = np.random.default_rng(0).normal(2.0, 3.0, (4, 6, 3))

    def trained(optimizer):
        keras.utils.set_random_seed(1)
        x = keras.Input((6, 3))
        hidden = kk.RNN(kk.LIFCell(3, learn="tau_m", use_bias=True, bias_initializer="ones"), "eprop")(x)
        model = kk.Model(x, kk.Readout(2, learn="tau_out")(hidden))
        optimizer.exclude_from_weight_decay([model.layers[1].cell.recurrent_kernel], ["bias"])
        if how == "with a loss scale":
            optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
        if how == "built before":
            optimizer.build(model.trainable_variables)
        if how == "one of several":
            inside = optimizer
            optimizer = keras.optimizers.MultiOptimizer(lambda _: inside)
        model.compile(optimizer, "mse", run_eagerly=True)
        if how == "loaded":
            model.save(tmp_path / "model.keras")
            model = keras.models.load_model(tmp_path / "model.keras")
        before = [weight.numpy() for weight in model.trainable_variables]
        model.train_on_batch(inputs, np.zeros((4, 6, 2)))
        names = [short_name(weight) for weight in model.trainable_variables]
        return names, before, [weight.numpy() for weight in model.trainable_variables]

    decaying = keras.optimizers.SGD(0.01, weight_decay=5.0)
    (names, start, plain), (_, _, decayed) = trained(keras.optimizers.SGD(0.01)), trained(decaying)
    left_out = {"log_tau_m", "log_tau_out"}
    if how != "loaded":  # Keras saves none of the user's
        left_out |= {"bias", "recurrent_kernel"}
    for name, first, one, other in zip(names, start, plain, decayed):
        np.testing.assert_allclose(other, one - (0.0 if name in left_out else 0.05 * first), rtol=1e-5, err_msg=name)
    assert {"log_tau_m", "log_tau_out", "bias", "kernel"} <= set(names)


@pytest.mark.filterwarnings("ignore:.build... was called on layer 'some'")  # Keras' own, of the layer without a call
def test_a_layer_that_is_never_called_has_none():
    class Some(kk.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused = (kk.RNN(kk.LIFCell(2, learn="tau_m"), "eprop") for _ in range(2))

        def call(self, x, training=None):
            return self.used(x, training=training)

    model, x = Some(), np.ones((2, 3, 1), "float32")
    model.compile(keras.optimizers.SGD(0.1, weight_decay=0.1), "mse", run_eagerly=True)
    model.train_on_batch(x, np.zeros((2, 3, 2), "float32"))
    assert layers_that_learn_constants(model) == [model.used]


def test_periods_stay_longer_than_two_steps():
    cell = built(kk.ResonatorCell(2, period=[3.0, 9.0], learn="period"))
    weight = cell.learned_weights()["period"]
    keras.optimizers.SGD(1e4).apply_gradients([(tf.constant([1.0, -1.0]), weight)])
    np.testing.assert_allclose(cell.constant("period"), [2.01, 1e5], rtol=1e-5)


def test_kernels_of_m_follow_the_constants():
    """The membrane's kernel of KeRNL is that of the constants as they are now."""
    cell = built(kk.ResonatorCell(2, tau_m=1e4, period=4.0, learn="period", dtype="float64"))
    np.testing.assert_allclose(cell.free_response(cell.parameters())[1][0], 1.0, rtol=1e-3)
    cell.learned_weights()["period"].assign(np.log([8.0, 2.01]))
    (leak, _), (turn, _) = cell.free_response(cell.parameters())
    np.testing.assert_allclose(leak[0], turn[0], rtol=1e-9)
    assert cell.kernel_groups() == [0, 1]


# R_m of each unit: only a scale of its weights. Constants learn beside one that follows them: see `test_forms`

B, T, I, H = 2, 12, 3, 4  # noqa: E741
X, ERROR = draw(71, B, T, I) + 0.5, draw(72, B, T, H)
TAU_M = [3.0, 6.0, 40.0, 12.0]
LIF = dict(tau_m=TAU_M, tau_s=3.0, tau_a=8.0, tau_ref=1.5, adaptation_strength=0.4)
CELLS = {
    "hard": (kk.LIFCell, LIF),
    "soft": (kk.LIFCell, {**LIF, "reset": "soft", "tau_ref": 0.0}),
    "euler": (kk.LIFCell, {**LIF, "discretization": "euler"}),
    "current": (kk.AdLIFCell, dict(tau_m=TAU_M, tau_a=30.0, coupling=20.0, adaptation_strength=40.0)),
}
FORMS = {
    "bptt": dict(rule="bptt"),
    "e-prop": dict(rule="eprop"),
    "kernl": dict(rule="kernl"),
    "kernl, window": dict(rule="kernl", window=5),
    "kernl, linear": dict(rule="kernl", window=5, traces="linear"),
    "rflo": dict(rule="rflo"),
}


def build(cell, resistance, scale=1.0, **form):
    """A layer whose weights are drawn for a resistance of 1, and divided by `scale`."""
    kind, settings = CELLS[cell]
    units = kind(H, use_bias=True, resistance=resistance, dtype="float64", **settings)
    units = kind.from_config(units.get_config())  # which has the resistance, of whatever kind
    weights = (2.5 * each / leaks(cell) ** 0.5 / scale for each in (draw(73, I, H), draw(74, H, H), draw(75, H)))
    layer = layer_over(units, shape=X.shape, weights=weights, **form)
    if isinstance(layer.rule, KeRNL):
        layer.reset_sensitivity()  # from these weights
    return layer


def leaks(cell):
    """1-a of each unit."""
    shares = np.reciprocal(TAU_M)
    return shares if cell == "euler" else -np.expm1(-shares)


@pytest.mark.sampled(13)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cell", CELLS)
def test_it_is_a_scale_of_the_weights(cell, form):
    ones, found, *_ = compute(build(cell, 1.0, **FORMS[form]), tf.constant(X), ERROR, training=False)
    assert 0.05 < np.mean(ones) < 0.7 and all(np.abs(each).max() > 1e-3 for each in (found[:I], found[I:-1]))
    for resistance, scale in (([0.5, 3.0, 2.0, 8.0], np.array([0.5, 3.0, 2.0, 8.0])), (None, 1.0 / leaks(cell))):
        outputs, scaled, *_ = compute(build(cell, resistance, scale, **FORMS[form]), tf.constant(X), ERROR, False)
        np.testing.assert_array_equal(outputs, ones)
        same(scaled, found * scale)


@pytest.mark.parametrize("cell", CELLS)
def test_initial_weights_allow_for_it(cell):
    kind, settings = CELLS[cell]
    one, other = (kind(H, resistance=resistance, **settings) for resistance in (1.0, None))
    for each in (one, other):
        keras.utils.set_random_seed(3)
        each.build((None, I))
    np.testing.assert_allclose(other.kernel, one.kernel * leaks(cell), rtol=1e-5)
