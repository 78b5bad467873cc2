"""The layers of a model, and names for them and their weights that are the same in Keras 3 and Keras 2."""

import re

from ..keras_version import keras, short_name
from .rnn import RNN


def sublayers(model):
    """All layers in a model, outer ones before inner ones."""
    return list(model._flatten_layers(include_self=False))


def rule_layers(model):
    """The `kernl_keras.RNN` layers of any Keras model, however deep inside."""
    return [layer for layer in sublayers(model) if isinstance(layer, RNN)]


def named_layers(model):
    """`{name: layer}` of all layers that are no models, `RNN` layers first. Each has a name of its own, even in nested
    models whose layers have one name."""
    layers, taken = [layer for layer in sublayers(model) if not isinstance(layer, keras.Model)], set()
    layers.sort(key=lambda layer: not isinstance(layer, RNN))
    return {distinct(layer.name, taken): layer for layer in layers}


def named_rule_layers(model):
    """`{name: layer}` of the `rule_layers`, by the names of `named_layers`."""
    return {name: layer for name, layer in named_layers(model).items() if isinstance(layer, RNN)}


def layers_that_learn_constants(model):
    """The layers whose cells have constants that learn. One that a subclassed model never calls has no weights."""
    return [layer for layer in sublayers(model) if layer.built and getattr(getattr(layer, "cell", None), "learn", ())]


def layer_names(layers):
    """Different names for the layers of a chain, for use in files.

    A name that was given stays. Keras' own names, such as `rnn_3`, count all layers of the process; here they count
    those of the chain: `rnn`, `rnn_1`. Other characters than letters and digits become `_`.

    Example:

    >>> layers = [keras.layers.Dense(2, name=name) for name in ("dense_7", "out put", "dense_8")]
    >>> layer_names(layers)
    ['dense', 'out_put', 'dense_1']
    """
    names, taken = {}, set()
    for automatic in (False, True):  # given names first
        for number, layer in enumerate(layers):
            name = re.sub(r"\W", "_", layer.name)
            kind = re.sub(r"_\d+$", "", name)
            if automatic == (kind.replace("_", "") == type(layer).__name__.lower()):
                names[number] = distinct(kind if automatic else name, taken)
    return [names[number] for number in range(len(layers))]


def distinct(name, taken):
    """The name, or with `_1`, `_2` .. if the set `taken` has it already; adds it to the set."""
    number = 0
    while (free := f"{name}_{number}" if number else name) in taken:
        number += 1
    taken.add(free)
    return free


def weight_names(model):
    """A name `layer/weight` for each of a built model's `trainable_variables`, in their order, all different.

    The layer is the `RNN` layer that has the weight, else the outermost layer that is no model.
    """
    owners = {}
    for name, layer in named_layers(model).items():
        for variable in layer.trainable_weights:
            owners.setdefault(id(variable), name)
    variables, taken = model.trainable_variables, set()
    return [distinct(f"{owners.get(id(variable), model.name)}/{short_name(variable)}", taken) for variable in variables]
