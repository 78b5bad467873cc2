"""Training on a stream that is interrupted, and goes on: the same bits as if nothing had been."""

import os

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
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


def train(path=None, epochs=4, callbacks=(), validation_data=None, **settings):
    """Trains to so many epochs, from the backup if there is one; returns the model and its history."""
    model, backup = network(**settings), None if path is None else kk.StreamBackup(path)
    history = model.fit(
        pieces(backup.pieces if backup else 0),
        initial_epoch=backup.epochs if backup else 0,
        epochs=epochs,
        steps_per_epoch=STEPS,
        validation_data=validation_data,
        callbacks=[*([backup] if backup else []), *callbacks],
        shuffle=False,
        verbose=0,
    ).history
    return model, history


def everything(model):
    states = [state for _, state in layer_states(model)]
    optimizers = [variable for each in (model.optimizer, model.sensitivity_optimizer) for variable in each.variables]
    return [np.asarray(tf.convert_to_tensor(each)) for each in (*model.weights, *states, *optimizers)]


SLOW = {"rule": "kernl", "steps_per_execution": 3, "validation_data": pieces(seed=9).take(3)}


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
    for one, other in zip(everything(whole), everything(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
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
    for one, other in zip(everything(whole), everything(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_kill_while_the_file_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "backup.npz"
    callback = kk.StreamBackup(path)
    callback.set_model(network())
    callback.set_params({"steps": STEPS})
    callback.on_epoch_end(0)
    before = path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    callback = kk.StreamBackup(path)
    callback.set_model(network())
    callback.set_params({"steps": STEPS})
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        callback.on_epoch_end(1)
    assert path.read_bytes() == before and kk.StreamBackup(path).epochs == 1


def test_what_does_not_fit_is_said(tmp_path):
    with pytest.raises(ValueError, match="path must end in .npz; received 'backup.h5'"):
        kk.StreamBackup("backup.h5")
    path = tmp_path / "backup.npz"
    inputs = keras.Input(batch_shape=(B, P, I))
    model = kk.Model(inputs, kk.Readout(3, stateful=True)(inputs))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = kk.StreamBackup(path)
    callback.set_model(model)
    callback.set_params({"steps": 1})
    callback.on_epoch_end(0)
    other, callback = network(), kk.StreamBackup(path)
    before = everything(other)
    callback.set_model(other)
    with pytest.raises(ValueError, match=r"the model must be that of the backup .*backup.npz, which has \d+ variables"):
        callback.on_train_begin()
    for one, another in zip(before, everything(other), strict=True):
        np.testing.assert_array_equal(one, another)
    callback.set_model(keras.Sequential([keras.Input((P, I)), keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="StreamBackup needs a model that is a kernl_keras.Model"):
        callback.on_train_begin()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(OSError, match="backup.npz cannot be read: .* Remove it to begin anew"):
        kk.StreamBackup(path)
    np.savez(path, epochs="many")
    with pytest.raises(OSError, match="backup.npz is no backup of a stream: .* Remove it to begin anew"):
        kk.StreamBackup(path)
