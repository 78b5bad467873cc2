"""A network that learns on a device: the weights are those of `fit`, and nothing moves that should not."""

import contextlib
import itertools
import logging
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.export.learner import Learner
from kernl_keras.export.learning_network import is_sparse
from kernl_keras.keras_version import IS_KERAS_3, keras, short_name

from ..reference.cases import taking_turns
from ..reference.tools import all_same, operations, through

I, H, O = 5, 8, 3  # noqa: E741
CELLS = {
    "rate": lambda: kk.LeakyRNNCell(H, tau=20.0),
    "swinging rate": lambda: kk.LeakyRNNCell(H, tau=20.0, period=12.0),
    "spiking": lambda: kk.LIFCell(H, adaptation_strength=1.0, input_gain=6.0, resistance=2.0),
    "resonator": lambda: kk.ResonatorCell(
        H, period=kk.LogSpaced(5.0, 40.0), tau_m=kk.LogUniform(50.0, 200.0), input_gain=6.0
    ),
    "learning": lambda: kk.ResonatorCell(H, period=9.0, learn=("tau_m", "period"), input_gain=6.0),
    "adaptation current": lambda: kk.AdLIFCell(H, input_gain=6.0, resistance=1.0),
}


def whole_unit():
    return kk.rules.KeRNL("whole_unit", reset_gradient=False, learn_sensitivity=False)


def partly_decaying():
    optimizer = keras.optimizers.AdamW(1e-2, weight_decay=1.0, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["recurrent_kernel"])
    return optimizer


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.02, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(1e-2, global_clipnorm=1.0),
    "decay": lambda: keras.optimizers.AdamW(1e-2, weight_decay=1.0, global_clipnorm=1.0),
    "decay of some": partly_decaying,
}
CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
NETWORKS = {  # cell, rule, traces, optimizer, loss
    "rate": ("rate", kk.rules.EProp, True, "sgd", "mse"),
    "spiking": ("spiking", kk.rules.KeRNL, "linear", "adam", CLASSES),
}
MORE = [
    *itertools.product(["rate", "resonator"], [kk.rules.KeRNL], [True, "linear"], ["adam"], ["mse"]),
    *itertools.product(["rate", "spiking", "resonator"], [kk.rules.EProp], ["linear"], ["sgd"], [CLASSES]),
    ("swinging rate", kk.rules.KeRNL, kk.rules.LinearTraces(poles=3), "adam", "mse"),
    ("learning", kk.rules.EProp, True, "decay", "mse"),
    ("rate", kk.rules.EProp, True, "decay of some", "mse"),
    ("learning", kk.rules.KeRNL, "linear", "adam", "mse"),
    ("learning", kk.rules.EProp, kk.rules.LinearTraces(poles=3), "sgd", "mse"),
    ("adaptation current", whole_unit, None, "adam", CLASSES),
]
LINEAR = "resonator", kk.rules.KeRNL, kk.rules.LinearTraces(segments=1), "adam", CLASSES
RATE_LINEAR = "rate", *LINEAR[1:4], "mse"
ONE = np.ones(1, "float32")
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated:UserWarning")


def network(cell, rule, traces, optimizer, loss, front=()):
    """A network that goes through a stream step by step; `front` are layers before all others."""
    rule = rule(learn_sensitivity=False) if rule is kk.rules.KeRNL else rule()
    inputs = keras.Input(batch_shape=(1, 1, I))
    code = kk.SpikeEncoder(2, "threshold", gain=0.5, stateful=True, name="encoder")(through(front, inputs))
    x = keras.layers.Dense(6, name="dense")(code)
    x = kk.RNN(CELLS[cell](), rule, window=1, traces=traces, stateful=True, name="hidden")(x)
    gain = 1.0 if "rate" in cell else 10.0
    readout = kk.Readout(O, tau_out=5.0, gain=gain, learn="tau_out", stateful=True, name="readout")
    model = kk.Model(inputs, readout(x))
    model.compile(OPTIMIZERS[optimizer](), loss, jit_compile=False)
    return model


def stream(loss, steps, seed=0):
    """x [N, 1, I], y of what x was two steps before, and weights [N, 1]."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(steps, 1, I)).astype("float32")
    before = np.concatenate([np.zeros_like(x[:2]), x[:-2]])[..., :O]
    y = before.argmax(-1).astype("int32") if loss is CLASSES else before
    return x, y, random.uniform(0.5, 1.5, (steps, 1)).astype("float32")


def fit(model, x, y, weights):
    """`fit`, one step a batch."""
    data = tf.data.Dataset.from_tensor_slices((x[:, None], y[:, None], weights))
    model.fit(data, shuffle=False, verbose=0)


def weights_of(model):
    """The weights by the names that a learner gives them."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.Normalization)]
    weights = {f"{layer.name}_{short_name(weight)}": weight for layer in layers for weight in layer.weights}
    return {name: np.array(tf.convert_to_tensor(weight)) for name, weight in weights.items()}


def interpreter(content):
    """LiteRT's own, or the one of TensorFlow, which is to go."""
    with contextlib.suppress(ImportError):
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(model_content=content)
    return tf.lite.Interpreter(model_content=content)


class Device:
    """A learner in LiteRT, with the methods of one in Python."""

    def __init__(self, learner):
        self.alarms, handler = [], logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.alarms.append(record.getMessage())
        for name in ("absl", "tensorflow"):
            logging.getLogger(name).addHandler(handler)
        self.loaded = interpreter(learner.to_litert())
        for name in ("absl", "tensorflow"):
            logging.getLogger(name).removeHandler(handler)
        for name in self.loaded.get_signature_list():
            setattr(self, name, self.loaded.get_signature_runner(name))
        self.operations = operations(self.loaded)


def learn_stream(learner, x, y, weights):
    """The outputs of each step."""
    return np.array([learner.learn(x=a, y=b, sample_weight=w)["outputs"] for a, b, w in zip(x, y, weights)])


def assert_weights(saved, model, before, tolerance=2e-5):
    """Those of the model, which have moved."""
    weights = weights_of(model)
    learned = [name for name in saved if name in weights and "sensitivity" not in name]
    assert len(learned) >= 6 and all(np.ptp(weights[name] - before[name]) > 1e-3 for name in learned)
    for name in learned:
        np.testing.assert_allclose(saved[name], weights[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module", params=["rate", pytest.param("spiking", marks=pytest.mark.slow)])
def built(request):
    """A network that scales its inputs and has learned a little, its learner in Python and in LiteRT, and its loss."""
    keras.utils.set_random_seed(1)
    *_, loss = NETWORKS[request.param]
    scale = keras.layers.Normalization()
    scale.adapt(np.random.default_rng(4).normal(0.2, 1.5, (64, 1, I)))
    model = network(*NETWORKS[request.param], front=[scale, keras.layers.Rescaling(1.5, offset=0.1)])
    fit(model, *stream(loss, 20, seed=1))
    model.reset_state()
    learner = kk.learner(model)
    return model, learner, Device(learner), loss


@pytest.fixture
def trained(built):
    """The same, which the next test gets as it was."""
    model, learner, device, _ = built
    variables = [*model.variables, *model.optimizer.variables]
    kept, start = [each.numpy() for each in variables], {name: each.numpy() for name, each in learner.save().items()}
    yield built
    for variable, value in zip(variables, kept):
        variable.assign(value)
    learner.restore(start)
    device.restore(**start)


def test_weights_are_those_of_fit(trained):
    """Also the optimizer goes on from where the model's was, and where a step has no error momentum moves them on."""
    model, learner, device, loss = trained
    before, given = weights_of(model), stream(loss, 40)
    given[2][3::5] = 0.0
    assert {"FULLY_CONNECTED", "ASSIGN_VARIABLE"} <= device.operations
    assert not any(name.startswith("Flex") or name == "WHILE" for name in device.operations) and not device.alarms
    outputs = learn_stream(device, *given)
    np.testing.assert_allclose(outputs, learn_stream(learner, *given), rtol=1e-4, atol=1e-4)
    fit(model, *given)
    for saved in (device.save(), learner.save()):
        assert_weights(saved, model, before)


@pytest.mark.parametrize("name", ["hidden", "readout"])
def test_a_frozen_cell_stays_as_it_is(name):
    inputs = keras.Input((7, I))
    x = kk.RNN(kk.LeakyRNNCell(4), "eprop", name="hidden")(inputs)
    model = kk.Model(inputs, kk.Readout(O, name="readout")(x))
    model.get_layer(name).cell.trainable = False
    model.compile("sgd", "mse")
    learner = kk.learner(model)
    start = learner.save()
    for _ in range(3):
        learner.learn(np.ones((1, I)), np.ones((1, O)))
    saved, weights = learner.save(), learner.tensors["weights"]
    still = [key for key in weights if np.all(saved[key] == start[key])]
    assert still == [key for key in weights if key.startswith(name)]


@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2 accumulates no gradients")
@pytest.mark.parametrize(
    "settings, steps, on_device",
    taking_turns([(RATE_LINEAR, 8, False), (NETWORKS["rate"], 240, True), (LINEAR, 40, True)]),
)
def test_several_steps_an_update(settings, steps, on_device):
    """As `fit` with accumulated gradients. What is not finite does not count, and a reset loses no gradient."""
    model = network(*settings)
    learner, before, (x, y, weights) = kk.learner(model, update_every=4), weights_of(model), stream(settings[-1], steps)
    learners = [learner, Device(learner)] if on_device else [learner]  # before one of them learns
    config = {**model.optimizer.get_config(), "gradient_accumulation_steps": 4}
    model.compile(type(model.optimizer).from_config(config), settings[-1], run_eagerly=steps < 20, jit_compile=False)
    weights[::3] = 0.0
    fit(model, x, y, weights)
    kernel, sums = [f"{kind}_kernel" for kind in ("dense", "gradient_dense")]
    for each in learners:
        learn_stream(each, x, y, weights)
        saved = {name: np.array(value) for name, value in each.save().items()}
        assert_weights(saved, model, before, tolerance=2e-3)
        assert not saved["gradient_steps"] and not np.any(saved[sums])
        learn_stream(each, x[:2], y[:2], [ONE, np.nan * ONE])
        each.reset()
        learn_stream(each, x[1:3], y[1:3], [ONE] * 2)
        third = each.save()
        assert third["gradient_steps"] == 3.0 and np.any(third[sums])
        np.testing.assert_array_equal(third[kernel], saved[kernel])
        each.learn(x=x[3], y=y[3], sample_weight=ONE)
        assert np.any(each.save()[kernel] != saved[kernel]) and not np.any(each.save()[sums])
    assert learner.tensors["gradients"].keys() == {name for name in saved if name.startswith("gradient_")}
    with pytest.raises(ValueError, match="must have no gradient_accumulation_steps, .* has update_every; received 4"):
        kk.learner(model)


def test_a_step_answers_and_learns_nothing(trained):
    """As the network does on the whole sequence; then learning goes on with the states and traces that are there."""
    model, learner, device, loss = trained
    x, y, weights = stream(loss, 12)
    start = learner.save()
    model.reset_state()
    expected = np.array([model.predict_on_batch(each[:, None])[:, 0] for each in x])
    for each in (learner, device):
        answered = np.array([each.step(x=now)["outputs"] for now in x])
        np.testing.assert_allclose(answered, expected, rtol=1e-5, atol=1e-5)
    after = learner.save()
    for name in learner.tensors["weights"] | learner.tensors["optimizer"]:
        np.testing.assert_array_equal(after[name], start[name])
    assert np.abs(after[next(iter(learner.tensors["traces"]))]).max() > 1e-3
    learned = learn_stream(learner, x, y, weights)
    np.testing.assert_allclose(learn_stream(device, x, y, weights), learned, rtol=1e-4, atol=1e-4)


def test_reset_save_and_restore(trained):
    _, learner, device, loss = trained
    x, y, weights = stream(loss, 12, seed=2)
    for each in (learner, device):
        learn_stream(each, x[:6], y[:6], weights[:6])
        middle = {name: np.array(value) for name, value in each.save().items()}
        once = learn_stream(each, x[6:], y[6:], weights[6:])
        each.restore(middle) if each is learner else each.restore(**middle)
        np.testing.assert_array_equal(learn_stream(each, x[6:], y[6:], weights[6:]), once)
        end = each.save()
        each.reset()
        fresh = each.save()
        for name in learner.tensors["weights"] | learner.tensors["optimizer"]:
            np.testing.assert_array_equal(fresh[name], end[name])
        for name in learner.tensors["states"] | learner.tensors["traces"]:
            assert (np.any(end[name]) or name == "hidden_refractory") and not np.any(fresh[name]), name


def test_what_is_not_finite_moves_nothing(trained):
    """Neither a step that learns, by its x or its loss, nor an answer; the next step goes on."""
    _, learner, device, loss = trained
    x, y, _ = stream(loss, 3)
    bad = np.where(np.arange(I) == 1, np.float32(np.nan), x[1])
    for each in (learner, device):
        each.learn(x=x[0], y=y[0], sample_weight=ONE)
        before = {name: np.array(value) for name, value in each.save().items()}
        assert not np.isfinite(each.learn(x=x[1], y=y[1], sample_weight=np.nan * ONE)["loss"])
        each.learn(x=bad, y=y[1], sample_weight=ONE)
        each.step(x=bad)
        for name, value in each.save().items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)
        each.step(x=x[1])
        assert any(np.any(value != before[name]) for name, value in each.save().items())
        each.learn(x=x[2], y=y[2], sample_weight=ONE)
        assert np.any(each.save()["dense_kernel"] != before["dense_kernel"])


def test_a_bad_x_that_a_frozen_layer_stops_moves_nothing():
    """Though loss and gradients are finite: it would stay in the states."""
    front = kk.RNN(kk.LIFCell(5, input_gain=9.0), "eprop", window=1, stateful=True, trainable=False, name="front")
    learner, (x, y, _) = kk.learner(network(*NETWORKS["rate"], front=[front])), stream("mse", 3)
    bad = np.where(np.arange(I) == 1, np.float32(np.nan), x[1])
    before = {name: np.array(value) for name, value in learner.save().items()}
    assert np.isfinite(learner.learn(x=bad, y=y[1], sample_weight=ONE)["loss"])
    for name, value in learner.save().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    learner.learn(x=x[2], y=y[2], sample_weight=ONE)
    assert np.any(learner.save()["dense_kernel"] != before["dense_kernel"])


def test_which_losses_compare_with_integers():
    of = keras.losses
    sparse = (
        CLASSES,
        [CLASSES],
        {"readout": CLASSES},
        of.sparse_categorical_crossentropy,
        "sparse_categorical_crossentropy",
    )
    named = of.SparseCategoricalCrossentropy(name="ce"), of.MeanSquaredError(name="of sparse events")
    assert [is_sparse(loss) for loss in (*sparse, *named, "mse")] == [True] * 6 + [False] * 2


def test_bad_input(trained):
    _, learner, _, loss = trained
    x, y, _ = (each[0] for each in stream(loss, 1))
    for wrong in (x[0], np.ones((2, I)), "word", None, 1j * x):
        with pytest.raises(ValueError, match=r"x must be float32 of shape \(1, 5\); received"):
            learner.step(wrong)
        with pytest.raises(ValueError, match="x must be float32"):
            learner.learn(wrong, y)
    with pytest.raises(ValueError, match="y must be .* received float64"):
        learner.learn(x, np.ones((1, 7)))
    with pytest.raises(ValueError, match=r"sample_weight must be float32 of shape \(1,\)"):
        learner.learn(x, y, 1.0)


def test_what_does_not_fit_changes_nothing(trained):
    model, learner, *_ = trained
    saved = {name: value.numpy() for name, value in learner.save().items()}
    before = [*model.get_weights(), *saved.values()]
    moved = {name: value + 1 for name, value in saved.items()}
    without = {name: value for name, value in moved.items() if name != "dense_bias"}
    for method, argument in ((learner.restore, "tensors"), (learner.to_keras, "saved")):
        for wrong, message in (
            (5, f"{argument} must be what save.. returned, a dict of arrays; received 5"),
            (without, rf"{argument} must have the names .* without \['dense_bias'\], and with \[\]"),
            ({**moved, "other": ONE}, rf"{argument} must have the names .* without \[\], and with \['other'\]"),
            ({**moved, "dense_bias": ONE}, r"dense_bias must be float32 of shape \(6,\)"),
            ({**moved, "readout_bias": np.nan * saved["readout_bias"]}, f"{argument} must be finite; .*readout_bias"),
        ):
            with pytest.raises(ValueError, match=message):
                method(wrong)
    after = [*model.get_weights(), *learner.save().values()]
    all_same(before, after)


def test_what_a_device_learned_goes_on_in_keras(trained):
    """The weights, and the optimizer's slots: `fit` makes of them what the device does."""
    model, learner, device, loss = trained
    given = stream(loss, 60)
    first, later = ([part[:20] for part in given], [part[20:] for part in given])
    learn_stream(device, *first)
    assert learner.to_keras(device.save()) is model
    before, saved = weights_of(model), device.save()
    for name in learner.tensors["weights"]:
        np.testing.assert_array_equal(before[name], saved[name])
    device.reset()
    model.reset_state()
    learn_stream(device, *later)
    fit(model, *later)
    assert_weights(device.save(), model, before)
    learn_stream(learner, *first)  # without an argument what it knows itself
    learner.to_keras()
    np.testing.assert_array_equal(weights_of(model)["hidden_kernel"], learner.save()["hidden_kernel"])


@pytest.mark.parametrize("on_device", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_rule_that_was_not_said_learns_and_m_moves_with_the_weights(on_device):
    """The word "kernl" stands for a kernel that suits the cell, and has traces.

    In linear memory M keeps its distance to the direct effect of the recurrent weights.
    """
    inputs = keras.Input((7, I))
    layer = kk.RNN(kk.AdLIFCell(4, input_gain=6.0, resistance=1.0), name="hidden")
    model = kk.Model(inputs, kk.Readout(O, name="readout")(layer(inputs)))
    model.compile(keras.optimizers.SGD(10.0), "mse")
    start = layer.sensitivity_tensor.numpy()
    layer.sensitivity_tensor.assign(start + 0.1)
    learner, x, y = kk.learner(model), stream("mse", 12)[0], np.ones((1, O), "float32")
    learner = Device(learner) if on_device else learner
    learn_stream(learner, x, [y] * 12, [0.0 * ONE] * 11 + [ONE])
    saved = learner.save()
    moved = np.abs(saved["hidden_recurrent_kernel"] - layer.cell.recurrent_kernel)
    assert moved.max() > 1e-4  # by the error of the last step alone
    layer.cell.recurrent_kernel.assign(saved["hidden_recurrent_kernel"])
    layer.reset_sensitivity()
    assert np.abs(layer.sensitivity_tensor - start).max() > 1e-4
    np.testing.assert_allclose(saved["hidden_sensitivity_tensor"], layer.sensitivity_tensor + 0.1, atol=1e-6)


def test_names_do_not_count_what_the_process_has_made():
    """Nor do they depend on which Keras it is, as this test runs with both.

    Dropout and the mean over time are left out; y may have a shape and dtype of its own.
    """
    kk.RNN(kk.LeakyRNNCell(4)), keras.layers.Dense(4), kk.Readout(2)
    inputs = keras.Input((7, I))
    x = keras.layers.Dropout(0.1)(kk.SpikeEncoder(2, "threshold")(inputs))
    x = keras.layers.TimeDistributed(keras.layers.Dense(4))(keras.layers.Dense(4)(x))
    x = kk.RNN(kk.LeakyRNNCell(4), "eprop")(x)
    x = kk.RNN(kk.LeakyRNNCell(4), "kernl", traces=LINEAR[2])(keras.layers.Dense(3, name="between")(x))
    model = kk.Model(inputs, kk.TimeAverage(2)(kk.Readout(O)(keras.layers.Dense(3)(x))))
    model.compile(keras.optimizers.Adam(0.01), lambda y, v: tf.reduce_mean(tf.square(v - tf.cast(y, v.dtype)), -1))
    learner = kk.learner(model, tf.TensorSpec((1, 1), tf.int64))
    losses = [float(learner.learn(np.ones((1, I)), np.array([[y]]))["loss"]) for y in (3, 0)]
    assert losses[0] > losses[1]
    weights = {
        f"{layer}_{weight}"
        for layer in ("dense", "time_distributed", "rnn", "between", "rnn_1", "dense_1", "readout")
        for weight in ("kernel", "bias", *(["recurrent_kernel"] if "rnn" in layer else []))
    }
    slots = {f"optimizer_{kind}_{weight}" for kind in ("momentums", "velocities") for weight in weights}
    memory = {f"rnn_1_memory_{name}" for name in ("x", "means", "weight", "segments", "steps")}
    tensors = learner.tensors
    assert tensors["weights"].keys() == weights | {"rnn_1_sensitivity_tensor"}
    assert tensors["optimizer"].keys() == slots | {"optimizer_iterations", "optimizer_learning_rate"}
    assert tensors["states"].keys() == {"spike_encoder_state_0", "rnn_activity", "rnn_1_activity", "readout_v"}
    assert tensors["traces"].keys() == memory | {"readout_memory_inputs", "rnn_traces_0"}


def refused(message, *layers, loss="mse", model=kk.Model, **settings):
    """A chain of layers is refused."""
    inputs = keras.Input((7, I))
    made = model(inputs, kk.Readout(O)(through(layers, inputs)))
    if loss:
        made.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        kk.learner(made, **settings)


def test_a_learning_rate_of_0_is_told():
    inputs = keras.Input((7, I))
    model = kk.Model(inputs, kk.Readout(O)(inputs))
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.PolynomialDecay(0.1, 3, 0.0)), "mse")
    kk.learner(model)
    model.optimizer.iterations.assign(3)
    with pytest.warns(UserWarning, match="will learn nothing: after 3 updates the learning rate is 0"):
        kk.learner(model)


def test_models_that_cannot_learn_step_by_step():
    def hidden(rule="eprop", **settings):
        return kk.RNN(kk.LIFCell(H), rule, name="hidden", **settings)

    refused("model must be a kernl_keras.Model that is compiled with a loss", hidden(), loss=None)
    refused("model must be a kernl_keras.Model that is compiled with a loss", hidden(), model=keras.Model)
    refused("layer 'hidden' must have a rule that learns at every step by traces, .*; received BPTT", hidden("bptt"))
    refused("layer 'hidden' must have traces; received traces=False", hidden(traces=False))
    reference = kk.rules.PlainKeRNL.reference(time_steps=7)
    refused("layer 'hidden' must have a rule that learns at every step", hidden(reference))
    refused("model must have no Masking, as no step is left out", keras.layers.Masking(), hidden())
    refused("model must have no BatchNormalization, as one", keras.layers.BatchNormalization(), hidden())
    wide = kk.RNN(kk.LIFCell(H, dtype="float64"), "eprop", name="hidden")
    refused("layer 'hidden' must be in float32; received .*float64", wide)
    refused("must be made of SpikeEncoder, .*; received 'gru", keras.layers.GRU(3, return_sequences=True, name="gru"))
    refused("update_every must be an integer >= 1; received 0", hidden(), update_every=0)
    for y in ("float32", tf.TensorSpec((None, 2)), tf.TensorSpec((2, 2))):
        refused(r"y must be a tf.TensorSpec of shape \[1, ..\], or None; received", hidden(), y=y)


@pytest.mark.slow
@pytest.mark.parametrize("settings", MORE, ids=lambda of: f"{of[0]}, {of[1].__name__}, {of[2]}")
def test_every_rule_and_cell(settings):
    """Linear memory multiplies a rounding by thousands, in `fit`, in Python and most on a device: fewer steps there."""
    steps, tolerance, of_device = (40, 2e-5, 1e-4) if settings[2] is True else (20, 2e-3, 5e-3)
    model, given = network(*settings), stream(settings[-1], steps)
    learner, before = kk.learner(model), weights_of(model)
    device = Device(learner)
    assert not any(name.startswith("Flex") for name in device.operations)
    for each in (learner, device):
        learn_stream(each, *given)
    fit(model, *given)
    assert_weights(learner.save(), model, before, tolerance)
    assert_weights(device.save(), model, before, of_device)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_thousand_steps(name):
    """Where a rounding makes or takes a spike, the two part: they agree up to there, and later in what they say."""
    *_, loss = NETWORKS[name]
    model, given = network(*NETWORKS[name]), stream(loss, 1000)
    learner, before = kk.learner(model), weights_of(model)
    device = Device(learner)
    start = {name: value.numpy() for name, value in learner.save().items()}
    ours, theirs = learn_stream(learner, *given), learn_stream(device, *given)
    apart = np.abs(ours - theirs).max((1, 2)) > 1e-2 * np.ptp(ours)
    agreed = int(np.argmax(apart)) if apart.any() else len(apart)
    assert agreed == 1000 if name == "rate" else agreed >= 200
    if loss is CLASSES:
        right = [np.mean(each.argmax(-1) == given[1]) for each in (ours, theirs)]
        assert abs(right[0] - right[1]) < 0.03
    device.restore(**start)
    given = [each[: 1000 if name == "rate" else 200] for each in given]  # `fit` rounds otherwise, and may part sooner
    learn_stream(device, *given)
    fit(model, *given)
    assert_weights(device.save(), model, before, tolerance=1e-3)


@pytest.mark.slow
def test_a_saved_model(tmp_path):
    """The same steps without Keras."""
    learner = kk.learner(network(*NETWORKS["rate"]))
    learner.export(tmp_path)
    signatures = (loaded := tf.saved_model.load(str(tmp_path))).signatures  # `loaded` holds the variables
    assert set(signatures) == {"step", "learn", "reset", "save", "restore"} and loaded
    x, y, weights = stream("mse", 10)
    expected = learn_stream(learner, x, y, weights)
    arguments = [{"x": a, "y": b, "sample_weight": w} for a, b, w in zip(*map(tf.constant, (x, y, weights)))]
    made = [signatures["learn"](**each)["outputs"] for each in arguments]
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smnist", "ecg", "spoken-digits"])
def test_a_packaged_network_learns_on_a_device_and_comes_back(name):
    """By names that depend on nothing but the network, into a network that was loaded anew."""
    learner, features = kk.learner(kk.load_pretrained(name)), kk.load_pretrained(name).input_shape[-1]
    device, start = Device(learner), learner.save()
    assert device.alarms == []
    assert {"hidden_kernel", "readout_kernel", "optimizer_velocities_hidden_bias"} <= start.keys()
    x = np.random.default_rng(0).uniform(size=(12, 1, features)).astype("float32")
    for now in x:
        device.learn(x=now, y=np.array([1], "int32"), sample_weight=ONE)
    saved = device.save()
    assert np.ptp(saved["hidden_kernel"] - start["hidden_kernel"]) > 1e-4
    model = kk.learner(kk.load_pretrained(name)).to_keras(saved)
    np.testing.assert_array_equal(model.get_layer("hidden").cell.kernel, saved["hidden_kernel"])
    step, reached = kk.one_step(model), {}
    states = {name: tf.zeros((1, each.shape[-1])) for name, each in step.input.items() if name != "x"}
    assert states.keys() >= {"hidden_v", "hidden_quadrature", "readout_v"}
    device.reset()
    for now in x:
        states = dict(step({"x": tf.constant(now), **states}))
        reached = device.step(x=now)["outputs"]
        np.testing.assert_allclose(states.pop("outputs"), reached, rtol=1e-3, atol=1e-3)
    assert np.ptp(reached) > 1e-2


@pytest.mark.parametrize("words, message", [("'tf.Lgamma' op is neither a custom op nor a flex op", "own operations; "
                                             "received Lgamma"), ("no room", "no room")])  # fmt: skip
def test_operations_that_litert_has_not_are_named(words, message, monkeypatch):
    """The converter's own message is of many pages; what it says of anything else is left as it is."""
    converter = mock.Mock()
    converter.convert.side_effect = RuntimeError(words)
    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_saved_model", lambda folder: converter)
    monkeypatch.setattr(Learner, "export", lambda self, folder: None)
    with pytest.raises(ValueError if "received" in message else RuntimeError, match=message):
        Learner.to_litert(Learner.__new__(Learner))
