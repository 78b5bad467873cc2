"""Where the `RNN` layers of a model are, and what goes through them."""

import contextlib
from typing import Any, NamedTuple

from .rnn import RNN


def sublayers(model):
    """All layers inside, the outer before the inner."""
    return list(model._flatten_layers(include_self=False))


def rule_layers(model):
    """The `RNN` layers of any Keras model, however deep inside."""
    return [layer for layer in sublayers(model) if isinstance(layer, RNN)]


class Call(NamedTuple):
    """What a layer received and returned."""

    sequences: Any  # [B, T, I], as they were read: backward with `go_backwards`, the valid steps first
    initial_state: Any  # list of [B, n]
    steps: Any  # `ValidSteps`, or None
    outputs: Any  # [B, T, H]


@contextlib.contextmanager
def recording(layer):
    """The list of `Call`s of a `RNN` layer within."""
    loop, calls = layer.loop, []

    def recorded_loop(sequences, initial_state, steps, training):
        outputs, states = loop(sequences, initial_state, steps, training)
        calls.append(Call(sequences, initial_state, steps, outputs))
        return outputs, states  # all that follows comes of `outputs`

    layer.loop = recorded_loop
    try:
        yield calls
    finally:
        del layer.loop
