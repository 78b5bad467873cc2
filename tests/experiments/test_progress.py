"""A progress bar that fits a terminal."""

import numpy as np

from kernl_keras.experiments.progress import Progress
from kernl_keras.keras_version import keras


def test_only_the_loss_and_the_metric_are_shown_while_an_epoch_runs(capsys):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae", "cosine_similarity"], run_eagerly=True)
    x, y = np.ones((12, 2), "float32"), np.ones((12, 1), "float32")
    model.fit(x, y, batch_size=2, validation_data=(x, y), callbacks=[Progress("mae")], verbose=1)
    *during, end = [line for line in capsys.readouterr().out.replace("\b", "\n").replace("\r", "\n").split("\n")
                    if "loss" in line]  # fmt: skip
    assert during and all("mae" in line and "cosine" not in line for line in during if "val_" not in line)
    assert "cosine_similarity" in end and "val_cosine_similarity" in end
