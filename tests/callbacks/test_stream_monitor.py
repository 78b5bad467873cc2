"""What the monitor of a stream says: counted once more in plain loops, and training as if nobody looked."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import kernl_keras as kk
from kernl_keras.callbacks.stream_monitor import WordCount
from kernl_keras.keras_version import keras

from ..reference.tools import all_same
from ..training.compare import everything
from .test_stream_backup import B, I, P, pieces

STEPS = 4


def words_of(outputs, classes, weights):
    """`(time of the end, whether it was wrong)` of each word that has ended, in whole rows [B, T]; by `groupby`."""
    found = []
    for output, row, asked in zip(outputs, np.asarray(classes), np.asarray(weights) > 0):
        time = 0
        for (word, of_class), steps in itertools.groupby(zip(asked, row), lambda each: (each[0], each[0] * each[1])):
            begin, time = time, time + len(list(steps))
            if word and time < len(row):
                found.append((time, output[begin:time].mean(0).argmax() != of_class))
    return sorted(found, key=lambda each: each[0])  # of two that end together the upper row's comes first


def test_words_are_counted_across_pieces_and_from_a_state():
    random = np.random.default_rng(1)
    outputs = random.normal(size=(3, 60, 4))
    classes = np.repeat(random.integers(0, 4, (3, 20)), 3, axis=1)
    weights = np.repeat(random.integers(0, 2, (3, 30)), 2, axis=1)
    expected = words_of(outputs, classes, weights)
    count, first = WordCount(last=6), 0
    for size in (1, 7, 30, 22):
        part = slice(first, first + size)
        state, count = json.loads(json.dumps(count.state())), WordCount(last=12)
        count.restore(state)
        count.add(outputs[:, part], classes[:, part], weights[:, part])
        first += size
    assert count.heard == len(expected) > 15
    assert count.error == np.mean([wrong for _, wrong in expected[-12:]]) and 0.0 < count.error < 1.0


def test_outputs_that_are_not_finite_are_wrong():
    count = WordCount(last=12)
    count.add(np.full((1, 3, 2), np.nan), np.array([[0, 0, 0]]), np.array([[1, 1, 0]]))
    assert (count.heard, count.error) == (1, 1.0)


def network(rate=0.01, **settings):
    """Units with an activity, below units that spike."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input(batch_shape=(B, P, I))
    x = kk.RNN(kk.LeakyRNNCell(4), "eprop", seed=1, stateful=True, name="below")(inputs)
    x = kk.RNN(kk.LIFCell(5, base_threshold=0.2), "eprop", seed=1, stateful=True, name="hidden")(x)
    model = kk.Model(inputs, kk.Readout(3, stateful=True)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss, **settings)
    return model


def train(model, callbacks=(), epochs=3, **settings):
    given = dict(x=pieces(), epochs=epochs, steps_per_epoch=STEPS, callbacks=list(callbacks), shuffle=False, verbose=0)
    return model.fit(**{**given, **settings}).history


def shown(event, units, steps):
    """The colours in the middle of each entry of a picture, [units, steps, 3]."""
    _, _, picture = tf.make_ndarray(event.tensor_proto)
    drawn = tf.io.decode_png(picture).numpy().astype(int)
    height, width = drawn.shape[0] // units, drawn.shape[1] // steps
    return drawn[height // 2 :: height, width // 2 :: width]


@pytest.mark.parametrize(
    "epochs, update_freq, settings, written",
    [
        (1, 2, {"run_eagerly": True}, [2, 4]),
        pytest.param(3, 5, {"jit_compile": False, "steps_per_execution": 2}, [6, 10], marks=pytest.mark.slow),
    ],
)
def test_the_numbers_are_those_of_the_stream(tmp_path, epochs, update_freq, settings, written):
    """With weights that stand still the answers are those of `predict`, piece after piece."""
    model = network(0.0, **settings)
    history = train(model, [kk.StreamMonitor(tmp_path, update_freq, last=7, steps=11)], epochs)

    reference = network(0.0)
    layers = [reference.get_layer(name).output for name in ("below", "hidden")]
    hear = keras.Model(reference.inputs[0], [reference.output, *layers])
    x, classes, weights = (np.concatenate(part, 1) for part in zip(*pieces().take(epochs * STEPS).as_numpy_iterator()))
    heard = [[np.asarray(each) for each in hear(x[:, at : at + P])] for at in range(0, epochs * STEPS * P, P)]
    outputs, rates, spikes = (np.concatenate(part, 1) for part in zip(*heard))

    def words(end):
        return [wrong for _, wrong in words_of(outputs[:, :end], classes[:, :end], weights[:, :end])]

    for epoch in range(epochs):
        begin, end = STEPS * P * epoch, STEPS * P * (epoch + 1)
        assert history["words"][epoch] == len(words(end)) and history["word_error"][epoch] == np.mean(words(end)[-7:])
        for name, sent in (("firing_rate", spikes), ("mean_activity", np.abs(rates))):
            assert 0.0 < history[name][epoch] == pytest.approx(sent[:, begin:end].mean(), rel=1e-5)

    events = EventAccumulator(str(tmp_path / "stream"), size_guidance={"tensors": 0}).Reload()
    of_layers = {"hidden/firing_rate", "hidden/spikes", "below/mean_activity", "below/activity"}
    assert set(events.Tags()["tensors"]) == {"stream/words", "stream/word_error", *of_layers}
    assert [event.step for event in events.Tensors("stream/words")] == written
    begin, end = (P * steps for steps in written)
    assert float(tf.make_ndarray(events.Tensors("stream/words")[1].tensor_proto)) == len(words(end))
    for tag, sent in (("hidden/firing_rate", spikes), ("below/mean_activity", np.abs(rates))):
        rate = float(tf.make_ndarray(events.Tensors(tag)[1].tensor_proto))
        assert rate == pytest.approx(sent[:, begin:end].mean(), rel=1e-5)
    last = rates[0, end - 11 : end].T
    black = shown(events.Tensors("hidden/spikes")[1], 5, 11)[..., 0] == 0
    np.testing.assert_array_equal(black, spikes[0, end - 11 : end].T > 0)
    colours, strong = shown(events.Tensors("below/activity")[1], 4, 11), np.abs(last) > 0.1 * np.abs(last).max()
    np.testing.assert_array_equal(np.sign(colours[..., 0] - colours[..., 2])[strong], np.sign(last)[strong])
    assert {-1.0, 1.0} == set(np.sign(last)[strong])


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
def test_training_is_the_same(tmp_path, at_once):
    settings = {"jit_compile": False, "steps_per_execution": at_once}
    watched, alone = network(**settings), network(**settings)
    train(watched, [kk.StreamMonitor(tmp_path)], validation_data=pieces().take(2))
    assert "word_error" not in train(alone, validation_data=pieces().take(2))
    all_same(everything(watched), everything(alone))


def test_what_is_no_stream_of_classes_is_said(tmp_path):
    model = network(run_eagerly=True)
    with pytest.raises(ValueError, match="StreamMonitor needs kernl_keras.Model.fit to learn from a kernl_keras.data"):
        train(model, [kk.StreamMonitor(None)], x=pieces().map(lambda x, y, weight: (x, y)))
    with pytest.raises(ValueError, match="targets that are classes, integers .*; received float32"):
        train(model, [kk.StreamMonitor(None)], x=pieces().map(lambda x, y, weight: (x, tf.cast(y, "float32"), weight)))
    of_a_generator = tf.data.Dataset.from_generator(lambda: iter(pieces()), output_signature=pieces().element_spec)
    for data in (pieces().take(9), of_a_generator):  # either would be taken twice, or be at its end too soon
        with pytest.raises(ValueError, match="StreamMonitor needs a stream without end, each of whose pieces it takes"):
            train(model, [kk.StreamMonitor(None)], x=data)
    with pytest.raises(ValueError, match="steps_per_epoch must be a multiple of steps_per_execution, 3; received 4"):
        train(network(steps_per_execution=3, run_eagerly=True), [kk.StreamMonitor(None)])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="log_dir must be a folder that can be written"):
        train(model, [kk.StreamMonitor(tmp_path / "file")])


def test_layers_of_one_name_in_nested_models_are_told_apart():
    """The mean over layers is that of the model, and each has numbers of its own."""
    keras.utils.set_random_seed(0)
    inner = keras.Input((None, I))
    nested = keras.Model(inner, kk.RNN(kk.LIFCell(4, input_gain=9.0), "eprop", name="hidden")(inner))
    inputs = keras.Input(batch_shape=(B, P, I))
    silent = kk.RNN(kk.LIFCell(4, kernel_initializer="zeros", recurrent_initializer="zeros"), "eprop", name="hidden")
    both = keras.layers.Concatenate()([nested(inputs), silent(inputs)])
    model = kk.Model(inputs, kk.Readout(3, stateful=True)(both))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=True)
    monitor = kk.StreamMonitor(None)
    with pytest.warns((RuntimeWarning, UserWarning)):  # one is silent, and two are not stateful
        history = model.fit(pieces(), steps_per_epoch=2, callbacks=[monitor], verbose=0).history
    rates = monitor.rates.result()
    assert set(rates) == {"hidden", "hidden_1"} and min(rates.values()) == 0.0 < max(rates.values())
    np.testing.assert_allclose(history["firing_rate"], np.mean(list(rates.values())), rtol=1e-6)
