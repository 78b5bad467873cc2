"""When a unit counts as one that does all it can: in long and short sequences, under masks, for rates."""

import math

import numpy as np
import tensorflow as tf

from kernl_keras.layers.diagnostics import Report, activity


def saturated(outputs, highest, counted=None):
    """The share of saturated units of outputs [T, B, H]."""
    outputs = tf.constant(outputs, tf.float32)
    return float(Report(*[None] * 5, *activity(outputs, counted, highest)).saturated_units)


def spikes(steps, first, every, examples=3):
    """[T, B, 1]: a spike at the step `first`, from 0, and every so many steps."""
    train = np.zeros(steps)
    train[first::every] = 1.0
    return np.broadcast_to(train[:, None, None], (steps, examples, 1))


def test_a_unit_that_spikes_whenever_it_can_is_saturated():
    for every in (1, 2, 4):
        for steps in (40, 41, 61, 838):
            assert saturated(spikes(steps, 0, every), 1.0 / every) == 1.0
            assert saturated(spikes(steps, 0, every + 1), 1.0 / every) == 0.0
    one_rests = spikes(40, 0, 2).copy()
    one_rests[:, 0] = 0.0
    assert saturated(one_rests, 0.5) == 0.0


def test_short_sequences_do_not_tell():
    """A unit that can spike every fourth step has 0.4 spikes a step in 5 steps, and one is seldom at its limit."""
    for steps in (1, 2, 4, 5, 9, 13, 38, 39):
        for first in range(4):
            assert saturated(spikes(steps, first, 4), 0.25) == 0.0
    assert [saturated(np.ones((steps, 3, 1)), 1.0) for steps in (1, 9, 10, 11)] == [0.0, 0.0, 1.0, 1.0]


def test_steps_that_do_not_count():
    """Of sequences 60, 40, 3 and 0 steps long; what stands behind their ends is not looked at."""
    outputs = np.broadcast_to(spikes(60, 0, 2, 1), (60, 4, 1)).copy()
    lengths = np.array([60, 40, 3, 0])
    counted = np.arange(60)[:, None] < lengths
    outputs[~counted] = 1.0 - outputs[~counted]
    assert saturated(outputs, 0.5, tf.constant(counted)) == 1.0
    assert saturated(1.0 - outputs, 1.0, tf.constant(counted)) == 0.0
    assert saturated(np.where(counted[..., None], 0.0, 1.0), 0.5, tf.constant(counted)) == 0.0
    assert saturated(outputs, 0.5, tf.zeros(counted.shape, tf.bool)) == 0.0


def test_rates():
    outputs = np.stack([np.full((10, 2), 0.99), np.full((10, 2), -0.99), np.full((10, 2), 0.9)], -1)
    np.testing.assert_allclose(saturated(outputs, 1.0), 2.0 / 3.0, rtol=1e-6)
    assert saturated(1e3 * outputs, math.inf) == 0.0
