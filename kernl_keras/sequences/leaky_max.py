"""A maximum over time that fades, with its gradient in closed form: no tape of the loop is kept."""

import tensorflow as tf

from .time_loop import scan


def leaky_max(x, decay, start):
    """v(t) = max(x(t), d(t) v(t-1)).

        dC/dx(t) = R(t) where x(t) is the larger, else 0
        R(t) = dC/dv(t) + d(t+1) R(t+1) where d(t+1) v(t) is the larger, else dC/dv(t)

    Args:
        x: [T, B, O].
        decay: d: a number, or [T, B, 1] where it differs from step to step.
        start: v before the first step [B, O].

    Returns:
        v [T, B, O]; it has a gradient by x and by `start`.

    Example:

    >>> leaky_max(tf.constant([[[1.0]], [[0.0]], [[2.0]]]), 0.5, tf.zeros((1, 1)))[:, 0, 0].numpy()
    array([1. , 0.5, 2. ], dtype=float32)

    Source: the subgradient of a maximum goes to the larger one; of equals it goes to x here.
    """
    decay = tf.broadcast_to(tf.convert_to_tensor(decay, x.dtype), tf.shape(x))

    @tf.custom_gradient
    def held(x, start):
        def forward(carry, now):
            x, decay = now
            v = tf.maximum(x, decay * carry)
            return v, v

        v = scan(forward, start, (x, decay))[1]

        def gradient(error):
            fades = tf.cast(decay * tf.concat([start[None], v[:-1]], 0) > x, x.dtype)

            def back(carry, now):
                error, decay, fades = now
                reverse = error + carry
                return fades * decay * reverse, (1.0 - fades) * reverse

            of_start, of_x = scan(back, tf.zeros_like(start), (error, decay, fades), reverse=True)
            return of_x, of_start

        return v, gradient

    return held(x, start)
