"""A target under a sample weight of 0, or at a masked step, counts for nothing: it may be NaN."""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras

B, T, I, O = 3, 4, 2, 2  # noqa: E741
RNG = np.random.default_rng(0)
X, STEPS, LAST = (RNG.normal(size=shape).astype("float32") for shape in ((B, T, I), (B, T, O), (B, O)))
OF_EXAMPLES = np.float32([1.0, 0.0, 2.0])
OF_STEPS = np.float32([[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 3.0]])


def network(kind="steps", **settings):
    """For an answer at every step, or one for each sequence ("last"), or both, by name."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((T, I))
    x = keras.layers.Masking(-9.0)(inputs) if kind == "masked" else inputs
    steps = kk.Readout(O, name="steps")(kk.RNN(kk.LeakyRNNCell(3, tau=5.0), seed=1)(x))
    last = kk.TimeAverage(2, name="last")
    outputs = {"last": lambda: last(steps), "both": lambda: {"last": last(steps), "steps": steps}}
    model = kk.Model(inputs, outputs.get(kind, lambda: steps)())
    loss = {"last": "mse", "steps": "mse"} if kind == "both" else "mse"
    metrics = {"last": ["mae"], "steps": ["mae"]} if kind == "both" else ["mae"]
    model.compile(keras.optimizers.SGD(0.1), loss, weighted_metrics=metrics, run_eagerly=True, **settings)
    return model


def with_value(y, where, value):
    return np.where(where.reshape(where.shape + (1,) * (y.ndim - where.ndim)), np.float32(value), y)


MASKED = X.copy()
MASKED[0, 2:] = MASKED[1, 0] = -9.0
CASES = {  # x, targets by the value where they do not count, weights
    "last": (X, lambda value: with_value(LAST, OF_EXAMPLES == 0, value), OF_EXAMPLES),
    "steps": (X, lambda value: with_value(STEPS, OF_STEPS == 0, value), OF_STEPS),
    "a column": (X, lambda value: with_value(STEPS, OF_EXAMPLES == 0, value), OF_EXAMPLES[:, None]),
    "masked": (MASKED, lambda value: with_value(STEPS, MASKED[..., 0] == -9.0, value), None),
    "both": (
        X,
        lambda value: {
            "last": with_value(LAST, OF_EXAMPLES == 0, value),
            "steps": with_value(STEPS, OF_STEPS == 0, value),
        },
        {"last": OF_EXAMPLES, "steps": OF_STEPS},
    ),
}


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("case", CASES)
def test_a_target_that_counts_for_nothing_may_be_anything(case, value):
    """Loss, weighted metrics and what is learned are those with a finite number there; in `evaluate`, too."""
    x, targets, weights = CASES[case]
    found = []
    for number in (0.5, value):
        model = network(case)
        tested = model.test_on_batch(x, targets(number), sample_weight=weights, return_dict=True)
        logs = model.train_on_batch(x, targets(number), sample_weight=weights, return_dict=True)
        assert model.diagnostics()["skipped_updates"] == 0.0
        found.append([*map(float, (*tested.values(), *logs.values())), *model.get_weights()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.isfinite(one).all()


def test_a_metric_without_weights_counts_no_made_up_target():
    model = network(metrics=[keras.metrics.MeanSquaredError(name="plain")])
    x, targets, weights = CASES["steps"]
    for ask in (model.test_on_batch, model.train_on_batch):
        logs = ask(x, targets(np.nan), sample_weight=weights, return_dict=True)
        assert np.isnan(logs.pop("plain")) and np.isfinite([float(each) for each in logs.values()]).all()
        model.reset_metrics()
    logs = model.test_on_batch(x, targets(0.5), sample_weight=weights, return_dict=True)
    np.testing.assert_allclose(logs["plain"], np.mean((model(x) - targets(0.5)) ** 2), rtol=1e-5)


def test_one_that_counts_is_named():
    model = network(on_nonfinite="stop")
    x, targets, weights = CASES["steps"]
    with pytest.raises(FloatingPointError, match="stopped at step 1: target of the batch"):
        model.train_on_batch(x, targets(np.nan), sample_weight=weights + 1.0)
