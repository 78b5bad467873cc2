"""Examples of weight 0 are not there: in F, in the activity, whatever they carry, and never beyond their step."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.layers.step import running_step

pytestmark = pytest.mark.slow

B, T, I = 4, 9, 3  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (B, T, I)).astype("float32")
Y = np.random.default_rng(1).normal(size=(B, 2)).astype("float32")
WEIGHTS = np.array([1.0, 1.0, 0.0, 0.0], "float32")


def build(batch, stateful=False, run_eagerly=False, pairs=False):
    """The same weights and noise every time; with `pairs` the layer sees two sequences an example."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input(batch_shape=(batch, 2 * T if pairs else T, I))
    x = keras.layers.Lambda(lambda x: tf.reshape(x, (2 * batch, T, I)))(inputs) if pairs else inputs
    hidden = kk.RNN(kk.LIFCell(5, tau_m=8.0), seed=7, stateful=stateful, name="hidden")(x)
    outputs = kk.TimeAverage(4)(kk.Readout(2, stateful=stateful)(hidden))
    if pairs:
        outputs = keras.layers.Lambda(lambda x: x[:batch])(outputs)
    model = kk.Model(inputs, outputs)
    zero = keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)
    model.compile(zero[0], "mse", sensitivity_optimizer=zero[1], run_eagerly=run_eagerly)
    return model


def train(model, x, y, **arguments):
    """What is measured in a step, and nothing of those before it."""
    model.train_on_batch(x, y, **arguments)
    return model.diagnostics()


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("stateful", [False, True])
def test_what_absent_examples_carry_does_not_count(stateful, run_eagerly):
    whole, alone = (build(batch, stateful, run_eagerly) for batch in (B, 2))
    train(whole, X, Y)  # all of them leave something behind
    train(alone, X[:2], Y[:2])
    one = train(whole, X, Y, sample_weight=WEIGHTS)
    other = train(alone, X[:2], Y[:2])
    for name in ("sensitivity_loss", "explained_variance", "firing_rate", "silent_units"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6)
    everyone = train(build(B, stateful, run_eagerly), X, Y)
    assert abs(everyone["firing_rate"] - one["firing_rate"]) > 1e-3


def test_evaluation_leaves_them_out_too():
    def rate(model, x, y, **arguments):
        model.evaluate(x, y, batch_size=len(x), verbose=0, **arguments)
        return model.diagnostics(training=False)["firing_rate"]

    model = build(B)
    np.testing.assert_allclose(rate(model, X, Y, sample_weight=WEIGHTS), rate(build(2), X[:2], Y[:2]), rtol=1e-6)
    assert abs(rate(model, X, Y) - rate(model, X, Y, sample_weight=WEIGHTS)) > 1e-3


def test_a_layer_of_another_batch_counts_all():
    x = np.concatenate([X, X[::-1]], 1)
    with_weights, without = (
        train(build(B, pairs=True), x, Y, **arguments) for arguments in ({"sample_weight": np.ones(B)}, {})
    )
    np.testing.assert_allclose(with_weights["sensitivity_loss"], without["sensitivity_loss"], rtol=1e-6)


def test_a_step_that_fails_leaves_nothing():
    model = build(B)
    with pytest.raises(Exception):  # noqa: B017 - Keras' own, of many kinds
        model.train_on_batch(X, np.zeros((B, 5)), sample_weight=WEIGHTS)
    assert running_step() is None and model.rule_layers[0].report is None
    assert np.isfinite(model.predict(X, batch_size=B, verbose=0)).all()
