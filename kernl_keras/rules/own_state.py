"""How an error reaches back through a unit's own state: potential, reset and adapting threshold.

This is the known, local part of every rule. Each kind says how many tensors [B, H] it carries (`COUNT`), and goes back
by one step: from the error of the output z(t) to `StateErrors`, those of the potential V-(t) and of what else moves.
`forward` is the same step the other way: from a change of the potential to that of V-(t) - B(t-1), linearised.
"""

import tensorflow as tf

from .rule import StateErrors


class Leak:
    """Leaky units, the adjoint of Eq. (20):

    R(t) = psi(t) E(t) + keep(t) leak(t+1) R(t+1)
    """

    COUNT = 1

    @classmethod
    def backward(cls, carry, error, step, distance=0.0):
        """One step back.

        Args:
            carry: tuple of what the later errors make of the state after t, each [B, H].
            error: E(t), of the output z(t) [B, H].
            step: `StepDerivatives` of t.
            distance: an error of V-(t) - B(t-1) itself [B, H].

        Returns:
            the carry for t-1, and `StateErrors`, with R(t) as that of the potential.
        """
        error = step.psi * error + distance
        before, potential = cls.potential_backward(carry, error, step)
        return before, state_errors(potential, step, threshold=-(error + step.threshold_keep * carry[0]))

    @staticmethod
    def potential_backward(carry, error, step):
        """The same from the error of the potential."""
        whole = error + step.keep * carry[0]
        return (step.leak * whole,), (whole,)

    @classmethod
    def forward(cls, change, arrived, step):
        """One step forward.

        Args:
            change: tuple of the changes of the state after t-1, each [B, H].
            arrived: what else changes V-(t) [B, H].
            step: `StepDerivatives` of t.

        Returns:
            the change of V-(t) - B(t-1) [B, H], and of the state after t.
        """
        potential = cls.potential_forward(change, arrived, step)
        return potential[0], (step.keep * potential[0], *potential[1:])

    @staticmethod
    def potential_forward(change, arrived, step):
        """The changes of the potential's components, before a spike."""
        return (step.leak * change[0] + arrived,)


class Oscillator(Leak):
    """Resonators: U(t) = (leak + i turn) U(t-1) + drive I(t), V- = Re U. The adjoint turns back."""

    COUNT = 2

    @staticmethod
    def potential_backward(carry, error, step):
        """Arguments as of `Leak`; the carry has both components."""
        real, imaginary = error + carry[0], carry[1]
        carry = (step.leak * real + step.turn * imaginary, step.leak * imaginary - step.turn * real)
        return carry, (real, imaginary)

    @staticmethod
    def potential_forward(change, arrived, step):
        real, imaginary = change
        turned = step.turn * real + step.leak * imaginary
        return step.leak * real - step.turn * imaginary + arrived, turned


class Gates(Leak):
    """Units with several currents, of which some move the potential and some the output past it, Eq. (35):

    R(t) = psi(t) E(t) + leak(t+1) R(t+1),        dC/dI(t) = drive(t) R(t) + direct(t) E(t),        of each current
    """

    @classmethod
    def backward(cls, carry, error, step):
        """Arguments as of `Leak`; drive and direct of the step are [B, G H]."""
        before, (potential,) = cls.potential_backward(carry, step.psi * error, step)
        error += tf.zeros_like(potential)  # it may be a number, 0
        count = step.drive.shape[-1] // potential.shape[-1]
        potentials, errors = (tf.concat([x] * count, -1) for x in (potential, error))
        return before, StateErrors(step.drive * potentials + step.direct * errors, potential)


class AdaptationCurrent(Leak):
    """Leaky units with an adaptation current, Eq. (34): the errors of V(t) and of w(t) go back together."""

    COUNT = 2

    @staticmethod
    def backward(carry, error, step, distance=0.0):
        """Arguments as of `Leak`; the carry has V and w."""
        v, w = carry
        share = 1.0 - step.adaptation_decay
        after_reset = v + share * step.coupling * w
        error = step.psi * (error + share * step.adaptation_strength * w) + distance
        potential = error + step.keep * after_reset
        errors = state_errors((potential, w), step, threshold=-(error + step.threshold_keep * after_reset))
        before = step.leak * potential, step.adaptation_decay * w - (1.0 - step.leak) * potential
        return before, errors._replace(adaptation=w)

    @classmethod
    def forward(cls, change, arrived, step):
        v, w = change
        potential = step.leak * v - (1.0 - step.leak) * w + arrived
        v, spikes = step.keep * potential, step.psi * potential
        driven = step.coupling * v + step.adaptation_strength * spikes
        return potential, (v, step.adaptation_decay * w + (1.0 - step.adaptation_decay) * driven)


class AdaptiveThreshold:
    """Units whose threshold adapts, with the derivative of Eq. (4) and (6) besides.

    zeta(t) = psi(t) [change of V-(t) - beta change of b(t-1)],      b(t) = p b(t-1) + (1-p) z(t)

    Args:
        own: `Leak` or `Oscillator`.
    """

    def __init__(self, own):
        self.own, self.COUNT = own, own.COUNT + 1

    def backward(self, carry, error, step, distance=0.0):
        """Arguments as of `Leak`; the last of the carry is that of b."""
        *own, later = carry
        error = step.psi * (error + (1.0 - step.adaptation_decay) * later) + distance
        of_threshold = error + step.threshold_keep * own[0]
        own, potential = self.own.potential_backward(own, error, step)
        before = step.adaptation_decay * later - step.adaptation_strength * of_threshold
        errors = state_errors(potential, step, threshold=-of_threshold)
        return (*own, before), errors._replace(adaptation=later)

    def forward(self, change, arrived, step):
        """Arguments as of `Leak`."""
        *own, adaptation = change
        threshold = step.adaptation_strength * adaptation
        real, *rest = self.own.potential_forward(own, arrived, step)
        distance, share = real - threshold, 1.0 - step.adaptation_decay
        after = step.adaptation_decay * adaptation + share * step.psi * distance
        return distance, (step.keep * real - step.threshold_keep * threshold, *rest, after)


def state_errors(potential, step, threshold):
    """`StateErrors` of the errors of the potential in its components, and of the threshold."""
    return StateErrors(step.drive * potential[0], *potential, *[None] * (2 - len(potential)), threshold=threshold)


def own_state(cell, adaptation):
    """The own state of a cell's units, with that of the threshold where it adapts and `adaptation` is wanted."""
    if cell.currents > 1:
        return Gates
    if cell.adapts_by_current:
        return AdaptationCurrent
    own = Oscillator if cell.oscillates else Leak
    return AdaptiveThreshold(own) if adaptation and cell.adapts else own
