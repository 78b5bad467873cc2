"""A leaky sum over time with its gradient in closed form: no tape of the loop is kept."""

import tensorflow as tf

from .time_loop import scan


def leaky_sum(x, decay, start):
    """v(t) = d(t) v(t-1) + x(t).

        dC/dx(t) = R(t) = dC/dv(t) + d(t+1) R(t+1),     dC/dv(-1) = d(0) R(0),     dC/dd(t) = R(t) v(t-1)

    Args:
        x: [T, B, O].
        decay: d: a number, [O], or [T, B, 1] where it differs from step to step.
        start: v before the first step [B, O].

    Returns:
        v [T, B, O]; it has a gradient by all three.

    Example:

    >>> leaky_sum(tf.constant([[[1.0]], [[0.0]], [[2.0]]]), 0.5, tf.zeros((1, 1)))[:, 0, 0].numpy()
    array([1.  , 0.5 , 2.25], dtype=float32)

    Source: the adjoint of a linear filter is the filter run backward in time; Eq. (13) is another.
    """
    decay = tf.broadcast_to(tf.convert_to_tensor(decay, x.dtype), tf.shape(x))

    @tf.custom_gradient
    def filtered(x, decay, start):
        def forward(carry, now):
            x, decay = now
            v = decay * carry + x
            return v, v

        v = scan(forward, start, (x, decay))[1]

        def gradient(error):
            def back(carry, now):
                error, decay = now
                reverse = error + carry
                return decay * reverse, reverse

            of_start, of_x = scan(back, tf.zeros_like(start), (error, decay), reverse=True)
            return of_x, of_x * tf.concat([start[None], v[:-1]], 0), of_start

        return v, gradient

    return filtered(x, decay, start)
