"""A leaky sum and a fading maximum over time. Their gradients are written out, so that no tape of the loop is kept."""

import tensorflow as tf

from .time_loop import scan


def leaky(x, decay, start, maximum=False):
    """v(t) = d(t) v(t-1) + x(t), or with `maximum` v(t) = max(x(t), d(t) v(t-1)).

        dC/dx(t) = R(t) = dC/dv(t) + d(t+1) R(t+1),     dC/dv(-1) = d(0) R(0),     dC/dd(t) = R(t) v(t-1)

    Of a maximum, R(t) goes to the larger of the two alone. x is [T, B, O]; d a number, [O], or [T, B, 1] where it
    differs from step to step; and `start` v before the first step [B, O]. v has a gradient by all three.
    """
    decay = tf.broadcast_to(tf.convert_to_tensor(decay, x.dtype), tf.shape(x))

    @tf.custom_gradient
    def filtered(x, decay, start):
        def forward(carry, now):
            x, decay = now
            v = (tf.maximum if maximum else tf.add)(x, decay * carry)
            return v, v

        v = scan(forward, start, (x, decay))[1]

        def gradient(error):
            before = tf.concat([start[None], v[:-1]], 0)
            faded_slope = tf.cast(decay * before > x, x.dtype) if maximum else None  # None for 1

            def back(carry, now):
                error, decay, faded_slope = now
                reverse = error + carry
                passed = reverse if faded_slope is None else faded_slope * reverse
                return decay * passed, reverse

            start_gradient, reverse = scan(back, tf.zeros_like(start), (error, decay, faded_slope), reverse=True)
            decay_gradient = faded_slope * reverse * before if maximum else reverse * before
            return (1.0 - faded_slope) * reverse if maximum else reverse, decay_gradient, start_gradient

        return v, gradient

    return filtered(x, decay, start)
