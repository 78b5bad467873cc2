"""Where the `kernl_keras.RNN` layers of a model are."""

from .rnn import RNN


def sublayers(model):
    """All layers inside, the outer before the inner."""
    return list(model._flatten_layers(include_self=False))


def rule_layers(model):
    """The `kernl_keras.RNN` layers of any Keras model, however deep inside."""
    return [layer for layer in sublayers(model) if isinstance(layer, RNN)]
