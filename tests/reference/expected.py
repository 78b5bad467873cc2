"""What the reference says of a whole RNN layer, and what the layer says."""

import numpy as np
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.dynamics.noise import draw_signs, unpack_signs

from . import oracles
from .cases import B, H, T, draw

SEED, STD = 5, 0.3
ERROR = draw(50, B, T, H)


def kernels(count):
    return 0.5 * draw(51, count, H, H), 0.1 * draw(52, count, H) ** 2


def noise(steps, call):
    """xi [B, steps, H] of a layer's n-th training call."""
    return np.swapaxes(unpack_signs(draw_signs(steps, B, H, [SEED, call]), H, tf.float64), 0, 1)


def piece(run, cut):
    """A run's arrays over some of its steps."""
    return type(run)(**{k: v[:, cut] for k, v in vars(run).items() if np.ndim(v) == 3 and k != "end"})


class Expected:
    """What the reference says of a layer with `settings` over `network`: everything that the layer computes."""

    def __init__(self, network, m, gamma, error=ERROR, **settings):
        self.network, self.m, self.gamma, self.settings = network, m, gamma, settings
        self.run = network.run()
        if settings.get("reset_gradient") and network.resets:
            self.run = ref.follow_reset(self.run, network.c)
        self.s = network.presynaptic(self.run)
        self.error = error.copy()
        if settings.get("credit") == "last":
            self.error[:, :-1] = 0.0

    def current_error(self):
        run, dt = self.run, self.network.c.dt
        if "rule" in self.settings:
            rule = getattr(ref, self.settings["rule"])
            return oracles.current_error(lambda s: rule(self.error, s, run), self.error.shape)
        if self.settings["form"] == "network":
            return ref.reverse_network(self.error, run, self.m, self.gamma, dt)
        psi_or_slope = run.psi if self.network.spiking else run.gain
        h = {"gate": run.gate, "surrogate": psi_or_slope, "trace": run.seen}[self.settings["post_factor"]]
        return ref.reverse_plain(self.error, run.psi, h, self.m, self.gamma, dt)

    def gradients(self):
        """Of the weights [J, H] and of the inputs."""
        of_current = self.current_error()
        of_weights = self.network.used(ref.weight_gradient(of_current, self.s))
        return of_weights, ref.input_gradient(of_current, self.network.w_in)

    def perturbation(self, xi, cut):
        """D, Omega and Gamma over some steps, before which nothing is perturbed."""
        network, settings = self.network, self.settings
        enters = "state" if settings["perturbation"] == "activity" else settings["perturbation"]
        if settings["form"] == "network" and network.spiking:
            enters = "state"  # the noise stays in S
        run, xi = piece(self.run, cut), xi[:, cut]
        if settings["sensitivity_mode"] == "tangent":
            effect = network.forward_tangent(xi, enters, run, network.w_used, network.c)[settings["observe"]]
        else:
            start = network.start
            if cut.start:
                names = network.states
                start = np.stack([getattr(self.run, name)[:, cut.start - 1] for name in names])
            weights = network.w_in, network.w_used, network.bias
            heard = {"heard": run.z} if settings["sensitivity_mode"] == "replica" else {}
            noisy = network.forward(
                network.x[:, cut], *weights, network.c, start, noise=STD * xi, enters=enters, **heard
            )
            clean = self.run.observed[settings["observe"]][:, cut]
            effect = (noisy.observed[settings["observe"]] - clean) / STD
        gate = run.gate if settings["perturbation"] == "current" else np.ones_like(xi)
        return effect, *ref.filtered_noise(xi, gate, self.gamma, network.c.dt)

    def sensitivity(self, resync=T):
        """F, mean D^2, dF/dM and dF/dgamma of the layer's first training call."""
        xi = noise(T, 1)
        parts = [self.perturbation(xi, slice(begin, begin + resync)) for begin in range(0, T, resync)]
        effect, omega, slope = (np.concatenate(part, 1) for part in zip(*parts))
        if self.settings.get("credit") == "last":
            effect, omega, slope = effect[:, -1:], omega[:, -1:], slope[:, -1:]
        loss, of_m, of_gamma = ref.sensitivity(effect, omega, slope, self.m)
        return loss, np.mean(effect**2), of_m, of_gamma


def compute(layer, x, error=ERROR, training=True):
    """Outputs, gradients of kernel, recurrent kernel and bias as one [J, H], of x, and of M and gamma by F."""
    cell = layer.cell
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = layer(x, training=training)
        loss = tf.reduce_sum(outputs * tf.cast(error, outputs.dtype))
        added = tf.add_n(layer.losses) if layer.losses else None
    *of_weights, of_x = tape.gradient(loss, [cell.kernel, cell.recurrent_kernel, cell.bias, x])
    sensitivity = layer.sensitivity_weights
    of_sensitivity = tape.gradient(added, sensitivity) if sensitivity and training else []
    return outputs, tf.concat([*of_weights[:2], of_weights[2][None]], 0), of_x, of_sensitivity


def same(one, other, tolerance=1e-9):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=1e-3 * tolerance)


IMPLEMENTATIONS = [
    dict(implementation="factored"),
    dict(implementation="online"),
    dict(implementation="chunked", chunk_size=4),
]
