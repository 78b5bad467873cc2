"""What `Model.fit` looks at between the steps, and says in words."""

import math
import warnings

from ..keras_version import keras

SILENT, STILL = 0.9, 1e-3  # share of units without a spike; spikes a unit and step
FULL = 0.95  # share of the highest activity
RESTARTED = 0.1  # share of steps in which the perturbation started anew

MESSAGES = {
    "silent": "The network is silent: {silent:.0%} of the units sent nothing in a batch, and the mean activity was "
    "{rate:.2g} a step. Raise input_gain, recurrent_gain or the encoder's gain, or lower the threshold "
    "(base_threshold, adaptation_strength); see that the inputs are not all 0; lower the learning rate if it fell "
    "silent while it learned.",
    "saturated": "The network is saturated: the mean activity was {rate:.2g} a step, and {highest:.2g} is the highest "
    "that there is. Lower input_gain, recurrent_gain or the encoder's gain, or raise the threshold (base_threshold, "
    "adaptation_strength) or tau_ref; lower the learning rate or set global_clipnorm if it came while it learned.",
    "restarted": "M and gamma hear little: in {restarted:.0%} of the steps the perturbation exceeded max_perturbation "
    "and started anew. Lower recurrent_gain or surrogate_damping, or take the rule's perturbation='replica'.",
}


class Watch(keras.callbacks.Callback):
    """Stops at a batch that is not finite, or warns of those that were skipped; warns of networks out of range.

    Args:
        record: `nonfinite.Record`.
        layers: the `RNN` layers of the model.
    """

    def __init__(self, record, layers):
        super().__init__()
        self.record, self.layers = record, layers
        self._supports_tf_logs = True  # Keras 2 then does not copy the logs of every batch to NumPy
        self._said = set()

    def on_epoch_begin(self, epoch, logs=None):
        self.record.clear()
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        self.record.check(self._epoch)

    def on_epoch_end(self, epoch, logs=None):
        found = self.record.read()
        if found.skipped:
            self._say_skipped(found)
        if found.steps and found.skipped == found.steps:  # nothing was counted: no loss is not a loss of 0
            logs.update({name: math.nan for name in logs if not name.startswith(("val_", "skipped"))})
            return
        for word, message in out_of_range(logs, self.layers):
            if word not in self._said:  # once a fit
                self._said.add(word)
                warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _say_skipped(self, found):
        warnings.warn(
            f"{found.skipped} of {found.steps} batches of epoch {self._epoch} were skipped, the first at step "
            f"{found.step}: {found}. Nothing was learned of them. {found.advice} compile(on_nonfinite='stop') stops "
            "there.",
            RuntimeWarning,
            stacklevel=2,
        )


def out_of_range(logs, layers):
    """The keys of `MESSAGES` and the messages of whatever makes learning unlikely, by the means of an epoch.

    Args:
        logs: dict of what Keras logs.
        layers: the `RNN` layers.
    """
    names = ("firing_rate", "silent_units", "restarted_perturbations")
    if not layers or not all(name in logs for name in names):  # a `train_step` of one's own may leave them out
        return
    rate, silent, restarted = (float(logs[name]) for name in names)
    highest = sum(layer.cell.highest_activity for layer in layers) / len(layers)
    found = {
        "silent": silent > SILENT and rate < STILL,
        "saturated": rate > FULL * highest,
        "restarted": restarted > RESTARTED,
    }
    for word, happened in found.items():
        if happened:
            yield word, MESSAGES[word].format(silent=silent, rate=rate, highest=highest, restarted=restarted)


def with_callback(callback, callbacks):
    """What `fit` takes as `callbacks`, with one more, which comes before the others where they are a list."""
    if hasattr(callbacks, "append") and hasattr(callbacks, "callbacks"):  # Keras' own `CallbackList`
        kept = [each for each in callbacks.callbacks if not isinstance(each, Watch)]  # that of a `fit` before
        callbacks.callbacks[:] = kept
        callbacks.append(callback)
        return callbacks
    others = callbacks if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]
    return [callback, *others]
