"""What a step moves besides the weights, and putting it back."""

import contextlib
import itertools

import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras
from ..layers.stateful import StatefulLayer
from ..replicas import under_strategy
from .scaling import optimizer_variables
from .updates import where


def lasting(model, metrics=True):
    """What a call of a model moves besides its weights, a list of variables.

    That is the untrained variables (the counters of the noise, running statistics, the seeds of Keras' generators), the
    states of stateful layers, and, if `metrics`, those.
    """
    states = [variable for _, variable in layer_states(model)]  # Keras 3 does not count them among the variables
    return [*model.non_trainable_variables, *states, *(metric_variables(model) if metrics else [])]


def moved(model):
    """All that training moves, a list: the trained weights, what lasts, and the variables of both optimizers."""
    of_optimizers = map(optimizer_variables, (model.optimizer, model.sensitivity_optimizer))
    return [*model.trainable_variables, *lasting(model, metrics=False), *itertools.chain(*of_optimizers)]


def layer_states(model):
    """`(layer, variable)` of the states that stateful layers have by now."""
    kinds = keras.layers.RNN, StatefulLayer
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, kinds) and layer.stateful]
    return [(layer, state) for layer in layers for state in tf.nest.flatten(layer.states) if state is not None]


def metric_variables(model):
    """The variables of all metrics, as far as they exist."""
    return [variable for metric in model.metrics for variable in metric.variables]


class Kept:
    """The values of some variables, which can be put back. It works eagerly and inside a `tf.function`."""

    def __init__(self, variables=()):
        self.before = {}  # {id: (variable, its value)}
        self.add(variables)

    def add(self, variables):
        """Keeps the values of those that are not kept yet."""
        for variable in variables:
            if id(variable) not in self.before:
                self.before[id(variable)] = variable, tf.identity(variable)

    def put_back(self, condition=True):
        """Sets all of them as they were, where the scalar bool `condition` holds; it is the same on all replicas."""
        if not self.before:
            return
        variables, values = zip(*self.before.values())
        if under_strategy():
            tf.distribute.get_replica_context().merge_call(self._put_back_on_all, args=(condition, *values))
        else:
            where(condition, lambda: [variable.assign(value) for variable, value in zip(variables, values)])

    def _put_back_on_all(self, strategy, condition, *values):
        """Each replica's part of a variable by that replica's value."""
        variables = [variable for variable, _ in self.before.values()]

        def put():
            for variable, value in zip(variables, values):
                own = variable.value if IS_KERAS_3 and isinstance(variable, keras.Variable) else variable
                strategy.extended.update(own, lambda each, value: each.assign(value), args=(value,))

        where(strategy.experimental_local_results(condition)[0], put)


@contextlib.contextmanager
def finite_goes_on(model):
    """Within, one call of a model that does not learn. A row of the batch goes on if all of its new states are finite.

    If not, it keeps the states that it had before, in all layers. What has no rows, such as a count of steps, goes on
    if any row does.
    """
    before = {id(state): tf.identity(state) for _, state in layer_states(model)}
    yield
    states = [state for _, state in layer_states(model)]  # a first call makes them
    good = finite_rows(states)
    for state in states:
        new = tf.convert_to_tensor(state)
        of_rows = tf.reshape(good, (-1, *[1] * (new.shape.rank - 1))) if new.shape.rank else tf.reduce_any(good)
        state.assign(tf.where(of_rows, new, before.get(id(state), tf.zeros_like(new))))


def finite_rows(states):
    """Of which rows all states are finite, bool [B]; [1] where the states differ in their number of rows."""
    of_each = [
        tf.reduce_all(tf.math.is_finite(state), tuple(range(1, state.shape.rank)))
        for state in map(tf.convert_to_tensor, states)
        if state.dtype.is_floating and state.shape.rank
    ]
    if len({each.shape[0] for each in of_each}) != 1:
        of_each = [tf.reduce_all([True, *map(tf.reduce_all, of_each)], keepdims=True)]
    return tf.reduce_all(tf.stack(of_each), 0)


@contextlib.contextmanager
def fresh_states(model):
    """Within, the stateful layers begin new sequences; at the end their states are as they were.

    Args:
        model: Keras model.
    """
    states = [state for _, state in layer_states(model)]
    kept = Kept(states)
    for state in states:
        state.assign(tf.zeros_like(state))
    try:
        yield
    finally:
        kept.put_back()


@contextlib.contextmanager
def state_kept(model):
    """Puts back, at the end, what a call moves besides the weights.

    Args:
        model: built Keras model.
    """
    kept = Kept(lasting(model))
    try:
        yield
    finally:
        kept.put_back()
