"""What a user of the layer and the model relies on, whatever the rule: what a training step moves.

In which order, and how far, is asked in `tests/training/test_model.py`; the gradients are those of `tests/rules`.
"""

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.rules import NAMES

B, T, I, H, O = 3, 8, 5, 7, 2  # noqa: E741


def batch():
    generator = np.random.default_rng(3)
    return generator.normal(0.6, 1.0, (B, T, I)).astype("float32"), generator.normal(size=(B, O)).astype("float32")


def model_of(rule, **compiled):
    inputs = keras.Input((T, I))
    cell = kk.LIFCell(H, tau_m=8.0, adaptation_strength=0.5, use_bias=True, recurrent_gain=1.0)
    hidden = kk.RNN(cell, rule=rule, seed=5, name="hidden")(keras.layers.Dense(I, name="below")(inputs))
    voltage = keras.layers.RNN(kk.ReadoutCell(O), return_sequences=True, name="readout")(hidden)
    model = kk.Model(inputs, kk.TimeAverage(4)(voltage))
    settings = {"optimizer": keras.optimizers.SGD(0.1), "sensitivity_optimizer": keras.optimizers.SGD(0.01)}
    model.compile(loss="mse", **{**settings, **compiled})
    return model


def weights_of(model):
    """`{"layer/weight": variable}`, without those of metrics."""
    return {
        f"{layer.name}/{weight.name.split('/')[-1].split(':')[0]}": weight
        for layer in model.layers
        for weight in layer.weights
    }


@pytest.mark.sampled(2)
@pytest.mark.parametrize("rule", NAMES)
def test_what_learns(rule):
    """All weights, and those of layers below; by "readout_only" what is above the layer alone."""
    model = model_of(rule, run_eagerly=True)
    before = {name: weight.numpy() for name, weight in weights_of(model).items()}
    model.train_on_batch(*batch())
    moved = {name for name, weight in weights_of(model).items() if np.any(weight.numpy() != before[name])}
    below = {"below/kernel", "below/bias", "hidden/kernel", "hidden/recurrent_kernel", "hidden/bias"}
    of_rule = {
        "kernl": {"hidden/sensitivity_tensor", "hidden/draws"},
        "plain_kernl": {"hidden/sensitivity_tensor", "hidden/temporal_filter", "hidden/draws"},
    }
    readout = {f"readout/{name.split('/')[1]}" for name in before if name.startswith("readout/")}
    expected = readout if rule == "readout_only" else readout | below | of_rule.get(rule, set())
    assert moved == expected
    assert set(before) == expected | below
