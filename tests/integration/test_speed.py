"""One training step by the rule against one by backpropagation through time, side by side, on the reference network."""

import statistics
import time

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras

BATCH, STEPS, INPUTS, UNITS = 25, 838, 81, 200


def model(hidden):
    inputs = keras.Input((STEPS, INPUTS))
    voltage = keras.layers.RNN(kk.ReadoutCell(10), return_sequences=True)(hidden(inputs))
    model = kk.Model(inputs, kk.TimeAverage(54)(voltage))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.RMSprop(1e-3), loss=loss, jit_compile=True)
    return model


def seconds(model, x, y):
    start = time.perf_counter()
    model.train_on_batch(x, y)
    return time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.skipif(not IS_KERAS_3, reason="the ratio is of XLA's code, which both Kerases share: once is enough")
def test_a_step_takes_at_most_half_of_backpropagation_through_time():
    generator = np.random.default_rng(0)
    x = (generator.random((BATCH, STEPS, INPUTS)) < 0.05).astype("float32")
    y = generator.integers(0, 10, BATCH)
    kernl = model(kk.RNN(kk.LIFCell(UNITS), name="hidden"))
    bptt = model(keras.layers.RNN(kk.LIFCell(UNITS), return_sequences=True, name="hidden"))
    for each in (kernl, bptt):
        each.train_on_batch(x, y)  # compiles
    times = [(seconds(kernl, x, y), seconds(bptt, x, y)) for _ in range(3)]
    ours, theirs = (statistics.median(column) for column in zip(*times))
    print(f"KeRNL {ours:.2f} s, backpropagation through time {theirs:.2f} s, ratio {ours / theirs:.2f}")
    assert ours <= 0.5 * theirs
