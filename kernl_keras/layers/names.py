"""One name for one tensor, the same in Keras 3 and Keras 2."""

from ..keras_version import keras
from .find import rule_layers, sublayers


def learned_constants(model):
    """The constants that learn, as they are now, by `layer/constant`: those of the cells of all layers.

    Args:
        model: built Keras model.

    Returns:
        dict of tensors [H].
    """
    found = {}
    for layer in sublayers(model):
        cell = getattr(layer, "cell", None)
        for name in getattr(cell, "learn", ()):
            found[f"{layer.name}/{name}"] = cell.constant(name)
    return found


def weight_names(model):
    """`layer/weight` for each of `model.trainable_variables`, in their order.

    The layer is the `RNN` layer that has the weight, else the outermost layer that is no model: cells and other
    layers inside layers lend no names. Where that makes two alike, the second ends in `_1`.

    Args:
        model: built Keras model.

    Returns:
        list of str, no two alike.
    """
    owners = {}
    layers = [layer for layer in sublayers(model) if not isinstance(layer, keras.Model)]
    for layer in rule_layers(model) + layers:
        for variable in layer.trainable_weights:
            owners.setdefault(id(variable), layer.name)
    names, taken = [], {}
    for variable in model.trainable_variables:
        # Keras 2 says "hidden/cell/kernel:0" where Keras 3 says "kernel".
        name = f"{owners.get(id(variable), model.name)}/{variable.name.split('/')[-1].split(':')[0]}"
        names.append(name if name not in taken else f"{name}_{taken[name]}")
        taken[name] = taken.get(name, 0) + 1
    return names
