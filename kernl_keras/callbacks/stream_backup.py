"""`StreamBackup`: a file from which training on a stream continues after a process was killed."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from ..archives import read_arrays
from ..keras_version import keras
from ..training.model import Model
from ..training.optimizers import build_optimizers
from ..training.state import moved
from ..whole_files import whole


class StreamBackup(keras.callbacks.Callback):
    """Keeps a file from which training on a stream continues exactly as if it had never stopped.

    After every epoch it writes the weights, the variables of both optimizers, the counters of the noise, and the states
    and traces of stateful layers, which no saved model has, nor the backup of `keras.callbacks.BackupAndRestore`. It
    also writes the numbers of epochs and pieces so far, from which `fit` and the stream continue, as in the example. If
    the file exists, training begins from it. It is replaced whole or not at all: after a kill it is that of the epoch
    before. Keras 2's `Dropout` continues with other random numbers, because its generator cannot be read.

    Args:
        path: path of the file, which ends in `.npz`; its folder is made if need be.

    Attributes:
        epochs, pieces: int, the numbers of epochs and pieces in the backup; 0 without one.

    Raises:
        ValueError: for a path that does not end in `.npz`, and, when training begins, for a model that is no
            `kk.Model`, is not built, or is another than that of the backup, and where another program has replaced the
            file.
        OSError: where the file is damaged, or cannot be written.

    Example:

    >>> import tempfile
    >>> import kernl_keras as kk
    >>> from kernl_keras.keras_version import keras
    >>> inputs = keras.Input(batch_shape=(2, 10, 1))
    >>> model = kk.Model(inputs, kk.Readout(3, stateful=True)(inputs))
    >>> model.compile("sgd", "mse")
    >>> words, targets = [[[1.0], [1.0]], [[2.0], [2.0]]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    >>> path, settings = tempfile.mkdtemp() + "/backup.npz", dict(steps_per_epoch=5, verbose=0)
    >>> for epochs in (1, 3):  # the second time as after a kill
    ...     backup = kk.StreamBackup(path)
    ...     pieces = kk.data.stream(words, targets, piece=10, batch_size=2, skip_pieces=backup.pieces)
    ...     _ = model.fit(pieces, epochs=epochs, initial_epoch=backup.epochs, callbacks=[backup], **settings)
    ...     print(backup.epochs, backup.pieces)
    1 5
    3 15

    Source: `keras.callbacks.BackupAndRestore`, which does this for models without states.
    """

    _kind, _advice = "stream", "Remove it to begin anew."  # for messages, in which a subclass has its own

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = pathlib.Path(path)
        if self.path.suffix != ".npz":
            raise ValueError(f"path must end in .npz; received {str(path)!r}.")
        self.epochs, self.pieces, self._texts, _ = self._read()

    def restore(self, model: Model) -> None:
        """Loads the backup into a model, built and compiled as that of the backup; does nothing without a file.

        `fit` does so when it begins. Use it for a model that has finished training.

        Raises:
            ValueError: as for the class.
        """
        if not isinstance(model, Model):
            raise ValueError(f"StreamBackup needs a model that is a kernl_keras.Model; received {model!r}.")
        if not all(layer.built for layer in model._flatten_layers()):
            raise ValueError(
                "StreamBackup needs a model that is built before it trains, as one that begins with keras.Input, or "
                f"was called once; received {model!r}."
            )
        build_optimizers(model)
        epochs, pieces, _, saved = self._read()
        if (epochs, pieces) != (self.epochs, self.pieces):
            raise ValueError(
                f"{self.path} must not change between StreamBackup(path) and the training; it had {self.pieces} "
                f"pieces, and now has {pieces}."
            )
        if saved:
            self._assign(model, saved)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.restore(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._write(self.model, epoch + 1, self._heard())

    def _heard(self):
        """The pieces so far. Keras' last execution of an epoch may be shorter than it counts, so the model tells."""
        return self.pieces + self.model._nonfinite.read().steps

    def _write(self, model, epochs, pieces):
        """Writes the file: numbers of epochs and pieces, `_texts`, and variables."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        values = {name: _array(variable) for name, variable in _moved_variables(model).items()}
        facts = {"epochs": epochs, "pieces": pieces, "trained": _trained_layers(model), **self._texts}
        with whole(self.path) as part:
            np.savez(part, **facts, **values)
        self.epochs, self.pieces = epochs, pieces

    def _read(self):
        """`(epochs, pieces, {name: text}, {name: other array})` of the file; zeros and empty without one."""
        saved = read_arrays(self.path, self._advice) if self.path.is_file() else {}
        try:
            epochs, pieces = (int(saved.pop(name, 0)) for name in ("epochs", "pieces"))
        except (TypeError, ValueError) as error:
            raise OSError(f"{self.path} is no backup of a {self._kind}: {error}. {self._advice}") from error
        texts = {name: str(saved.pop(name)) for name in list(saved) if saved[name].dtype.kind == "U"}
        return epochs, pieces, texts, saved

    def _assign(self, model, saved):
        """Sets all variables; raises a ValueError, and sets none, if one does not fit."""
        variables, trained = _moved_variables(model), saved.pop("trained", None)
        ours = {name: _form(_array(variable)) for name, variable in variables.items()}
        theirs = {name: _form(array) for name, array in saved.items()}
        for name in {**ours, **theirs}:
            if ours.get(name) != theirs.get(name):
                raise ValueError(
                    f"the model must be that of the backup {self.path}, which has {len(saved)} variables; received one "
                    f"with {len(ours)}, or with other shapes: number {name} is {theirs.get(name, 'missing')} in the "
                    f"backup and {ours.get(name, 'missing')} in the model."
                )
        if not np.array_equal(trained, _trained_layers(model)):  # their variables would have other places
            raise ValueError(
                f"the model must train the same layers as that of the backup {self.path}; some layer that is trained "
                "in one is frozen in the other (`trainable`)."
            )
        for name, variable in variables.items():
            variable.assign(tf.cast(saved[name], variable.dtype))


def _array(variable):
    """The value of a variable as NumPy's files have it: bfloat16 as float32, which holds each of its numbers."""
    value = variable.numpy()
    return value.astype(np.float32) if value.dtype.name == "bfloat16" else value


def _form(array):
    return f"{array.dtype} {list(array.shape)}"


def _moved_variables(model):
    """All variables that training changes, by their number: Keras' names differ from process to process."""
    return {f"{place:04d}": variable for place, variable in enumerate(moved(model))}


def _trained_layers(model):
    """True for each layer that is trained, in order, a bool array."""
    return np.array([layer.trainable for layer in model._flatten_layers()])
