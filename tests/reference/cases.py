"""The networks that the tests run in the package and in its oracle, `kernl_keras.naive`: no two axes of one length."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.cells.leaky_rnn import LeakyRNNCell
from kernl_keras.cells.lif import LIFCell
from kernl_keras.cells.resonator import ResonatorCell
from kernl_keras.layers.rnn import RNN

B, T, I, H = 2, 6, 3, 4  # noqa: E741
J = I + H + 1

SPIKING = {
    "hard": dict(tau_m=6.0, tau_s=5.0, resistance=2.0),
    "hard adaptive": dict(
        tau_m=[6.0, 20.0, 9.0, 12.0], tau_s=None, tau_a=30.0, tau_ref=2.0, adaptation_strength=1.8,
        reset_potential=-0.3, resistance=1.3, base_threshold=0.8, self_connections=True,
    ),
    "soft euler": dict(
        tau_m=[6.0, 20.0, 9.0, 12.0], tau_s=[2.0, 5.0, 8.0, 3.0], tau_a=[9.0, 30.0, 20.0, 14.0], tau_ref=1.2,
        adaptation_strength=[0.0, 1.8, 0.7, 2.5], reset="soft", dt=0.5, discretization="euler",
        surrogate="exponential", surrogate_damping=0.5, resistance=2.0,
    ),
    "soft free": dict(tau_m=9.0, tau_s=None, tau_ref=0.0, reset="soft", resistance=2.0),
}  # fmt: skip
RATE = {
    "tanh": dict(tau=[3.0, 6.0, 9.0, 4.0], activation="tanh", self_connections=False),
    "relu": dict(tau=None, activation="relu"),
    "swinging tanh": dict(tau=[9.0, 30.0, 14.0, 20.0], period=[5.0, 9.0, 7.0, 12.0], activation="tanh"),
    "identity euler": dict(tau=5.0, activation="identity", discretization="euler", dt=0.5),
}
RESONATOR = {
    "resonator": dict(tau_m=[9.0, 30.0, 14.0, 20.0], period=[5.0, 9.0, 7.0, 12.0], tau_a=4.0, adaptation_strength=1.8),
    "resonator fixed": dict(
        tau_m=20.0, period=7.0, tau_s=3.0, adaptation_strength=0.0, dt=0.5, base_threshold=0.8, surrogate="triangle",
        self_connections=True,
    ),
    "resonator overshooting": dict(  # by the threshold of the second unit
        tau_m=[9.0, 30.0, 14.0, 20.0], period=[5.0, 9.0, 7.0, 12.0], tau_a=[4.0, 1.0, 4.0, 4.0],
        adaptation_strength=[1.8, 30.0, 1.8, 1.8],
    ),
}  # fmt: skip
CELLS = {**SPIKING, **RESONATOR, **RATE}
KINDS = {
    "spiking": (LIFCell, ref.constants, ref.spiking, ("v", "b", "r", "s")),
    "resonator": (ResonatorCell, ref.resonator_constants, ref.resonator, ("v", "quadrature", "b", "s")),
    "rate": (LeakyRNNCell, ref.rate_constants, ref.rate, ("output",)),
}


def pairs(*axes):
    """Rows in which each pair of two axes' values stands at least once, as few as a greedy choice finds."""
    rows = {row: set(itertools.combinations(enumerate(row), 2)) for row in itertools.product(*axes)}
    missing = set().union(*rows.values())
    while missing:
        row = max(rows, key=lambda row: len(rows[row] & missing))
        missing -= rows.pop(row)
        yield row


def taking_turns(rows, every=3):
    """Rows or values for `pytest.mark.parametrize`, of which every third or so is quick and the others are slow."""
    rows = [row if isinstance(row, tuple | list) else [row] for row in rows]
    return [pytest.param(*row, marks=() if n % every == 0 else pytest.mark.slow) for n, row in enumerate(rows)]


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


class Network:
    """One cell with weights and inputs, for the package (`cell`, `layer`) and for the reference (`run`, `tangent`).

    The cell has the settings of `CELLS`, or others.
    """

    def __init__(self, name, seed=66, time=T, dtype="float64", learn=(), **settings):
        self.settings, self.dtype, self.time, self.learn = {**CELLS[name], **settings}, dtype, time, learn
        self.spiking = name not in RATE
        self.unit = "spiking" if name in SPIKING else "resonator" if name in RESONATOR else "rate"
        self.kind, self.constants, self.forward, self.states = KINDS[self.unit]
        if "swinging" in name:
            self.states = ("quadrature", *self.states)
        self.self_connections = self.settings.get("self_connections", not self.spiking)
        known = {key: value for key, value in self.settings.items() if key != "self_connections"}
        self.c = self.constants(H, **known)
        gain = self.c.drive if self.spiking else 1.0  # of the weights' effect
        self.x = draw(seed, B, time, I) + (0.5 if self.spiking else 0.0)
        self.w_in = (0.8 * draw(seed + 1, I, H) + (0.3 if self.spiking else 0.0)) / gain
        self.w_rec = 0.5 * draw(seed + 2, H, H) / gain
        self.bias = 0.1 * draw(seed + 3, H) / gain
        states = 4 if self.spiking else 1 + (self.settings.get("period") is not None)
        self.start = np.zeros((states, B, H))

    @property
    def w_used(self):
        """W_rec as the units see it."""
        return self.w_rec if self.self_connections else self.w_rec * (1.0 - np.eye(H))

    def run(self, **arguments):
        return self.forward(self.x, self.w_in, self.w_used, self.bias, self.c, self.start, **arguments)

    def presynaptic(self, run):
        return ref.presynaptic(self.x, run.seen, self.start[-1])

    def linear(self, run, **settings):
        """The linear step of a run."""
        return ref.linear(self.unit, run, self.c, **settings)

    def kernel(self, run, whole=False, by_slope=True, **settings):
        """The kernel of a hop, the membrane's or the whole unit's, and what arrives there."""
        steps = self.linear(run, **settings) if whole else ref.resting(self.unit, run, self.c, by_slope)
        return steps, ref.arrivals(steps, self.c)

    def tangent(self, xi, enters, run=None):
        steps = self.linear(self.run() if run is None else run)
        return ref.tangent(xi, enters, steps, self.w_used, self.c.s if self.spiking else None)

    def used(self, gradient):
        """A gradient [J, H] without the self-connections that are not there."""
        mask = np.ones(gradient.shape)
        if not self.self_connections:
            mask[-H - 1 : -1] -= np.eye(H)
        return gradient * mask

    def cell(self):
        cell = self.kind(H, use_bias=True, dtype=self.dtype, learn=self.learn, **self.settings)
        cell.build((None, I))
        cell.kernel.assign(self.w_in)
        cell.recurrent_kernel.assign(self.w_rec)
        cell.bias.assign(self.bias)
        return cell

    def layer(self, rule="kernl", m=None, gamma=None, **settings):
        """A built `RNN` over `cell`, with M and gamma set where given."""
        layer = RNN(self.cell(), rule=rule, **{"seed": 5, **settings})
        layer.build((B, self.time, I))
        if m is not None:
            layer.sensitivity_tensor.assign(np.reshape(m, layer.sensitivity_tensor.shape))
        if gamma is not None and hasattr(layer, "temporal_filter"):
            layer.temporal_filter.assign(np.reshape(gamma, layer.temporal_filter.shape))
        return layer

    @property
    def inputs(self):
        return tf.constant(self.x, self.dtype)


def stacked(gradients):
    """The package's gradients of kernel, recurrent kernel and bias as one [J, H]."""
    return np.concatenate([gradients[0], gradients[1], gradients[2][None]])
