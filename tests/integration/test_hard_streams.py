"""What a stream may bring: silence for an hour, and sound that is clipped or far too loud.

Pieces that are not finite are asked in `tests/training/test_nonfinite.py`.
"""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..training.compare import everything

HOUR = 360_000  # steps of 10 ms
ROWS, PIECE, BANDS = 2, 100, 4
CASES = {
    "resonators, KeRNL": (lambda: kk.ResonatorCell(8), dict(rule="kernl")),
    "resonators, e-prop, exact traces": (lambda: kk.ResonatorCell(8), dict(rule="eprop", traces=True)),
    "LIF, KeRNL": (lambda: kk.LIFCell(8, adaptation_strength=1.0), dict(rule="kernl")),
    "rate, KeRNL, windows": (lambda: kk.LeakyRNNCell(8), dict(rule="kernl", window=10)),
}


def network(case, steps_per_execution):
    """A small network for pieces of a stream, compiled."""
    keras.utils.set_random_seed(0)
    cell, settings = CASES[case]
    inputs = keras.Input(batch_shape=(ROWS, PIECE, BANDS))
    hidden = kk.RNN(cell(), stateful=True, seed=0, **settings)(inputs)
    model = kk.Model(inputs, kk.Readout(3, tau_out=20.0, stateful=True)(hidden))
    adam, loss = keras.optimizers.Adam(1e-3, global_clipnorm=1.0), keras.losses.SparseCategoricalCrossentropy(True)
    model.compile(adam, loss, steps_per_execution=steps_per_execution, jit_compile=True)
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is silent")  # `fit` says that it is
@pytest.mark.parametrize("case", CASES)
def test_an_hour_of_silence_is_learned_from(case):
    """Every step says that nobody speaks. The network answers so, and then still hears."""
    at_once = 100
    model = network(case, at_once)
    x, y = np.zeros((ROWS, PIECE, BANDS), "float32"), np.zeros((ROWS, PIECE), "int32")
    silence = tf.data.Dataset.from_tensors((x, y)).repeat()
    fit = {"steps_per_epoch": HOUR // PIECE // at_once * at_once, "shuffle": False, "verbose": 0}
    loss = model.fit(silence, **fit).history["loss"][-1]
    assert loss < np.log(3.0)
    assert all(np.isfinite(each).all() for each in everything(model))
    quiet = model.predict_on_batch(x)
    loud = model.predict_on_batch(x + 1.0)
    assert np.isfinite(loud).all() and not np.allclose(quiet, loud)


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["pcen", "log"])
def test_the_front_end_hears_after_an_hour_of_silence(compression):
    """What was loud before it is forgotten: a tone sounds as after one minute of silence."""
    tone = 0.3 * np.sin(2 * np.pi * 440.0 * np.arange(8000) / 8000.0).astype("float32")[None, :, None]
    found = []
    for minutes in (1, 60):
        encoder = kk.AudioEncoder(8, compression=compression, stateful=True)
        encoder(10.0 * tone)
        silence, hear = tf.zeros((1, 10 * 8000, 1)), tf.function(encoder)
        for _ in range(6 * minutes):
            still = hear(silence)
        np.testing.assert_array_equal(still, np.zeros_like(still))
        found.append(np.asarray(encoder(tone)))
    assert found[0].max() > 0.1
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compression", ["pcen", "log"])
def test_sound_that_is_clipped_or_far_too_loud_is_finite_and_still_a_tone(compression):
    """A square wave, and amplitudes that no recording has: the band of the tone stays the strongest."""
    tone = np.sin(2 * np.pi * 1000.0 * np.arange(8000) / 8000.0).astype("float32")[None, :, None]
    encoder = kk.AudioEncoder(8, compression=compression)
    usual = np.asarray(encoder(0.5 * tone))[0, 10]  # early: later pcen has got used to it
    for sound in (np.clip(20.0 * tone, -1.0, 1.0), 1e3 * tone, 1e9 * tone):
        heard = np.asarray(encoder(sound))
        assert np.isfinite(heard).all() and heard.min() >= 0.0
        assert heard[0, 10].argmax() == usual.argmax()
