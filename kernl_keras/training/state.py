"""The variables that a step changes besides the weights, and how they are put back."""

import contextlib

import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras
from ..layers.stateful import StatefulLayer
from ..replicas import act_if
from .optimizers import optimizer_variables


def lasting(model, metrics=True):
    """What a call of a model changes besides its weights: untrained variables, such as the counters of the noise,
    states of stateful layers, and, if `metrics`, the variables of the metrics that exist."""
    states = [variable for _, variable in layer_states(model)]  # Keras 3 does not count them among the variables
    counted = [variable for metric in model.metrics for variable in metric.variables] if metrics else []
    return [*model.non_trainable_variables, *states, *counted]


def moved(model):
    """All variables that training, or a callback, changes: trained weights, `lasting`, those of both optimizers."""
    variables = [*model.trainable_variables, *lasting(model, metrics=False)]
    for optimizer in (model.optimizer, model.sensitivity_optimizer):
        variables += optimizer_variables(optimizer)
        rate = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_learning_rate", None)
        if not IS_KERAS_3 and isinstance(rate, tf.Variable):  # Keras 2 does not count it among the variables
            variables.append(rate)
    return variables


def layer_states(model):
    """`(layer, variable)` for each state that stateful layers have by now."""
    kinds = keras.layers.RNN, StatefulLayer
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, kinds) and layer.stateful]
    return [(layer, state) for layer in layers for state in tf.nest.flatten(layer.states) if state is not None]


class Kept:
    """The values of some variables, to put back later, or at the end of a `with`; eagerly or in a `tf.function`."""

    def __init__(self, variables):
        self.before = {}  # {id: (variable, its value)}
        self.add(variables)

    def add(self, variables):
        """Keeps the values of variables that are not kept yet."""
        for variable in variables:
            if id(variable) not in self.before:
                self.before[id(variable)] = variable, tf.identity(variable)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.put_back()

    def put_back(self, condition=True):
        """Sets all variables as they were, if the scalar bool `condition` holds, the same on all replicas."""

        def put(strategy, *values):
            for (variable, _), value in zip(self.before.values(), values):
                if strategy is None:
                    variable.assign(value)
                else:  # each replica's part of a variable by that replica's value
                    own = variable.value if IS_KERAS_3 and isinstance(variable, keras.Variable) else variable
                    strategy.extended.update(own, lambda part, value: part.assign(value), args=(value,))

        if self.before:
            act_if(condition, put, *(value for _, value in self.before.values()))


def begin_anew(model):
    """Sets all states of stateful layers to zero."""
    for _, state in layer_states(model):
        state.assign(tf.zeros_like(state))


@contextlib.contextmanager
def fresh_states(model):
    """Within, the stateful layers begin new sequences; at the end their states are as they were."""
    with Kept(state for _, state in layer_states(model)):
        begin_anew(model)
        yield


@contextlib.contextmanager
def finite_goes_on(model):
    """Around a call of a model that does not learn: rows whose new states are not finite get back their old ones.

    A state without rows is new if any row is. If states differ in their number of rows, all rows are new or none.
    """
    before = {id(state): tf.identity(state) for _, state in layer_states(model)}
    yield
    states = [state for _, state in layer_states(model)]  # a first call makes them
    finite = [
        tf.reduce_all(tf.math.is_finite(state), tuple(range(1, state.shape.rank)))
        for state in map(tf.convert_to_tensor, states)
        if state.dtype.is_floating and state.shape.rank
    ]
    if len({rows.shape[0] for rows in finite}) != 1:
        finite = [tf.reduce_all([True, *map(tf.reduce_all, finite)], keepdims=True)]
    good = tf.reduce_all(tf.stack(finite), 0)  # [B] or [1]
    for state in states:
        new = tf.convert_to_tensor(state)
        kept = tf.reshape(good, (-1, *[1] * (new.shape.rank - 1))) if new.shape.rank else tf.reduce_any(good)
        state.assign(tf.where(kept, new, before.get(id(state), tf.zeros_like(new))))
