"""A program as a user writes it, for `tests/test_types.py`: mypy --strict has nothing to say, but to `REFUSED`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.types import RuleName


def cells() -> list[keras.layers.Layer]:
    return [
        kk.LIFCell(4, tau_m=[10.0, 20.0, 30.0, 40.0], tau_a=kk.LogUniform(20, 800), reset="soft"),
        kk.ResonatorCell(3, period=np.array([10.0, 20.0, 30.0])),
        kk.LeakyRNNCell(5, tau=10, activation="relu", kernel_regularizer="l2"),
    ]


def rules() -> list[RuleName | kk.rules.Rule]:
    return [
        "kernl",
        kk.rules.KeRNL(kernel=kk.rules.Exponential(count=2), perturbation=kk.rules.Tangent(observe="voltage")),
        kk.rules.PlainKeRNL(noise="synapse", credit="last", sensitivity_initializer="zeros"),
        kk.rules.EProp(adaptation=False),
    ]


def network(rule: RuleName | kk.rules.Rule = "kernl") -> kk.Model:
    inputs = keras.Input((7, 2))
    spikes = kk.SpikeEncoder(6, code="threshold", context_switch=5, seed=0)(inputs)
    hidden = kk.RNN(cells()[0], rule, traces=False, name="hidden")(spikes)
    voltage = kk.Readout(1, tau_out=None)(hidden)
    model = kk.Model(inputs, kk.TimeAverage(2)(voltage))
    model.compile(keras.optimizers.Adam(1e-3), "mse", sensitivity_optimizer="sgd", run_eagerly=True)
    return model


def train(model: kk.Model) -> float:
    data: kk.data.SequenceData = kk.data.adding_problem(7, batch_size=4, examples=8, validation=4, test=4)
    callback = kk.GradientAlignment("unused", update_freq=100, rules=["eprop"])
    history = model.fit(kk.data.full_batches(data.train, 4), epochs=1, verbose=0)
    x, y = next(iter(data.test))
    gradients: list[tf.Tensor | None] = model.gradients(x, y)
    alignment = kk.gradient_alignment(model, x, y, rules=callback.rules, windows=2)
    assert len(gradients) == len(model.trainable_variables) and data.examples.train == 8
    assert np.isfinite(history.history["loss"]).all()
    return alignment.variables["hidden/kernel"]["eprop"].cosine


def by_hand() -> np.ndarray[Any, Any]:
    x, w = np.ones((1, 3, 2)), np.ones((2, 2))
    c = kk.naive.constants(2, tau_m=10.0)
    run = kk.naive.spiking(x, w, w, np.zeros(2), c)
    s = kk.naive.presynaptic(x, run.seen, np.zeros((1, 2)))
    return kk.naive.traces_gradient(np.ones((1, 3, 2)), s, kk.naive.linear("spiking", run, c))


REFUSED: list[Callable[[], object]] = [
    lambda: kk.RNN(kk.LIFCell(4), rule="kernel"),  # refused: arg-type
    lambda: kk.RNN(kk.LIFCell(4), traces="yes"),  # refused: arg-type
    lambda: kk.rules.KeRNL(kernel="gaussian"),  # refused: arg-type
    lambda: kk.rules.KeRNL(perturbation=kk.rules.Membrane()),  # refused: arg-type
    lambda: kk.rules.KeRNL(credit="last"),  # refused: call-arg
    lambda: kk.rules.PlainKeRNL(post_factor="slope"),  # refused: arg-type
    lambda: kk.rules.PlainKeRNL.reference("838"),  # refused: arg-type
    lambda: kk.rules.Exponential(count="2"),  # refused: arg-type
    lambda: kk.rules.Twin(observe="spikes"),  # refused: arg-type
    lambda: kk.LIFCell(),  # refused: call-arg
    lambda: kk.LIFCell(4, tau_m="20 ms"),  # refused: arg-type
    lambda: kk.LIFCell(4, reset="none"),  # refused: arg-type
    lambda: kk.LeakyRNNCell(4, activation="sigmoid"),  # refused: arg-type
    lambda: kk.SpikeEncoder(4, code="rate"),  # refused: arg-type
    lambda: kk.TimeAverage("all"),  # refused: arg-type
    lambda: kk.LogUniform(1.0, None),  # refused: arg-type
    lambda: kk.data.sequential_mnist("fashion"),  # refused: arg-type
    lambda: kk.data.sequential_mnist(size=32),  # refused: arg-type
    lambda: kk.data.adding_problem(10, 4),  # refused: call-arg
    lambda: kk.GradientAlignment(update_freq="batch"),  # refused: arg-type
    lambda: kk.TensorBoard(update_freq="batch"),  # refused: arg-type
    lambda: kk.load_pretrained(1),  # refused: arg-type
]
