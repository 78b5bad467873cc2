"""Optimizers with `use_ema`: each group ends with the averages of its own variables."""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras

from ..reference.cases import taking_turns

MOMENTUM, RATES = 0.8, {"weights": 0.05, "sensitivity": 0.02}


class Weights(keras.callbacks.Callback):
    """All trainable weights after every batch."""

    def on_train_begin(self, logs=None):
        self.seen = [[weight.numpy() for weight in self.model.trainable_variables]]

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append([weight.numpy() for weight in self.model.trainable_variables])


@pytest.mark.parametrize(
    "averaged", taking_turns([(("weights", "sensitivity"),), (("weights",),), (("sensitivity",),)])
)
def test_the_weights_end_as_their_averages(averaged):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 4))  # as many inputs as units: W_in, W_rec and M are of one shape
    hidden = kk.RNN(kk.LIFCell(4, input_gain=4.0))(inputs)
    model = kk.Model(inputs, kk.TimeAverage(6)(kk.Readout(2)(hidden)))
    optimizers = {
        name: keras.optimizers.SGD(rate, use_ema=name in averaged, ema_momentum=MOMENTUM)
        for name, rate in RATES.items()
    }
    settings = {"sensitivity_optimizer": optimizers["sensitivity"], "sensitivity_every": 1}
    model.compile(optimizers["weights"], "mse", **settings, jit_compile=False)
    generator, weights = np.random.default_rng(0), Weights()
    x, y = generator.normal(1.0, 1.0, (8, 6, 4)).astype("float32"), generator.normal(size=(8, 2)).astype("float32")
    model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[weights])
    of_sensitivity = {id(weight) for layer in model.rule_layers for weight in layer.sensitivity_weights}
    for n, weight in enumerate(model.trainable_variables):
        history = [values[n] for values in weights.seen]
        assert not np.array_equal(history[0], history[-1])
        expected = history[-1]
        if ("sensitivity" if id(weight) in of_sensitivity else "weights") in averaged:
            first = 1 if IS_KERAS_3 else 0  # of Keras 3 the average begins with the first step
            expected = history[first]
            for values in history[first + 1 :]:
                expected = MOMENTUM * expected + (1.0 - MOMENTUM) * values
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5, atol=1e-6)
