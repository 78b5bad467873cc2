"""Where the `KeRNL` layers of a model are, and what goes through them."""

import contextlib
from typing import Any, NamedTuple

from .kernl import KeRNL


def sublayers(model):
    """All layers inside, the outer before the inner."""
    return list(model._flatten_layers(include_self=False))


def kernl_layers(model):
    """The `KeRNL` layers of any Keras model, however deep inside."""
    return [layer for layer in sublayers(model) if isinstance(layer, KeRNL)]


class Call(NamedTuple):
    """What a layer received and returned."""

    sequences: Any  # [B, T, I]
    initial_state: Any  # list of [B, n]
    outputs: Any  # [B, T, H]


@contextlib.contextmanager
def recording(layer):
    """The list of `Call`s of a `KeRNL` layer within."""
    inner_loop, calls = layer.inner_loop, []

    def recorded_loop(sequences, initial_state, mask, training=False):
        _, outputs, states = inner_loop(sequences, initial_state, mask, training)
        calls.append(Call(sequences, initial_state, outputs))
        return outputs[:, -1], outputs, states  # all that follows comes of `outputs`

    layer.inner_loop = recorded_loop
    try:
        yield calls
    finally:
        del layer.inner_loop
