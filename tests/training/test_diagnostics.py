"""What `fit` and `evaluate` report, what is measured besides, and that the two stay apart; in any Keras model."""

import re

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.layers.diagnostics import gradient_alone
from kernl_keras.training.diagnostics import ACTIVITY, DIAGNOSTICS

from ..reference.cases import taking_turns
from .test_kinds import FIT, I, O, T, X, Y, compiled, functional

SGD = keras.optimizers.SGD


def build(kind=kk.Model, below=(), **settings):
    return compiled(functional(kind, below), **settings)


def plain(**settings):
    """A model of Keras with a hidden layer, and the layer."""
    inputs = keras.Input((T, I))
    layer = kk.RNN(kk.LIFCell(5), seed=1, name="hidden")
    model = keras.Model(inputs, keras.layers.Dense(O)(layer(inputs)))
    model.compile(loss="mse", **settings)
    return model, layer


def fit(model, **more):
    return model.fit(X, Y, **FIT, **more).history


@pytest.mark.parametrize("kind", [kk.Model, keras.Model], ids=["kk.Model", "keras.Model"])
def test_loss_and_metrics_are_all_that_is_reported(kind, capsys):
    """In a line that fits a terminal, but for the times, whose length is not ours."""
    model = build(kind)
    reported = ["loss", "mae", "val_loss", "val_mae"]
    assert set(model.fit(X, Y, validation_data=(X, Y), verbose=2).history) == set(reported)
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.findall(r"(\w+): ", line) == reported and len(re.sub(r"- \d+\w+(/\w+)? ?", "", line)) <= 80
    loss, error = model.evaluate(X, Y, verbose=0)
    predicted = model.predict(X, verbose=0)
    np.testing.assert_allclose([loss, error], [np.mean((predicted - Y) ** 2), np.mean(abs(predicted - Y))], rtol=1e-5)
    assert model.evaluate(X, Y, verbose=0, return_dict=True) == {"loss": loss, "mae": error}
    assert model.test_on_batch(X, Y) == [loss, error]
    assert len(model.metrics_names) == len(model.train_on_batch(X, Y)) == 2


def test_diagnostics_in_the_logs():
    model = build(diagnostics=True)
    history = fit(model, validation_data=(X, Y))
    of_validation = {"loss", "mae", *ACTIVITY}
    assert set(history) == {"loss", "mae", *DIAGNOSTICS, *(f"val_{name}" for name in of_validation)}
    found = {name: values[-1] for name, values in history.items()}
    assert model.diagnostics().items() <= found.items()
    tested = model.evaluate(X, Y, batch_size=3, verbose=0, return_dict=True)
    assert set(tested) == of_validation and len(model.evaluate(X, Y, batch_size=3, verbose=0)) == 2
    for name, value in model.diagnostics(training=False).items():
        assert tested[name] == value == found[f"val_{name}"]  # no noise, and no learning in between


def test_an_entry_of_the_logs_keeps_its_name_and_its_shape():
    """A metric of the user's that is called as one of ours, and one of several numbers."""
    inputs = keras.Input((T, I))
    model = kk.Model(inputs, kk.RNN(kk.LIFCell(O), return_sequences=False)(inputs))
    mine = keras.metrics.MeanSquaredError(name="firing_rate"), keras.metrics.F1Score(average=None)
    model.compile("sgd", "mse", metrics=[*mine], run_eagerly=True, diagnostics=True)
    history = model.fit(X, np.eye(O)[[0, 1, 1, 0, 1, 0]], verbose=0).history
    np.testing.assert_allclose(history["firing_rate"], history["loss"], rtol=1e-6)
    assert np.isfinite(history["loss"]).all() and np.shape(history["f1_score"]) == (1, O)


def test_the_numbers_are_means_over_an_epoch_and_start_anew():
    """Of two batches each counts half, whether in one epoch or in two."""
    model = build(below=[kk.RNN(kk.LIFCell(5), seed=0)])
    assert np.isnan([*model.diagnostics().values(), *model.diagnostics(training=False).values()]).all()
    compiled(model, optimizer=SGD(0.0), sensitivity_optimizer=SGD(0.0))
    alone = []
    for half in (slice(0, 3), slice(3, 6)):
        model.train_on_batch(X[half], Y[half])
        alone.append(model.diagnostics())
    for layer in model.rule_layers:
        layer.draws.assign(0)
    fit(model)
    both, (one, other) = model.diagnostics(), alone
    for name in set(DIAGNOSTICS) - {"explained_variance"}:
        np.testing.assert_allclose(both[name], (one[name] + other[name]) / 2, rtol=1e-5, err_msg=name)
    assert one["firing_rate"] != other["firing_rate"] and both["skipped_updates"] == 0.0


def test_layers_are_put_together():
    """F is summed, the variance explained is that of the sum, the activity is a plain mean."""
    model = build(below=[kk.RNN(kk.LIFCell(5), seed=0)])
    model.train_on_batch(X, Y)
    found, layers = model.diagnostics(), [layer.diagnostics.result() for layer in model.rule_layers]
    loss, variance = (sum(each[name] for each in layers) for name in ("sensitivity_loss", "perturbation_variance"))
    np.testing.assert_allclose(found["sensitivity_loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(found["explained_variance"], 1.0 - loss / variance, rtol=1e-5)
    for name in ("restarted_perturbations", *ACTIVITY):
        np.testing.assert_allclose(found[name], np.mean([each[name] for each in layers]), rtol=1e-6)


def test_evaluation_leaves_the_numbers_of_training():
    seen = []
    for validation in ((10.0 * X, Y), None):
        model = build()
        look = lambda epoch, logs, model=model: seen.append(model.diagnostics())  # noqa: E731
        fit(model, validation_data=validation, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=look)])
        if validation:
            measured = model.diagnostics(training=False)
    assert seen[0] == seen[1]
    assert set(measured) == set(ACTIVITY) and measured["firing_rate"] != seen[0]["firing_rate"]


MODES = {"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}


@pytest.mark.parametrize("settings", taking_turns(MODES))
def test_a_plain_model_learns_m_and_reports_its_own_loss(settings):
    """F is an added loss of value zero, whose gradient reaches M."""
    model, layer = plain(optimizer=SGD(0.01), **settings)
    before, y = layer.sensitivity_tensor.numpy(), np.zeros((6, T, O))
    expected = np.mean(model.predict(X, verbose=0) ** 2)
    history = model.fit(X, y, verbose=0).history
    np.testing.assert_allclose(history["loss"], [expected], rtol=1e-5)
    assert (layer.sensitivity_tensor.numpy() != before).any()
    found = layer.diagnostics.result()
    assert found["sensitivity_loss"] > 0.0 and 0.0 < found["firing_rate"] < 0.5
    model.evaluate(X, y, verbose=0)
    model.predict(X, verbose=0)
    assert layer.diagnostics.result() == found  # which from inside a layer look alike
    layer.diagnostics.reset_state()
    assert np.isnan(list(layer.diagnostics.result().values())).all()


def test_the_added_loss_is_zero_with_the_gradient_of_f():
    layer = kk.RNN(kk.LIFCell(5), rule=kk.rules.KeRNL(kernel="exponential"), seed=1)
    layer(X)
    with tf.GradientTape(persistent=True) as tape:
        layer(X, training=True)
        (added,), loss = layer.losses, layer.report.sensitivity_loss
    assert float(added) == 0.0 < float(loss)
    for weight in layer.sensitivity_weights:
        gradient = tape.gradient(added, weight)
        np.testing.assert_array_equal(gradient, tape.gradient(loss, weight))
        assert np.abs(gradient).max() > 0.0
    for value in (np.nan, np.inf, -np.inf, 2.5):
        assert float(gradient_alone(tf.constant(value))) == 0.0


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has one optimizer alone")
def test_keras_own_multi_optimizer_gives_m_its_own_in_a_plain_model():
    """Both groups at once, by the gradients of one pass: what `Model` adds is M first, and the schedule."""
    chosen = keras.optimizers.OptimizerMap(SGD(0.0), {".*sensitivity_tensor": SGD(0.1)})
    model, _ = plain(optimizer=keras.optimizers.MultiOptimizer(chosen), run_eagerly=True)
    before = [weight.numpy() for weight in model.trainable_variables]
    model.fit(X, np.zeros((6, T, O)), verbose=0)
    variables = zip(before, model.trainable_variables)
    assert {weight.path.split("/")[-1] for old, weight in variables if (old != weight).any()} == {"sensitivity_tensor"}
