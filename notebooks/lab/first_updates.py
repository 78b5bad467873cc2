"""The training loss of the first updates of runs, by the code in the working directory: what `repeat` starts.

Without XLA, because it adds in another order each time the code around a sum changes, and in spiking networks such
differences grow within a few updates. For the same reason TensorFlow does not rewrite its graphs: from one trace of the
same code to the next it adds in another order.
"""

import dataclasses
import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, os.getcwd())  # not the package of the checkout that this file is from

import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.run import train
from kernl_keras.keras_version import keras
from notebooks.lab.sweeps import SWEEPS


def loss_of(sweep, variant, seed, learning_rate, updates, data_dir):
    """The loss over the first updates of a run, or None where the sweep has no such variant any more."""
    named = [each for each in SWEEPS[sweep].variants if each.name == variant] if sweep in SWEEPS else []
    if not named:
        return None
    base = named[0].of(SWEEPS[sweep].experiment)
    brief = {"epochs": None, "steps": updates, "validate_every": updates, "jit_compile": False}
    if base.source == "tfds":
        brief["data_dir"] = data_dir
    keras.backend.clear_session()
    with tempfile.TemporaryDirectory() as folder:
        experiment = dataclasses.replace(base, seed=seed, learning_rate=learning_rate, **brief)
        return train(experiment, pathlib.Path(folder, "run"), verbose=0)["curve"][-1]["loss"]


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    nothing = dict.fromkeys(("loss", "accuracy", "mse"), 0.0)
    kk.Model.evaluate = lambda *_, **__: nothing  # type: ignore[method-assign]  # which would take longest
    how = {name: asked[name] for name in ("updates", "data_dir")}
    losses = [loss_of(*each, **how) for each in asked["runs"]]
    pathlib.Path(asked["output"]).write_text(json.dumps(losses), encoding="utf-8")
