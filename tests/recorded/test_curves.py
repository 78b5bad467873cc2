"""Training losses of before the rules became objects, at revision 8332b19: the new code makes them again.

`curves.json` has the running mean of the loss after each of 50 training steps of the named experiments, in double
precision (`keras.backend.set_floatx("float64")`), for each Keras and rule.
"""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from kernl_keras.experiments.build import build_data, build_model
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.keras_version import IS_KERAS_3, keras

from .rules import CURVES

RECORDED = json.loads((pathlib.Path(__file__).parent / "curves.json").read_text(encoding="utf-8"))
LOSSES = RECORDED["losses"]["Keras 3" if IS_KERAS_3 else "Keras 2"]
OFTEN = {"adding/kernl", "row-mnist/kernl", "row-mnist/eprop-adaptation"}  # a few steps of these are not slow


class Losses(keras.callbacks.Callback):
    """The running mean of the loss after each step."""

    def on_train_begin(self, logs=None):
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        self.found.append(float(logs["loss"]))


@pytest.fixture
def double_precision():
    before = keras.backend.floatx()
    keras.backend.set_floatx("float64")
    yield
    keras.backend.set_floatx(before)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize(
    ("name", "steps"),
    [*((name, 5) for name in sorted(OFTEN)), *(pytest.param(name, 50, marks=pytest.mark.slow) for name in LOSSES)],
)
def test_losses_are_those_of_before(name, steps):
    experiment, label = name.split("/")
    experiment = dataclasses.replace(EXPERIMENTS[experiment], steps=RECORDED["steps"], epochs=None)
    if label in CURVES:  # the others are as the experiment has them
        rule, settings = CURVES[label]
        experiment = dataclasses.replace(experiment, rule=rule, rule_settings=settings)
    data = build_data(experiment)
    model = build_model(experiment, data.time_steps, data.features, RECORDED["steps"])
    losses = Losses()
    model.fit(data.train, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[losses])
    np.testing.assert_allclose(losses.found, LOSSES[name][:steps], rtol=1e-9)
