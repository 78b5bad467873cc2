"""A batch with NaN or infinity: as if it had never come, or the end of training; both say which tensor and step."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras

pytestmark = pytest.mark.slow

T, I, O, B = 7, 3, 2, 4  # noqa: E741
X = np.random.default_rng(0).normal(1.0, 2.0, (16, T, I)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, O)).astype("float32")
WEIGHT = np.linspace(0.5, 1.5, 16).astype("float32")
SKIPPED = "1 of 4 batches of epoch 1 were skipped, the first at step 2: "
BAD, GOOD = np.arange(4, 8), np.r_[0:4, 8:16]  # the second batch, and all others


def build(on_nonfinite="skip", stateful=False, run_eagerly=None, **settings):
    keras.utils.set_random_seed(3)
    inputs = keras.Input(batch_shape=(B, T, I), name="signal")
    x = keras.layers.BatchNormalization()(inputs) if stateful else inputs
    x = kk.RNN(kk.LIFCell(5), name="hidden", seed=1, stateful=stateful)(x)
    voltage = kk.Readout(O, name="readout", stateful=stateful)(x)
    model = kk.Model(inputs, kk.TimeAverage(4)(voltage))
    eager = not settings.keys() - {"diagnostics"} if run_eagerly is None else run_eagerly
    model.compile(
        keras.optimizers.Adam(0.01), "mse", sensitivity_optimizer=keras.optimizers.RMSprop(0.01),
        metrics=["mae"], on_nonfinite=on_nonfinite, run_eagerly=eager, **settings,
    )  # fmt: skip
    return model


def spoilt(where, value=np.nan):
    x, y, weight = X.copy(), Y.copy(), WEIGHT.copy()
    {"input": x, "target": y, "sample weight": weight}[where][5] = value
    return x, y, weight


def fit(model, x, y, weight, **more):
    return model.fit(x, y, sample_weight=weight, batch_size=B, shuffle=False, verbose=0, **more).history


def everything(model):
    """All that a training step may move, but for the metrics."""
    states = [s for layer in model.layers for s in tf.nest.flatten(getattr(layer, "states", None)) if s is not None]
    optimizers = [variable for each in (model.optimizer, model.sensitivity_optimizer) for variable in each.variables]
    return [np.asarray(v) for v in (*model.weights, *optimizers, *states)]


def the_same(one, other):
    for mine, theirs in zip(everything(one), everything(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)


MODES = {
    "eager": {},
    "stateful": {"stateful": True, "run_eagerly": True},
    "several steps at once": {"steps_per_execution": 4},
    "xla": {"jit_compile": True},
}
NAMES = {
    "input": 'input "signal" of the batch',
    "target": "target of the batch",
    "sample weight": "sample weight of the batch holds NaN or infinity. Nothing was learned from them. Clean the data",
}


@pytest.mark.parametrize(
    "mode, where",
    [("eager", "input"), ("eager", "target"), ("eager", "sample weight"), ("stateful", "input"), ("stateful", "target"),
     ("several steps at once", "input"), ("xla", "target")],
)  # fmt: skip
def test_a_batch_that_is_left_out_never_came(mode, where):
    """Weights, both optimizers, counts of draws, states, running statistics and logs: those of the other batches."""
    one, other = build(**MODES[mode]), build(**MODES[mode])
    with pytest.warns(RuntimeWarning, match=SKIPPED + re.escape(NAMES[where])):
        with_it = fit(one, *spoilt(where))
    without = fit(other, *(part[GOOD] for part in (X, Y, WEIGHT)))
    the_same(one, other)
    assert with_it == without and np.isfinite(list(with_it.values())).all()
    with_it, without = one.diagnostics(), other.diagnostics()
    assert with_it.pop("skipped_updates") == 0.25 and without.pop("skipped_updates") == 0.0
    assert with_it == without and np.isfinite(list(with_it.values())).all()


@pytest.mark.parametrize("mode", ["eager", "several steps at once"])
def test_stop_leaves_all_as_it_was_before_the_batch(mode):
    """Also where the steps after it were under way already."""
    one, other = build("stop", **MODES[mode]), build(**MODES[mode])
    data = spoilt("target", np.inf)
    message = "Training stopped at step 2 of epoch 1: target of the batch holds NaN or infinity. All weights are as"
    with pytest.raises(FloatingPointError, match=message):
        fit(one, *data)
    fit(other, X[:B], Y[:B], WEIGHT[:B])
    the_same(one, other)
    fit(one, X[8:], Y[8:], WEIGHT[8:])  # and it goes on, once the data are good
    fit(other, X[8:], Y[8:], WEIGHT[8:])
    the_same(one, other)


def test_a_single_batch_stops_too():
    model = build("stop")
    before = everything(model)
    x, y, weight = (part[BAD] for part in spoilt("input", -np.inf))
    with pytest.raises(FloatingPointError, match='stopped at step 1: input "signal" of the batch.*Clean the data'):
        model.train_on_batch(x, y, sample_weight=weight)
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)
    model.train_on_batch(X[:B], Y[:B])


def test_the_warning_says_how_to_find_the_examples():
    x, *rest = spoilt("input")
    with pytest.warns(RuntimeWarning, match="skipped") as said:
        fit(build(), x, *rest)
    assert "Of an array x, np.unique(np.argwhere(~np.isfinite(x))[:, 0]) are the examples" in str(said[0].message)
    np.testing.assert_array_equal(np.unique(np.argwhere(~np.isfinite(x))[:, 0]), [5])


def nan_in(variable):
    variable.assign(tf.fill(variable.shape, np.nan))


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda model: nan_in(model.get_layer("readout").cell.kernel), 'weight "readout/kernel" holds.*anew'),
        (lambda model: nan_in(model.get_layer("hidden").sensitivity_tensor), 'weight "hidden/sensitivity_tensor" h'),
        (lambda model: nan_in(tf.nest.flatten(model.get_layer("hidden").states)[0]), 'state of "hidden".*reset_state'),
        (lambda model: setattr(model, "compute_loss", lambda **_: tf.constant(np.nan)), "loss holds.*learning rate"),
    ],
)
def test_what_else_is_not_finite_is_named(spoil, message):
    model = build("stop", stateful=True, run_eagerly=True)
    spoil(model)
    with pytest.raises(FloatingPointError, match=message):
        model.train_on_batch(X[:B], Y[:B])


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
    for old, new in zip(before, model.weights):
        np.testing.assert_array_equal(old, new.numpy())  # M and gamma, which had learned already, were put back


def test_inputs_and_targets_go_by_their_names():
    one, other = keras.Input((T, I), name="left"), keras.Input((T, I), name="right")
    shared = kk.RNN(kk.LIFCell(5), name="hidden", seed=1)
    outputs = {"a": keras.layers.Dense(O, name="a")(shared(one)), "b": keras.layers.Dense(O, name="b")(shared(other))}
    model = kk.Model({"left": one, "right": other}, outputs)
    model.compile("sgd", {"a": "mse", "b": "mse"}, on_nonfinite="stop", run_eagerly=True)
    x, y = {"left": X[:B], "right": X[:B]}, {"a": np.zeros((B, T, O)), "b": np.zeros((B, T, O))}
    bad = {**x, "right": np.full_like(X[:B], np.nan)}
    with pytest.raises(FloatingPointError, match='input "right" of the batch'):
        model.train_on_batch(bad, y)
    with pytest.raises(FloatingPointError, match='target "b" of the batch'):
        model.train_on_batch(x, {**y, "b": np.full((B, T, O), np.inf)})
    model.train_on_batch(x, y)


def test_an_epoch_without_a_good_batch_has_no_loss():
    """A loss of 0 would be the best there is."""
    model = build(diagnostics=True)
    with pytest.warns(RuntimeWarning, match="2 of 2 batches of epoch 1 were skipped, the first at step 1"):
        history = fit(model, np.full_like(X[:8], np.nan), Y[:8], None)
    assert history.pop("skipped_updates") == [1.0]
    assert np.isnan(list(history.values())).all()


def test_the_step_is_counted_from_the_beginning_of_each_epoch():
    model = build()
    with pytest.warns(RuntimeWarning) as said:
        fit(model, *spoilt("target"), epochs=2)
    for epoch, warning in enumerate(said, 1):
        assert str(warning.message).startswith(f"1 of 4 batches of epoch {epoch} were skipped, the first at step 2:")
    assert len(said) == 2


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


def test_a_loaded_model_does_with_such_batches_what_the_saved_one_did(tmp_path):
    model = build("stop", run_eagerly=True)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").on_nonfinite == "stop"


def test_an_unknown_word_is_an_error():
    with pytest.raises(ValueError, match=r"on_nonfinite must be one of \['skip', 'stop'\]; received 'ignore'"):
        build("ignore")


def test_what_a_users_compute_metrics_says_is_kept():
    model = build()
    ours = model.compute_metrics
    model.compute_metrics = lambda *args, **kwargs: {**ours(*args, **kwargs), "mine": tf.constant(3.0)}
    logs = model.train_on_batch(X[:B], Y[:B], return_dict=True)
    assert float(logs["mine"]) == 3.0 and model.diagnostics()["firing_rate"] > 0.0


REPLICAS = """
import sys, warnings
import numpy as np, tensorflow as tf
import kernl_keras as kk
from kernl_keras.keras_version import keras

two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
x = np.random.default_rng(0).normal(1.0, 2.0, (12, 7, 3)).astype("float32")
y = np.random.default_rng(1).normal(size=(12, 2)).astype("float32")
bad_x, bad_y = x.copy(), y.copy()
bad_x[4, 2, 2] = bad_y[4] = np.nan  # on the first replica alone
good = [0, 1, 2, 3, 8, 9, 10, 11]

def train(x, y, stateful=False):
    # with `stateful` there is an encoder in front, in whose states NaN stays
    keras.utils.set_random_seed(3)
    with strategy.scope():
        inputs = keras.Input(batch_shape=(2, 7, 3)) if stateful else keras.Input((7, 3))
        front = kk.SpikeEncoder(4, "threshold", context_switch=3, stateful=True) if stateful else lambda x: x
        hidden = kk.RNN(kk.LIFCell(5), seed=1)(front(inputs))
        model = kk.Model(inputs, kk.TimeAverage(4)(kk.Readout(2)(hidden)))
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        history = model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(4), verbose=0).history
    named = 'input "' if stateful else "target of the batch"
    print(sum("first at step 2: " + named in str(each.message) for each in said))
    states = [part for state in getattr(front, "states", ()) for part in strategy.experimental_local_results(state)]
    variables = [*model.weights, *model.optimizer.variables, *model.sensitivity_optimizer.variables, *states]
    found = history | model.diagnostics()
    found.pop("skipped_updates")
    return [v.numpy() for v in variables], found

for x_of_one, y_of_one, stateful in ((x, bad_y, False), (bad_x, y, True)):
    one, logs = train(x_of_one, y_of_one, stateful)
    other, logs_of_other = train(x[good], y[good], stateful)
    print(all((a == b).all() for a, b in zip(one, other, strict=True)), logs == logs_of_other)
"""


@pytest.mark.slow
def test_all_replicas_leave_a_batch_out_of_which_one_is_not_finite():
    """In a process of its own, for it has two devices."""
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == 2 * ["1", "0", "True", "True"], done.stderr[-2000:]


@pytest.mark.skipif(not IS_KERAS_3, reason="the same code under both Kerases")
def test_a_list_of_callbacks_that_is_keras_own_is_added_to():
    model = build()
    with pytest.warns(RuntimeWarning, match="1 of 4 batches"):
        fit(model, *spoilt("target"), callbacks=keras.callbacks.CallbackList([], model=model))
