"""What the reference says of a whole layer with a rule, and what the layer says."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.draws import draw_signs, unpack_signs
from kernl_keras.keras_version import short_name
from kernl_keras.rules import BPTT, EProp, KeRNL, Membrane, PlainKeRNL, Replica, Tangent, WholeUnit

from . import oracles
from .cases import B, H, T, draw

SEED, STD = 5, 0.3
ERROR = draw(50, B, T, H)


def kernels(count=1):
    """M [R, H, H] and gamma [R, H]."""
    return 0.5 * draw(51, count, H, H), 0.1 * draw(52, count, H) ** 2


def kernels_of(rule):
    """The `kernels` of a rule, or () where it has none."""
    return kernels(rule.kernel.count) if hasattr(rule, "kernel") else ()


def layer_of(network, rule, **settings):
    """A layer over the network, with the M and gamma of `kernels_of`."""
    return network.layer(rule, *kernels_of(rule), **settings)


def noise(steps, call):
    """xi [B, steps, H] of a layer's n-th training call."""
    return np.swapaxes(unpack_signs(draw_signs(steps, B, H, [SEED, call]), H, tf.float64), 0, 1)


def piece(run, cut):
    """A run's arrays over some of its steps."""
    return type(run)(**{k: v[:, cut] for k, v in vars(run).items() if np.ndim(v) == 3 and k != "end"})


def runs_within(network, xi, bound):
    """The runs of steps in which an example's tangent stays within the bound: (example, steps, D [1, n, H]), a list.

    Each run begins anew behind a step beyond the bound, which is part of none.
    """
    found = []
    for b in range(B):
        start = 0
        while start < T:
            received = np.zeros_like(xi)
            received[b, start:] = xi[b, start:]
            effect = network.tangent(received, "state")["distance"][b : b + 1, start:]
            beyond = np.abs(effect[0]).max(-1) > bound
            end = int(np.argmax(beyond)) if beyond.any() else T - start
            if end:
                found.append((slice(b, b + 1), slice(start, start + end), effect[:, :end]))
            start += end + 1
    return found


class Expected:
    """What the reference says of `rule` over `network`: everything that the layer computes."""

    def __init__(self, network, rule, m=None, gamma=None, error=ERROR, window=1):
        self.network, self.rule, self.m, self.gamma = network, rule, m, gamma
        self.window = window
        self.run = network.run()
        self.s = network.presynaptic(self.run)
        self.error = error.copy()
        if rule.last:
            self.error[:, :-1] = 0.0

    @property
    def steps(self):
        """The linear step as the rule follows it."""
        rule = self.rule
        follows, adapts = getattr(rule, "reset_gradient", False), getattr(rule, "adaptation", False)
        return self.network.linear(self.run, reset_gradient=follows, adaptation=adapts)

    @property
    def kernel(self):
        """The kernel of KeRNL's hop, where it is that of a unit, and what arrives there."""
        kernel = self.rule.kernel
        if isinstance(kernel, WholeUnit):
            return self.network.kernel(self.run, whole=True, reset_gradient=self.rule.reset_gradient)
        return self.network.kernel(self.run, by_slope=kernel.arrival)

    @property
    def hops(self):
        """The hop of KeRNL forward and back; None of other rules."""
        if not isinstance(self.rule, KeRNL):
            return None, None
        if isinstance(self.rule.kernel, (Membrane, WholeUnit)):
            return ref.unit_hop(*self.kernel, self.m[0]), ref.unit_back(*self.kernel, self.m[0])
        gamma, dt = self.gamma, self.network.c.dt
        return ref.exponential_hop(self.steps, self.m, gamma, dt), ref.exponential_back(self.m, gamma, dt)

    def weight_gradient(self, s):
        """dC/dW [J, H] of inputs s [B, T, J], by the forward traces of the reference."""
        rule, run = self.rule, self.run
        if self.window > 1 or isinstance(rule, BPTT):
            return ref.weight_gradient(self.windowed(), s)
        if isinstance(rule, PlainKeRNL):
            return ref.plain(self.error, s, run.psi, self.post_factor(), self.m, self.gamma, self.network.c.dt)[0]
        if isinstance(rule, (EProp, KeRNL)):
            return ref.traces_gradient(self.error, s, self.steps, self.hops[0])
        return ref.rflo(self.error, s, self.steps)

    def windowed(self):
        """dC/dI [B, T, H], a sweep for every window."""
        network = self.network
        synapse, behind = network.c.s if network.spiking else 0.0, None if isinstance(self.rule, BPTT) else self.steps
        settings = {"synapse": synapse, "behind": behind, "hop": self.hops[1]}
        return ref.windows(self.error, network.linear(self.run), network.w_used, self.window, **settings)

    def post_factor(self):
        """h of the plain form."""
        run, rule = self.run, self.rule
        noise = rule.noise or ("current" if self.network.spiking else "activity")
        chosen = rule.post_factor or ("gate" if noise == "current" else "surrogate")
        return {"gate": run.gate, "surrogate": run.psi if self.network.spiking else run.gain, "trace": run.seen}[chosen]

    def gradients(self):
        """Of the weights [J, H] and of the inputs."""
        by_steps = self.window == 1
        of_current = oracles.current_error(self.weight_gradient, self.error.shape) if by_steps else self.windowed()
        of_weights = self.network.used(self.weight_gradient(self.s))
        return of_weights, ref.input_gradient(of_current, self.network.w_in)

    @property
    def enters(self):
        """Where the noise enters, in the reference's words."""
        if isinstance(self.rule, KeRNL):  # in a spiking network the noise stays in S
            return "state" if self.network.spiking else "synapse"
        noise = self.rule.noise or ("current" if self.network.spiking else "activity")
        return "state" if noise == "activity" else noise

    def effect(self, xi, cut=slice(0, T)):
        """D over some steps, before which nothing is perturbed."""
        network, perturbation = self.network, self.rule.perturbation
        run, xi = piece(self.run, cut), xi[:, cut]
        observe = perturbation.observe or ("distance" if network.spiking else "voltage")
        if isinstance(perturbation, Tangent):
            return network.tangent(xi, self.enters, run)[observe]
        start = network.start
        if cut.start:
            start = np.stack([getattr(self.run, name)[:, cut.start - 1] for name in network.states])
        weights = network.w_in, network.w_used, network.bias
        heard = {"heard": run.z} if isinstance(perturbation, Replica) else {}
        std = perturbation.std
        perturbed = {"noise": std * xi, "enters": self.enters, **heard}
        noisy = network.forward(network.x[:, cut], *weights, network.c, start, **perturbed)
        return (noisy.observed[observe] - self.run.observed[observe][:, cut]) / std

    def sensitivity(self, resync=T):
        """F, mean D^2, dF/dM and dF/dgamma (None with the membrane's kernel) of the layer's first training call."""
        xi, starts = noise(T, 1), range(0, T, resync)
        cuts = [slice(start, min(start + resync, T)) for start in starts]
        effect = np.concatenate([self.effect(xi, cut) for cut in cuts], 1)
        if isinstance(self.rule.kernel, (Membrane, WholeUnit)):
            loss, of_m = ref.kernel_sensitivity(effect, xi, self.m[0], *self.kernel, starts)
            return loss, np.mean(effect**2), of_m[None], None
        gate = self.run.gate if self.enters == "current" else np.ones_like(xi)
        filtered = [ref.filtered_noise(xi[:, cut], gate[:, cut], self.gamma, self.network.c.dt) for cut in cuts]
        omega, slope = (np.concatenate(part, 1) for part in zip(*filtered))
        if self.rule.last:
            effect, omega, slope = effect[:, -1:], omega[:, -1:], slope[:, -1:]
        loss, of_m, of_gamma = ref.sensitivity(effect, omega, slope, self.m)
        return loss, np.mean(effect**2), of_m, of_gamma


class Learned(NamedTuple):
    """What a layer makes of a sequence."""

    outputs: Any  # [B, T, H]
    states: list  # behind the last step, if the layer returns them
    x_gradient: Any  # gradients of the inputs
    gradients: dict  # of every weight of the cell, by name
    sensitivity_gradients: list  # of M and gamma, by F
    report: list  # F, and the variance of the perturbation


def gradients_or_zeros(tape, loss, variables):
    """Zeros in the place of None."""
    found = tape.gradient(loss, variables)
    return [tf.zeros(each.shape, each.dtype) if one is None else one for one, each in zip(found, variables)]


def learn(layer, x, error, training=False, **arguments):
    """`Learned` of the loss sum(outputs * error), and of F in training."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs, *states = tf.nest.flatten(layer(x, training=training, **arguments))
        loss = tf.reduce_sum(outputs * tf.cast(error, outputs.dtype))
        added = tf.add_n(layer.losses) if layer.losses else None
    weights = layer.cell.trainable_weights
    *gradients, x_gradient = gradients_or_zeros(tape, loss, [*weights, x])
    sensitivity_gradients, report = [], []
    if added is not None:
        sensitivity_gradients = tape.gradient(added, layer.sensitivity_weights)
        report = [layer.report.sensitivity_loss, layer.report.perturbation_variance]
    named = dict(zip(map(short_name, weights), gradients))
    return Learned(outputs, states, x_gradient, named, sensitivity_gradients, report)


def compute(layer, x, error=ERROR, training=True, initial_state=None, **marks):
    """Of what `learn` says: outputs, gradients of kernel, recurrent kernel and bias as one [J, H], of x, and by F.

    And the states, if the layer returns them.
    """
    found = learn(layer, x, error, training, initial_state=initial_state, **marks)
    *of_weights, of_bias = (found.gradients[name] for name in ("kernel", "recurrent_kernel", "bias"))
    results = found.outputs, tf.concat([*of_weights, of_bias[None]], 0), found.x_gradient, found.sensitivity_gradients
    return (*results, found.states) if found.states else results


def in_pieces(layer, x, cuts, error=ERROR):
    """What `compute` says of a sequence in pieces, by a layer that returns its states: outputs and dC/dW [J, H]."""
    outputs, gradient, states = [], 0.0, None
    for cut in cuts:
        found = compute(layer, x[:, cut], error[:, cut], training=False, initial_state=states)
        outputs.append(found[0])
        gradient, states = gradient + found[1], found[4]
    return tf.concat(outputs, 1), gradient


def same(one, other, tolerance=1e-9):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=1e-3 * tolerance)
