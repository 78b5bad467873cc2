"""What a rule makes of one sequence: between a `KeRNL` layer, which has the settings, and the rules of `learning`."""

import tensorflow as tf

from ..learning.filters import kernel_decay
from ..learning.implementations import IMPLEMENTATIONS, advance_traces


class RuleGradient:
    """Errors of the outputs in, errors of the currents and gradients of the weights out.

    Args:
        layer: `KeRNL` layer, for its settings, M and gamma.
        rule: module of a rule, see `learning.implementations`.
        x: inputs [T, B, I].
        before: `cell.State` before the first step.
        record: `Record` [T, B, H].
        p: the cell's parameters.
        reset_gradient: whether the local trace follows the resetting spike.
    """

    def __init__(self, layer, rule, x, before, record, p, reset_gradient):
        self.layer, self.rule, self.record = layer, rule, record
        cell = layer.cell
        self.factors = cell.local_factors(record, p, reset_gradient)
        post_factors = {"gate": record.gate, "surrogate": record.slope, "trace": record.presynaptic}
        if layer.post_factor == "surrogate" and "distance" not in cell.OBSERVABLES:
            post_factors["surrogate"] = self.factors.drive
        self.post_factor = post_factors[layer.post_factor]
        seen = tf.concat([cell.presynaptic(before)[None], record.presynaptic[:-1]], 0)  # S(t-1) [T, B, H]
        self.presynaptic = tf.concat([tf.stop_gradient(x), seen, tf.ones_like(seen[..., :1])], -1)  # s(t) [T, B, J]

    def signals(self, error):
        """The rule's `Signals` of L [T, B, H], and exp(-gamma dt) [R, H]; M and gamma are what they are now."""
        m, gamma = self.layer.m_and_gamma()
        signals = self.rule.signals(error, self.record, self.factors, m, self.post_factor)
        return signals, kernel_decay(gamma, self.layer.cell.dt)

    def __call__(self, error, traces):
        """dC/dI(t) [T, B, H] and dC/dW [J, H], from L [T, B, H] and the traces carried in."""
        if self.layer.credit == "last":
            error = last_step(error)
        implementation = IMPLEMENTATIONS[self.layer.implementation]
        return implementation(self.rule, *self.signals(error), self.presynaptic, traces, self.layer.chunk_size)

    def advance(self, traces):
        """The traces after the last step."""
        silence = tf.zeros_like(self.record.output)
        return advance_traces(self.rule, *self.signals(silence), self.presynaptic, traces)


def last_step(error):
    """L [T, B, H] with the error of the last step alone."""
    return tf.concat([tf.zeros_like(error[:-1]), error[-1:]], 0)
