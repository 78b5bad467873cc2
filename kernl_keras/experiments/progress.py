"""Keras' progress bar, short enough for a terminal: while an epoch runs, the loss and the metric alone."""

from ..keras_version import keras


class Progress(keras.callbacks.ProgbarLogger):
    """`ProgbarLogger` that leaves the other logs to the end of the epoch.

    Args:
        metric: name of the metric to show beside the loss.
    """

    def __init__(self, metric):
        super().__init__()
        self._shown = ("loss", metric)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, {name: value for name, value in (logs or {}).items() if name in self._shown})
