"""What a gradient should be, by other means than the rules' equations: differences of runs of `kernl_keras.naive`."""

import numpy as np

from kernl_keras.naive import spiking


def current_error(rule, shape):
    """dC/dI(t) [B, T, H] of a rule: dC/dW is linear in s, so a single s(t) = 1 picks dC/dI(t) out of the sum."""
    batch, time, units = shape
    of_current = np.zeros(shape)
    for b, t in np.ndindex(batch, time):
        impulse = np.zeros((batch, time, 1))
        impulse[b, t] = 1.0
        of_current[b, t] = rule(impulse)[0]
    return of_current


def difference(function, at, step=1e-6):
    """Central differences of a scalar function by each entry of `at`."""
    gradient = np.zeros(at.shape)
    for index in np.ndindex(*at.shape):
        shift = np.zeros(at.shape)
        shift[index] = step
        gradient[index] = (function(at + shift) - function(at - shift)) / (2.0 * step)
    return gradient


def smooth_gradient(error, x, w_in, w_rec, bias, c, stop_reset=False, start=None, forward=spiking):
    """Backpropagation through time with the surrogate, by differences of the smooth run: [J, H] and [B, T, I].

    The diagonal of the recurrent part is there whether or not the cell uses it.
    """
    units, size = c.units, x.shape[-1]
    run = forward(x, w_in, w_rec, bias, c, start)

    def loss(weights, x):
        w_in, w_rec, bias = weights[:size], weights[size : size + units], weights[-1]
        return np.sum(error * forward(x, w_in, w_rec, bias, c, start, smooth=run, stop_reset=stop_reset).z)

    weights = np.concatenate([w_in, w_rec, bias[None]])
    return difference(lambda w: loss(w, x), weights), difference(lambda x: loss(weights, x), x)
