"""A network of one time step, its states in and out: what runs on a stream, and on small devices."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..keras_version import keras
from .chain import chain


def one_step(model: keras.Model) -> keras.Model:
    """A model of one time step of a trained network, whose states go in and come out by name; the weights are shared.

    It makes of x(t) and the states after t-1 the outputs of t and the states after it; all states are 0 at the start.
    There is no loop in it, and nothing of a learning rule, so it exports to any format and runs on streams of any
    length: `one_step(model).export(folder)`.

    | layer | its states |
    |---|---|
    | encoder | `NAME_seen` [B, F]: the values of the step before and, with a context channel, the count |
    | hidden | `NAME_FIELD` [B, H] for each field of the cell's `State`: `NAME_v`, `NAME_trace` and so on |
    | readout | `NAME_v` [B, O] |

    Args:
        model: a built chain of `SpikeEncoder` (or none), layers over the package's hidden and readout cells, and
            `TimeAverage` (or none), which is left out: the mean over the last steps is the caller's.

    Returns:
        A `keras.Model` from `{"x": [B, F], **states}` to `{"outputs": [B, n], **states}`. It is made to be exported;
        the model to save and to train is the one that was given.

    Raises:
        ValueError: for another model, and for an encoder that draws: its draws belong to a sequence as a whole.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from kernl_keras.keras_version import keras
    >>> inputs = keras.Input((7, 3))
    >>> hidden = kk.RNN(kk.LeakyRNNCell(4), name="hidden")(inputs)
    >>> model = keras.Model(inputs, kk.Readout(2, name="readout")(hidden))
    >>> step = kk.one_step(model)
    >>> answer = step({"x": np.ones((5, 3)), "hidden_activity": np.zeros((5, 4)), "readout_v": np.zeros((5, 2))})
    >>> {name: tuple(value.shape) for name, value in sorted(answer.items())}
    {'hidden_activity': (5, 4), 'outputs': (5, 2), 'readout_v': (5, 2)}
    """
    encoder, layers, _ = chain(model)
    steps = [(layer.name, CellStep(layer.cell)) for layer in layers]
    if encoder is not None:
        if encoder.code == "bernoulli":
            raise ValueError("model must have an encoder that does not draw; received code='bernoulli'.")
        steps.insert(0, (encoder.name, EncoderStep(encoder)))
    x = received = keras.Input(model.inputs[0].shape[2:], name="x", dtype=model.inputs[0].dtype)
    states: dict[str, Any] = {}
    sent: dict[str, Any] = {}
    for name, step in steps:
        names = [f"{name}_{field}" for field in step.fields]
        own = [keras.Input((size,), name=name, dtype=step.dtype) for name, size in zip(names, step.sizes)]
        x, *after = step([x, *own])
        states |= dict(zip(names, own))
        sent |= dict(zip(names, after))
    return keras.Model({"x": received, **states}, {"outputs": x, **sent})


class CellStep(keras.layers.Layer):
    """One step of a layer's cell: [x, *states] -> [outputs, *states]."""

    def __init__(self, cell):
        super().__init__(dtype=cell.dtype_policy)
        self.cell = cell
        self.fields = cell.State._fields if isinstance(cell, HiddenCell) else ("v",)
        self.sizes = cell.state_size

    def call(self, inputs):
        outputs, states = self.cell(inputs[0], inputs[1:])
        return [outputs, *states]


class EncoderStep(keras.layers.Layer):
    """One step of an encoder: [x, seen] -> [what it sends, seen]."""

    def __init__(self, encoder):
        super().__init__(dtype=encoder.dtype_policy)
        self.encoder = encoder
        self.fields, self.sizes = ("seen",), [encoder.input.shape[-1]]

    def call(self, inputs):
        x, seen = inputs
        outputs = self.encoder(tf.stack([seen, x], axis=1))[:, 1]  # it looks back by one step, and counts
        if self.encoder.context_switch is not None:
            x = tf.concat([x[:, :-1], seen[:, -1:] + x[:, -1:]], axis=1)
        return [outputs, x]
