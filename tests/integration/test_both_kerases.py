"""The same numbers from Keras 3 and Keras 2: a training step here, and one in a process of the other Keras."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.rules import RFLO, Exponential, KeRNL, PlainKeRNL

pytestmark = pytest.mark.slow  # the curves of `tests/recorded` are of both

B, T, I, H, O = 3, 8, 5, 7, 2  # noqa: E741
ROOT = pathlib.Path(__file__).parents[2]


def step(rule):
    """Predictions, gradients and weights after a training step; all weights are NumPy's."""
    generator = np.random.default_rng(7)
    x = keras.Input((T, I))
    cell = kk.LIFCell(H, tau_m=8.0, adaptation_strength=0.5, use_bias=True)
    hidden = kk.RNN(cell, rule=rule, name="hidden", seed=5)(x)
    voltage = keras.layers.RNN(kk.ReadoutCell(O), return_sequences=True, name="readout")(hidden)
    model = kk.Model(x, kk.TimeAverage(4)(voltage))
    model.compile(keras.optimizers.SGD(0.1), "mse", sensitivity_optimizer=keras.optimizers.SGD(0.01), run_eagerly=True)
    variables = sorted(model.trainable_variables, key=lambda v: (len(v.shape), *v.shape))
    for variable in variables:
        values = generator.normal(size=variable.shape)
        variable.assign(0.1 * np.abs(values) if len(variable.shape) == 1 or "filter" in variable.name else 3.0 * values)
    inputs = generator.normal(0.6, 1.0, (B, T, I)).astype("float32")
    targets = generator.normal(size=(B, O)).astype("float32")
    order = [list(map(id, model.trainable_variables)).index(id(variable)) for variable in variables]
    gradients = model.gradients(inputs, targets)
    found = {"predictions": model.predict(inputs, verbose=0)}
    found |= {f"gradient_{n}": gradients[index].numpy() for n, index in enumerate(order)}
    model.train_on_batch(inputs, targets)
    return found | {f"weight_{n}": variable.numpy() for n, variable in enumerate(variables)}


TABLE = {
    "kernl": KeRNL(),
    "exponentials": KeRNL(Exponential(2)),
    "replica": PlainKeRNL(noise="synapse", perturbation="replica"),
    "rflo": RFLO(),
}


def steps():
    return {f"{name}/{key}": value for name, rule in TABLE.items() for key, value in step(rule).items()}


@pytest.mark.skipif(
    IS_KERAS_3 and importlib.util.find_spec("tf_keras") is None, reason="Keras 2 (tf-keras) is not installed"
)
def test_a_training_step_is_the_same(tmp_path):
    other = {**os.environ, "TF_USE_LEGACY_KERAS": "1" if IS_KERAS_3 else "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.integration.test_both_kerases", tmp_path / "other.npz"]
    subprocess.run(command, check=True, cwd=ROOT, env=other, capture_output=True)
    theirs, ours = np.load(tmp_path / "other.npz", allow_pickle=False), steps()
    assert bool(theirs["is_keras_3"]) != IS_KERAS_3
    assert set(theirs) == {*ours, "is_keras_3"}
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert all(np.abs(value).max() > 1e-4 for name, value in ours.items())


if __name__ == "__main__":
    np.savez(sys.argv[1], is_keras_3=IS_KERAS_3, **steps())
