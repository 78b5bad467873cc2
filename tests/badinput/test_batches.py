"""Batches: whatever they hold, nothing that is not finite gets into a weight, and what was wrong is said."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import kernl_keras as kk
from kernl_keras.keras_version import keras

from .tried import NONFINITE, count, few, some

pytestmark = pytest.mark.slow

B, T, I, O = 3, 5, 2, 2  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (B, T, I)).astype("float32")
Y = np.random.default_rng(1).normal(size=(B, O)).astype("float32")
MODELS = {}
CELLS = {"spiking": kk.LIFCell, "resonators": kk.ResonatorCell, "rates": kk.LeakyRNNCell}


def model(name="spiking", on_nonfinite="skip", **settings):
    """A model that is ready to train; made once, and its weights are what they were."""
    key = name, on_nonfinite, *settings.items()
    if key not in MODELS:
        keras.utils.set_random_seed(3)
        inputs = keras.Input(batch_shape=(B, T, I), name="signal")
        hidden = kk.RNN(CELLS[name](4, use_bias=True), name="hidden", seed=1, **settings)(inputs)
        made = kk.Model(inputs, kk.TimeAverage(2)(kk.Readout(O, name="readout")(hidden)))
        made.compile("sgd", "mse", on_nonfinite=on_nonfinite, run_eagerly=True, diagnostics=True)
        MODELS[key] = made, [weight.numpy() for weight in made.weights]
    made, weights = MODELS[key]
    for weight, value in zip(made.weights, weights):
        weight.assign(value)
    made.reset_metrics()
    return made


def unmoved(made):
    before = next(weights for other, weights in MODELS.values() if other is made)
    return all((weight.numpy() == value).all() for weight, value in zip(made.weights, before))


def batch(place, at, value):
    """`(x, y, sample weight)` with one bad number in it, and what it is called."""
    parts = {"input": X.copy(), "target": Y.copy(), "sample weight": np.ones(B, "float32")}
    parts[place].flat[at % parts[place].size] = value
    return list(parts.values())


PLACES = st.sampled_from(["input", "target", "sample weight"])


@pytest.mark.parametrize("name", [*CELLS, "stop"])
@some
@hypothesis.given(place=PLACES, at=st.integers(0, B * T * I - 1), value=NONFINITE)
def test_a_batch_that_is_not_finite_is_skipped_or_stops_training(name, place, at, value):
    made = model(on_nonfinite="stop") if name == "stop" else model(name)
    x, y, weight = batch(place, at, value)
    if name == "stop":
        got = "training stopped, the tensor named"
        with pytest.raises(FloatingPointError, match=f"stopped at step 1: {place} .*of the batch holds NaN or inf"):
            made.train_on_batch(x, y, sample_weight=weight)
    else:
        got = "skipped, the tensor named"
        made.train_on_batch(x, y, sample_weight=weight)
        assert made.diagnostics()["skipped_updates"] == 1.0
        assert made._nonfinite.read().problem.startswith(place)
        made._nonfinite.clear()
    assert unmoved(made)
    count(f"batch: NaN or infinity, {place}", got, (name, at, value))


@some
@hypothesis.given(which=st.integers(0, 5), at=st.integers(0, 7), value=NONFINITE)
def test_a_weight_that_is_not_finite_is_named(which, at, value):
    made = model(on_nonfinite="stop")
    weight = made.trainable_variables[which % len(made.trainable_variables)]
    spoilt = weight.numpy()
    spoilt.flat[at % spoilt.size] = value
    weight.assign(spoilt)
    try:
        made.train_on_batch(X, Y)
    except FloatingPointError as error:
        assert 'weight "' in str(error)
        count("weight: NaN or infinity", "training stopped, the weight named", (which, at, value))
    else:  # a recurrent weight of a unit to itself, which nobody hears; infinity below a unit that is silent
        assert sum(not np.isfinite(each.numpy()).all() for each in made.trainable_variables) <= 1
        count("weight: NaN or infinity", "it moves nothing; training goes on", (which, at, value))


HUGE = st.builds(lambda sign, power: sign * 10.0**power, st.sampled_from([-1.0, 1.0]), st.floats(10.0, 38.0))


@pytest.mark.parametrize("name", CELLS)
@some
@hypothesis.given(place=PLACES, at=st.integers(0, B * T * I - 1), value=HUGE)
def test_huge_numbers_leave_all_weights_finite(name, place, at, value):
    made = model(name)
    x, y, weight = batch(place, at, value)
    logs = made.train_on_batch(x, y, sample_weight=weight, return_dict=True)
    made._nonfinite.clear()
    assert all(np.isfinite(each.numpy()).all() for each in made.weights)
    assert np.isfinite(list(logs.values())).all()
    skipped = made.diagnostics()["skipped_updates"] == 1.0
    assert unmoved(made) == skipped
    got = "skipped: it overflows" if skipped else "learned from, all stays finite"
    count("batch: finite numbers beyond 1e10", got, (name, place, at, value))


@pytest.mark.parametrize("mode", ["tangent", "twin", "replica"])
@few
@hypothesis.given(gain=st.floats(0.0, 1e4), damping=st.floats(0.0, 1e3), seed=st.integers(0, 99),
                  shape=st.sampled_from(["triangle", "exponential"]),
                  kernel=st.sampled_from(["membrane", "exponential"]))  # fmt: skip
def test_an_exploding_perturbation_is_bounded_and_its_restarts_are_reported(mode, gain, damping, shape, seed, kernel):
    """However strong the recurrence and wide the surrogate: |D| <= max_perturbation, F and its gradients finite."""
    cell = kk.LIFCell(4, recurrent_gain=gain, surrogate_damping=damping, surrogate=shape)
    layer = kk.RNN(cell, rule=kk.rules.KeRNL(kernel, mode), seed=seed)
    layer(X)
    with tf.GradientTape() as tape:
        layer(tf.repeat(X, 4, axis=1), training=True)
        loss = layer.report.sensitivity_loss
    weights = [w if isinstance(w, tf.Variable) else w.value for w in layer.sensitivity_weights]
    gradients = tape.gradient(loss, weights)
    variance, restarted = float(layer.report.perturbation_variance), float(layer.report.restarted_perturbations)
    assert all(np.isfinite(part).all() for part in (loss, *gradients))
    assert 0.0 <= restarted <= 1.0
    if mode == "tangent":
        assert variance <= 30.0**2
        got = f"bounded{', its restarts counted' if restarted else ''}"
        count("network: strong recurrence, wide surrogate (tangent)", got, (gain, damping, shape, seed, kernel))
    else:
        assert restarted == 0.0


@pytest.mark.parametrize("traces", [True, False])
@few
@hypothesis.given(gain=st.floats(0.0, 1e3), damping=st.floats(0.0, 1e2), reset=st.sampled_from(["hard", "soft"]),
                  rule=st.sampled_from(["kernl", "eprop", "rflo"]), size=st.floats(0.0, 1e3))  # fmt: skip
def test_traces_are_bounded_or_the_batch_is_skipped(traces, gain, damping, reset, rule, size):
    """No weight is harmed by traces that follow an unstable reset or threshold."""
    keras.utils.set_random_seed(3)
    cell = kk.LIFCell(3, recurrent_gain=gain, surrogate_damping=damping, reset=reset, adaptation_strength=1.0)
    inputs = keras.Input(batch_shape=(B, 4 * T, I))
    hidden = kk.RNN(cell, rule=rule, traces=traces, seed=1)(inputs)
    made = kk.Model(inputs, kk.Readout(O)(hidden))
    made.compile("sgd", "mse", run_eagerly=True, diagnostics=True)
    made.train_on_batch(size * np.repeat(X, 4, axis=1), np.zeros((B, 4 * T, O)))
    assert all(np.isfinite(each.numpy()).all() for each in made.weights)
    got = "skipped: it overflows" if made.diagnostics()["skipped_updates"] else "learned from, all stays finite"
    count("network: strong recurrence, wide surrogate (traces)", got, (traces, gain, damping, reset, rule, size))
