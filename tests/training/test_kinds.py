"""`Model` made of inputs and outputs, of a list of layers, or as a subclass: each as Keras' own."""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras

T, I, O = 5, 3, 2  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (6, T, I)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6, O)).astype("float32")


def layers(first=None):
    keras.utils.set_random_seed(3)
    made = [kk.RNN(kk.LIFCell(5), seed=1, name="hidden"), kk.Readout(O, name="readout")]
    return [*([] if first is None else [first]), *made, kk.TimeAverage(4, name="window")]


def compiled(model, **settings):
    model.compile("sgd", "mse", metrics=["mae"], **{"run_eagerly": True, **settings})
    return model


def weights(model):
    return [weight.numpy() for weight in model.weights]


def test_a_list_of_layers_learns_as_the_same_layers_between_inputs_and_outputs():
    inputs = x = keras.Input((T, I))
    for layer in layers():
        x = layer(x)
    models = kk.Model(inputs, x), kk.Model(layers(keras.Input((T, I))))
    one, other = (compiled(model, sensitivity_every=1) for model in models)  # an epoch without M has no numbers of it
    histories = [model.fit(X, Y, batch_size=3, epochs=2, verbose=0, shuffle=False).history for model in (one, other)]
    assert histories[0] == histories[1]
    for mine, theirs in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one.diagnostics() == other.diagnostics()


def test_it_is_a_sequential_model():
    model, plain = kk.Model(layers(keras.Input((T, I))), name="mine"), keras.Sequential(layers(keras.Input((T, I))))
    assert isinstance(model, kk.Model) and isinstance(model, keras.Sequential) and model.name == "mine"
    assert [layer.name for layer in model.layers] == [layer.name for layer in plain.layers]
    assert model.input_shape == plain.input_shape and model.output_shape == plain.output_shape
    lines = [[], []]
    for each, said in zip((model, plain), lines):
        each.summary(print_fn=lambda line, said=said, **_: said.append(line))
    assert "hidden (RNN)" in "\n".join(lines[0]) and len(lines[0]) == len(lines[1])
    np.testing.assert_array_equal(model.predict(X, verbose=0), plain.predict(X, verbose=0))


@pytest.mark.parametrize(
    "time", [pytest.param(T, marks=pytest.mark.slow), None], ids=["length known", "length unknown"]
)
def test_it_may_be_built_by_its_first_batch(time):
    model = compiled(kk.Model(layers()), sensitivity_every=2, run_eagerly=False, jit_compile=False)
    assert not model.built
    if time is None:
        model.build((None, None, I))
    model.fit(X, Y, batch_size=3, verbose=0)
    assert model.built and model.output_shape[-1] == O
    assert model.diagnostics()["sensitivity_loss"] > 0.0 and len(model.rule_layers) == 1
    if time is None:
        assert model.predict(X[:, :4], verbose=0).shape == (6, O)


def test_layers_are_added_and_taken():
    model = kk.Model([keras.Input((T, I))])
    for layer in layers():
        model.add(layer)
    model.add(keras.layers.Dense(4))
    assert model.output_shape == (None, 4)
    model.pop()
    compiled(model).fit(X, Y, verbose=0)
    assert model.output_shape == (None, O)


@pytest.mark.parametrize("built", ["by an input", "by a batch"])
def test_it_is_saved_and_goes_on(built, tmp_path):
    model = kk.Model(layers(keras.Input((T, I)) if built == "by an input" else None))
    compiled(model, sensitivity_optimizer=keras.optimizers.RMSprop(0.01), on_nonfinite="stop", diagnostics=True)
    model.fit(X, Y, batch_size=3, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model) and loaded.on_nonfinite == "stop" and loaded.reports_diagnostics
    histories = [each.fit(X, Y, batch_size=3, verbose=0, shuffle=False).history for each in (model, loaded)]
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-5, err_msg=name)


def test_weights_and_copies(tmp_path):
    model = compiled(kk.Model(layers(keras.Input((T, I)))))
    model.fit(X, Y, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    again = kk.Model(layers(keras.Input((T, I))))
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-6)
    copy = type(model).from_config(model.get_config())
    assert isinstance(copy, kk.Model) and [layer.name for layer in copy.layers] == ["hidden", "readout", "window"]


@pytest.mark.parametrize("first", [True, False], ids=["built by an input", "built by a batch"])
def test_a_copy_of_a_sequential_model_is_compiled_as_the_model_was(first):
    """The way that the page on Keras names, where `clone_model` would make a plain `keras.Sequential`."""
    model = compiled(kk.Model(layers(keras.Input((T, I)) if first else None)), sensitivity_every=3)
    model.fit(X, Y, verbose=0)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert type(copy) is type(model) and copy.sensitivity_every == 3
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy.predict(X, verbose=0), model.predict(X, verbose=0))
    before = model.get_weights()
    copy.fit(X, Y, verbose=0)
    for mine, was in zip(weights(model), before, strict=True):  # nothing is shared
        np.testing.assert_array_equal(mine, was)


def test_subclasses_are_made_as_keras_makes_them():
    def with_step():
        class Mine(kk.Model):
            """A step of its own, and no `call`."""

            def train_step(self, data):
                return {"loss": super().train_step(data)["loss"]}

        return Mine

    class Called(kk.Model):
        def __init__(self, units):
            super().__init__()
            self.hidden, self.readout = kk.RNN(kk.LIFCell(units), seed=1), keras.layers.Dense(O)

        def call(self, x, training=None):
            return self.readout(self.hidden(x, training=training))

    inputs = keras.Input((T, I))
    hidden = kk.RNN(kk.LIFCell(4), seed=1)(inputs)
    y = np.zeros((6, T, O), "float32")
    of_tensors, of_layers = with_step(), with_step()
    for model in (
        of_tensors(inputs, keras.layers.Dense(O)(hidden)),
        of_layers([kk.RNN(kk.LIFCell(4), seed=1), keras.layers.Dense(O)]),
        Called(4),
    ):
        model.compile("sgd", "mse", run_eagerly=True)
        assert set(model.fit(X, y, verbose=0).history) == {"loss"}
        assert model.diagnostics()["sensitivity_loss"] > 0.0


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_a_file_that_could_not_hold_both_optimizers_is_refused(name, tmp_path):
    """Before anything is written: what lies there stays."""
    for model in (compiled(kk.Model(layers(keras.Input((T, I))))), kk.Model(layers())):
        with pytest.raises(ValueError, match=rf"filepath must end in '.keras', or .*; received '.*{name}'.*optimizer"):
            model.save(tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")  # Keras' own, before it asks the model
def test_such_a_file_is_refused_however_it_is_saved(tmp_path):
    """Keras' function goes past the model's `save`. It could write the file, but nothing could load it."""
    inputs = keras.Input((T, I))
    functional = compiled(kk.Model(layers(inputs)))
    sequential = kk.Model([keras.Input((T, I)), *layers()])
    for model in (functional, sequential, keras.Model(inputs, functional(inputs))):
        with pytest.raises(ValueError, match="filepath must end in '.keras', or .*HDF5 file has no place for sensitiv"):
            keras.saving.save_model(model, tmp_path / "model.h5")
        keras.saving.save_model(model, tmp_path / "model.keras")  # nothing of the refusal remains
        assert keras.saving.load_model(tmp_path / "model.keras").count_params() == model.count_params()
