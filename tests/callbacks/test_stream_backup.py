"""Training on a stream that is interrupted, and goes on: the same bits as if nothing had been."""

import os

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.training.optimizers import LeastSquares
from kernl_keras.training.state import layer_states

from ..reference.tools import all_same
from ..training.compare import everything, states

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
    of_m = {"sensitivity_optimizer": keras.optimizers.RMSprop(0.01, momentum=0.5), "sensitivity_every": 2, **settings}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, weighted_metrics=["accuracy"], **of_m)
    return model


def pieces(skip=0, seed=0):
    settings = dict(every=7, answer=2, noise=0.1, piece=P, batch_size=B)
    return kk.data.stream(WORDS, CLASSES, **settings, seed=seed, skip_pieces=skip)


def learn(model, backup, epochs, steps=5, callbacks=(), **settings):
    """Trains to so many epochs, from the backup if there is one; returns the history."""
    settings |= {"steps_per_epoch": steps, "shuffle": False, "verbose": 0}
    if backup is None:
        return model.fit(pieces(), epochs=epochs, **settings).history
    settings |= {"initial_epoch": backup.epochs, "callbacks": [*callbacks, backup]}
    return model.fit(pieces(backup.pieces), epochs=epochs, **settings).history


def train(path=None, callbacks=(), validate=False, **settings):
    """Trains to four epochs, with a backup in a file if there is a path; returns the model and its history."""
    model, validation = network(**settings), {"validation_data": pieces(seed=9).take(3)} if validate else {}
    return model, learn(model, path and kk.StreamBackup(path), 4, STEPS, callbacks, **validation)


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


AT_ONCE = {"rule": "kernl", "sensitivity_optimizer": None, "steps_per_execution": 3, "validate": True}


@pytest.mark.parametrize("settings", [{}, AT_ONCE])
@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_bit(tmp_path, settings):
    """Stopped within an epoch, whose steps are made once more; validation on another stream leaves the states alone."""
    path, calls = tmp_path / "run" / "backup.npz", (2 * STEPS + 2) // settings.get("steps_per_execution", 1) + 1
    with pytest.raises(KeyboardInterrupt):
        train(path, callbacks=[Stop(calls, interrupt=True)], **settings)
    assert (kk.StreamBackup(path).epochs, kk.StreamBackup(path).pieces) == (2, 2 * STEPS)
    resumed, rest = train(path, **settings)
    whole, history = train(**settings)
    all_same(everything(whole), everything(resumed))
    assert {name: values[2:] for name, values in history.items()} == rest and len(rest["loss"]) == 2
    assert sum(map(np.any, states(resumed))) >= len(states(resumed)) - 3
    of_m = keras.optimizers.RMSprop if "sensitivity_optimizer" not in settings else LeastSquares
    assert isinstance(resumed.sensitivity_optimizer, of_m)


@pytest.mark.slow
def test_keras_backup_brings_back_all_but_the_states(tmp_path):
    """`BackupAndRestore` on a stream: exact, with both optimizers, but for the states, put back by hand."""
    left = []

    def stop(epoch, logs):
        if epoch == 2:
            left.extend(states(model))
            raise KeyboardInterrupt

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    settings = dict(epochs=4, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    model = network("kernl")
    with pytest.raises(KeyboardInterrupt):
        stopping = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
        model.fit(pieces(), callbacks=[backup(), stopping], **settings)
    resumed = network("kernl")
    for (_, state), value in zip(layer_states(resumed), left, strict=True):
        state.assign(value)
    resumed.fit(pieces(2 * STEPS), callbacks=[backup()], **settings)
    whole = network("kernl")
    whole.fit(pieces(), **settings)
    all_same(everything(whole), everything(resumed))


def simple(steps_per_execution=1, frozen=(), units=(3, 3)):
    """A stateful readout above a Dense layer, with plain gradient descent, which has no slots."""
    inputs = keras.Input(batch_shape=(B, P, I))
    below = keras.layers.Dense(units[0], name="below", trainable="below" not in frozen)(inputs)
    above = kk.Readout(units[1], stateful=True, name="above", trainable="above" not in frozen)(below)
    model = kk.Model(inputs, above)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    quick = {"run_eagerly": True} if steps_per_execution == 1 else {"jit_compile": False}
    model.compile(keras.optimizers.SGD(0.1), loss, steps_per_execution=steps_per_execution, **quick)
    return model


def save(path, model, epoch):
    """The backup that a callback of one's own writes at the end of an epoch."""
    callback = kk.StreamBackup(path)
    callback.set_model(model)
    callback.on_epoch_end(epoch)
    return callback


def test_a_kill_or_a_full_disk_while_the_file_is_written_leaves_the_one_before(tmp_path, monkeypatch, short_disk):
    path, model = tmp_path / "backup.npz", simple(units=(100, 100))
    backup = save(path, model, 0)
    before = path.read_bytes()
    message = r"backup\.npz cannot be written: File too large\. What was there before still is\.$"
    with short_disk(20_000), pytest.raises(OSError, match=message):
        backup.on_epoch_end(1)
    assert backup.epochs == 1 and [each.name for each in tmp_path.iterdir()] == ["backup.npz"]

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        backup.on_epoch_end(1)
    assert path.read_bytes() == before and kk.StreamBackup(path).epochs == 1


def test_what_does_not_fit_is_said(tmp_path):
    path, fresh = tmp_path / "backup.npz", kk.StreamBackup(tmp_path / "backup.npz")
    model = simple()
    save(path, model, 0)
    save(tmp_path / "frozen.npz", simple(frozen=["below"]), 0)
    not_built = kk.Model([keras.layers.Dense(3), kk.Readout(3, stateful=True)])
    not_built.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    other, frozen = network(), simple(frozen=["above"])
    before = everything(other) + everything(frozen)
    plain = keras.Sequential([keras.Input((P, I)), keras.layers.Dense(3)])
    saved, of_frozen = kk.StreamBackup(path), kk.StreamBackup(tmp_path / "frozen.npz")
    for refused, message in (
        (lambda: saved.restore(other), r"the model must be that of the backup .*backup.npz, which has \d+ variables"),
        (lambda: of_frozen.restore(frozen), "must train the same layers as that of the backup"),
        (lambda: saved.restore(plain), "StreamBackup needs a model that is a kernl_keras.Model"),
        (lambda: learn(not_built, saved, epochs=1), "StreamBackup needs a model that is built before it trains"),
        (lambda: kk.StreamBackup(tmp_path / "backup.h5"), "path must end in .npz; received .*backup.h5"),
    ):
        with pytest.raises(ValueError, match=message):
            refused()
    all_same(before, everything(other) + everything(frozen))
    learn(model, kk.StreamBackup(path), epochs=2)
    fresh.set_model(simple())
    with pytest.raises(ValueError, match="must not change between StreamBackup.*had 0 pieces, and now has 5"):
        fresh.on_train_begin()
    path.write_bytes(path.read_bytes()[:100])
    np.savez(tmp_path / "many.npz", epochs="many")
    for name, message in (("backup.npz", "cannot be read: .*"), ("many.npz", "is no backup of a stream: .*")):
        with pytest.raises(OSError, match=f"{name} {message} Remove it to begin anew"):
            kk.StreamBackup(tmp_path / name)


def test_pieces_are_counted_that_were_learned(tmp_path):
    """Five steps an epoch, two in a call: Keras 3 makes six."""
    model, backup = simple(steps_per_execution=2), kk.StreamBackup(tmp_path / "backup.npz")
    learn(model, backup, epochs=2)
    assert backup.pieces == int(model.optimizer.iterations) == (12 if IS_KERAS_3 else 10)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_the_last_call_of_an_epoch_may_be_short(tmp_path):
    """Ten pieces, four in a call."""
    model, backup = simple(steps_per_execution=4), kk.StreamBackup(tmp_path / "backup.npz")
    model.fit(pieces().take(10), callbacks=[backup], shuffle=False, verbose=0)
    assert backup.pieces == int(model.optimizer.iterations) == 10


class Halve(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        for optimizer in (self.model.optimizer, self.model.sensitivity_optimizer):
            optimizer.learning_rate.assign(optimizer.learning_rate / 2.0)


def test_learning_rates_that_a_callback_sets_and_bfloat16_come_back(tmp_path):
    def made():
        keras.utils.set_random_seed(3)
        inputs = keras.Input(batch_shape=(B, P, I))
        x = keras.layers.Dense(3, dtype="bfloat16")(inputs)
        model = kk.Model(inputs, kk.Readout(3, stateful=True)(kk.RNN(kk.LeakyRNNCell(4), seed=1, stateful=True)(x)))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        rates = keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25)
        model.compile(rates[0], loss, sensitivity_optimizer=rates[1], run_eagerly=True)
        return model

    first, again = made(), made()
    path = tmp_path / "backup.npz"
    learn(first, kk.StreamBackup(path), 2, callbacks=[Halve()])
    kk.StreamBackup(path).restore(again)
    all_same(everything(again), everything(first))
    for optimizers, rate in (
        ((first.optimizer, again.optimizer), 0.125),
        ((first.sensitivity_optimizer, again.sensitivity_optimizer), 0.0625),
    ):
        assert [float(each.learning_rate) for each in optimizers] == [rate] * 2


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_an_epoch_that_ends_early(tmp_path):
    """As a callback wants it, or because the data, of unknown size, are at their end."""
    model, backup = simple(), kk.StreamBackup(tmp_path / "backup.npz")
    learn(model, backup, epochs=3, callbacks=[Stop(after=7)])
    assert backup.pieces == int(model.optimizer.iterations) == 7 and backup.epochs == 2
    assert kk.StreamBackup(backup.path).pieces == 7
    data = tf.data.Dataset.from_generator(lambda: iter(pieces().take(4)), output_signature=pieces().element_spec)
    model.fit(data, epochs=1, callbacks=[backup], shuffle=False, verbose=0)
    assert backup.pieces == 11


def test_the_same_objects_go_on_after_an_interrupt(tmp_path):
    """The pieces of the epoch that was interrupted are learned once; and another model is given what the file holds."""
    whole = simple()
    start, backup = whole.get_weights(), kk.StreamBackup(tmp_path / "whole.npz")
    backup.restore(whole)  # there is no file yet
    learn(whole, backup, epochs=3, steps=2)
    model, backup = simple(), kk.StreamBackup(tmp_path / "backup.npz")
    model.set_weights(start)
    with pytest.raises(KeyboardInterrupt):
        learn(model, backup, epochs=3, steps=2, callbacks=[Stop(after=3, interrupt=True)])
    assert (backup.epochs, backup.pieces) == (1, 2)
    learn(model, backup, epochs=3, steps=2)
    assert int(model.optimizer.iterations) == backup.pieces == 6
    all_same(everything(whole), everything(model))
    other = simple()
    kk.StreamBackup(backup.path).restore(other)
    all_same(everything(model), everything(other))


@pytest.mark.slow
def test_a_model_that_is_built_after_it_is_compiled(tmp_path):
    backup = kk.StreamBackup(tmp_path / "backup.npz")
    for epochs in (1, 2):
        model = kk.Model([kk.RNN(kk.LeakyRNNCell(3, tau=5.0), "eprop", stateful=True), kk.Readout(3, stateful=True)])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model(np.zeros((B, P, I), "float32"))
        learn(model, backup, epochs=epochs)
    assert int(model.optimizer.iterations) == backup.pieces == 10
