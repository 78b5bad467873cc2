"""What the code before the redesign learned: 50 training losses of experiments and rules, in both Kerases.

`curves.json` was recorded at revision 8332b19 by the loop of `train` below, on a CPU and with one thread, each row in
turn by

    Experiment(..., steps=50), load_data, build_model(..., total_steps=50), fit(steps_per_epoch=50, shuffle=False)

with the settings of that revision: those in `RULES`, and RMSprop for M, with the clipping of the other weights. Keras
draws the seeds of initial weights in the order in which cell, rule and readout are made, and the hidden layer built.
`train` keeps the order of that revision; a0f449b has another.

A row is "EXPERIMENT/RULE/DTYPE": the loss and, where M learns, F after each step, both means of all steps so far, and
the sums of the hidden weights' absolute values after the last.

In single precision a rounding moves a spike, and from there on two runs go their own ways; so what can be compared to
many digits is in double precision.
"""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.experiments import build
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.keras_version import IS_KERAS_3, keras, short_name

STEPS = 50
RECORDED = json.loads((pathlib.Path(__file__).parent / "curves.json").read_text(encoding="utf-8"))
ROWS = RECORDED["Keras 3" if IS_KERAS_3 else "Keras 2"]
MEMBRANE = {"class_name": "kernl_keras>Membrane", "config": {"arrival": False}}  # as it was for rate units
EXPONENTIALS = {"class_name": "kernl_keras>Exponential", "config": {"count": 2}}
RULES = {  # label in the file: rule, its settings
    "kernl": ("kernl", {"kernel": MEMBRANE, "adaptation": False}),
    "kernl-exponential": ("kernl", {"kernel": "exponential", "adaptation": False}),
    "kernl-exponential-2": ("kernl", {"kernel": EXPONENTIALS, "adaptation": False}),
    "plain": ("plain_kernl", {}),
    "reference": ("plain_kernl", EXPERIMENTS["smnist-reference"].rule_settings),
    "eprop": ("eprop", {"adaptation": False}),
    "eprop-adaptation": ("eprop", {}),
    "eprop-reset": ("eprop", {"reset_gradient": True}),
    "rflo": ("rflo", {}),
    "readout": ("readout_only", {}),
    "bptt": ("bptt", {"tape": True}),
    "bptt-adjoint": ("bptt", {}),
}


class Record(keras.callbacks.Callback):
    """Loss and F after every step, as `fit` reports them: means of all steps so far."""

    def __init__(self):
        super().__init__()
        self.loss, self.sensitivity_loss = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.loss.append(float(logs["loss"]))
        self.sensitivity_loss.append(self.model.diagnostics().get("sensitivity_loss", 0.0))


def experiment_of(row):
    """The `Experiment` of a row, with its rule."""
    name, label, _ = row.split("/")
    experiment = dataclasses.replace(EXPERIMENTS[name], steps=STEPS, epochs=None)
    if name == "smnist-reference" and label == "kernl":  # the experiment as it is, but of M and gamma alone
        return dataclasses.replace(experiment, sensitivity_only=STEPS)
    rule, settings = RULES[label]
    return dataclasses.replace(
        experiment,
        rule=rule,
        rule_settings=settings,
        sensitivity_learning_rate=1e-3,
        sensitivity_optimizer="RMSprop",
        sensitivity_optimizer_settings={} if name == "smnist-reference" else experiment.optimizer_settings,
    )


@pytest.fixture
def precision():
    """`precision(dtype)` sets that of all layers and losses, for this test."""
    before = keras.backend.floatx()
    set_policy = keras.config.set_dtype_policy if IS_KERAS_3 else keras.mixed_precision.set_global_policy

    def choose(dtype):
        keras.backend.set_floatx(dtype)
        set_policy(dtype)

    yield choose
    choose(before)


def train(row, monkeypatch):
    """`Record` of a row, and the sums of the weights' absolute values, by name."""
    experiment, readouts = experiment_of(row), []

    def make_both(*_, rule, **settings):
        keras.utils.set_random_seed(experiment.seed)
        cell = build.CELLS[experiment.cell](**experiment.cell_settings)
        layer = kk.RNN(cell, rule=experiment.make_rule(), **settings)
        readouts.append(kk.Readout(**experiment.readout_settings, name="readout"))
        return layer

    monkeypatch.setattr(build, "RNN", make_both)
    monkeypatch.setattr(build, "Readout", lambda **settings: readouts.pop())
    data = build.load_data(experiment)
    model = build.build_model(experiment, data.time_steps, data.features, total_steps=STEPS)
    record = Record()
    model.fit(data.train, steps_per_epoch=STEPS, shuffle=False, verbose=0, callbacks=[record])
    weights = model.get_layer("hidden").trainable_weights
    return record, {short_name(v): np.sum(np.abs(v.numpy())) for v in weights}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:M of layer 'hidden' learns little:RuntimeWarning")
@pytest.mark.parametrize("row", ROWS)
def test_all_steps(row, precision, monkeypatch):
    recorded, dtype = ROWS[row], row.split("/")[-1]
    precision(dtype)
    record, weights = train(row, monkeypatch)
    assert record.loss[0] == pytest.approx(recorded["loss"][0], rel=1e-5)
    for what in {"loss", "sensitivity_loss"} & set(recorded):
        rtol = 1e-7 if dtype == "float64" else 0.1
        np.testing.assert_allclose(getattr(record, what), recorded[what], rtol=rtol, err_msg=what)
    assert dtype != "float64" or weights == pytest.approx(recorded["weights"], rel=1e-7)
