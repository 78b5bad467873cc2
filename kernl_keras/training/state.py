"""Looking at a model without moving it."""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def state_kept(model):
    """Puts back, at the end, what a call moves besides the weights.

    That is the untrained variables (the counters of the noise, running statistics, the states of stateful layers), the
    seeds of Keras' generators, and the metrics. It works eagerly and inside a `tf.function`.

    Args:
        model: built Keras model.
    """
    variables = [*model.non_trainable_variables, *(v for metric in model.metrics for v in metric.variables)]
    before = [tf.identity(variable) for variable in variables]
    yield
    for variable, value in zip(variables, before):
        variable.assign(value)
