"""`Model` made of inputs and outputs, of a list of layers, or as a subclass: built and saved as Keras' own are."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras

from ..reference.cases import taking_turns
from ..reference.tools import all_same, through

T, I, O = 3, 3, 2  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (6, T, I)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6, O)).astype("float32")
FIT = dict(batch_size=3, verbose=0, shuffle=False)


def layers(first=None):
    keras.utils.set_random_seed(3)
    found = [kk.RNN(kk.LIFCell(5), seed=1, name="hidden"), kk.Readout(O, name="readout")]
    return [*([] if first is None else [first]), *found, kk.TimeAverage(2, name="window")]


def functional(kind=kk.Model, below=()):
    inputs = keras.Input((T, I))
    return kind(inputs, through([*below, *layers()], inputs))


KINDS = {
    "functional": functional,
    "sequential, of an input": lambda: kk.Model(layers(keras.Input((T, I)))),
    "sequential, of a batch": lambda: kk.Model(layers()),  # built by the first
}
every_kind = pytest.mark.parametrize("kind", taking_turns([*KINDS][::-1]))


def compiled(model, **settings):
    model.compile(**{"optimizer": "sgd", "loss": "mse", "metrics": ["mae"], "run_eagerly": True, **settings})
    return model


def test_every_kind_learns_the_same():
    models = [compiled(make(), sensitivity_every=1) for make in KINDS.values()]
    histories = [model.fit(X[:3], Y[:3], **FIT).history for model in models]
    for model, history in zip(models[1:], histories[1:]):
        assert history == histories[0] and model.diagnostics() == models[0].diagnostics()
        all_same(model.weights, models[0].weights)


def test_it_is_a_sequential_model():
    model, plain = kk.Model(layers(keras.Input((T, I))), name="mine"), keras.Sequential(layers(keras.Input((T, I))))
    assert isinstance(model, kk.Model) and isinstance(model, keras.Sequential) and model.name == "mine"
    assert [layer.name for layer in model.layers] == [layer.name for layer in plain.layers]
    assert model.input_shape == plain.input_shape and model.output_shape == plain.output_shape
    lines = [[], []]
    for each, said in zip((model, plain), lines):
        each.summary(print_fn=lambda line, said=said, **_: said.append(line))
    assert "hidden (RNN)" in "\n".join(lines[0]) and len(lines[0]) == len(lines[1])
    np.testing.assert_array_equal(model.predict_on_batch(X), plain.predict_on_batch(X))


@pytest.mark.parametrize("length, run_eagerly", taking_turns([(None, True), (None, False), (T, False)]))
def test_it_may_be_built_by_its_first_batch(length, run_eagerly):
    model = compiled(kk.Model(layers()), sensitivity_every=2, run_eagerly=run_eagerly, jit_compile=False)
    assert not model.built
    if length is None:
        model.build((None, None, I))
    model.fit(X, Y, **FIT)
    assert model.built and model.output_shape[-1] == O
    assert model.diagnostics()["sensitivity_loss"] > 0.0 and len(model.rule_layers) == 1
    if length is None:
        assert model.predict(X[:, :2], verbose=0).shape == (6, O)


def test_it_may_be_built_by_its_first_batch_under_a_strategy():
    """Keras 3 asks for the values of its weights before they exist."""
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        model = kk.Model([kk.RNN(kk.LIFCell(5, learn="tau_m"), "eprop"), kk.Readout(O, learn="tau_out")])
        compiled(model, run_eagerly=False, jit_compile=False)
    losses = model.fit(X, np.zeros((6, T, O)), **FIT).history["loss"]
    assert model.built and np.all(np.isfinite(losses))


def test_layers_are_added_and_taken():
    model = kk.Model([keras.Input((T, I))])
    for layer in layers():
        model.add(layer)
    model.add(keras.layers.Dense(4))
    assert model.output_shape == (None, 4)
    model.pop()
    compiled(model).train_on_batch(X, Y)
    assert model.output_shape == (None, O)


@every_kind
def test_a_loaded_model_goes_on_where_the_saved_one_was(kind, tmp_path):
    """Weights, both optimizers' slots, all settings, the schedule and the count of draws."""
    model, settings = KINDS[kind](), dict(sensitivity_only=1, sensitivity_every=2, on_nonfinite="stop")
    adam, rmsprop = keras.optimizers.Adam(0.01), keras.optimizers.RMSprop(0.003, momentum=0.5)
    compiled(model, optimizer=adam, sensitivity_optimizer=rmsprop, diagnostics=True, **settings)
    model.fit(X, Y, **FIT)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model) and isinstance(loaded, kk.Model)
    assert {name: getattr(loaded, name) for name in settings} == settings and loaded.reports_diagnostics
    for name in ("optimizer", "sensitivity_optimizer"):
        one, other = getattr(model, name), getattr(loaded, name)
        assert type(one) is type(other) and int(one.iterations) == int(other.iterations) > 0
        assert len(one.variables) > 2
        all_same(one.variables, other.variables)
    one, other = (each.fit(X[:3], Y[:3], **FIT).history for each in (model, loaded))
    assert one.keys() == other.keys()
    all_same(one, other, 1e-5, 0.0)
    all_same(model.weights, loaded.weights, 1e-5, 1e-6)


@every_kind
def test_a_copy_is_compiled_as_the_model_was_and_takes_saved_weights(kind, tmp_path):
    """The way that the page on Keras names, where `clone_model` would make a plain Keras model."""
    model = compiled(KINDS[kind](), sensitivity_every=3)
    model.train_on_batch(X, Y)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert type(copy) is type(model) and copy.sensitivity_every == 3
    assert [layer.name for layer in copy.layers][-3:] == ["hidden", "readout", "window"]
    model.save_weights(tmp_path / "model.weights.h5")
    copy.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(copy.predict_on_batch(X), model.predict_on_batch(X))
    before = model.get_weights()
    copy.train_on_batch(X, Y)
    all_same(model.get_weights(), before)  # nothing is shared


class Called(kk.Model):
    def __init__(self, units):
        super().__init__()
        self.hidden, self.readout = kk.RNN(kk.LIFCell(units), seed=1), keras.layers.Dense(O)

    def call(self, x, training=None):
        return self.readout(self.hidden(x, training=training))


def test_subclasses_are_made_as_keras_makes_them():
    def with_step():
        class Mine(kk.Model):
            """A step of its own, and no `call`."""

            def train_step(self, data):
                return {"loss": super().train_step(data)["loss"]}

        return Mine

    inputs = keras.Input((T, I))
    hidden = kk.RNN(kk.LIFCell(4), seed=1)(inputs)
    y = np.zeros((6, T, O), "float32")
    of_tensors, of_layers = with_step(), with_step()
    layers = [kk.RNN(kk.LIFCell(4), seed=1), keras.layers.Dense(O)]
    for model in (of_tensors(inputs, keras.layers.Dense(O)(hidden)), of_layers(layers), Called(4)):
        model.compile("sgd", "mse", run_eagerly=True)
        assert set(model.fit(X, y, verbose=0).history) == {"loss"}
        assert model.diagnostics()["sensitivity_loss"] > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("order", ["compile fit", "compile call fit", "call compile fit"])
def test_a_subclassed_model_trains_whenever_it_is_built(order):
    """Also after a model of inputs and outputs: Keras would expect these of the subclasses of its class."""
    functional()
    model = Called(4)
    settings = dict(sensitivity_every=2, jit_compile=False)
    steps = {"compile": lambda: model.compile("sgd", "mse", **settings), "call": lambda: model(X)}
    steps["fit"] = lambda: model.fit(X, np.zeros((6, T, O)), verbose=0)
    for step in order.split():
        steps[step]()
    assert model.diagnostics()["sensitivity_loss"] > 0.0


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")  # Keras' own, before it asks the model
def test_a_file_that_could_not_hold_both_optimizers_is_refused_however_it_is_saved(tmp_path):
    """Before anything is written. Keras' function goes past the model's `save`: nothing could load what it writes."""
    model, sequential, inputs = compiled(functional()), kk.Model(layers(keras.Input((T, I)))), keras.Input((T, I))
    for name, each in (("model.h5", model), ("model.hdf5", kk.Model(layers()))):
        with pytest.raises(ValueError, match=rf"filepath must end in '.keras', or .*; received '.*{name}'.*optimizer"):
            each.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    for each in (model, sequential, keras.Model(inputs, model(inputs))):
        with pytest.raises(ValueError, match="filepath must end in '.keras', or .*HDF5 file has no place for sensitiv"):
            keras.saving.save_model(each, tmp_path / "model.h5")
        keras.saving.save_model(each, tmp_path / "model.keras")  # nothing of the refusal remains
        assert keras.saving.load_model(tmp_path / "model.keras").count_params() == each.count_params()


def registered():
    """How many gradients TensorFlow holds."""
    return sum(name.startswith("CustomGradient-") for name in ops.gradient_registry._registry)


@pytest.mark.usefixtures("memory")
@pytest.mark.slow
def test_the_graphs_of_a_model_go_with_it():
    """Nothing that it leaves behind is held by TensorFlow for good."""

    def graphs():
        keras.backend.clear_session()
        gc.collect()
        return sum(isinstance(each, tf.Graph) for each in gc.get_objects())

    def use_a_model():
        """How many gradients are held before and after a model trains, evaluates, predicts and shows gradients."""
        model = compiled(functional(), run_eagerly=False, jit_compile=False)
        before = registered()  # Keras 2 has traced the layers by now
        model.fit(X, Y, validation_data=(X, Y), **FIT)
        model.predict(X, verbose=0)
        tf.function(model.gradients)(X, Y)
        return weakref.ref(model), before, registered()

    before = graphs()
    model, built, used = use_a_model()
    after = graphs()
    assert model() is None and used > built == registered()
    assert not IS_KERAS_3 or after <= before + 1  # the default graph


@pytest.mark.parametrize("first", ["inputs and outputs", "a list of layers"])
def test_a_class_of_ones_own_has_one_kind(first):
    class Mine(kk.Model):
        pass

    def made_of(what):
        return functional(Mine) if what == "inputs and outputs" else Mine(layers())

    made_of(first)
    then = {"inputs and outputs": "a list of layers", "a list of layers": "inputs and outputs"}[first]
    with pytest.raises(TypeError, match=f"Mine must be made of {first} again, as before .*; received {then}"):
        made_of(then)
    assert made_of(first).rule_layers


class OfUnits(kk.Model):
    """Its arguments are its own; they look like Keras'."""

    def __init__(self, units, outputs):
        super().__init__([kk.RNN(kk.LIFCell(units), "eprop"), kk.Readout(outputs)])


class OfSizes(kk.Model):
    def __init__(self, sizes):
        inputs = keras.Input((T, I))
        super().__init__(inputs, through([kk.Readout(size) for size in sizes], inputs))


def test_a_class_with_arguments_of_its_own_is_made_again():
    for units in (4, 5):
        assert OfUnits(units, outputs=2)(X).shape[-1] == 2 and OfSizes([units, 3])(X).shape[-1] == 3


class Parts(kk.Model):
    """It never calls one of its layers, and has Keras 3's whole signature of `compute_loss`."""

    def __init__(self, rule):
        super().__init__()
        self.used, self.unused = (kk.RNN(kk.LIFCell(4, input_gain=9.0), rule, seed=1) for _ in range(2))
        self.readout = kk.Readout(O)

    def call(self, x):
        return self.readout(self.used(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, y, y_pred, sample_weight, training)


@pytest.mark.parametrize("rule", ["kernl", "eprop"])
@pytest.mark.filterwarnings("ignore:.build... was called on layer")  # Keras 3 says that it cannot build the one
def test_a_layer_that_is_never_called(rule, tmp_path):
    model, y = Parts(rule), np.zeros((6, T, O), "float32")
    model.compile("sgd", "mse", run_eagerly=True)
    alignment = kk.GradientAlignment(tmp_path, examples=(X, y), windows=1)
    model.fit(X, y, callbacks=[alignment], verbose=0)
    assert {name.split("/")[0] for name in alignment.history[-1][1].variables} == {model.used.name}
    assert 0.0 < model.diagnostics()["firing_rate"]
