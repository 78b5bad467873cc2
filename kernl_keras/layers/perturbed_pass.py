"""What M and gamma learn from: a `RNN` layer's clean and perturbed pass, and the sums that F is made of."""

import tensorflow as tf

from ..draws import next_key
from ..dynamics.noise import draw_signs, unpack_signs
from ..learning.blocks import take
from ..learning.filters import FilteredNoise, kernel_decay
from ..learning.forward import Noise, run_clean, run_perturbed, unperturbed
from ..learning.own_kernel import OwnKernel, Prediction
from ..learning.sensitivity import SensitivitySums, learn_all, learn_last, sensitivity_loss
from ..replicas import rows_before


class PerturbedPass:
    """Both passes of one call, clean and perturbed.

    Args:
        layer: `RNN` layer, for its settings, M and gamma.
        p: the cell's parameters.
        weights: W_rec [H, H].
        x: inputs [T, B, I], no gradient.
        valid: [T, B], False where all states stay as they are; None where they never do.
        counted: [T, B], False where an example's step is left out of F; None where all are in it.
    """

    def __init__(self, layer, p, weights, x, valid, counted):
        self.layer, self.cell, self.p = layer, layer.cell, p
        # Nothing that a tape watches goes into the passes, or it would trace how to go back through them.
        self.weights, self.x, self.valid, self.counted = tf.stop_gradient(weights), x, valid, counted
        self.input_weights = tf.nest.map_structure(
            lambda each: None if each is None else tf.stop_gradient(each), self.cell.input_weights()
        )
        self.length, self.batch = x.shape[0] or tf.shape(x)[0], tf.shape(x)[1]
        self.m, self.gamma = layer.m_and_gamma()
        self.m_now, self.gamma_now = tf.stop_gradient(self.m), tf.stop_gradient(self.gamma)
        key = next_key(layer.seed, layer._draws)
        self.signs = draw_signs(self.length, self.batch, self.cell.units, key, rows_before(self.batch))

    def __call__(self, state, perturbed, learns=None):
        """Runs the passes.

        Args:
            state: `cell.State` before the first step.
            perturbed: `PerturbedState`, likewise.
            learns: scalar bool, whether M and gamma learn in this call; None for True. Where not, there is no perturbed
                pass, and F and D are 0.

        Returns:
            what the cell's `write` keeps of every step, the state and the `PerturbedState` after the last step, F (with
            its gradient by M and gamma), mean D^2, the share of steps in which the perturbation started anew because it
            had reached its bound, and how many steps of examples these three are means over.
        """
        if learns is None:
            written, end, after, sums, restarted = self.run(state, perturbed)
        else:
            written, end, after, sums, restarted = tf.cond(
                learns, lambda: self.run(state, perturbed), lambda: self.run_without(state, perturbed)
            )
        if self.counted is None:
            steps = 1.0 if self.layer.credit == "last" else tf.cast(self.length, self.m.dtype)  # as integers, the
            steps *= tf.cast(self.batch, self.m.dtype)  # product might overflow
        else:
            steps = tf.reduce_sum(tf.cast(self.counted, self.m.dtype))
        count = tf.maximum(steps, 1.0) * self.cell.units  # of a replica that has none F is 0
        losses = sensitivity_loss(self.m, self.gamma, SensitivitySums(*sums), count)
        return written, end, after, *losses, restarted, steps

    def run(self, state, perturbed):
        """Both passes; returns what `__call__` does, with `SensitivitySums` for F and D^2, up to the share."""
        layer, cell, m = self.layer, self.cell, self.m_now
        own = layer.temporal_kernel == "own"
        if own:
            kernels = Prediction(m[0], OwnKernel(*cell.own_kernel(self.p)))
            digest, total = kernels.learn()
        else:
            kernels = FilteredNoise(kernel_decay(self.gamma_now, cell.dt), cell.dt)
            learn = learn_last if layer.credit == "last" else learn_all
            digest, total, finish = learn(m, perturbed, several=self.counted is not None)
        written, end, after, total, kept = run_perturbed(
            cell,
            self.p,
            self.weights,
            self.length,
            lambda start, size: cell.input_current(take(self.x, start, size), self.input_weights),
            state,
            layer.unroll,
            self.noise(),
            self.signs,
            kernels,
            perturbed,
            digest,
            total,
            self.valid,
            self.counted,
        )
        sums = kernels.finish(total, kept, self.xi, layer.resync_every, layer.unroll) if own else finish(total)
        return written, end, after, sums, self.share(tf.logical_not(kept[-1][..., 0]))

    def share(self, happened):
        """In which share of the steps that count something `happened` [T, B]."""
        happened = tf.cast(happened, self.m.dtype)
        if self.counted is None:
            return tf.reduce_mean(happened)
        counted = tf.cast(self.counted, self.m.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(happened * counted), tf.reduce_sum(counted))

    def run_without(self, state, perturbed):
        """The clean pass alone; a later call that is perturbed starts at its end."""
        current = self.cell.input_current(self.x, self.input_weights)
        written, end = run_clean(self.cell, self.p, self.weights, current, state, self.layer.unroll, self.valid)
        kernels, units = self.m_now.shape[0], self.cell.units
        zero, zeros = tf.zeros((), self.m_now.dtype), tf.zeros((units, kernels * units), self.m_now.dtype)
        after = unperturbed(self.layer.sensitivity_mode, end, perturbed)
        return written, end, after, SensitivitySums(zero, zero, zeros, zeros), zero

    def xi(self, start, size):
        """The noise of some steps [C, B, H]."""
        return unpack_signs(take(self.signs, start, size), self.cell.units, self.m_now.dtype)

    def noise(self):
        """How the noise enters and is watched, a `Noise`."""
        layer = self.layer
        in_state = layer.perturbation == "activity" or (layer.form == "network" and "trace" in self.cell.State._fields)
        return Noise(
            enters="state" if in_state else layer.perturbation,
            mode=layer.sensitivity_mode,
            observe=layer.observe,
            std=layer.noise_std,
            bound=layer.max_perturbation if layer.sensitivity_mode == "tangent" else self.x.dtype.max,
            resync_every=layer.resync_every,
        )
