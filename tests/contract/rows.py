"""The rows of the contract: every cell, in Keras' own `RNN`, and every layer, small, with inputs that suit it."""

import dataclasses
from typing import Any

import numpy as np

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.units import Leaky, Quadratic

B, T, I, H = 4, 6, 3, 5  # noqa: E741


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer of the contract."""

    kind: type  # the class whose signature counts
    settings: dict  # of it
    of_cell: Any = None  # the layer class over it, where `kind` is a cell
    cell: Any = None  # `(class, settings)` of its cell, where `kind` is a layer over one
    channels: int = I
    values: str = "normal"  # "normal", "bits" (0 or 1, of which Bernoulli draws are certain) or "ones"

    @property
    def recurrent(self):
        return self.kind not in (kk.AudioEncoder, kk.SpikeEncoder, kk.TimeAverage)

    def make_cell(self, **more):
        """The cell alone."""
        kind, settings = (self.kind, self.settings) if self.of_cell else self.cell
        return kind(**{**settings, **more})

    def make(self, of_cell=None, **more):
        """The layer, which returns sequences where it can."""
        if self.recurrent:
            more = {"return_sequences": True, **more}
        if self.of_cell:
            return self.of_cell(self.make_cell(**(of_cell or {})), **more)
        if self.cell:
            return self.kind(self.make_cell(**(of_cell or {})), **{**self.settings, **more})
        return self.kind(**{**self.settings, **(of_cell or {}), **more})

    def inputs(self, *shape, seed=0):
        """Inputs [*shape, channels] in float32."""
        generator, shape = np.random.default_rng(seed), (*(shape or (B, T)), self.channels)
        if self.values == "ones":
            return np.ones(shape, "float32")
        if self.values == "bits":
            return generator.integers(0, 2, shape).astype("float32")
        return generator.normal(0.5, 1.5, shape).astype("float32")


ADAPTIVE = dict(
    units=H, tau_m=6.0, tau_s=[3.0] * H, tau_a=12.0, resistance=2.0, adaptation_strength=0.5, use_bias=True,
    kernel_initializer=keras.initializers.RandomNormal(stddev=3.0, seed=1),
)  # fmt: skip
PERIODS = [3.0, 4.0, 5.0, 6.0, 7.0]
RESONATING = dict(units=H, tau_m=9.0, period=PERIODS, kernel_initializer=ADAPTIVE["kernel_initializer"])
LEARNING = {**ADAPTIVE, "learn": ["tau_m", "tau_s", "tau_a", "base_threshold", "adaptation_strength"]}
RATE = dict(units=H, tau=4.0, kernel_initializer=keras.initializers.RandomNormal(seed=1, stddev=0.5))

CURRENT = dict(units=H, tau_m=6.0, tau_a=30.0, input_gain=3.0, learn=["tau_a", "coupling"])
OSCILLATING = {**RESONATING, "period": [3.0, 3.0, 3.0, 5.0, 5.0]}  # exact traces take long to compile for each period
OWN_STATE = {**LEARNING, "learn": ["tau_m", "tau_a"]}
LEAKY = dict(units=H, tau_m=[4.0, 6.0, 9.0, 6.0, 5.0], learn="tau_m", input_gain=2.0)  # one state
QUADRATIC = dict(units=H, sharpness=keras.initializers.RandomUniform(1.5, 2.5, seed=1), input_gain=2.0)  # two of them

ROWS = {
    "InputSpikeCell": Row(kk.InputSpikeCell, dict(units=I, seed=0), keras.layers.RNN, values="bits"),
    "ContextCell": Row(kk.ContextCell, dict(context_switch=2), keras.layers.RNN, channels=1, values="ones"),
    "LIFCell": Row(kk.LIFCell, LEARNING, keras.layers.RNN),
    "ResonatorCell": Row(kk.ResonatorCell, RESONATING, keras.layers.RNN),
    "AdLIFCell": Row(kk.AdLIFCell, CURRENT, keras.layers.RNN),
    "LeakyRNNCell": Row(kk.LeakyRNNCell, {**RATE, "learn": "tau"}, keras.layers.RNN),
    "LSTMCell": Row(kk.LSTMCell, dict(units=H), keras.layers.RNN),
    "Unit, one state": Row(Leaky, LEAKY, keras.layers.RNN),
    "Unit, two states": Row(Quadratic, {**QUADRATIC, "learn": ["tau_w", "sharpness", "jump"]}, keras.layers.RNN),
    "ReadoutCell": Row(kk.ReadoutCell, dict(units=2, tau_out=5.0, learn="tau_out"), keras.layers.RNN),
    "RNN, kernl": Row(kk.RNN, dict(rule="kernl", seed=3), cell=(kk.LIFCell, ADAPTIVE)),
    "RNN, kernl, traces": Row(kk.RNN, dict(rule="kernl", traces=True, seed=3), cell=(kk.ResonatorCell, OSCILLATING)),
    "RNN, plain_kernl": Row(kk.RNN, dict(rule="plain_kernl", seed=3), cell=(kk.LeakyRNNCell, RATE)),
    "RNN, eprop, traces": Row(kk.RNN, dict(rule="eprop", traces=True), cell=(kk.LIFCell, OWN_STATE)),
    "RNN, bptt": Row(kk.RNN, dict(rule="bptt"), cell=(kk.LIFCell, ADAPTIVE)),
    "RNN, kernl, unit": Row(kk.RNN, dict(rule="kernl", seed=3), cell=(Quadratic, QUADRATIC)),
    "Readout": Row(kk.Readout, dict(units=2, tau_out=5.0, learn="tau_out")),
    "SpikeEncoder": Row(kk.SpikeEncoder, dict(units=4, code="threshold"), values="normal"),
    "SpikeEncoder, delta": Row(kk.SpikeEncoder, dict(units=4, code="delta", delta=0.5), values="normal"),
    "SpikeEncoder, latency": Row(kk.SpikeEncoder, dict(units=1, code="latency", period=3), values="normal"),
    "SpikeEncoder, Bernoulli": Row(kk.SpikeEncoder, dict(units=4, context_switch=2, seed=1), values="bits"),
    "AudioEncoder": Row(kk.AudioEncoder, dict(bands=2, sampling_rate=1000.0, frame=8.0, hop=1.0)),
    "TimeAverage": Row(kk.TimeAverage, dict(last=3)),
}
RECURRENT = [name for name, row in ROWS.items() if row.recurrent]
CELLS = [name for name, row in ROWS.items() if row.of_cell]
TRAINED = [name for name in RECURRENT if name not in ("InputSpikeCell", "ContextCell")]
LAYERS = [name for name, row in ROWS.items() if row.kind is kk.RNN]
