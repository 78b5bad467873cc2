"""A network as the chain of layers that it is."""

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.readout import ReadoutCell
from ..keras_version import IS_KERAS_3, keras
from ..layers.encoder import SpikeEncoder
from ..layers.time_average import TimeAverage

# Keras layers whose output at a step depends on that step alone; those of `ALONG_AXIS` if the axis is the last one.
EACH_STEP = ("Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "TimeDistributed", "Masking", "Rescaling")
ALONG_AXIS = ("LayerNormalization", "BatchNormalization", "Normalization", "Softmax")
IN_TRAINING = ("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise")  # and nothing elsewhere


def chain(model, each_step=False):
    """The layers of a built Keras model in their order, without a `TimeAverage` at the end; a ValueError for any other.

    Keras layers that do nothing outside of training, such as Dropout, are left out.

    They are `RNN`, `Readout` and `keras.layers.RNN` over a cell of this package, at least one of them, and a
    `SpikeEncoder`, which comes first. With `each_step` Keras layers that act on each step alone may be among them, and
    the encoder anywhere, but without random spikes, which belong to a sequence as a whole.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"model must be a built Keras model; received {model!r}.")
    in_training = tuple(getattr(keras.layers, name) for name in IN_TRAINING)
    layers = [layer for layer in layers_of(model) if not isinstance(layer, in_training)]
    if layers and isinstance(layers[-1], TimeAverage):
        layers.pop()
    for layer in layers:
        is_encoder = isinstance(layer, SpikeEncoder) and (each_step or layer is layers[0])
        if is_encoder and each_step and layer.code == "bernoulli":
            raise ValueError("model must have an encoder without random spikes; received code='bernoulli'.")
        if not is_encoder and not (each_step and acts_on_each_step(layer)):
            check_recurrent(layer, last=layer is layers[-1], each_step=each_step)
    if not any(isinstance(layer, keras.layers.RNN) for layer in layers):
        raise ValueError("model must have a layer of hidden or readout units; received none.")
    return layers


def layers_of(model):
    """The layers of a model, each of which receives the output of the one before, from its one input to its one output.

    They are followed back along the symbolic tensors, because arithmetic on these is no layer of a Keras 3 model.
    """
    inputs, outputs = (getattr(model, name, None) for name in ("inputs", "outputs"))
    if not outputs:
        raise ValueError(f"model must be a functional or sequential one; received {model!r}.")
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            "model must be a chain of layers, with one input and one output; "
            f"received {len(inputs)} inputs and {len(outputs)} outputs."
        )
    layers, tensor = [], outputs[0]
    while tensor is not inputs[0]:
        layer, node, _ = tensor._keras_history
        received = getattr(layer._inbound_nodes[node], "input_tensors" if IS_KERAS_3 else "keras_inputs")
        mask = getattr(received[0], "_keras_mask", None)  # Keras 3 counts it as another input
        received = [each for each in received if each is not mask]
        if len(received) != 1:
            raise ValueError(
                f"model must be a chain of layers; received {layer.name!r}, which has {len(received)} inputs."
            )
        if layer in layers:
            raise ValueError(f"model must be a chain of layers; received {layer.name!r} twice.")
        layers.insert(0, layer)
        (tensor,) = received
    return layers


def acts_on_each_step(layer):
    """True for a Keras layer whose output at a step depends on that step alone."""
    if isinstance(layer, tuple(getattr(keras.layers, name) for name in ALONG_AXIS)):
        return all(axis in (-1, 2) for axis in tf.nest.flatten(layer.axis))
    return isinstance(layer, tuple(getattr(keras.layers, name) for name in EACH_STEP))


def check_recurrent(layer, last, each_step):
    """Raises unless a layer runs forward over a sequence with one of our cells, and returns every step."""
    if isinstance(layer, TimeAverage):
        raise ValueError(
            f"model must not have a layer after TimeAverage; received {layer.name!r} before its last layer."
        )
    cell = getattr(layer, "cell", None)
    if not isinstance(cell, (HiddenCell, ReadoutCell)):
        others = f", Keras' {', '.join(EACH_STEP)}, {', '.join(ALONG_AXIS)} over the last axis" if each_step else ""
        raise ValueError(
            f"model must be made of SpikeEncoder, layers over kernl_keras' hidden and readout cells{others}, and "
            f"TimeAverage; received {layer.name!r}, a {type(layer if cell is None else cell).__name__}."
        )
    if layer.go_backwards or not (layer.return_sequences or last):
        raise ValueError(
            f"layer {layer.name!r} must have go_backwards=False and return_sequences=True; "
            f"received {layer.go_backwards} and {layer.return_sequences}."
        )
