"""The exponential kernels K_r(d) = exp(-gamma_r d) that every rule's traces and perturbation share.

gamma [R, H] in 1/ms; `decay` = exp(-gamma dt) [R, H].
"""

import tensorflow as tf


def kernel_decay(gamma, dt):
    """exp(-gamma dt) [R, H]."""
    return tf.exp(-gamma * dt)


class FilteredNoise:
    """How `forward.run_perturbed` predicts D: by Omega M^T. Eq. (16), (17), (19).

    Args:
        decay: exp(-gamma dt) [R, H].
        dt: ms.
    """

    KEEPS = 1

    def __init__(self, decay, dt):
        self.decay, self.dt = decay, dt

    def drive(self, xi):
        """What the filter receives in a block of steps, [C, B, H]."""
        return xi

    def step(self, omega, slope, noise):
        """Omega(t) and Gamma(t) [B, R, H]."""
        return filtered_noise_step(omega, slope, noise, self.decay, self.dt)

    def keep(self, made, sane):
        """Whether the perturbation went on [B, 1], of every step."""
        return (sane,)


def fill(factor, like):
    """A factor, a number or a tensor, in the shape and dtype of `like`."""
    return tf.broadcast_to(tf.convert_to_tensor(factor, like.dtype), tf.shape(like))


def sensitivity_product(local, m):
    """d_r(t) = A(t) M_r, Eq. (11): local A = L psi [T, B, H] and M [R, H, H] -> [T, B, R, H]."""
    return tf.einsum("tbk,rki->tbri", local, m)


def filtered_noise_step(omega, slope, noise, decay, dt):
    """Eq. (16) and (17): Omega <- k Omega + q xi, Gamma <- k (Gamma - dt Omega).

    Args:
        omega, slope: Omega(t-1), Gamma(t-1) [B, R, H].
        noise: q(t) xi(t) [B, H].
        decay: k = exp(-gamma dt) [R, H].
        dt: ms.

    Returns:
        Omega(t), Gamma(t) [B, R, H].
    """
    return decay * omega + noise[:, None, :], decay * (slope - dt * omega)


def scan(step, carry, elements, reverse=False):
    """A loop over time that keeps the outputs and only the last carry.

    Args:
        step: `(carry, elements at t) -> (carry, outputs at t)`; each a flat tuple of tensors.
        carry: tuple of tensors, the carry before the first step.
        elements: NamedTuple or tuple of tensors [T, ...].
        reverse: run from the last step to the first.

    Returns:
        the carry after the loop, and the tuple of outputs [T, ...] in the order of time.
    """
    length = tf.shape(elements[0])[0]
    make = type(elements)._make if hasattr(elements, "_fields") else tuple
    outputs = [
        tf.TensorArray(output.dtype, size=length, element_shape=output.shape)
        for output in step(carry, make(element[0] for element in elements))[1]
    ]

    def body(t, carry, outputs):
        index = length - 1 - t if reverse else t
        carry, now = step(carry, make(element[index] for element in elements))
        return t + 1, carry, tuple(array.write(index, output) for array, output in zip(outputs, now))

    _, carry, outputs = tf.while_loop(
        lambda t, *_: t < length, body, (0, tuple(carry), tuple(outputs)), maximum_iterations=length
    )
    return carry, tuple(array.stack() for array in outputs)
