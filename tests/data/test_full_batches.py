"""Short batches filled with examples of weight 0: a training step on one is that on the short batch."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.rules import KeRNL, PlainKeRNL

from ..reference.tools import all_same

X = np.random.default_rng(0).normal(1.0, 2.0, (7, 12, 3)).astype("float32")
Y = np.arange(7) % 4


def batches(size=3):
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(size)


def test_every_batch_is_full_and_nothing_is_lost():
    found = list(kk.data.full_batches(batches(), 3).as_numpy_iterator())
    assert [x.shape for x, _, _ in found] == [(3, 12, 3)] * 3
    np.testing.assert_array_equal(np.concatenate([x[w > 0] for x, _, w in found]), X)
    np.testing.assert_array_equal(np.concatenate([y[w > 0] for _, y, w in found]), Y)
    np.testing.assert_array_equal(found[-1][2], [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(found[-1][0], X[[6, 6, 6]])


@pytest.mark.parametrize("shape", [(7,), (7, 12)], ids=["examples", "steps"])
def test_weights_are_kept(shape):
    weight = np.random.default_rng(1).uniform(0.5, 2.0, shape).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((X, np.zeros(shape), weight)).batch(4)
    found = list(kk.data.full_batches(data, 4).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([w for _, _, w in found]), [*weight, 0.0 * weight[0]])


@pytest.mark.parametrize("weights", [(), (np.full(7, 2.0),), ((np.full(7, 2.0), np.full((7, 12), 2.0)),)])
def test_nested_data(weights):
    data = tf.data.Dataset.from_tensor_slices(({"a": X, "b": Y}, (Y, X), *weights)).batch(4)
    *_, (x, y, weight) = kk.data.full_batches(data, 4)
    assert x["a"].shape == (4, 12, 3) and x["b"].shape == y[0].shape == (4,) and y[1].shape == (4, 12, 3)
    one, steps = 2.0 if weights else 1.0, 12 if weights and isinstance(weights[0], tuple) else 1
    np.testing.assert_array_equal(weight[0], [one, one, one, 0.0])
    np.testing.assert_array_equal(weight[1], [[one] * steps] * 3 + [[0.0] * steps])


def test_errors():
    for data in (batches(), tf.data.Dataset.from_tensors((X[:0], Y[:0]))):
        with pytest.raises(tf.errors.InvalidArgumentError, match="data must have batches of 1 to 2 examples"):
            list(kk.data.full_batches(data, 2))
    for data, what in (((X, Y), r"tuple\.$"), (tf.data.Dataset.from_tensor_slices(X).batch(3), "TensorSpec")):
        with pytest.raises(ValueError, match=rf"data must be .* \(x, y\).*batch\(3\) makes one .* received {what}"):
            kk.data.full_batches(data, 3)


CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")


def build(rule="kernl", **compiled):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12, 3))
    hidden = kk.RNN(kk.LIFCell(5, tau_m=8.0), rule=rule, seed=7, name="hidden")(inputs)
    model = kk.Model(inputs, kk.TimeAverage(4)(kk.Readout(4)(hidden)))
    model.compile(keras.optimizers.SGD(0.1), CLASSES, sensitivity_optimizer=keras.optimizers.SGD(0.1), **compiled)
    return model


@pytest.mark.parametrize(
    "units, loss, metric",
    [(4, CLASSES, "accuracy"), (1, keras.losses.MeanSquaredError(reduction="sum"), "mae")],
    ids=["classes", "numbers"],
)
def test_answers_at_every_step(units, loss, metric):
    """The last batch of one example moves the weights as it would alone, and metrics do not count its copies."""
    classes = np.random.default_rng(1).integers(0, 4, (7, 12))
    data = tf.data.Dataset.from_tensor_slices((X, classes if units == 4 else classes[..., None] + 0.0)).batch(3)
    found = []
    for each in (data, kk.data.full_batches(data, 3)):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((12, 3))
        model = kk.Model(inputs, kk.Readout(units)(inputs))
        model.compile(keras.optimizers.SGD(0.01), loss, weighted_metrics=[metric], run_eagerly=True)
        found.append([*model.fit(each, shuffle=False, verbose=0).history[metric], *model.get_weights()])
    all_same(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "rule",
    [
        KeRNL(),
        pytest.param(KeRNL("exponential", perturbation="twin"), marks=pytest.mark.slow),
        pytest.param(PlainKeRNL(credit="last"), marks=pytest.mark.slow),
    ],
    ids=["membrane", "exponential, twin", "plain, last"],
)
def test_a_filled_batch_trains_as_the_short_one(rule):
    """Every weight, M and gamma, and the diagnostics."""
    short, filled, before = (build(rule, run_eagerly=True) for _ in range(3))
    short.train_on_batch(X[:2], Y[:2])
    one = short.diagnostics()
    ((x, y, weight),) = kk.data.full_batches(batches(2).take(1), 5)
    filled.train_on_batch(x, y, sample_weight=weight)
    other = filled.diagnostics()
    all_same(filled.get_weights(), short.get_weights(), rtol=1e-5, atol=1e-6)
    assert max(np.abs(after - start).max() for after, start in zip(short.get_weights(), before.get_weights())) > 0.01
    for name in ("sensitivity_loss", "explained_variance", "firing_rate", "silent_units", "weight_gradient_norm"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-6)
    assert one["sensitivity_loss"] > 0 and one["firing_rate"] > 0


def test_a_filled_batch_of_several_targets_trains_as_the_short_one():
    """Answers at every step, and one for each sequence."""
    found = []
    for size in (2, 5):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((12, 3))
        hidden = kk.RNN(kk.LIFCell(5, tau_m=8.0), rule="kernl", seed=7)(inputs)
        steps, whole = kk.Readout(3, name="steps")(hidden), kk.TimeAverage(name="whole")(kk.Readout(1)(hidden))
        model = kk.Model(inputs, {"steps": steps, "whole": whole})
        loss = keras.losses.MeanSquaredError(reduction="sum")
        model.compile(keras.optimizers.SGD(0.01), {"steps": loss, "whole": loss}, run_eagerly=True)
        data = tf.data.Dataset.from_tensors((X[:2], {"steps": X[:2], "whole": X[:2, 0, :1]}))
        model.fit(kk.data.full_batches(data, size), verbose=0)
        found.append([*model.get_weights(), model.diagnostics()["firing_rate"]])
    all_same(*found, rtol=1e-5, atol=1e-6)


SCRIPT = """
import tensorflow as tf
from tests.data.test_full_batches import X, Y, batches, build
import kernl_keras as kk
model = build("eprop")
model.compile(loss="sparse_categorical_crossentropy", jit_compile=True)
data = batches() if {short} else kk.data.full_batches(batches(), 3)
model.fit(data, epochs=2, verbose=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("short", "compilations"), [(False, 1), (True, 2)])
def test_an_epoch_with_a_short_batch_compiles_once(short, compilations, tmp_path):
    """XLA writes a file for every module that it compiles; the training step is the one with loops."""
    environment = {**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"}
    subprocess.run([sys.executable, "-c", SCRIPT.format(short=short)], check=True, env=environment)
    step = "one_step_on_data" if IS_KERAS_3 else "run_step"  # what the Kerases call it
    assert len(list(tmp_path.glob(f"*{step}*before_optimizations.txt"))) == compilations
