"""Whether the cells of a model agree on how long a step is."""

import warnings

from ..keras_version import keras
from .find import sublayers


def check_dt(model):
    """Warns if the cells in a model's layers have different `dt`, and names the layers.

    One step of a sequence is one step of every layer. So different values usually mean that one cell was left at its
    default. They are right only if a layer in between changes the number of steps, which no cell can know.

    Args:
        model: Keras model; it need not be built.
    """
    found = {}
    for layer in sublayers(model):
        if isinstance(layer, keras.layers.RNN):
            for cell in getattr(layer.cell, "cells", [layer.cell]):
                if hasattr(cell, "dt"):
                    found.setdefault(cell.dt, []).append(layer.name)
    if len(found) > 1:
        each = "; ".join(f"dt = {dt:g} ms in {', '.join(map(repr, names))}" for dt, names in sorted(found.items()))
        warnings.warn(
            f"All cells should have the same dt, the time of one step, unless a layer between them changes the number "
            f"of steps; received {each}.",
            stacklevel=2,
        )
