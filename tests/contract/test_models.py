"""What Keras promises of a model, for `Model` with every kind of hidden layer."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, Functional, keras

from ..reference.tools import all_same, policy
from .rows import LAYERS, ROWS, B, I, T

pytestmark = pytest.mark.slow

EXAMPLES, CLASSES = 3 * B, 3


every_layer = pytest.mark.parametrize("name", LAYERS)


def data():
    generator = np.random.default_rng(0)
    return generator.normal(0.5, 1.5, (EXAMPLES, T, I)).astype("float32"), generator.integers(0, CLASSES, EXAMPLES)


def build(name, depth=1, model=kk.Model):
    """`depth` layers of the row, a readout, and a mean over the last steps."""
    keras.utils.set_random_seed(1)
    inputs = x = keras.Input((T, I))
    for number in range(depth):
        x = ROWS[name].make(name=f"hidden_{number}")(x)
    x = keras.layers.Dense(CLASSES, name="readout")(x)
    return model(inputs, kk.TimeAverage(3, name="answer")(x))


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(name, depth=1, optimizer=None, sensitivity_optimizer=None, **settings):
    model = build(name, depth)
    settings = {"metrics": ["accuracy"], "jit_compile": False, **settings}
    settings["sensitivity_optimizer"] = sensitivity_optimizer or keras.optimizers.RMSprop(0.01)
    model.compile(optimizer or keras.optimizers.Adam(0.01), LOSS, **settings)
    return model


def fit(model, **settings):
    x, y = data()
    return model.fit(x, y, **{"batch_size": B, "shuffle": False, "verbose": 0, **settings}).history


@every_layer
def test_fit_evaluate_and_predict(name):
    model = compiled(name, jit_compile=True)
    history = fit(model, epochs=10)
    assert history["loss"][-1] < history["loss"][0]
    x, y = data()
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    expected = LOSS(y, model.predict(x, verbose=0))
    np.testing.assert_allclose(results["loss"], expected, rtol=1e-5)


@every_layer
def test_saved_with_both_optimizers(name, tmp_path):
    """A loaded model goes on as the saved one: weights, both optimizers' slots, the noise."""
    model = compiled(name)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, kk.Model)
    for each in (model, loaded):
        fit(each)
    all_same(model.get_weights(), loaded.get_weights())


@every_layer
def test_clone_and_summary(name, capsys):
    model = compiled(name)
    clone = keras.models.clone_model(model)
    assert isinstance(clone, kk.Model) or not IS_KERAS_3  # Keras 2 clones as a plain model
    clone.set_weights(model.get_weights())
    x, _ = data()
    np.testing.assert_array_equal(clone.predict(x, verbose=0), model.predict(x, verbose=0))
    model.summary(print_fn=print)
    assert "hidden_0" in capsys.readouterr().out


@every_layer
def test_schedules_of_both_learning_rates(name):
    """Each optimizer follows its own: rates that are 0 after two steps stop what they belong to."""

    def stops():
        return keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.0])  # steps 0 and 1, then 0

    model = compiled(name, optimizer=keras.optimizers.SGD(stops()), sensitivity_optimizer=keras.optimizers.SGD(stops()))
    x, y = data()
    moved = []
    for _ in range(4):
        before = [weight.numpy().copy() for weight in model.trainable_variables]
        model.train_on_batch(x[:B], y[:B])
        moved.append(any((weight.numpy() != old).any() for weight, old in zip(model.trainable_variables, before)))
    assert moved == [True, True, False, False]


@every_layer
def test_steps_per_execution(name):
    one, three = compiled(name), compiled(name, steps_per_execution=3)
    fit(one), fit(three)
    all_same(one.get_weights(), three.get_weights(), 1e-5, 1e-5)


@pytest.mark.skipif(not IS_KERAS_3, reason="optimizers of Keras 2 do not accumulate")
@every_layer
def test_gradient_accumulation(name):
    """Of plain descent: three batches of which one step is made are the batch of all."""
    frozen = keras.optimizers.SGD(0.0)
    accumulating = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    small = compiled(name, optimizer=accumulating, sensitivity_optimizer=frozen)
    whole = compiled(name, optimizer=keras.optimizers.SGD(0.1), sensitivity_optimizer=keras.optimizers.SGD(0.0))
    fit(small), fit(whole, batch_size=EXAMPLES)
    one, other = ([variable.numpy() for variable in model.trainable_variables] for model in (small, whole))
    all_same(one, other, 1e-4, 1e-5)


@every_layer
def test_several_outputs(name):
    inputs = keras.Input((T, I))
    hidden = ROWS[name].make()(inputs)
    answers = {"class": keras.layers.Dense(CLASSES, name="class"), "value": keras.layers.Dense(1, name="value")}
    outputs = {key: kk.TimeAverage(2, name=f"mean_{key}")(layer(hidden)) for key, layer in answers.items()}
    model = kk.Model(inputs, outputs)
    model.compile("sgd", {"class": LOSS, "value": "mse"}, loss_weights={"class": 1.0, "value": 0.5})
    x, y = data()
    history = model.fit(x, {"class": y, "value": np.ones((EXAMPLES, 1))}, batch_size=B, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@every_layer
@pytest.mark.parametrize("depth", [2, 3])
def test_layers_on_layers(name, depth):
    model = compiled(name, depth)
    before = {weight.path if IS_KERAS_3 else weight.name: weight.numpy() for weight in model.trainable_variables}
    fit(model, epochs=2)
    for weight in model.trainable_variables:
        old = before[weight.path if IS_KERAS_3 else weight.name]
        assert (weight.numpy() != old).any() and np.isfinite(weight.numpy()).all()
    assert len(model.rule_layers) == depth


@every_layer
def test_sample_weights(name):
    """Examples of weight 0 are not there."""
    x, y = data()
    one, other = compiled(name), compiled(name)
    for model in (one, other):
        for layer in model.rule_layers:
            layer.trainable = False  # M and gamma draw noise for as many examples as there are
        model.compile(keras.optimizers.SGD(0.1), LOSS)
    one.train_on_batch(x[:B], y[:B], sample_weight=np.array([1.0, 1.0, 0.0, 0.0]))
    other.train_on_batch(x[:2], y[:2], sample_weight=np.array([0.5, 0.5]))  # Keras divides by the batch
    all_same(one.get_weights(), other.get_weights(), 1e-5, 1e-5)


@every_layer
def test_half_precision_around(name):
    """Under mixed precision the traces are in float32 and training is finite."""
    for half in ("mixed_float16", "mixed_bfloat16"):
        with policy(half):
            model = compiled(name)
            history = fit(model, epochs=2)
        assert np.isfinite(history["loss"]).all() and model.diagnostics()["skipped_updates"] == 0.0
        assert all(tf.as_dtype(weight.dtype).size >= 4 for weight in model.get_weights())


SCRIPT = """
import hashlib, sys
import numpy as np, tensorflow as tf
tf.config.experimental.enable_op_determinism()
from tests.contract.test_models import compiled, fit
from kernl_keras.keras_version import keras
for name in {names!r}:
    model = compiled(name, jit_compile={jit})
    fit(model, epochs=2, shuffle=True)
    print(name, hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""


@pytest.mark.parametrize("jit", [False, True])
def test_the_same_seed_gives_the_same_bits(jit):
    """Two processes, with TensorFlow's own determinism switched on."""
    script = SCRIPT.format(names=LAYERS, jit=jit)
    command = [sys.executable, "-c", script]
    runs = [subprocess.run(command, capture_output=True, text=True, check=False, timeout=300) for _ in range(2)]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr[-2000:]
    assert runs[0].stdout == runs[1].stdout
    assert [line.rpartition(" ")[0] for line in runs[0].stdout.splitlines()] == LAYERS


def test_subclasses_build_after_a_functional_model():
    """Keras must not turn the class itself into a functional one, nor may a subclass that is functional."""
    build(LAYERS[0])

    class OfTensors(kk.Model):
        """A functional one."""

        def __init__(self):
            made = build(LAYERS[0], model=keras.Model)
            super().__init__(made.inputs, made.outputs)

    class Subclass(kk.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.readout = ROWS[LAYERS[0]].make(), keras.layers.Dense(CLASSES)
            self.answer = kk.TimeAverage(3)

        def call(self, x, training=False):
            return self.answer(self.readout(self.hidden(x, training=training)))

    for model in (OfTensors(), Subclass(), OfTensors(), build(LAYERS[0])):
        model.compile("adam", LOSS)
        assert np.isfinite(fit(model)["loss"]).all()
        assert isinstance(model, kk.Model) and isinstance(model, Functional) == (type(model) is not Subclass)
