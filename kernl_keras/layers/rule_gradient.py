"""What a rule makes of one sequence: between a `RNN` layer, which has the settings, and the rules of `learning`."""

import tensorflow as tf

from ..learning.blocks import take, take_before
from ..learning.bptt_adjoint import BPTTAdjoint
from ..learning.filters import kernel_decay
from ..learning.implementations import IMPLEMENTATIONS, advance_traces, factored_blockwise
from ..learning.network import Network
from ..learning.own_kernel import Answered, OwnKernel, answers, spread


class RuleGradient:
    """Errors of the outputs in, errors of the currents and gradients of the weights out.

    Args:
        layer: `RNN` layer, for its settings, M and gamma.
        rule: a rule, see `learning.implementations`.
        x: inputs [T, B, I].
        before: `cell.State` before the first step.
        written: what the cell's `write` kept of every step [T, ...].
        p: the cell's parameters.
        reset_gradient: whether the local trace follows the resetting spike.
        steps: `ValidSteps` of x, or None where all are valid.
    """

    def __init__(self, layer, rule, x, before, written, p, reset_gradient, steps=None):
        self.layer, self.rule, self.p, self.reset_gradient = layer, rule, p, reset_gradient
        self.x, self.before, self.written = tf.stop_gradient(x), before, written
        self.length, self.steps = x.shape[0] or tf.shape(x)[0], steps
        if isinstance(rule, BPTTAdjoint):
            self.rule = rule.connected(layer.cell.recurrent_weights(), getattr(p, "trace_decay", 0.0))

    def kernels(self):
        """M [R, H, H] and the decay of the kernels [R, H], as they are now: a model has moved M and gamma meanwhile."""
        layer = self.layer
        m, gamma = layer.m_and_gamma()
        if isinstance(self.rule, Network) and self.rule.swings:
            return spread(m[0], OwnKernel(*layer.cell.own_kernel(self.p)), layer.cell.kernel_groups())
        return m, kernel_decay(gamma, layer.cell.dt)

    @property
    def decay(self):
        """The decay of the kernels [R, H]."""
        return self.kernels()[1]

    def factors(self, start, size):
        """The `Record` of the steps from `start` on, their `LocalFactors`, and what `write` kept of them."""
        written = [take(each, start, size) for each in self.written]
        record = self.layer.cell.read(written, self.p)
        return record, self.layer.cell.local_factors(record, self.p, self.reset_gradient), written

    def answers(self, error):
        """Q(t+1) of Eq. (27) from L [T, B, H], for the rule that asks for it; else None."""
        if not isinstance(self.rule, Answered):
            return None

        def local(start, size):
            return take(error, start, size) * self.factors(start, size)[1].psi

        return answers(OwnKernel(*self.layer.cell.own_kernel(self.p)), local, self.length, error[0], self.layer.unroll)

    def signals(self, error):
        """The rule's `Signals` of L [T, B, H]."""
        return self.signals_of_block(error, self.answers(error), 0, self.length)

    def signals_of_block(self, error, answered, start, size):
        """The same for some steps, from L and Q of all."""
        layer, cell = self.layer, self.layer.cell
        error = take(error, start, size)
        record, factors, written = self.factors(start, size)
        if answered is not None:
            return self.rule.signals(error, factors, self.kernels()[0], take(answered, start, size))
        post_factors = {"gate": record.gate, "surrogate": record.slope, "trace": cell.seen(written)}
        if layer.post_factor == "surrogate" and "distance" not in cell.OBSERVABLES:
            post_factors["surrogate"] = factors.drive
        return self.rule.signals(error, factors, self.kernels()[0], post_factors[layer.post_factor])

    def presynaptic(self, start=0, size=None):
        """s(t) of the steps from `start` on, in its parts: x(t) [C, B, I] and S(t-1) [C, B, H]."""
        cell = self.layer.cell
        size = self.length if size is None else size
        return (
            take(self.x, start, size),
            take_before(cell.seen(self.written), cell.presynaptic(self.before), start, size),
        )

    def __call__(self, error, traces):
        """dC/dI(t) [T, B, H] and dC/dW [J, H], from L [T, B, H] and the traces carried in."""
        layer = self.layer
        if layer.credit == "last":
            error = last_step(error, self.steps)
        if layer.implementation == "factored":
            answered = self.answers(error)

            def block(start, size):
                return self.signals_of_block(error, answered, start, size), self.presynaptic(start, size)

            return factored_blockwise(self.rule, block, self.decay, self.length, layer.unroll)
        implementation = IMPLEMENTATIONS[layer.implementation]
        s = join(*self.presynaptic())
        return implementation(self.rule, self.signals(error), self.decay, s, traces, layer.chunk_size)

    def advance(self, traces):
        """The traces after the last step."""
        silence = tf.zeros_like(self.written[0])
        valid = None if self.steps is None else self.steps.valid
        return advance_traces(self.rule, self.signals(silence), self.decay, join(*self.presynaptic()), traces, valid)


def join(x, seen):
    """s(t) [T, B, J]: inputs, units, and 1 for the bias."""
    return tf.concat([x, seen, tf.ones_like(seen[..., :1])], -1)


def last_step(error, steps=None):
    """L [T, B, H] with the error of the last step alone, of each example's last valid one where there are `steps`."""
    if steps is not None:
        return tf.where(steps.last[..., None], error, tf.zeros_like(error))
    return tf.concat([tf.zeros_like(error[:-1]), error[-1:]], 0)
