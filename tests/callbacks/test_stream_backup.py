"""Training on a stream that is interrupted, and goes on: the same bits as if nothing had been."""

import os

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.training.state import layer_states

B, P, I, STEPS = 2, 8, 3, 6  # noqa: E741
WORDS = np.random.default_rng(0).normal(1.0, 1.0, (5, 4, I))
CLASSES = np.arange(5) % 3


def network(rule="rflo", **settings):
    """Stateful throughout, with noise, momentum and, if there is one, an M that rests in every other step."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input(batch_shape=(B, P, I))
    x = kk.SpikeEncoder(2, stateful=True)(inputs)
    x = kk.RNN(kk.LeakyRNNCell(4, tau=9.0), rule, seed=1, stateful=True)(x)
    model = kk.Model(inputs, kk.Readout(3, stateful=True)(x))
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
        sensitivity_optimizer=keras.optimizers.RMSprop(0.01, momentum=0.5),
        sensitivity_every=2,
        **settings,
    )
    return model


def pieces(skip=0, seed=0):
    return kk.data.stream(
        WORDS, CLASSES, every=7, answer=2, noise=0.1, piece=P, batch_size=B, seed=seed, skip_pieces=skip
    )


def train(path=None, epochs=4, callbacks=(), validate=False, **settings):
    """Trains to so many epochs, from the backup if there is one; returns the model and its history."""
    model, backup = network(**settings), None if path is None else kk.StreamBackup(path)
    history = model.fit(
        pieces(backup.pieces if backup else 0),
        initial_epoch=backup.epochs if backup else 0,
        epochs=epochs,
        steps_per_epoch=STEPS,
        validation_data=pieces(seed=9).take(3) if validate else None,
        callbacks=[*([backup] if backup else []), *callbacks],
        shuffle=False,
        verbose=0,
    ).history
    return model, history


def everything(model):
    """All that a model and its optimizers hold, and its states."""
    optimizers = [each for each in (model.optimizer, model.sensitivity_optimizer) if each is not None]
    variables = [variable for each in optimizers for variable in each.variables]
    states = [state for _, state in layer_states(model)]
    return [np.asarray(tf.convert_to_tensor(each)) for each in (*model.weights, *states, *variables)]


def assert_same(one, other):
    for value, another in zip(one, other, strict=True):
        np.testing.assert_array_equal(value, another)


SLOW = {"rule": "kernl", "steps_per_execution": 3, "validate": True}


@pytest.mark.parametrize("settings", [{}, pytest.param(SLOW, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_bit(tmp_path, settings):
    """Stopped within an epoch, whose steps are made once more; validation on another stream leaves the states alone."""
    path, seen = tmp_path / "run" / "backup.npz", []

    def stop(batch, logs):
        seen.append(batch)
        if len(seen) * settings.get("steps_per_execution", 1) > 2 * STEPS + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(path, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=stop)], **settings)
    assert (kk.StreamBackup(path).epochs, kk.StreamBackup(path).pieces) == (2, 2 * STEPS)
    resumed, rest = train(path, **settings)
    whole, history = train(**settings)
    assert_same(everything(whole), everything(resumed))
    assert {name: values[2:] for name, values in history.items()} == rest and len(rest["loss"]) == 2
    states = [state.numpy() for _, state in layer_states(resumed)]
    assert sum(np.any(state) for state in states) >= len(states) - 3


@pytest.mark.slow
def test_keras_backup_brings_back_all_but_the_states(tmp_path):
    """`BackupAndRestore` on a stream: exact where the states are put back by hand, which it does not keep."""
    left = []

    def stop(epoch, logs):
        if epoch == 2:
            left.extend(state.numpy() for _, state in layer_states(model))
            raise KeyboardInterrupt

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    settings = dict(epochs=4, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    model = network()
    with pytest.raises(KeyboardInterrupt):
        stopping = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
        model.fit(pieces(), callbacks=[backup(), stopping], **settings)
    resumed = network()
    for (_, state), value in zip(layer_states(resumed), left, strict=True):
        state.assign(value)
    resumed.fit(pieces(2 * STEPS), callbacks=[backup()], **settings)
    whole = network()
    whole.fit(pieces(), **settings)
    assert_same(everything(whole), everything(resumed))


def save(path, model, epoch):
    """The backup that a callback of one's own writes at the end of an epoch."""
    callback = kk.StreamBackup(path)
    callback.set_model(model)
    callback.on_epoch_end(epoch)
    return callback


def test_a_kill_while_the_file_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "backup.npz"
    model = simple()
    save(path, model, 0)
    before = path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(path, model, 1)
    assert path.read_bytes() == before and kk.StreamBackup(path).epochs == 1


def test_a_full_disk_leaves_the_backup_before_and_nothing_else(tmp_path, short_disk):
    path, model = tmp_path / "backup.npz", simple(units=(100, 100))
    backup = save(path, model, 0)
    before = path.read_bytes()
    message = r"backup\.npz cannot be written: File too large\. What was there before still is\.$"
    with short_disk(20_000), pytest.raises(OSError, match=message):
        backup.on_epoch_end(1)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["backup.npz"]
    assert backup.epochs == 1


def test_what_does_not_fit_is_said(tmp_path):
    path = tmp_path / "backup.npz"
    save(path, simple(), 0)
    other, callback = network(), kk.StreamBackup(path)
    before = everything(other)
    callback.set_model(other)
    with pytest.raises(ValueError, match=r"the model must be that of the backup .*backup.npz, which has \d+ variables"):
        callback.on_train_begin()
    assert_same(before, everything(other))
    callback.set_model(keras.Sequential([keras.Input((P, I)), keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="StreamBackup needs a model that is a kernl_keras.Model"):
        callback.on_train_begin()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(OSError, match="backup.npz cannot be read: .* Remove it to begin anew"):
        kk.StreamBackup(path)
    np.savez(path, epochs="many")
    with pytest.raises(OSError, match="backup.npz is no backup of a stream: .* Remove it to begin anew"):
        kk.StreamBackup(path)


def simple(steps_per_execution=1, frozen=(), units=(3, 3)):
    """A stateful readout above a Dense layer, with plain gradient descent, which has no slots."""
    inputs = keras.Input(batch_shape=(B, P, I))
    below = keras.layers.Dense(units[0], name="below", trainable="below" not in frozen)(inputs)
    above = kk.Readout(units[1], stateful=True, name="above", trainable="above" not in frozen)(below)
    model = kk.Model(inputs, above)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    eagerly = steps_per_execution == 1  # which saves the tracing
    model.compile(keras.optimizers.SGD(0.1), loss, steps_per_execution=steps_per_execution, run_eagerly=eagerly)
    return model


def learn(model, backup, epochs, steps=5, callbacks=(), seed=0):
    model.fit(
        pieces(backup.pieces, seed),
        initial_epoch=backup.epochs,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=[*callbacks, backup],
        shuffle=False,
        verbose=0,
    )


class Stop(keras.callbacks.Callback):
    """Stops after so many calls of the training function, or has them interrupted."""

    def __init__(self, after, interrupt=False):
        super().__init__()
        self.left, self.interrupt = after, interrupt

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0 and self.interrupt:
            raise KeyboardInterrupt
        self.model.stop_training = self.left == 0


def test_pieces_are_counted_that_were_learned(tmp_path):
    """Five steps an epoch, two in a call: Keras 3 makes six."""
    model, backup = simple(steps_per_execution=2), kk.StreamBackup(tmp_path / "backup.npz")
    learn(model, backup, epochs=2)
    assert backup.pieces == int(model.optimizer.iterations) == (12 if IS_KERAS_3 else 10)


def test_an_epoch_that_ends_early(tmp_path):
    model, backup = simple(), kk.StreamBackup(tmp_path / "backup.npz")
    learn(model, backup, epochs=3, callbacks=[Stop(after=7)])
    assert backup.pieces == int(model.optimizer.iterations) == 7 and backup.epochs == 2
    assert kk.StreamBackup(backup.path).pieces == 7


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_data_of_unknown_size(tmp_path):
    backup = kk.StreamBackup(tmp_path / "backup.npz")
    data = tf.data.Dataset.from_generator(lambda: iter(pieces().take(4)), output_signature=pieces().element_spec)
    simple().fit(data, epochs=1, callbacks=[backup], shuffle=False, verbose=0)
    assert backup.pieces == 4


def test_the_same_objects_go_on_after_an_interrupt(tmp_path):
    """The pieces of the epoch that was interrupted are learned once."""
    whole = simple()
    start, backup = whole.get_weights(), kk.StreamBackup(tmp_path / "whole.npz")
    learn(whole, backup, epochs=3)
    model, backup = simple(), kk.StreamBackup(tmp_path / "backup.npz")
    model.set_weights(start)
    with pytest.raises(KeyboardInterrupt):
        learn(model, backup, epochs=3, callbacks=[Stop(after=7, interrupt=True)])
    assert (backup.epochs, backup.pieces) == (1, 5)
    learn(model, backup, epochs=3)
    assert int(model.optimizer.iterations) == backup.pieces == 15
    assert_same(everything(whole), everything(model))


def test_a_model_that_learns_no_more_is_given_what_the_file_holds(tmp_path):
    model, backup = simple(), kk.StreamBackup(tmp_path / "backup.npz")
    backup.restore(model)  # there is no file yet
    learn(model, backup, epochs=1)
    other = simple()
    kk.StreamBackup(backup.path).restore(other)
    assert_same(everything(model), everything(other))
    assert int(other.optimizer.iterations) == 5


def test_a_model_that_is_not_built(tmp_path):
    model = kk.Model([kk.RNN(kk.LeakyRNNCell(3, tau=5.0), "eprop", stateful=True), kk.Readout(3, stateful=True)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    backup = kk.StreamBackup(tmp_path / "backup.npz")
    with pytest.raises(ValueError, match="StreamBackup needs a model that is built before it trains"):
        learn(model, backup, epochs=1)
    assert not backup.path.exists()


@pytest.mark.slow
def test_a_model_that_is_built_after_it_is_compiled(tmp_path):
    backup = kk.StreamBackup(tmp_path / "backup.npz")
    for epochs in (1, 2):
        model = kk.Model([kk.RNN(kk.LeakyRNNCell(3, tau=5.0), "eprop", stateful=True), kk.Readout(3, stateful=True)])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model(np.zeros((B, P, I), "float32"))
        learn(model, backup, epochs=epochs)
    assert int(model.optimizer.iterations) == backup.pieces == 10


def test_other_layers_are_frozen(tmp_path):
    backup = kk.StreamBackup(tmp_path / "backup.npz")
    learn(simple(frozen=["below"]), backup, epochs=1)
    model = simple(frozen=["above"])
    before = model.get_weights()
    with pytest.raises(ValueError, match="must train the same layers as that of the backup"):
        learn(model, kk.StreamBackup(backup.path), epochs=2)
    assert_same(before, model.get_weights())


def test_a_file_that_another_program_replaced(tmp_path):
    backup = kk.StreamBackup(tmp_path / "backup.npz")
    learn(simple(), kk.StreamBackup(backup.path), epochs=1)
    with pytest.raises(ValueError, match="must not change between StreamBackup.*had 0 pieces, and now has 5"):
        learn(simple(), backup, epochs=1)
