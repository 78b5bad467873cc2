"""The variables that a learner keeps, by name: the same names in every process, and in Keras 3 and Keras 2."""

import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras, short_name
from ..layers.encoder import SpikeEncoder
from ..layers.names import distinct, layer_names
from ..training.state import layer_states
from .chain import chain

# Attributes of Keras' optimizers that hold no variables of their own; the last is made anew at every step.
NOT_OWN = ("_variables", "_trainable_variables", "_current_learning_rate")


def grouped(network):
    """All variables of a learning network by group and name, as of `Learner.tensors`."""
    layers = chain(network, each_step=True)
    names = dict(zip(map(id, layers), layer_names(layers)))
    groups = learned(layers, network.optimizer, network.trainable_variables) | {"states": {}, "traces": {}}
    taken = {name for group in groups.values() for name in group}
    numbers: dict[int, int] = {}
    for layer, state in layer_states(network):
        number = numbers[id(layer)] = numbers.get(id(layer), -1) + 1
        group, field = _state_name(layer, number)
        groups[group][distinct(f"{names[id(layer)]}_{field}", taken)] = _plain(state)
    return groups


def learned(layers, optimizer, trained):
    """The groups "weights" and "optimizer"; the optimizer is built on the variables `trained`, in their order."""
    weights: dict[str, tf.Variable] = {}
    taken: set[str] = set()
    for layer, name in zip(layers, layer_names(layers)):
        for weight in layer.weights:
            weights[distinct(f"{name}_{short_name(weight)}", taken)] = _plain(weight)
    names = {id(variable): name for name, variable in weights.items()}
    slots = _optimizer_variables(optimizer, [names[id(_plain(variable))] for variable in trained])
    return {
        "weights": weights,
        "optimizer": {distinct(f"optimizer_{name}", taken): variable for name, variable in slots.items()},
    }


def _optimizer_variables(optimizer, trained):
    """An optimizer's variables by name; `trained` are the names of the weights that it is built on, in their order.

    Their own names count the models of the process, and each Keras has others. The optimizer's attributes have not:
    there each kind of slot is a list with an entry for every weight.
    """
    named = {}
    for attribute, value in vars(optimizer).items():
        kind, value = attribute.strip("_"), () if attribute in NOT_OWN else value
        if isinstance(value, (list, tuple)) and len(value) == len(trained):
            named |= {f"{kind}_{name}": slot for name, slot in zip(trained, value)}
        else:
            named[kind] = value
    named = {name: _plain(value) for name, value in named.items() if isinstance(_plain(value), tf.Variable)}
    known, taken = {id(variable) for variable in named.values()}, set(named)
    others = [_plain(variable) for variable in optimizer.variables]
    return named | {distinct(short_name(each), taken): each for each in others if id(each) not in known}


def _state_name(layer, number):
    """Group and short name of one of a layer's states."""
    if isinstance(layer, SpikeEncoder):
        return "states", f"state_{number}"
    fields = getattr(getattr(layer.cell, "State", None), "_fields", ("v",))
    if number < len(fields):
        return "states", fields[number]
    number -= len(fields)
    if getattr(layer, "memory", None) is None:
        return "traces", f"traces_{number}"
    fields = [name for name, shape in layer.memory.shapes._asdict().items() if shape is not None]
    return "traces", f"memory_{fields[number]}"


def _plain(variable):
    """TensorFlow's variable of one of Keras; anything else as it is."""
    return variable.value if IS_KERAS_3 and isinstance(variable, keras.Variable) else variable
