"""What a rule makes of one sequence: between a `KeRNL` layer, which has the settings, and the rules of `learning`."""

import tensorflow as tf

from ..learning.blocks import take, take_before
from ..learning.filters import kernel_decay
from ..learning.implementations import IMPLEMENTATIONS, advance_traces, factored_blockwise


class RuleGradient:
    """Errors of the outputs in, errors of the currents and gradients of the weights out.

    Args:
        layer: `KeRNL` layer, for its settings, M and gamma.
        rule: a rule, see `learning.implementations`.
        x: inputs [T, B, I].
        before: `cell.State` before the first step.
        written: what the cell's `write` kept of every step [T, ...].
        p: the cell's parameters.
        reset_gradient: whether the local trace follows the resetting spike.
    """

    def __init__(self, layer, rule, x, before, written, p, reset_gradient):
        self.layer, self.rule, self.p, self.reset_gradient = layer, rule, p, reset_gradient
        self.x, self.before, self.written = tf.stop_gradient(x), before, written
        self.length = x.shape[0] or tf.shape(x)[0]

    def signals(self, error, start=0, size=None):
        """The rule's `Signals` of L [C, B, H] for the steps from `start` on; M and gamma are what they are now."""
        layer, cell = self.layer, self.layer.cell
        written = [take(each, start, self.length if size is None else size) for each in self.written]
        record = cell.read(written, self.p)
        factors = cell.local_factors(record, self.p, self.reset_gradient)
        post_factors = {"gate": record.gate, "surrogate": record.slope, "trace": cell.seen(written)}
        if layer.post_factor == "surrogate" and "distance" not in cell.OBSERVABLES:
            post_factors["surrogate"] = factors.drive
        return self.rule.signals(error, factors, layer.m_and_gamma()[0], post_factors[layer.post_factor])

    def presynaptic(self, start=0, size=None):
        """s(t) of the steps from `start` on, in its parts: x(t) [C, B, I] and S(t-1) [C, B, H]."""
        cell = self.layer.cell
        size = self.length if size is None else size
        return (
            take(self.x, start, size),
            take_before(cell.seen(self.written), cell.presynaptic(self.before), start, size),
        )

    @property
    def decay(self):
        """exp(-gamma dt) [R, H]."""
        return kernel_decay(self.layer.m_and_gamma()[1], self.layer.cell.dt)

    def __call__(self, error, traces):
        """dC/dI(t) [T, B, H] and dC/dW [J, H], from L [T, B, H] and the traces carried in."""
        layer = self.layer
        if layer.credit == "last":
            error = last_step(error)
        if layer.implementation == "factored":

            def block(start, size):
                return self.signals(take(error, start, size), start, size), self.presynaptic(start, size)

            return factored_blockwise(self.rule, block, self.decay, self.length, layer.unroll)
        implementation = IMPLEMENTATIONS[layer.implementation]
        s = join(*self.presynaptic())
        return implementation(self.rule, self.signals(error), self.decay, s, traces, layer.chunk_size)

    def advance(self, traces):
        """The traces after the last step."""
        silence = tf.zeros_like(self.written[0])
        return advance_traces(self.rule, self.signals(silence), self.decay, join(*self.presynaptic()), traces)


def join(x, seen):
    """s(t) [T, B, J]: inputs, units, and 1 for the bias."""
    return tf.concat([x, seen, tf.ones_like(seen[..., :1])], -1)


def last_step(error):
    """L [T, B, H] with the error of the last step alone."""
    return tf.concat([tf.zeros_like(error[:-1]), error[-1:]], 0)
