"""A network of one time step, with its states as inputs and outputs: for streams and for small devices."""

import inspect
from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..keras_version import keras
from ..layers.encoder import FOLLOWING, SpikeEncoder
from ..layers.names import layer_names
from .chain import chain


def one_step(model: keras.Model) -> keras.Model:
    """A model of one time step of a trained network. States go in and come out by name; the weights are shared.

    From x(t) and the states after step t-1 it computes the outputs of step t and the states after it. All states are 0
    at the start. The model has no loop and nothing of a learning rule, so it can be exported to any format, and it runs
    on streams of any length: `one_step(model).export(folder)`. Whoever keeps the states decides about NaN: where a
    state comes out that is not finite, go on with the states that went in.

    - encoder: `NAME_seen` [B, F]: the values of the last step and, with a context channel, the count
    - hidden: `NAME_FIELD` [B, H] for each field of the cell's `State`: `NAME_v`, `NAME_trace` and so on
    - hidden, after a Masking layer: also `NAME_output` [B, H], the output that a masked step repeats
    - readout: `NAME_v` [B, O]

    NAME is that of the layer. The number of a layer that Keras named, such as `rnn_3`, counts the layers of the chain
    instead: `rnn`, `rnn_1`.

    Args:
        model: a built chain of layers over the package's hidden and readout cells, in any order with `SpikeEncoder` and
            with Keras layers that act on each step alone: Dense, Activation, ReLU, LeakyReLU, ELU, Rescaling, Softmax,
            Normalization, LayerNormalization and BatchNormalization over the last axis, TimeDistributed, and Masking (a
            masked step leaves all states as they are). Dropout and GaussianNoise, which do nothing outside of training,
            are left out, as a `TimeAverage` at the end is: the caller averages the last steps.

    Returns:
        A `keras.Model` that maps x [B, F] and the states to the outputs [B, n] and the states, in dicts. It is made to
        be exported. Train and save the model that you passed, not this one.

    Raises:
        ValueError: for another model, and for an encoder with random spikes, which belong to a sequence as a whole,
            or with the code "delta" or "latency".

    Example:
        >>> import numpy as np, kernl_keras as kk
        >>> from tensorflow import keras
        >>> inputs = keras.Input((7, 3))
        >>> hidden = kk.RNN(kk.LeakyRNNCell(4), name="hidden")(inputs)
        >>> model = keras.Model(inputs, kk.Readout(2, name="readout")(hidden))
        >>> step = kk.one_step(model)
        >>> answer = step({"x": np.ones((5, 3)), "hidden_activity": np.zeros((5, 4)), "readout_v": np.zeros((5, 2))})
        >>> {name: tuple(value.shape) for name, value in sorted(answer.items())}
        {'hidden_activity': (5, 4), 'outputs': (5, 2), 'readout_v': (5, 2)}
    """
    layers = chain(model, each_step=True)
    x = received = keras.Input(model.inputs[0].shape[2:], name="x", dtype=model.inputs[0].dtype)
    mask = None
    states: dict[str, Any] = {}
    sent: dict[str, Any] = {}
    for layer, layer_name in zip(layers, layer_names(layers)):
        if isinstance(layer, keras.layers.Masking):
            x, mask = LayerStep(layer)(x)
        elif isinstance(layer, (keras.layers.RNN, SpikeEncoder)):
            step = (CellStep if isinstance(layer, keras.layers.RNN) else EncoderStep)(layer, masked=mask is not None)
            names = [f"{layer_name}_{field}" for field in step.fields]
            before = [keras.Input((size,), name=name, dtype=step.dtype) for name, size in zip(names, step.sizes)]
            x, *after = step([x, *before, *([] if mask is None else [mask])])
            states |= dict(zip(names, before))
            sent |= dict(zip(names, after))
        else:
            x = LayerStep(layer)(x)
    return keras.Model({"x": received, **states}, {"outputs": x, **sent})


class CellStep(keras.layers.Layer):
    """One step of a recurrent layer's cell: [x, *states] -> [outputs, *states].

    If it is `masked`, a mask [B, 1] comes last in the inputs: where it is False, states stay and the output repeats.
    """

    def __init__(self, layer, masked):
        super().__init__(dtype=layer.cell.dtype_policy)
        self.cell, self.masked, self.zero = layer.cell, masked, layer.zero_output_for_mask
        self.outputs_dtype = layer.compute_dtype
        hidden = isinstance(layer.cell, HiddenCell)
        self.fields = [*(layer.cell.State._fields if hidden else ("v",))]
        self.sizes = [*layer.cell.state_size]
        self.repeats = masked and hidden and not self.zero  # a readout's output is its state
        if self.repeats:
            self.fields.append("output")
            self.sizes.append(layer.cell.units)

    def call(self, inputs):
        x, *before = inputs
        mask = before.pop() if self.masked else None
        last = before.pop() if self.repeats else None
        outputs, states = self.cell(x, before)
        if mask is not None:
            states = [tf.where(mask, state, old) for state, old in zip(states, before)]
            if last is None:
                last = tf.zeros_like(outputs) if self.zero else states[0]
            outputs = tf.where(mask, outputs, last)
        return [tf.cast(outputs, self.outputs_dtype), *states, *([outputs] if self.repeats else [])]


class EncoderStep(keras.layers.Layer):
    """One step of an encoder: [x, seen] -> [outputs, seen]; `masked` as of `CellStep`."""

    def __init__(self, encoder, masked):
        super().__init__(dtype=encoder.dtype_policy)
        channels = tf.nest.flatten(encoder.input)[0].shape[-1]  # with a mask Keras 3 counts it among the inputs
        if encoder.code in FOLLOWING:  # it looks back further than by one step
            raise ValueError(
                f"model must have an encoder with code 'threshold', 'current' or 'population'; received "
                f"code={encoder.code!r}."
            )
        if encoder.stateful:  # here the states are inputs
            encoder = type(encoder).from_config({**encoder.get_config(), "stateful": False})
        self.encoder, self.masked = encoder, masked
        self.fields, self.sizes = ["seen"], [channels]

    def call(self, inputs):
        x, seen = inputs[:2]
        outputs = self.encoder(tf.stack([seen, x], axis=1))[:, 1]  # it looks back by one step, and counts
        if self.encoder.context_switch is not None:
            x = tf.concat([x[:, :-1], seen[:, -1:] + x[:, -1:]], axis=1)
        return [outputs, tf.where(inputs[2], x, seen) if self.masked else x]


class LayerStep(keras.layers.Layer):
    """A Keras layer on one step, outside training: x [B, F] -> [B, n]; of Masking with the mask [B, 1]."""

    def __init__(self, layer):
        super().__init__(dtype=layer.dtype_policy)
        self.layer = layer
        self.arguments = {"training": False} if "training" in inspect.signature(layer.call).parameters else {}

    def call(self, inputs):
        outputs = self.layer(inputs[:, None], **self.arguments)[:, 0]
        if isinstance(self.layer, keras.layers.Masking):
            return outputs, self.layer.compute_mask(inputs)[:, None]
        return outputs
