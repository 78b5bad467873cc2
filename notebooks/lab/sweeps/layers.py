"""One layer and more."""

from kernl_keras.experiments.configs import spread

from .definition import Sweep, Variant
from .networks import SMALL


def stacked(count, units=200, cell=None, **above):
    """What makes `count` layers of `SMALL`; `cell` and `above` are settings of the upper ones' cells and layers."""
    own = {"units": units, "period": spread(6.0, 21.0, units=units)}
    upper = {"cell": SMALL.cell, "cell_settings": {**SMALL.cell_settings, **own, **(cell or {})}, **above}
    return {"cell": own, "changes": {"above": [upper] * (count - 1)}}


LAYERS = (  # 331 units have as many weights as two layers of 200, and two layers of 124 as one of 200
    Variant("one layer of 200 units"),
    Variant("one layer of 331 units", **stacked(1, 331)),
    Variant("two layers of 124 units", **stacked(2, 124)),
    Variant("two layers of 200 units", **stacked(2)),
    Variant("the same, no recurrence in the upper one", **stacked(2, cell={"recurrent_connectivity": 0.0})),
    Variant("the same, normalized between", **stacked(2, normalization="batch")),
    Variant("the same, e-prop in the upper one", **stacked(2, rule="eprop")),
    Variant("the same, window 64 in both", **stacked(2, layer_settings={"window": 64}), layer={"window": 64}),
    Variant("three layers of 200 units", **stacked(3)),
    Variant("one layer, backpropagation", "bptt"),
    Variant("two layers, backpropagation", "bptt", **stacked(2)),
)

SWEEPS = (Sweep("layers", "One layer and more, 14 x 14 pixels", SMALL, LAYERS, (2e-3, 5e-3, 1e-2), (0, 1)),)
