"""A network as the chain of layers that it is."""

from typing import Any, NamedTuple

from ..cells.hidden import HiddenCell
from ..cells.readout import ReadoutCell
from ..keras_version import IS_KERAS_3, keras
from ..layers.encoder import SpikeEncoder
from ..layers.time_average import TimeAverage


class Chain(NamedTuple):
    """What a network is made of, in the order in which data goes through."""

    encoder: Any  # `SpikeEncoder` or None
    layers: list  # `RNN`, `Readout` and `keras.layers.RNN` over a cell of ours, one or more
    window: Any  # `TimeAverage` or None


def chain(model):
    """The `Chain` of a built Keras model.

    Raises:
        ValueError: for a model that is not built, layers that are not one after the other from its one input to its one
            output, and for a layer that is none of those.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"model must be a built Keras model; received {model!r}.")
    layers = layers_of(model)
    encoder = layers.pop(0) if layers and isinstance(layers[0], SpikeEncoder) else None
    window = layers.pop() if layers and isinstance(layers[-1], TimeAverage) else None
    if not layers:
        raise ValueError("model must have a layer of hidden or readout units; received none.")
    for layer in layers:
        check_layer(layer, last=layer is layers[-1])
    return Chain(encoder, layers, window)


def layers_of(model):
    """The layers of a model, each of which hears the one before alone, from the one input to the one output.

    They are followed back by the symbolic tensors, for in Keras 3 arithmetic on these is no layer of the model.
    """
    inputs, outputs = (getattr(model, name, None) for name in ("inputs", "outputs"))
    if not outputs:
        raise ValueError(f"model must be a functional or sequential one; received {model!r}.")
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            "model must be a chain of layers, of one input and one output; "
            f"received {len(inputs)} and {len(outputs)} of them."
        )
    layers, tensor = [], outputs[0]
    while tensor is not inputs[0]:
        layer, node, _ = tensor._keras_history
        heard = getattr(layer._inbound_nodes[node], "input_tensors" if IS_KERAS_3 else "keras_inputs")
        if len(heard) != 1:
            raise ValueError(f"model must be a chain of layers; received {layer.name!r}, which hears {len(heard)}.")
        if layer in layers:
            raise ValueError(f"model must be a chain of layers; received {layer.name!r} twice.")
        layers.insert(0, layer)
        (tensor,) = heard
    return layers


def check_layer(layer, last):
    """Raises where a layer does not go through a sequence with a cell of ours, forwards, and hands on every step."""
    cell = getattr(layer, "cell", None)
    if not isinstance(cell, (HiddenCell, ReadoutCell)):
        raise ValueError(
            "model must be made of SpikeEncoder, layers over kernl_keras' hidden and readout cells, and TimeAverage; "
            f"received {layer.name!r}, a {type(layer if cell is None else cell).__name__}."
        )
    if layer.go_backwards or not (layer.return_sequences or last):
        raise ValueError(
            f"layer {layer.name!r} must have go_backwards=False and return_sequences=True; "
            f"received {layer.go_backwards} and {layer.return_sequences}."
        )
