"""The event files of small runs: exactly these tags, these values, and training as if nobody looked."""

import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import kernl_keras as kk
from kernl_keras.callbacks.images import diverging, pictures, raster, sequential
from kernl_keras.keras_version import keras
from kernl_keras.rules import Exponential, KeRNL
from kernl_keras.training.diagnostics import ACTIVITY, DIAGNOSTICS

from ..reference.tools import all_same

# Said of the functions of tf.data, which `eagerly` does not mean.
ignored = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
pytestmark = [ignored, pytest.mark.usefixtures("eagerly")]

T, I, H, O = 6, 3, 5, 2  # noqa: E741
STEPS = 3  # batches an epoch
LOGGED = ["loss", "mae"]
RATES = ["learning_rate", "sensitivity_learning_rate"]
SHAPES = {
    "hidden/kernel": (I, H),
    "hidden/recurrent_kernel": (H, H),
    "hidden/bias": (H,),
    "hidden/sensitivity_tensor": (2, H, H),
    "hidden/temporal_filter": (2, H),
    "readout/kernel": (H, O),
}
TENSORS = [name + end for name in SHAPES for end in ("", "/gradient")]


def build(model_class=kk.Model, compiled=None, noisy=False, batch_size=None, **settings):
    inputs = keras.Input((T, I), batch_size=batch_size)
    x = kk.SpikeEncoder(1, seed=2, name="encoder")(inputs)
    if noisy:
        x = keras.layers.RNN(kk.InputSpikeCell(seed=5), return_sequences=True, name="draws")(x)
        x = keras.layers.Dropout(0.2, seed=7)(keras.layers.BatchNormalization()(x))
    cell = kk.LIFCell(H, use_bias=True)
    hidden = kk.RNN(cell, KeRNL(kernel=Exponential(2)), name="hidden", seed=1, **settings)(x)
    outputs = keras.layers.RNN(kk.ReadoutCell(O, use_bias=False), name="readout")(hidden)
    model = model_class(inputs, outputs)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, decay_steps=1, decay_rate=0.9)
    ours = {"sensitivity_optimizer": keras.optimizers.RMSprop(0.003), "sensitivity_every": STEPS}
    ours = ours if issubclass(model_class, kk.Model) else {}
    model.compile(keras.optimizers.Adam(schedule), "mse", metrics=["mae"], **ours, **(compiled or {}))
    return model


def examples(count, seed=0):
    draws = np.random.default_rng(seed)
    return draws.uniform(size=(count, T, I)).astype("float32"), draws.normal(size=(count, O)).astype("float32")


VALIDATION = examples(6, seed=1)


def fit(model, callbacks, epochs=2, validation_data=VALIDATION, **settings):
    x, y = examples(4 * STEPS)
    settings = {"batch_size": 4, "shuffle": False, "verbose": 0, **settings}
    return model.fit(x, y, epochs=epochs, validation_data=validation_data, callbacks=callbacks, **settings)


def events(log_dir):
    """`{run: {tag: (plugin, {step: array})}}`"""
    found = {}
    for folder in pathlib.Path(log_dir).iterdir():
        log = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
        found[folder.name] = {}
        for tag in log.Tags()["tensors"]:
            values = {event.step: tf.make_ndarray(event.tensor_proto) for event in log.Tensors(tag)}
            found[folder.name][tag] = log.SummaryMetadata(tag).plugin_data.plugin_name, values
    return found


def decode(strings):
    """uint8 [N, height, width, 3] from an image event: width, height, and a PNG an image."""
    decoded = np.stack([tf.io.decode_png(png).numpy() for png in strings[2:]])
    assert [int(size) for size in strings[:2]] == [decoded.shape[2], decoded.shape[1]]
    return decoded


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two epochs, what it wrote, and the model as it was when the last of it was written."""
    keras.utils.set_random_seed(1)
    log_dir, model, epochs = tmp_path_factory.mktemp("logs"), build(), []

    def look(epoch, logs):
        of_validation = {f"val_{name}": value for name, value in model.diagnostics(training=False).items()}
        epochs.append(logs | model.diagnostics() | of_validation)

    fit(model, [kk.TensorBoard(log_dir), keras.callbacks.LambdaCallback(on_epoch_end=look)])
    hidden, readout = model.get_layer("hidden"), model.get_layer("readout")
    weights = [hidden.cell.kernel, hidden.cell.recurrent_kernel, hidden.cell.bias]
    weights += [hidden.sensitivity_tensor, hidden.temporal_filter, readout.cell.kernel]
    weights = dict(zip(SHAPES, weights, strict=True))
    gradients = model.gradients(*(tf.constant(part[:4]) for part in VALIDATION))
    ids = [id(v) for v in model.trainable_variables]
    values = {name: v.numpy() for name, v in weights.items()}
    values |= {f"{name}/gradient": gradients[ids.index(id(v))].numpy() for name, v in weights.items()}
    return SimpleNamespace(model=model, events=events(log_dir), epochs=epochs, values=values)


def test_the_tags_are_exactly_these(run):
    kinds = {f"fit/{name}": "scalars" for name in (*LOGGED, *DIAGNOSTICS, *RATES)}
    kinds |= {name: "histograms" for name in TENSORS} | {f"{name}/image": "images" for name in TENSORS}
    kinds |= {"hidden/spikes": "images"}
    assert {tag: kind for tag, (kind, _) in run.events["train"].items()} == kinds
    validation = {tag: kind for tag, (kind, _) in run.events["validation"].items()}
    assert validation == {f"fit/{name}": "scalars" for name in (*LOGGED, *ACTIVITY)}
    assert set(run.events) == {"train", "validation"}


def test_the_axis_counts_training_steps(run):
    for tags in run.events.values():
        assert {tag: list(steps) for tag, (_, steps) in tags.items()} == {tag: [3, 6] for tag in tags}


def test_scalars_are_those_of_the_logs_and_the_diagnostics(run):
    of_both = ("train", "", (*LOGGED, *DIAGNOSTICS)), ("validation", "val_", (*LOGGED, *ACTIVITY))
    for folder, prefix, names in of_both:
        for name in names:
            _, steps = run.events[folder][f"fit/{name}"]
            np.testing.assert_allclose(list(steps.values()), [logs[prefix + name] for logs in run.epochs], rtol=1e-6)


def test_learning_rates_are_those_of_the_next_step(run):
    _, rates = run.events["train"]["fit/learning_rate"]
    np.testing.assert_allclose([rates[step] for step in (3, 6)], [0.01 * 0.9**step for step in (3, 6)], rtol=1e-5)
    _, rates = run.events["train"]["fit/sensitivity_learning_rate"]
    np.testing.assert_allclose(list(rates.values()), 0.003, rtol=1e-6)


@pytest.mark.parametrize("name", TENSORS)
def test_histograms_hold_the_values(run, name):
    values = run.values[name].astype("float64").ravel()
    buckets = run.events["train"][name][1][6]  # [30, 3]: from, to, how many
    assert buckets[:, 2].sum() == values.size == np.prod(SHAPES[name.removesuffix("/gradient")])
    np.testing.assert_allclose([buckets[0, 0], buckets[-1, 1]], [values.min(), values.max()], rtol=1e-5)
    width = buckets[0, 1] - buckets[0, 0]
    centres = np.repeat(buckets[:, :2].mean(1), buckets[:, 2].astype(int))
    np.testing.assert_array_less(abs(np.sort(values) - centres), 0.501 * width)


@pytest.mark.parametrize("name", TENSORS)
def test_images_show_the_values(run, name):
    shown = decode(run.events["train"][f"{name}/image"][1][6])
    colours = sequential if name == "hidden/temporal_filter" else diverging
    np.testing.assert_array_equal(shown, pictures(run.values[name], colours))


def test_rasters_show_the_same_validation_examples(run):
    hidden = keras.Model(run.model.inputs[0], run.model.get_layer("hidden").output)
    spikes = hidden(VALIDATION[0][:4], training=False).numpy()
    assert 0.0 < spikes.mean() < 1.0
    shown = decode(run.events["train"]["hidden/spikes"][1][6])
    assert shown.shape == (4, 400 // T * H, 400 // T * T, 3)
    np.testing.assert_array_equal(shown, raster(spikes))


@pytest.mark.slow
def test_steps_and_quantities_switched_off(tmp_path):
    class NoGradients(kk.Model):
        def gradients(self, x, y):
            raise AssertionError("computed for nothing")

    model = build(NoGradients, {"sensitivity_only": 4})
    callback = kk.TensorBoard(tmp_path, 2, histograms=False, images=False, raster=False)
    fit(model, [callback], epochs=3)
    found = events(tmp_path)
    assert {tag: list(steps) for tag, (_, steps) in found["train"].items()} == {
        f"fit/{name}": [2, 4, 6, 8] for name in (*LOGGED, *DIAGNOSTICS, *RATES)
    }
    assert list(found["validation"]["fit/loss"][1]) == [3, 6, 9]
    fit(model, [kk.TensorBoard(tmp_path / "rare", update_freq=100)])  # writes nothing of `train`, so computes nothing
    assert not events(tmp_path / "rare")["train"]


def test_several_steps_an_execution_are_counted(tmp_path):
    inputs = keras.Input((T, I))
    model = kk.Model(inputs, keras.layers.Dense(O, name="hidden")(keras.layers.GlobalAveragePooling1D()(inputs)))
    model.compile("sgd", "mse", steps_per_execution=STEPS)
    fit(model, [kk.TensorBoard(tmp_path, update_freq=4, images=False, raster=False)], epochs=3)
    assert list(events(tmp_path)["train"]["hidden/kernel"][1]) == [6, 9]  # the first hooks after step 4 and step 8


def dataset():
    return tf.data.Dataset.from_tensor_slices(VALIDATION).batch(3)


slow = pytest.mark.slow
NONE = {"validation_data": None}


@pytest.mark.parametrize(
    "chosen, settings, count",
    [
        (2, {"validation_data": dataset()}, 2),
        (4, NONE, 0),
        pytest.param(4, {**NONE, "validation_split": 0.25}, 3, marks=slow),
        pytest.param(tuple(part[:5] for part in VALIDATION), NONE, 5, marks=slow),
        pytest.param(dataset(), NONE, 3, marks=slow),
    ],
)
def test_where_the_examples_come_from(tmp_path, chosen, settings, count):
    """Without any there are neither gradients nor rasters."""
    fit(build(), [kk.TensorBoard(tmp_path, examples=chosen, histograms=False)], epochs=1, **settings)
    runs = events(tmp_path)
    assert ("validation" in runs) == (settings != NONE)
    found = runs["train"]
    others = {f"{name}/image" for name in (TENSORS if count else SHAPES)} | ({"hidden/spikes"} if count else set())
    assert {tag for tag in found if not tag.startswith("fit/")} == others
    if count:
        (shown,) = found["hidden/spikes"][1].values()
        assert len(decode(shown)) == count


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:All layers with states should have stateful=True")  # one is enough here
def test_a_stateful_model_keeps_its_batch_and_its_states(tmp_path):
    def states(*callbacks):
        keras.utils.set_random_seed(1)
        model = build(batch_size=4, stateful=True)
        fit(model, list(callbacks), epochs=1, validation_data=examples(4))
        return [state.numpy() for state in model.get_layer("hidden").states]

    seen, unseen = states(kk.TensorBoard(tmp_path, examples=2)), states()
    all_same(seen, unseen)
    (shown,) = events(tmp_path)["train"]["hidden/spikes"][1].values()
    assert len(decode(shown)) == 2


def test_any_keras_model_has_weights_and_rasters(tmp_path):
    fit(build(keras.Model), [kk.TensorBoard(tmp_path, examples=VALIDATION, images=False)], epochs=1)
    tags = set(events(tmp_path)["train"])
    assert tags == {"fit/loss", "fit/mae", "fit/learning_rate", *SHAPES, "hidden/spikes"}


def test_layers_of_one_name_have_names_of_their_own(tmp_path):
    """In nested models; the constants that learn, too."""

    def hidden(units):
        return kk.RNN(kk.LIFCell(units, learn="tau_m"), "eprop", name="hidden")

    inner, inputs = keras.Input((T, I)), keras.Input((T, I))
    nested = keras.Model(inner, hidden(3)(inner))
    model = kk.Model(inputs, kk.Readout(O, name="readout")(hidden(4)(nested(inputs))))
    model.compile("sgd", "mse")
    callback = kk.TensorBoard(tmp_path, examples=(VALIDATION[0], np.zeros((6, T, O), "float32")))
    model.fit(VALIDATION[0], np.zeros((6, T, O)), verbose=0, callbacks=[callback])
    found = events(tmp_path)["train"]
    units = {name: found[f"{name}/tau_m"][1][1][:, 2].sum() for name in ("hidden", "hidden_1")}
    assert sorted(units.values()) == [3, 4]
    for name, count in units.items():
        assert found[f"{name}/recurrent_kernel"][1][1][:, 2].sum() == count**2
        assert decode(found[f"{name}/spikes"][1][1]).shape[1] % count == 0


def test_what_is_not_finite_is_shown_and_stops_nothing(tmp_path):
    class Exploding(kk.Model):
        def gradients(self, x, y):
            first = [tf.reshape(tf.one_hot(0, v.shape.num_elements()), v.shape) for v in self.trainable_variables]
            return [tf.where(one > 0.0, np.inf, 1.0) for one in first]

    fit(build(Exploding), [kk.TensorBoard(tmp_path)], epochs=1)
    found = events(tmp_path)["train"]
    for name, shape in SHAPES.items():
        buckets = found[f"{name}/gradient"][1][STEPS]
        assert buckets[:, 2].sum() == np.prod(shape) - 1
        shown = decode(found[f"{name}/gradient/image"][1][STEPS])
        assert shown[0, 0, 0].tolist() == [255, 0, 255]
        assert shown[-1, -1, -1].tolist() == [103, 0, 31]


@pytest.mark.slow
def test_training_is_the_same_bit_for_bit_and_traced_as_often(tmp_path):
    tf.config.run_functions_eagerly(False)
    traced = []

    class Counting(kk.Model):
        def train_step(self, data):
            traced.append(True)
            return super().train_step(data)

    def trained(*callbacks):
        keras.utils.set_random_seed(1)
        traced.clear()
        model = build(Counting, noisy=True)
        history = fit(model, list(callbacks)).history
        return history, len(traced), [v.numpy() for v in (*model.variables, *model.optimizer.variables)]

    all_same(trained(kk.TensorBoard(tmp_path, update_freq=2)), trained())
    tf.config.run_functions_eagerly(True)
