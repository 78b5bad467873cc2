"""A layer's forward pass and the gradient of its weights, as loops written by hand: nothing but the equations.

The units are those of the reference network, `kernl_keras.LIFCell` with its defaults: a hard reset to 0, a refractory
step after each spike, no adaptation. M of KeRNL stands still. What a step keeps is V- and S, and what the layer gives
is z. The loops know no masks, states, windows or other units, so they show what all of that costs.
"""

import functools

import numpy as np
import tensorflow as tf

import kernl_keras as kk

from .network import set_threads

DAMPING = 0.3


def layer(settings):
    """The layer, and one batch for it: inputs [B, T, I] and errors of the outputs [B, T, H]."""
    rng = np.random.default_rng(0)
    shape = settings["batch"], settings["steps"]
    x = (rng.random((*shape, settings["inputs"])) < 0.02).astype("float32")
    error = 1e-2 * rng.normal(size=(*shape, settings["units"])).astype("float32")
    rnn = kk.RNN(kk.LIFCell(settings["units"]), settings["of_rule"], seed=1)
    rnn(x[:, :1])
    return rnn, tf.constant(x), tf.constant(error)


def package(rnn):
    """`(x, error) -> z and the gradients of W_in and W_rec` by the layer."""

    @tf.function(jit_compile=True)
    def run(x, error):
        with tf.GradientTape() as tape:
            z = rnn(x)
        return z, tape.gradient(z, [rnn.cell.kernel, rnn.cell.recurrent_kernel], output_gradients=error)

    return run


def by_hand(rnn):
    """The same, by `forward` and `backward`."""
    rule = kk.rules.rule.name_of(rnn.rule)

    @tf.function(jit_compile=True)
    def run(x, error):
        p, weights = rnn.cell.parameters(), rnn.cell.recurrent_weights()
        x, error = tf.transpose(x, (1, 0, 2)), tf.transpose(error, (1, 0, 2))
        z, potential, trace = forward(x, tf.convert_to_tensor(rnn.cell.kernel), weights, p)
        m = rnn.rule.sensitivity(rnn)[0] if rule == "kernl" else None
        by_current = backward(rule, error, z, potential, weights, m, p)
        before = tf.concat([tf.zeros_like(trace[:1]), trace[:-1]], 0)
        gradients = [tf.matmul(rows(s), rows(by_current), transpose_a=True) for s in (x, before)]
        return tf.transpose(z, (1, 0, 2)), [gradients[0], tf.linalg.set_diag(gradients[1], tf.zeros(weights.shape[0]))]

    return run


def rows(x):
    """[T, B, n] as [T B, n]."""
    return tf.reshape(x, (-1, x.shape[-1]))


def forward(x, kernel, weights, p):
    """Eq. (1)-(9): z, V- and S of every step [T, B, H]."""
    time, batch, _ = x.shape
    units = kernel.shape[1]
    current = tf.reshape(tf.matmul(rows(x), kernel), (time, batch, units))
    zeros = tf.zeros((batch, units))
    arrays = [tf.TensorArray(tf.float32, time, element_shape=zeros.shape) for _ in range(3)]

    def step(t, v, before, s, *arrays):
        free = before < 0.5  # no spike in the step before
        i = current[t] + tf.matmul(s, weights)
        potential = tf.where(free, p.membrane_decay * v + p.drive * i, v)
        z = tf.cast(free & (potential >= p.base_threshold), tf.float32)
        s = p.trace_decay * s + z
        kept = [array.write(t, value) for array, value in zip(arrays, (z, potential, s))]
        return t + 1, potential * (1.0 - z), z, s, *kept

    arrays = tf.while_loop(lambda t, *_: t < time, step, (0, zeros, zeros, zeros, *arrays), maximum_iterations=time)[4:]
    return [array.stack() for array in arrays]


def backward(rule, error, z, potential, weights, m, p):
    """dC/dI of every step [T, B, H]: Eq. (20)-(22), (27), or those of `kernl_keras.rules.BPTT`."""
    time, batch, units = z.shape
    zeros = tf.zeros((batch, units))
    decay, follows_reset = p.membrane_decay, rule != "eprop"

    def free(t):
        return 1.0 - tf.where(t > 0, z[tf.maximum(t - 1, 0)], zeros)

    def slope(t):
        u = (potential[t] - p.base_threshold) / p.base_threshold
        return free(t) * (DAMPING / p.base_threshold) * tf.nn.relu(1.0 - tf.abs(u))

    def back(step, carry):  # from the last step to the first
        array = tf.TensorArray(tf.float32, time, element_shape=zeros.shape)
        start = (time - 1, carry, array)
        return tf.while_loop(lambda t, *_: t >= 0, step, start, maximum_iterations=time)[2].stack()

    def filtered(t, q, array):  # Q(t+1) is what the units that spike at t have moved
        return t - 1, error[t] * slope(t) + decay * q, array.write(t, q)

    if m is not None:
        error_by_others = tf.reshape(tf.matmul(rows(back(filtered, zeros)), m), z.shape)

    def step(t, carry, array):
        later, of_trace = carry
        total = error[t]
        if rule == "kernl":
            total += error_by_others[t]
        elif rule == "bptt":
            total += of_trace
        if follows_reset:
            total -= potential[t] * later
        gate = free(t)
        y = (1.0 - z[t]) * later + slope(t) * total
        by_current = gate * p.drive * y
        if rule == "bptt":
            of_trace = tf.matmul(by_current, weights, transpose_b=True) + p.trace_decay * of_trace
        return t - 1, ((1.0 - gate * (1.0 - decay)) * y, of_trace), array.write(t, by_current)

    return back(step, (zeros, zeros))


def build(settings):
    """The `build` of the worker of a layer, see `peers.protocol.serve`; `rule` is "layer" or "by hand"."""
    set_threads(settings)
    rnn, x, error = layer(settings)
    run = (package if settings["rule"] == "layer" else by_hand)(rnn)
    return functools.partial(one_run, run, x, error), {"tensorflow": tf.__version__}


def one_run(run, x, error):
    """The largest entry of the gradient of W_in, when all is done."""
    return float(tf.reduce_max(run(x, error)[1][0]))
