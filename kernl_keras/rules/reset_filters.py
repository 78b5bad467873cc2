"""Filters of linear memory for units that reset, which are not the same at every step.

What leak and reset leave of a potential, and the slope, are means over the units that share a filter g, at each step:

    E^g_j(t) = leak_g(t) V^g_j(t-1) + s_j(t),    V^g_j(t) = keep_g(t) E^g_j(t)

psi E through a second filter of decay q is no difference of two, as it is without resets. So there is a filter for each
pair:

    Z^qg_j(t) = q Z^qg_j(t-1) + psi_g(t) E^g_j(t)
"""

import tensorflow as tf

from ..sequences.time_loop import scan

GROUPS, SECOND = 16, 4
"""How many filters g there are, and how many second filters for the hop and for the threshold, at most. Filters that
only decay are much alike: few stand for any number, see `rules.poles`."""


def after_resets(v, z, decays, inputs, keep, leak, psi, counts):
    """The filters after some steps.

    Args:
        v: V before them [B, G, J].
        z: Z before them [B, Q G, J], the filters q in order, each with all g; None where there are none.
        decays: q of the second filters [Q].
        inputs: s [C, B, J].
        keep, leak, psi: of the filters g [C, B, G].
        counts: 1, or 0 for a step that is left out [C, B or 1].

    Returns:
        V and Z.

    What an input adds to a filter in the end is found backward in time: a number for each filter, step and example.
    """
    groups, seconds = v.shape[1], decays.shape[0]
    counts = counts[..., None]
    later = tf.cumsum(counts, exclusive=True, reverse=True)  # steps that follow

    def of_filters(x):
        return tf.tile(x, [1] * (x.shape.rank - 1) + [1 + seconds])

    decays = tf.repeat(decays, groups)
    ones = tf.ones_like(keep)
    past_v = tf.concat([tf.zeros_like(keep), of_filters(psi)[..., groups:] * tf.pow(decays, later)], -1)  # of E

    def back(weight, now):
        keep, leak, past_v, counts = now
        of_input = counts * (past_v + keep * weight)
        return tf.where(counts > 0.0, leak * of_input, weight), of_input

    end = tf.concat([ones[0], tf.zeros_like(of_filters(ones[0])[..., groups:])], -1)
    of_v, of_inputs = scan(back, end, (of_filters(keep), of_filters(leak), past_v, counts), reverse=True)
    made = of_v[..., None] * tf.tile(v, [1, 1 + seconds, 1]) + tf.einsum("cbf,cbj->bfj", of_inputs, inputs)
    if z is None:
        return made, None
    return made[:, :groups], made[:, groups:] + tf.pow(decays, tf.reduce_sum(counts, 0))[..., None] * z
