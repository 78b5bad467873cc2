"""Our worker in a race, see `peers.racing`. It is run as a file, as the peers' scripts are."""

import dataclasses
import os
import pathlib
import sys

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    root = pathlib.Path(__file__).resolve().parents[3]
    peers = root / "notebooks" / "lab" / "benchmark" / "peers"
    sys.path[:1] = [str(root), str(peers)]  # the checkout and what the workers share, not this folder

import numpy as np
import tensorflow as tf

from kernl_keras.experiments.build import build_model
from kernl_keras.experiments.configs import SMNIST, spread
from kernl_keras.keras_version import keras


def experiment_of(settings):
    """The experiment `smnist` with the rule, the sizes and the seed of the settings.

    The learning rate does not fall: nobody knows how many steps there will be.
    """
    cell = {**SMNIST.cell_settings, "units": settings["units"], "period": spread(12.0, 42.0, units=settings["units"])}
    encoder = {"units": settings["inputs"] - 1, "context_switch": settings["steps"] - settings["context_steps"]}
    return dataclasses.replace(
        SMNIST.with_rule(settings["rule"]),
        cell_settings=cell,
        encoder_settings={**(SMNIST.encoder_settings or {}), **encoder},
        layer_settings=settings["layer"],
        learning_rate=settings["learning_rate"],
        optimizer_settings={"global_clipnorm": settings["clip_norm"]},
        batch_size=settings["batch"],
        schedule="constant",
        seed=settings["seed"],
    )


def build(settings):
    """The `build` of this worker."""
    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(settings["threads"])
    model = build_model(experiment_of(settings), settings["steps"], 2, total_steps=1)

    def sequences(pixels):
        return np.stack([pixels, np.ones_like(pixels)], -1)  # the context input

    def train(pixels, labels):
        model.train_on_batch(sequences(pixels), labels)

    def predict(pixels):
        return model.predict_on_batch(sequences(pixels)).argmax(1)

    return train, predict, {"tensorflow": tf.__version__, "keras": keras.__version__}


if __name__ == "__main__":
    import racing

    racing.race(build)
