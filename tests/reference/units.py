"""Layers over every kind of unit, with weights that keep it active: for questions that need no oracle."""

import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from .cases import CELLS, B, H, I, Network, draw
from .expected import same

TAUS = [4.0, 6.0, 9.0, 6.0]
NO_GRADIENT = "ignore:learn should name constants that"  # of tests that go through all constants, whatever the rule


@keras.utils.register_keras_serializable("tests")
class Quadratic(kk.Unit):
    """A unit that the package does not have, with a step that is not linear: Izhikevich, IEEE Transactions on Neural
    Networks 14:1569 (2003), scaled so that it rests at 0 and spikes at 1."""

    states = ("v", "w")
    unit_constants = {"tau_m": 8.0, "tau_w": 30.0, "sharpness": 2.0, "jump": 0.3}

    def integrate(self, state, current, p):
        v = state.v + p.dt / p.tau_m * (p.sharpness * state.v * (state.v - 0.5) - state.w) + current
        return v, state.w - p.dt / p.tau_w * state.w

    def distance(self, before, p):
        return before.v - 1.0

    def recover(self, before, spike, p):
        return before.v * (1.0 - spike), before.w + p.jump * spike


@keras.utils.register_keras_serializable("tests")
class Leaky(kk.Unit):
    """`LIFCell` without refractory time, adaptation and synapse."""

    states = ("v",)
    unit_constants = {"tau_m": 20.0}

    def integrate(self, state, current, p):
        left = tf.exp(-p.dt / p.tau_m)
        return (left * state.v + 2.0 * (1.0 - left) * current,)

    def distance(self, before, p):
        return before.v - 1.0

    def recover(self, before, spike, p):
        return (before.v - before.v * spike,)


class Synaptic(kk.Unit):
    """A current enters a synapse, which the distance to the threshold does not see by itself."""

    states = ("current", "v")
    unit_constants = {"trace_decay": 0.75, "tau_m": 10.0}  # cells of the package have a parameter of the first name

    def integrate(self, state, current, p):
        arrived = p.trace_decay * state.current + current
        return arrived, state.v - p.dt / p.tau_m * state.v + arrived

    def distance(self, before, p):
        return before.v - 1.0

    def recover(self, before, spike, p):
        return before.current, before.v * (1.0 - spike)


class PotentialFirst(Synaptic):
    """The same with the states in the other order: a current moves both at once."""

    states = ("v", "current")

    def integrate(self, state, current, p):
        return super().integrate(state, current, p)[::-1]

    def recover(self, before, spike, p):
        return super().recover(before, spike, p)[::-1]


CURRENT = dict(tau_m=6.0, tau_a=30.0, coupling=20.0, adaptation_strength=40.0)
SPREAD = dict(
    tau_m=TAUS, tau_a=[30.0, 12.0, 50.0, 12.0], tau_s=3.0, coupling=[9.0, 0.0, 30.0, 0.0],
    adaptation_strength=[0.0, 5.0, 60.0, 5.0], base_threshold=0.6, resistance=[1.0, 3.0, 0.5, 2.0],
)  # fmt: skip
FOLLOWS = dict(tau_m=TAUS, tau_s=3.0, tau_a=8.0, tau_ref=1.5, adaptation_strength=0.4, resistance=None)
OTHERS = {  # name: class, settings, constants that learn, scale of the weights and of the inputs, and the inputs' mean
    "resistance follows": (kk.LIFCell, FOLLOWS, ("tau_m", "tau_a"), 0.6, 1.0, 0.5),
    "current": (kk.AdLIFCell, {**CURRENT, "resistance": None}, (*CURRENT, "base_threshold"), 1.3, 1.0, 0.5),
    "spread currents": (kk.AdLIFCell, SPREAD, ("tau_m", "tau_s", "tau_a"), 5.0, 1.0, 0.5),
    "LSTM": (kk.LSTMCell, {}, None, 1.0, 1.0, 0.0),
    "own": (Quadratic, {}, ("tau_w", "sharpness"), 1.0, 3.0, 1.0),
    "own synapse": (Synaptic, {}, ("trace_decay",), 0.5, 1.0, 0.3),
}
UNITS = [*CELLS, *OTHERS]


def constants_in_use(kind, settings):
    """The names of the constants that a cell of these settings has and that can learn."""
    found = []
    for name in kind.LEARNABLE:
        try:
            kind(H, learn=name, **settings)
        except ValueError:
            continue
        found.append(name)
    return tuple(found)


def layer_over(cell, rule, shape, weights, sensitivity=(), **settings):
    """A built layer with these weights of the cell; M and gamma, where the rule has them, may have one axis more."""
    layer = kk.RNN(cell, rule=rule, seed=5, **settings)
    layer.build(shape)
    for variable, value in zip((layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias), weights):
        variable.assign(value)
    for variable, value in zip(layer.sensitivity_weights, sensitivity):
        variable.assign(value if len(variable.shape) == value.ndim else value[0])
    return layer


def build_layer(unit, rule, time, learn=True, **settings):
    """A layer over a unit of `UNITS`, whose constants learn where it has such, and inputs [B, T, I] for it."""
    if unit in CELLS:
        network = Network(unit, time=time)
        network.learn = constants_in_use(network.kind, network.settings) if learn else ()
        layer, x = network.layer(rule, **settings), network.inputs
    else:
        kind, unit_settings, constants, scale, input_scale, mean = OTHERS[unit]
        unit_settings = {**unit_settings, **({"learn": constants} if learn and constants else {})}
        cell = kind(H, use_bias=True, dtype="float64", **unit_settings)
        wide = H * cell.currents
        weights = scale * draw(67, I, wide), scale * draw(68, H, wide), 0.5 * scale * draw(69, wide)
        layer = layer_over(cell, rule, (B, time, I), weights, **settings)
        x = tf.constant(input_scale * draw(66, B, time, I) + mean)
    for number, weight in enumerate(layer.sensitivity_weights):  # M, and gamma, which is not negative
        values = draw(51 + number, *weight.shape)
        weight.assign(0.1 * values**2 if number else 0.5 * values)
    return layer, x


def same_gradients(one, other, tolerance=1e-8):
    """Of the same weights, by name."""
    assert one.keys() == other.keys() and one
    for name in one:
        same(one[name], other[name], tolerance)
