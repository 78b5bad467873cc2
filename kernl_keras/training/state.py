"""Looking at a model without moving it."""

import contextlib

import tensorflow as tf

from ..keras_version import keras


@contextlib.contextmanager
def state_kept(model):
    """Puts back, at the end, what a call moves besides the weights.

    That is the untrained variables (the counters of the noise, running statistics, the seeds of Keras' generators), the
    states of stateful layers, and the metrics. It works eagerly and inside a `tf.function`.

    Args:
        model: built Keras model.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN) and layer.stateful]
    states = tf.nest.flatten([layer.states for layer in layers])  # Keras 3 does not count them among the variables
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    variables = [*model.non_trainable_variables, *states, *metrics]
    before = [tf.identity(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before):
            variable.assign(value)
