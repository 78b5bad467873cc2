"""How a weight moves its own unit's potential: eps_ij(t) of Eq. (20), forward, and its adjoint R(t) of (23), backward.

Each dynamics names the factors it needs of every step (`FIELDS`, fields of `cells.hidden.LocalFactors`) and the leading
axes of what it carries (`TRACES`). The first trace is that of the potential.
"""

from .filters import fill


class Leak:
    """Leaky units: eps(t) = leak(t) keep(t-1) eps(t-1) + drive(t) s(t), Eq. (20)."""

    FIELDS = ("drive", "leak", "keep")
    TRACES = ("H",)

    @staticmethod
    def reverse(carry, local, now):
        """R(t) = local(t) + keep(t) leak(t+1) R(t+1).

        Args:
            carry: tuple of what the later errors make of the traces after t, each [B, H].
            local: what the errors make of eps(t) at once [B, H].
            now: the rule's signals of t.

        Returns:
            the carry for t-1, and the error of the current [B, H].
        """
        own = local + now.keep * carry[0]
        return (now.leak * own,), now.drive * own

    @staticmethod
    def trace(traces, now, presynaptic):
        """The traces for t+1 and eps(t) [B, H, J], from s(t) [B, J]."""
        eps = now.leak[:, :, None] * traces[0] + now.drive[:, :, None] * presynaptic[:, None, :]  # Eq. (20)
        return (now.keep[:, :, None] * eps,), eps


class Swing:
    """Resonators: eps + i eta turns as the unit does, U(t) = (leak + i turn) U(t-1) + drive s(t); V- = Re U.

    eps(t) = leak eps(t-1) - turn eta(t-1) + drive s(t)
    eta(t) = turn eps(t-1) + leak eta(t-1)
    """

    FIELDS = ("drive", "leak", "turn")
    TRACES = ("H", "H")

    @staticmethod
    def reverse(carry, local, now):
        """The adjoint, which turns the other way; arguments as in `Leak`."""
        own, turned = local + carry[0], carry[1]
        return (now.leak * own + now.turn * turned, now.leak * turned - now.turn * own), now.drive * own

    @staticmethod
    def trace(traces, now, presynaptic):
        """The traces for t+1 and eps(t) [B, H, J], from s(t) [B, J]."""
        leak, turn = now.leak[:, :, None], now.turn[:, :, None]
        eps = leak * traces[0] - turn * traces[1] + now.drive[:, :, None] * presynaptic[:, None, :]
        eta = turn * traces[0] + leak * traces[1]
        return (eps, eta), eps


OWN = {"leak": Leak, "swing": Swing}


def own_factors(own, factors, like):
    """The factors that the dynamics `own` needs, each in the shape and dtype of `like`."""
    return [fill(getattr(factors, name), like) for name in own.FIELDS]
