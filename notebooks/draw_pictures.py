"""Draws the README's pictures from a finished run: `python notebooks/draw_pictures.py RUN_DIR`."""

import json
import pathlib
import sys

import matplotlib
import numpy as np

import kernl_keras  # noqa: F401  registers the layers of the saved model
from kernl_keras.keras_version import keras

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PICTURES = pathlib.Path(__file__).parent / "pictures"


def draw_learning_curve(run_dir):
    """Accuracy over the digits seen."""
    results = json.loads((run_dir / "results.json").read_text())
    config = json.loads((run_dir / "config.json").read_text())
    curve = results["curve"]
    digits = np.array([row["steps"] for row in curve]) * config["batch_size"]
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    axes.plot(digits, [row["accuracy"] for row in curve], "o-", color="#9aa5b1", label="training digits")
    axes.plot(digits, [row["val_accuracy"] for row in curve], "o-", color="#1f6f8b", label="validation digits")
    axes.axhline(results["chance"], color="#c44e52", linestyle=":", label="chance")
    axes.axhline(results["test_accuracy"], color="#333333", linewidth=0.8, label="test digits, best epoch")
    axes.set(xlabel="digits seen", ylabel="accuracy", ylim=(0, 1), title="784-pixel MNIST, KeRNL, packaged sample")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURES / "learning_curve.png", dpi=110)


def draw_sensitivity(run_dir):
    """M at the end of the run, beside the path through one synapse, and gamma."""
    model = keras.models.load_model(run_dir / "model.keras")
    layer = model.get_layer("hidden")
    m, gamma = layer.sensitivity_tensor.numpy(), layer.temporal_filter.numpy()
    drive = np.broadcast_to(layer.cell.parameters().drive, gamma.shape)
    leak_rate = np.broadcast_to(layer.cell.leak_rate(), gamma.shape)
    one_synapse = layer.cell.recurrent_weights().numpy().T * drive[:, None]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    limit = np.quantile(np.abs(m), 0.99)
    for axes, matrix, title in ((left, m, "M, learned"), (middle, one_synapse, "one synapse: $(1-a) R_m W_{rec}^T$")):
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set(xlabel="moved by unit i", ylabel="unit k", title=title)
    figure.colorbar(image, ax=(left, middle), shrink=0.8)
    bins = np.linspace(0.0, max(gamma.max(), leak_rate.max()), 31)
    right.hist(gamma, bins, color="#1f6f8b", label="learned")
    right.hist(leak_rate, bins, histtype="step", color="#c44e52", label="start, $1/\\tau_m$")
    right.set(xlabel="gamma (1/ms)", ylabel="units", title="temporal filter")
    right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURES / "sensitivity.png", dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python notebooks/draw_pictures.py RUN_DIR")
    PICTURES.mkdir(exist_ok=True)
    draw_learning_curve(pathlib.Path(sys.argv[1]))
    draw_sensitivity(pathlib.Path(sys.argv[1]))
