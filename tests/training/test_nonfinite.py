"""A batch with NaN or infinity: as if it had never come, or the end of training; both say which tensor and step.

On several replicas it is asked in test_distribution.py.
"""

import re

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras

from ..reference.cases import taking_turns
from ..reference.tools import all_same
from .compare import everything

T, I, O, B = 7, 3, 2, 4  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (16, T, I)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, O)).astype("float32")
WEIGHT = np.linspace(0.5, 1.5, 16).astype("float32")
SKIPPED = "1 of 4 batches of epoch 1 were skipped, the first at step 2: "
GOOD = np.r_[0:4, 8:16]  # all but the second batch
slow = pytest.mark.slow
WHERE = "input", "target"
KERAS_3 = pytest.mark.skipif(not IS_KERAS_3, reason="optimizers of Keras 2 do not accumulate")


def build(on_nonfinite="skip", stateful=False, run_eagerly=False, accumulate=None, alone=None, **settings):
    """With states the first layer stops what is not finite in an input: loss and gradients are finite all the same.

    Unless a hidden cell stands `alone`.
    """
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input(batch_shape=(B, T, I), name="signal")
    if stateful and not alone:
        x = kk.RNN(kk.LIFCell(5, input_gain=9.0), "eprop", stateful=True, trainable=False, name="front")(x)
    x = kk.RNN(alone() if alone else kk.LIFCell(5, input_gain=4.0), name="hidden", seed=1, stateful=stateful)(x)
    voltage = kk.Readout(O, name="readout", stateful=stateful)(x)
    model = kk.Model(inputs, kk.TimeAverage(4)(voltage))
    adam = keras.optimizers.Adam(0.01, **({"gradient_accumulation_steps": accumulate} if accumulate else {}))
    model.compile(
        adam, "mse", sensitivity_optimizer=keras.optimizers.RMSprop(0.01), sensitivity_every=1,
        metrics=["mae"], on_nonfinite=on_nonfinite, run_eagerly=run_eagerly, **settings,
    )  # fmt: skip
    return model


def spoilt(where, value=np.nan):
    x, y, weight = X.copy(), Y.copy(), WEIGHT.copy()
    {"input": x, "target": y, "sample weight": weight}[where][5] = value
    return x, y, weight


def fit(model, x, y, weight, **more):
    return model.fit(x, y, sample_weight=weight, batch_size=B, shuffle=False, verbose=0, **more).history


MODES = {
    "eager": {"run_eagerly": True},
    "several steps at once": {"stateful": True, "steps_per_execution": 4},
    "xla": {"stateful": True, "jit_compile": True},
    "accumulated": {"stateful": True, "accumulate": 2, "jit_compile": False},
    "adaptive alone": {"stateful": True, "alone": lambda: kk.LIFCell(8, adaptation_strength=1.0), "jit_compile": False},
    "resonators alone": {"stateful": True, "alone": lambda: kk.ResonatorCell(8), "jit_compile": False},
}
NAMES = {
    "input": 'input "signal" of the batch',
    "target": "target of the batch",
    "sample weight": "sample weight of the batch holds NaN or infinity. Nothing was learned from them. Clean the w",
}


@slow
@pytest.mark.parametrize(
    "mode, where, value",
    [
        *(("eager", where, np.nan) for where in ("input", "target", "sample weight")),
        *((mode, where, np.nan) for mode in ("several steps at once", "xla") for where in WHERE),
        *((mode, "input", value) for mode in ("adaptive alone", "resonators alone") for value in (np.nan, np.inf)),
        pytest.param("accumulated", "input", np.nan, marks=KERAS_3),
    ],
)
def test_a_batch_that_is_left_out_never_came(mode, where, value):
    """Weights, both optimizers, counts of draws, states and logs: those of the other batches."""
    one, other = build(**MODES[mode]), build(**MODES[mode])
    data = spoilt(where, value)
    with pytest.warns(RuntimeWarning, match=SKIPPED + re.escape(NAMES[where])) as said:
        with_it = fit(one, *data)
    array = {"input": "x", "target": "y", "sample weight": "w"}[where]
    advice = f"Of an array {array}, np.unique(np.argwhere(~np.isfinite({array}))[:, 0]) are the examples"
    assert advice in str(said[0].message)
    if where == "input":
        np.testing.assert_array_equal(np.unique(np.argwhere(~np.isfinite(data[0]))[:, 0]), [5])
    without = fit(other, *(part[GOOD] for part in (X, Y, WEIGHT)))
    all_same(everything(one), everything(other))
    found, right = one.diagnostics(), other.diagnostics()
    assert found.pop("skipped_updates") == 0.25 and right.pop("skipped_updates") == 0.0
    assert (with_it, found) == (without, right)
    assert np.isfinite([*(value for (value,) in with_it.values()), *found.values()]).all()


class Unbuilt(kk.Model):
    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.BatchNormalization(), kk.RNN(kk.LIFCell(5), rule="eprop", stateful=True, seed=1)]
        self.parts.append(kk.Readout(O, stateful=True))

    def call(self, x, training=False):
        for part in self.parts:
            x = part(x, training=training)
        return x


def test_a_first_batch_that_is_left_out_never_came_though_the_model_was_not_built():
    found = []
    for spoil in (False, True):
        keras.utils.set_random_seed(3)
        model = Unbuilt()
        model.compile("sgd", "mse", run_eagerly=True)
        if spoil:
            model.train_on_batch(np.full((B, T, I), np.nan), np.zeros((B, T, O)))
            assert model.diagnostics()["skipped_updates"] == 1.0
        model.train_on_batch(X[:B], np.zeros((B, T, O)))
        found.append([np.asarray(each) for each in (*model.weights, *model.parts[1].states, *model.parts[2].states)])
    all_same(*found)


@slow
@pytest.mark.parametrize(
    "mode, where", [("eager", "target"), ("several steps at once", "target"), ("several steps at once", "input")]
)
def test_stop_leaves_all_as_it_was_before_the_batch(mode, where):
    """Also where the steps after it were under way already; and training goes on, once the data are good."""
    one, other = build("stop", **MODES[mode]), build(**MODES[mode])
    message = f"Training stopped at step 2 of epoch 1: {NAMES[where][:17]}.*holds NaN or infinity. All weights are as"
    with pytest.raises(FloatingPointError, match=message):
        fit(one, *spoilt(where, np.inf))
    fit(other, X[:B], Y[:B], WEIGHT[:B])
    all_same(everything(one), everything(other))
    for model in (one, other):
        fit(model, X[8:], Y[8:], WEIGHT[8:])
    all_same(everything(one), everything(other))


def nan_in(variable):
    variable.assign(tf.fill(variable.shape, np.nan))


@slow
@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda model: nan_in(model.get_layer("readout").cell.kernel), 'weight "readout/kernel" holds.*anew'),
        (lambda model: nan_in(model.get_layer("hidden").sensitivity_tensor), 'weight "hidden/sensitivity_tensor" h'),
        (lambda model: nan_in(tf.nest.flatten(model.get_layer("hidden").states)[0]), 'state of "hidden".*reset_state'),
        (
            lambda model: setattr(model, "compute_loss", lambda y_pred, **_: np.nan * tf.reduce_sum(y_pred)),
            "loss holds.*learning rate",
        ),
    ],
)
def test_what_else_is_not_finite_is_named(spoil, message):
    model = build("stop", stateful=True, run_eagerly=True)
    spoil(model)
    with pytest.raises(FloatingPointError, match=message):
        model.train_on_batch(X[:B], Y[:B])


@slow
def test_a_gradient_that_is_not_finite_is_named():
    @tf.custom_gradient
    def spoil(x):
        return x, lambda error: error * np.inf

    inputs = keras.Input((T, I))
    hidden = kk.RNN(kk.LIFCell(5), name="hidden", seed=1)(inputs)
    model = kk.Model(inputs, keras.layers.Lambda(spoil)(keras.layers.Dense(O, name="above")(hidden)))
    model.compile("sgd", "mse", on_nonfinite="stop", run_eagerly=True)
    before = [w.numpy() for w in model.weights]
    with pytest.raises(FloatingPointError, match='1: gradient of "hidden/kernel" holds.*global_clipnorm'):
        model.train_on_batch(X[:B], np.zeros((B, T, O)))
    all_same(before, [w.numpy() for w in model.weights])  # M and gamma, which had learned already, were put back


@slow
def test_inputs_and_targets_go_by_their_names():
    one, other = keras.Input((T, I), name="left"), keras.Input((T, I), name="right")
    shared = kk.RNN(kk.LIFCell(5), name="hidden", seed=1)
    outputs = {"a": keras.layers.Dense(O, name="a")(shared(one)), "b": keras.layers.Dense(O, name="b")(shared(other))}
    model = kk.Model({"left": one, "right": other}, outputs)
    model.compile("sgd", {"a": "mse", "b": "mse"}, on_nonfinite="stop", run_eagerly=True)
    x, y = {"left": X[:B], "right": X[:B]}, {"a": np.zeros((B, T, O)), "b": np.zeros((B, T, O))}
    with pytest.raises(FloatingPointError, match='stopped at step 1: input "right" of the batch.*Clean the data'):
        model.train_on_batch({**x, "right": np.full_like(X[:B], np.nan)}, y)
    with pytest.raises(FloatingPointError, match='target "b" of the batch'):
        model.train_on_batch(x, {**y, "b": np.full((B, T, O), np.inf)})
    model.train_on_batch(x, y)


def test_what_is_not_finite_is_named_after_another_trace():
    """Integer targets cannot be NaN, so their trace has other suspects."""
    model, good = build("stop"), np.zeros((B, O), "float32")
    for y in (good, good.astype("int32")):
        model.train_on_batch(X[:B], y)
    with pytest.raises(FloatingPointError, match="target of the batch holds NaN"):
        model.train_on_batch(X[:B], np.full_like(good, np.nan))


@slow
def test_an_epoch_without_a_good_batch_has_no_loss():
    """A loss of 0 would be the best there is. The step is counted from the beginning of each epoch.

    Keras' own list of callbacks is added to, once however often it is used.
    """
    model = build(diagnostics=True, run_eagerly=True)
    callbacks = keras.callbacks.CallbackList([], add_history=True, model=model) if IS_KERAS_3 else []
    with pytest.warns(RuntimeWarning) as said:
        fit(model, X[:4], Y[:4], None, callbacks=callbacks)
        history = fit(model, np.full_like(X[:8], np.nan), Y[:8], None, epochs=2, callbacks=callbacks)
    for epoch, warning in enumerate(said, 1):
        assert str(warning.message).startswith(f"2 of 2 batches of epoch {epoch} were skipped, the first at step 1")
    assert len(said) == 2 and history.pop("skipped_updates")[-2:] == [1.0, 1.0]
    assert all(np.isnan(values[-2:]).all() for values in history.values())


def test_nan_before_an_encoder_is_seen():
    inputs = keras.Input((T, I))
    hidden = kk.RNN(kk.LIFCell(5), "eprop")(kk.SpikeEncoder(2, "threshold")(inputs))
    model = kk.Model(inputs, kk.TimeAverage()(kk.Readout(O)(hidden)))
    model.compile("adam", "mse", run_eagerly=True)
    model.train_on_batch(X[:B], Y[:B])
    before = model.get_weights()
    model.train_on_batch(spoilt("input")[0][B : 2 * B], Y[B : 2 * B])
    assert model.diagnostics()["skipped_updates"] == 1.0
    all_same(model.get_weights(), before)


@slow
def test_a_masked_step_may_hold_nan():
    inputs = keras.Input((T, I))
    mask = keras.Input((T,), dtype="bool")
    hidden = kk.RNN(kk.LIFCell(5), name="hidden", seed=1, return_sequences=False)(inputs, mask=mask)
    model = kk.Model([inputs, mask], keras.layers.Dense(O)(hidden))
    model.compile("sgd", "mse", on_nonfinite="stop", run_eagerly=True)
    kept = np.ones((B, T), bool)
    kept[1, 3:], kept[2, :2] = False, False
    logs = model.train_on_batch([np.where(kept[..., None], X[:B], np.nan), kept], Y[:B], return_dict=True)
    found = model.diagnostics()
    assert found["skipped_updates"] == 0.0 and np.isfinite([*logs.values(), *found.values()]).all()


@slow
def test_what_a_users_compute_metrics_says_is_kept():
    model = build(run_eagerly=True)
    ours = model.compute_metrics
    model.compute_metrics = lambda *args, **kwargs: {**ours(*args, **kwargs), "mine": tf.constant(3.0)}
    logs = model.train_on_batch(X[:B], Y[:B], return_dict=True)
    assert float(logs["mine"]) == 3.0 and model.diagnostics()["firing_rate"] > 0.0


# A target under a sample weight of 0, or at a masked step, counts for nothing: it may be NaN

RNG = np.random.default_rng(0)
SEQUENCES, STEPS, LAST = (RNG.normal(size=shape).astype("float32") for shape in ((3, 4, I), (3, 4, O), (3, O)))
OF_EXAMPLES = np.float32([1.0, 0.0, 2.0])
OF_STEPS = np.float32([[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 3.0]])
MASKED = SEQUENCES.copy()
MASKED[0, 2:] = MASKED[1, 0] = -9.0
NOTHING = {  # x, targets, where they do not count, weights
    "last": (SEQUENCES, LAST, OF_EXAMPLES == 0, OF_EXAMPLES),
    "steps": (SEQUENCES, STEPS, OF_STEPS == 0, OF_STEPS),
    "a column": (SEQUENCES, STEPS, OF_EXAMPLES == 0, OF_EXAMPLES[:, None]),
    "masked": (MASKED, STEPS, MASKED[..., 0] == -9.0, None),
    "both": (SEQUENCES, {"last": LAST, "steps": STEPS}, {"last": OF_EXAMPLES == 0, "steps": OF_STEPS == 0},
             {"last": OF_EXAMPLES, "steps": OF_STEPS}),
}  # fmt: skip


def data(case, value):
    """x, the targets with a value where they do not count, and the weights."""
    x, y, where, weights = NOTHING[case]
    y = tf.nest.map_structure(
        lambda y, where: np.where(where.reshape(where.shape + (1,) * (y.ndim - where.ndim)), np.float32(value), y),
        y, where,
    )  # fmt: skip
    return x, y, weights


def answering(case="steps", **settings):
    """For an answer at every step, or one for each sequence ("last"), or both, by name."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((4, I))
    x = keras.layers.Masking(-9.0)(inputs) if case == "masked" else inputs
    steps = kk.Readout(O, name="steps")(kk.RNN(kk.LeakyRNNCell(3, tau=5.0), seed=1)(x))
    last = kk.TimeAverage(2, name="last")
    outputs = {"last": lambda: last(steps), "both": lambda: {"last": last(steps), "steps": steps}}
    model = kk.Model(inputs, outputs.get(case, lambda: steps)())
    loss = {"last": "mse", "steps": "mse"} if case == "both" else "mse"
    metrics = {"last": ["mae"], "steps": ["mae"]} if case == "both" else ["mae"]
    model.compile(keras.optimizers.SGD(0.1), loss, weighted_metrics=metrics, run_eagerly=True, **settings)
    return model


@pytest.mark.parametrize("case", taking_turns(NOTHING, 2))
def test_a_target_that_counts_for_nothing_may_be_anything(case):
    """Loss, weighted metrics and what is learned are those with a finite number there; in `evaluate`, too."""
    found = []
    for value in (0.5, np.nan, -np.inf):
        model, (x, y, weights) = answering(case), data(case, value)
        tested = model.test_on_batch(x, y, sample_weight=weights, return_dict=True)
        logs = model.train_on_batch(x, y, sample_weight=weights, return_dict=True)
        assert model.diagnostics()["skipped_updates"] == 0.0
        found.append([*map(float, (*tested.values(), *logs.values())), *model.get_weights()])
    assert all(np.isfinite(each).all() for each in found[0])
    for other in found[1:]:
        all_same(found[0], other)


def test_a_metric_without_weights_counts_no_made_up_target():
    model = answering(metrics=[keras.metrics.MeanSquaredError(name="plain")])
    x, y, weights = data("steps", np.nan)
    for ask in (model.test_on_batch, model.train_on_batch):
        logs = ask(x, y, sample_weight=weights, return_dict=True)
        assert np.isnan(logs.pop("plain")) and np.isfinite([float(each) for each in logs.values()]).all()
        model.reset_metrics()
    y = data("steps", 0.5)[1]
    logs = model.test_on_batch(x, y, sample_weight=weights, return_dict=True)
    np.testing.assert_allclose(logs["plain"], np.mean((model(x) - y) ** 2), rtol=1e-5)


def test_a_target_that_counts_is_named():
    x, y, weights = data("steps", np.nan)
    with pytest.raises(FloatingPointError, match="stopped at step 1: target of the batch"):
        answering(on_nonfinite="stop").train_on_batch(x, y, sample_weight=weights + 1.0)


def test_masked_targets_of_named_outputs_in_another_order():
    inputs = keras.Input((T, I))
    masked = keras.layers.Masking()(inputs)
    outputs = [keras.layers.Dense(1, name="b")(masked), keras.layers.Dense(1, name="a")(keras.layers.Flatten()(inputs))]
    model = kk.Model(inputs, outputs)
    model.compile("sgd", "mse", run_eagerly=True, on_nonfinite="stop")
    x = np.concatenate([X[:B, :4], np.zeros((B, T - 4, I), "float32")], 1)
    y = {"a": np.ones((B, 1), "float32"), "b": np.where(np.arange(T) < 4, 1.0, np.nan)[None, :, None].repeat(B, 0)}
    model.train_on_batch(x, y)  # which stops where a target that counts is NaN
    with pytest.raises(FloatingPointError, match='target "b"'):
        model.train_on_batch(x, {**y, "b": np.full((B, T, 1), np.nan)})


def test_a_metric_that_a_bad_first_batch_made_begins_anew():
    """R2Score makes its variables when it first hears of a batch."""
    model = build(run_eagerly=True)
    model.compile("sgd", "mse", metrics=[keras.metrics.R2Score()], run_eagerly=True)
    with pytest.warns(RuntimeWarning, match="skipped"):
        history = model.fit(np.r_[X[:B] * np.nan, X[:B]], np.r_[Y[:B], Y[:B]], batch_size=B, shuffle=False, verbose=0)
    assert np.isfinite(history.history["r2_score"])
