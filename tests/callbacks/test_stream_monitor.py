"""What the monitor of a stream says: counted once more in plain loops, and training as if nobody looked."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import kernl_keras as kk
from kernl_keras.callbacks.words import WordCount
from kernl_keras.keras_version import keras

from .test_stream_backup import B, I, P, assert_same, everything, pieces

STEPS = 4


def words_of(outputs, classes, weights):
    """`(time of the end, whether it was wrong)` of each word that has ended, in whole rows [B, T]; by `groupby`."""
    found = []
    for output, row, asked in zip(outputs, np.asarray(classes), np.asarray(weights) > 0):
        time = 0
        for (word, of_class), steps in itertools.groupby(
            zip(asked, row), key=lambda each: (each[0], each[0] * each[1])
        ):
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


def network(rate=0.01, jit_compile=False, **settings):
    keras.utils.set_random_seed(3)
    inputs = keras.Input(batch_shape=(B, P, I))
    x = kk.RNN(kk.LIFCell(4, base_threshold=0.2), "eprop", seed=1, stateful=True, name="hidden")(inputs)
    model = kk.Model(inputs, kk.Readout(3, stateful=True)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss, jit_compile=jit_compile, **settings)
    return model


def train(model, callbacks=(), epochs=3, **settings):
    given = dict(x=pieces(), epochs=epochs, steps_per_epoch=STEPS, callbacks=list(callbacks), shuffle=False, verbose=0)
    return model.fit(**{**given, **settings}).history


@pytest.mark.slow
def test_training_is_the_same_and_the_numbers_are_those_of_the_stream(tmp_path):
    """With weights that stand still the answers are those of `predict`, piece after piece."""
    monitor = kk.StreamMonitor(tmp_path, update_freq=5, last=7, steps=11)
    watched, alone = network(0.0, steps_per_execution=2), network(0.0, steps_per_execution=2)
    history = train(watched, [monitor])
    assert "word_error" not in train(alone)
    assert_same(everything(watched), everything(alone))

    reference = network(0.0)
    hear = keras.Model(reference.inputs[0], [reference.output, reference.get_layer("hidden").output])
    x, classes, weights = (np.concatenate(part, 1) for part in zip(*pieces().take(3 * STEPS).as_numpy_iterator()))
    heard = [[np.asarray(each) for each in hear(x[:, at : at + P])] for at in range(0, 3 * STEPS * P, P)]
    outputs, spikes = (np.concatenate(part, 1) for part in zip(*heard))
    for epoch in range(3):
        end = STEPS * P * (epoch + 1)
        words = words_of(outputs[:, :end], classes[:, :end], weights[:, :end])
        assert history["words"][epoch] == len(words)
        assert history["word_error"][epoch] == np.mean([wrong for _, wrong in words[-7:]])
        rate = spikes[:, end - STEPS * P : end].mean()
        assert 0.0 < rate and history["firing_rate"][epoch] == pytest.approx(rate, rel=1e-6)

    events = EventAccumulator(str(tmp_path / "stream"), size_guidance={"tensors": 0}).Reload()
    assert set(events.Tags()["tensors"]) == {"stream/words", "stream/word_error", "hidden/firing_rate", "hidden/spikes"}
    assert [event.step for event in events.Tensors("stream/words")] == [6, 10]  # every 5 pieces, two at once
    words = words_of(*(each[:, : 10 * P] for each in (outputs, classes, weights)))
    assert float(tf.make_ndarray(events.Tensors("stream/words")[1].tensor_proto)) == len(words)
    rate = float(tf.make_ndarray(events.Tensors("hidden/firing_rate")[1].tensor_proto))
    assert rate == pytest.approx(spikes[:, 6 * P : 10 * P].mean(), rel=1e-5)
    width, height, picture = tf.make_ndarray(events.Tensors("hidden/spikes")[1].tensor_proto)
    drawn = tf.io.decode_png(picture).numpy()[:, :, 0]
    scale = drawn.shape[1] // 11
    shown = drawn[drawn.shape[0] // 8 :: drawn.shape[0] // 4, scale // 2 :: scale] == 0
    np.testing.assert_array_equal(shown, spikes[0, 10 * P - 11 : 10 * P].T > 0)


@pytest.mark.slow
def test_training_is_the_same_where_weights_move(tmp_path):
    watched, alone = network(), network()
    train(watched, [kk.StreamMonitor(tmp_path)], validation_data=pieces().take(2))
    train(alone, validation_data=pieces().take(2))
    assert_same(everything(watched), everything(alone))


def test_units_without_spikes_have_an_activity(tmp_path):
    inputs = keras.Input(batch_shape=(B, P, I))
    x = kk.RNN(kk.LeakyRNNCell(4), "eprop", stateful=True, name="below")(inputs)
    x = kk.RNN(kk.LIFCell(5, base_threshold=0.2), "eprop", stateful=True, name="hidden")(x)
    model = kk.Model(inputs, kk.Readout(3, stateful=True)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=True)
    history = train(model, [kk.StreamMonitor(tmp_path, steps=11)], epochs=1, steps_per_epoch=2)

    sent = {}
    for name in ("below", "hidden"):
        for layer in ("below", "hidden"):
            model.get_layer(layer).reset_state()
        hear = keras.Model(inputs, model.get_layer(name).output)
        sent[name] = np.concatenate([hear(x) for x, *_ in pieces().take(2)], 1)
    assert history["mean_activity"] == [pytest.approx(np.abs(sent["below"]).mean(), rel=1e-5)]
    assert history["firing_rate"] == [pytest.approx(sent["hidden"].mean(), rel=1e-5)]
    events = EventAccumulator(str(tmp_path / "stream"), size_guidance={"tensors": 0}).Reload()
    tags = {name for name in events.Tags()["tensors"] if not name.startswith("stream/")}
    assert tags == {"below/mean_activity", "below/activity", "hidden/firing_rate", "hidden/spikes"}
    width, height, picture = tf.make_ndarray(events.Tensors("below/activity")[0].tensor_proto)
    drawn = tf.io.decode_png(picture).numpy().astype(int)
    shown = drawn[drawn.shape[0] // 8 :: drawn.shape[0] // 4, drawn.shape[1] // 22 :: drawn.shape[1] // 11]
    last = sent["below"][0, -11:].T
    strong = np.abs(last) > 0.1 * np.abs(last).max()
    np.testing.assert_array_equal(np.sign(shown[..., 0] - shown[..., 2])[strong], np.sign(last)[strong])
    assert {-1.0, 1.0} == set(np.sign(last)[strong])


def test_what_is_no_stream_of_classes_is_said(tmp_path):
    model = network(run_eagerly=True)
    with pytest.raises(ValueError, match="StreamMonitor needs kernl_keras.Model.fit to learn from a kernl_keras.data"):
        train(model, [kk.StreamMonitor(None)], x=pieces().map(lambda x, y, weight: (x, y)))
    with pytest.raises(ValueError, match="targets that are classes, integers .*; received float32"):
        train(model, [kk.StreamMonitor(None)], x=pieces().map(lambda x, y, weight: (x, tf.cast(y, "float32"), weight)))
    with pytest.raises(ValueError, match="steps_per_epoch must be a multiple of steps_per_execution, 3; received 4"):
        train(network(steps_per_execution=3), [kk.StreamMonitor(None)])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="log_dir must be a folder that can be written"):
        train(model, [kk.StreamMonitor(tmp_path / "file")])
