"""Codes from values to spikes or currents of input units, for all steps at once.

Every code is a function `(x [B, T, F], units, key, first) -> [B, T, F * units]` with `units` channels a feature, those
of the first feature first. `key` [2] is the key of its random draws, and `first` the number of examples before these
in a larger batch. A code with memory takes its state `before` the first step.
"""

import numpy as np
import tensorflow as tf

from ..draws import uniform


def bernoulli_code(x, units, key, first=0):
    """Every channel spikes with the probability x, cut to [0, 1]: Gerstner et al., Neuronal Dynamics (2014), 7.2."""
    probability = tf.repeat(tf.cast(x, tf.float32), units, axis=-1)
    return tf.cast(uniform(tf.shape(probability), key, first) < probability, x.dtype)


def threshold_code(x, units, key=None, first=0, before=None):
    """Channels that spike when x crosses their threshold: units / 2 on its way up, then units / 2 on its way down.

        up_j(t) = 1[x(t-1) < theta_j <= x(t)];  down_j(t) = 1[x(t) < theta_j <= x(t-1)];  theta_j = j / (units / 2 + 1)

    `before` is x(t-1) [B, T, F]; None where the sequence begins with the first step, before which x is 0.

    Example:
        >>> threshold_code(tf.constant([[[0.4], [0.9], [0.1]]]), 4)[0].numpy()  # thresholds 1/3 and 2/3
        array([[1., 0., 0., 0.],
               [0., 1., 0., 0.],
               [0., 0., 1., 1.]], dtype=float32)

    Reference: Bellec et al., arXiv:1803.09574 (2018), sequential MNIST.
    """
    before = tf.pad(x, [[0, 0], [1, 0], [0, 0]])[:, :-1] if before is None else before
    half = units // 2
    theta = np.arange(1, half + 1) / (half + 1)  # evenly spaced inside (0, 1)
    theta = tf.constant(np.tile(theta, 2 * x.shape[-1]), x.dtype)  # [F * units]
    above, above_before = tf.repeat(x, units, axis=-1) >= theta, tf.repeat(before, units, axis=-1) >= theta
    is_up = np.tile(np.repeat([True, False], half), x.shape[-1])  # [F * units]
    return tf.cast((above != above_before) & (above == is_up), x.dtype)


def current_code(x, units, key=None, first=0):
    """Every channel sends x itself, as a current: Gerstner et al., Neuronal Dynamics (2014), 1.3."""
    return tf.repeat(x, units, axis=-1)


def population_code(x, units, key=None, first=0):
    """Gaussian receptive fields: each channel has a preferred value, and sends 1 there and less farther away.

        exp(-(x - mu_j)^2 / (2 sigma^2)),    mu_j = (j - 1) / (units - 1),    sigma = 1 / (1.5 (units - 1))

    Reference: Bohte, Kok, La Poutre, Neurocomputing 48:17 (2002).
    """
    centre = tf.constant(np.tile(np.arange(units) / (units - 1), x.shape[-1]), x.dtype)  # [F * units]
    return tf.exp(-(((tf.repeat(x, units, axis=-1) - centre) * 1.5 * (units - 1)) ** 2) / 2.0)


def delta_code(x, units, key=None, first=0, delta=0.1, before=None, starts=None, with_states=False):
    """Channels that spike when x has moved by delta_j = j delta since their last spike: up, or down.

        up_j(t)   = 1[x(t) >= (k_j + 1) delta_j],    down_j(t) = 1[x(t) <= (k_j - 1) delta_j]
        k_j      <- k_j + up_j(t) - down_j(t)

    The reference k_j delta_j, 0 at the start, follows x by at most one spike a step.

    Args:
        before: the list of states before the first step, k [B, F * units / 2] alone; zeros where None.
        starts: [B, T], True where a step is the first of a sequence; None where none is but the first.
        with_states: whether to return the list of states after every step as well.

    Example:
        >>> delta_code(tf.constant([[[0.1], [0.5], [0.5], [0.0]]]), 2, delta=0.25)[0].numpy()
        array([[0., 0.],
               [1., 0.],
               [1., 0.],
               [0., 1.]], dtype=float32)

    Reference: Miskowicz, Send-on-delta concept, Sensors 6:49 (2006).
    """
    half, features = units // 2, x.shape[-1]
    level = tf.constant(np.tile(delta * np.arange(1, half + 1), features), x.dtype)
    x = tf.repeat(x, half, axis=-1)

    def step(state, now):
        up, down = (tf.cast(moved, x.dtype) for moved in (now >= (state[0] + 1) * level, now <= (state[0] - 1) * level))
        return [state[0] + up - down], (up, down)

    states, (up, down) = _follow(step, x, [tf.zeros_like(x[:, 0])] if before is None else before, starts)
    batch, steps = tf.unstack(tf.shape(x)[:2])
    channels = [tf.reshape(sent, (batch, steps, features, half)) for sent in (up, down)]
    outputs = tf.reshape(tf.concat(channels, -1), (batch, steps, features * units))
    outputs = tf.ensure_shape(outputs, (*x.shape[:2], features * units))
    return (outputs, states) if with_states else outputs


def latency_code(x, units, key=None, first=0, period=16, before=None, starts=None, with_states=False):
    """One spike in every `period` steps, earlier for a larger value: at the first for x >= 1, at the last for x near 0.

        spike at step round((1 - x) (period - 1)) of the period, x cut to [0, 1]; none for x <= 0

    x is that of the period's first step; all channels of a feature send the same.

    The states are the step of the period [B, 1] and x of its first step [B, F]; for the arguments see `delta_code`.

    Example:
        >>> latency_code(tf.fill((1, 3, 1), 0.5), 1, period=3)[0, :, 0].numpy()
        array([0., 1., 0.], dtype=float32)

    Reference: Thorpe, Delorme, Van Rullen, Spike-based strategies for rapid processing, Neural Networks 14:715 (2001).
    """

    def step(state, now):
        phase, held = state
        held = tf.where(tf.equal(phase, 0.0), now, held)
        when = tf.round((1.0 - tf.clip_by_value(held, 0.0, 1.0)) * (period - 1))
        after = tf.math.floormod(phase + 1.0, tf.cast(period, x.dtype))
        return [after, held], (tf.cast(tf.equal(phase, when) & (held > 0.0), x.dtype),)

    before = [tf.zeros_like(x[:, 0, :1]), tf.zeros_like(x[:, 0])] if before is None else before
    states, (spikes,) = _follow(step, x, before, starts)
    outputs = tf.repeat(spikes, units, axis=-1)
    return (outputs, states) if with_states else outputs


def _follow(step, x, state, starts):
    """The states and outputs [B, T, ..] of all steps of `step(states, x(t)) -> (states, tuple of outputs)`."""
    goes_on = tf.ones_like(x[..., :1]) if starts is None else 1.0 - tf.cast(starts, x.dtype)[..., None]
    like = step(state, x[:, 0])[1]

    def advance(carried, now):
        now, goes_on = now
        return step([goes_on * part for part in carried[0]], now)

    elements = tf.transpose(x, (1, 0, 2)), tf.transpose(goes_on, (1, 0, 2))
    results = tf.scan(advance, elements, (list(state), tuple(map(tf.zeros_like, like))))
    return tf.nest.map_structure(lambda part: tf.transpose(part, (1, 0, 2)), results)


def context_code(counted, context_switch, total=None):
    """What `ContextCell` sends, [B, T, 1] -> [B, T, 1]; `total` is the count so far, None for that of these steps."""
    total = tf.cumsum(counted, axis=1) if total is None else total
    return tf.cast(total > context_switch, counted.dtype)


CODES = {
    "bernoulli": bernoulli_code,
    "threshold": threshold_code,
    "current": current_code,
    "population": population_code,
    "delta": delta_code,
    "latency": latency_code,
}
