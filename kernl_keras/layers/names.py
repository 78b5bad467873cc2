"""The layers of a model, and names for them and their weights that are the same in Keras 3 and Keras 2."""

import re

from ..keras_version import keras, short_name
from .rnn import RNN


def sublayers(model):
    """All layers inside, the outer before the inner."""
    return list(model._flatten_layers(include_self=False))


def rule_layers(model):
    """The `kernl_keras.RNN` layers of any Keras model, however deep inside."""
    return [layer for layer in sublayers(model) if isinstance(layer, RNN)]


def learned_constants(model):
    """The constants that learn, as they are now, tensors [H] by `layer/constant`: those of the cells of all layers."""
    found = {}
    for layer in sublayers(model):
        cell = getattr(layer, "cell", None)
        for name in getattr(cell, "learn", ()):
            found[f"{layer.name}/{name}"] = cell.constant(name)
    return found


def output_kinds(model):
    """What the units of each `RNN` layer send, "spikes" or "activity", by the layer's name."""
    return {layer.name: "spikes" if layer.cell.spikes else "activity" for layer in rule_layers(model)}


def layer_names(layers):
    """Names of the layers of a chain, the same whatever else the process has made, for what is kept in files.

    A name that was given stays. One of Keras' own making, the class and a number such as `rnn_3`, counts all layers of
    the process. Here it counts those of the chain: `rnn`, `rnn_1`. What is no letter or digit becomes `_`. No two are
    alike.

    Example:

    >>> import kernl_keras as kk
    >>> from kernl_keras.keras_version import keras
    >>> layers = [keras.layers.Dense(2, name=name) for name in ("dense_7", "out put", "dense_8")]
    >>> layer_names(layers)
    ['dense', 'out_put', 'dense_1']
    """
    names, taken = {}, set()
    for of_keras in (False, True):  # those that were given come first
        for number, layer in enumerate(layers):
            name = re.sub(r"\W", "_", layer.name)
            kind = re.sub(r"_\d+$", "", name)
            if of_keras == (kind.replace("_", "") == type(layer).__name__.lower()):
                names[number] = distinct(kind if of_keras else name, taken)
    return [names[number] for number in range(len(layers))]


def distinct(name, taken):
    """A name that is not in the set `taken`, which it joins: the second of a kind ends in `_1`."""
    number = 0
    while (found := f"{name}_{number}" if number else name) in taken:
        number += 1
    taken.add(found)
    return found


def weight_names(model):
    """`layer/weight` for each of a built model's `trainable_variables`, in their order, no two alike.

    The layer is the `RNN` layer that has the weight, else the outermost layer that is no model: cells and other
    layers inside layers lend no names. Where that makes two alike, the second ends in `_1`.
    """
    owners = {}
    layers = [layer for layer in sublayers(model) if not isinstance(layer, keras.Model)]
    for layer in rule_layers(model) + layers:
        for variable in layer.trainable_weights:
            owners.setdefault(id(variable), layer.name)
    variables, taken = model.trainable_variables, set()
    return [distinct(f"{owners.get(id(each), model.name)}/{short_name(each)}", taken) for each in variables]
