"""How a potential left to itself goes on: the kernel of a unit, one linear step of two numbers."""

from typing import Any, NamedTuple


class Lambda(NamedTuple):
    """lambda, by which a potential left to itself goes on, in two parts, each [H] or a number."""

    leak: Any
    turn: Any

    def forward(self, real, imaginary):
        """One step: lambda times what is carried."""
        return self.leak * real - self.turn * imaginary, self.turn * real + self.leak * imaginary

    def backward(self, real, imaginary):
        """One step of the adjoint, which turns back."""
        return self.leak * real + self.turn * imaginary, self.leak * imaginary - self.turn * real


class Coupled(NamedTuple):
    """The potential V and the adaptation current w of Eq. (34), without spikes. Each part is [H] or a number.

    What is carried back is the error of V-(t) and that of w(t). A potential that was moved goes on as the first part of

        R(t) = a R(t+1) + (1-p) A q(t),        q(t) = p q(t+1) - (1-a) R(t+1)
    """

    leak: Any  # a
    drive: Any  # 1-a
    decay: Any  # p
    gain: Any  # (1-p) A

    def forward(self, real, imaginary):
        """One step of what was moved: the transposed of `backward`."""
        back = real * self.gain
        return self.leak * real - self.drive * (back + imaginary), self.decay * (back + imaginary)

    def backward(self, real, imaginary):
        """One step back."""
        later = self.decay * imaginary - self.drive * real
        return self.leak * real + self.gain * later, later
