"""Draws the pictures of `notebooks/pictures` from the files in `notebooks/results`, and from directories of runs.

    python -m notebooks.lab.pictures [RUN_DIR ...]

The learning curve and M are those of a run.
"""

import pathlib
import sys

import numpy as np

import kernl_keras as kk
from kernl_keras.experiments.files import read_json
from kernl_keras.keras_version import keras

from .options import Command
from .plot import BLUE, GREY, INK, RED, panels

HERE = pathlib.Path(__file__).parents[1]
PICTURES, RESULTS = HERE / "pictures", HERE / "results"
RULE_NAMES = {"kernl": "KeRNL", "eprop": "e-prop, potential alone", "eprop_alif": "e-prop", "rflo": "RFLO"}
RULES = {"kernl": BLUE, "eprop": RED, "eprop_alif": "#dd8452", "rflo": GREY}
STREAM_LINES = {  # rule, and whether its window is longer than KeRNL's; None: it holds a word
    ("kernl", False): ("KeRNL", BLUE, "-"),
    ("eprop", False): ("e-prop", RED, "-"),
    ("bptt", False): ("truncated backpropagation", GREY, "-"),
    ("bptt", True): ("truncated, equal memory", INK, "--"),
    ("bptt", None): ("whole words", "#d99a2b", "-."),
}
NOTEBOOK = {1: 8361.0, 1000: 7000.0, 5000: 3403.0}  # the loss of the reference code's own notebook, by step


def read(name):
    """What a results file holds."""
    return read_json(RESULTS / f"{name}.json")


def draw_network():
    """What the packaged network does with one digit: pixels in, spikes of every fourth unit, the ten readouts."""
    model = kk.load_pretrained("smnist")
    pixels, digits = next(iter(kk.data.sequential_mnist("sample", batch_size=16).test.as_numpy_iterator()))
    example = list(digits).index(3)
    layers = [model.get_layer(name).output for name in ("hidden", "readout")]
    spikes, voltages = (np.array(each)[example] for each in keras.Model(model.input, layers)(pixels))
    units = np.argsort(model.get_layer("hidden").cell.constants()["period"])[::4]  # the fastest first
    pixels, steps = pixels[example, :, 0], len(spikes)
    figure, (top, middle, bottom) = panels(3, 1, size=(8, 5), sharex=True, height_ratios=(1.2, 3, 2.4))
    top.fill_between(range(steps), pixels, color=INK, linewidth=0)
    top.set(ylabel="pixel", yticks=(0, 1), ylim=(0, 1.05))
    image = top.inset_axes((0.0, 0.1, 0.12, 0.9))
    image.imshow(pixels[:784].reshape(28, 28), cmap="gray_r")
    image.set_axis_off()
    step, row = np.nonzero(spikes[:, units])
    middle.plot(step, row, "|", markersize=4, markeredgewidth=0.7, color=BLUE)
    middle.set(ylabel=f"spikes of {len(units)} units", ylim=(-1, len(units)))
    for digit, voltage in enumerate(voltages.T):
        right = digit == digits[example]
        style = {"color": "#9aa5b1", "linewidth": 0.7}
        if right:
            style = {"color": RED, "linewidth": 2.0, "zorder": 3, "label": f"readout of {digit}, the digit shown"}
        bottom.plot(voltage, **style)
    bottom.set(xlabel="time step", ylabel="readouts", xlim=(0, steps))
    bottom.legend(frameon=False, loc="lower left")
    for axes in (top, middle, bottom):
        axes.axvspan(784, steps, color="#eeeeee", zorder=0)
    bottom.text((784 + steps) / 2, bottom.get_ylim()[0], "answer", ha="center", va="bottom", fontsize=9)
    figure.savefig(PICTURES / "network.png", dpi=110)


def draw_learning_curve(run_dir):
    """Accuracy over the digits seen."""
    results = read_json(run_dir / "results.json")
    curve, batch_size = results["curve"], read_json(run_dir / "config.json")["batch_size"]
    digits = np.array([row["steps"] for row in curve]) * batch_size
    figure, axes = panels(size=(6, 3.2))
    axes.plot(digits, [row["accuracy"] for row in curve], "o-", color="#9aa5b1", label="training digits")
    axes.plot(digits, [row["val_accuracy"] for row in curve], "o-", color=BLUE, label="validation digits")
    axes.axhline(results["chance"], color=RED, linestyle=":", label="chance")
    axes.axhline(results["test_accuracy"], color=INK, linewidth=0.8, label="test digits, best epoch")
    axes.set(xlabel="digits seen", ylabel="accuracy", ylim=(0, 1), title="784-pixel MNIST, KeRNL, packaged sample")
    axes.legend(frameon=False)
    figure.savefig(PICTURES / "learning_curve.png", dpi=110)


def draw_sensitivity(run_dir):
    """M at the end of the run, beside the path through one synapse."""
    model = keras.models.load_model(run_dir / "model.keras")
    layer = model.get_layer("hidden")
    m = layer.sensitivity_tensor.numpy()
    drive = np.broadcast_to(layer.cell.parameters().drive, len(m))
    one_synapse = layer.cell.recurrent_weights().numpy().T * drive[:, None]
    figure, (left, middle, right) = panels(1, 3, size=(10, 3.2))
    limit = np.quantile(np.abs(m), 0.99)
    for axes, matrix, title in ((left, m, "M, learned"), (middle, one_synapse, "one synapse: drive $W_{rec}^T$")):
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set(xlabel="moved by unit i", ylabel="unit k", title=title)
    figure.colorbar(image, ax=(left, middle), shrink=0.8)
    others = ~np.eye(len(m), dtype=bool)
    correlation = np.corrcoef(m[others], one_synapse[others])[0, 1]
    right.plot(one_synapse[others], m[others], ".", markersize=1, alpha=0.3, color=BLUE)
    right.plot([-limit, limit], [-limit, limit], color=RED, linewidth=0.8)
    right.set(xlabel="one synapse", ylabel="M", title=f"correlation {correlation:.2f}")
    right.set(xlim=(-1.5 * limit, 1.5 * limit), ylim=(-1.5 * limit, 1.5 * limit))
    figure.savefig(PICTURES / "sensitivity.png", dpi=110)


def draw_reference():
    """The sensitivity loss of the reference preset, M and gamma alone, beside the reference code's own."""
    results = read("smnist-reference")
    steps = [row["steps"] for row in results["curve"]]
    loss = np.array([row["sensitivity_loss"] for row in results["curve"]])
    figure, axes = panels(size=(6, 3.2))
    axes.plot(np.array(steps) - 50, loss, color=BLUE, label="kernl_keras, preset reference: mean of 100 steps")
    axes.plot(list(NOTEBOOK), list(NOTEBOOK.values()), "o", color=RED, label="notebook of the reference code")
    axes.set(xlabel="training step, M and gamma alone", ylabel="F (noise variances)", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(PICTURES / "reference.png", dpi=110)


def draw_alignment():
    """How the rules' gradients agree with backpropagation's, over training and by lag; a thin line a seed."""
    results = read("alignment")
    runs = [run["measurements"] for run in results["runs"]]
    steps = [row["step"] for row in runs[0]]
    figure, axes = panels(1, 3, size=(11, 3.4))
    for rule, colour in RULES.items():
        for panel, name in zip(axes, ("cosine", "nonlocal_cosine")):
            values = [[row["variables"]["hidden"][rule][name] for row in run] for run in runs]
            if None not in values[0]:
                draw_seeds(panel, steps, values, colour, RULE_NAMES[rule])
        lags = [run[-1]["lags"]["hidden"][rule] for run in runs]
        draw_seeds(axes[2], lags[0]["lag"], [lag["cosine"] for lag in lags], colour, rule)
    share = np.mean([run[-1]["lags"]["hidden"]["kernl"]["share"] for run in runs], 0)
    axes[2].bar(lags[0]["lag"], share, width=0.8 * lags[0]["lag"][1], color="#dddddd", zorder=0)
    axes[2].text(lags[0]["lag"][-1], 1.03, "bars: share of the gradient's length", ha="right", color="#777777")
    axes[0].set(title="whole gradient", xlabel="training step", ylabel="cosine to backpropagation", ylim=(0, 1.02))
    axes[1].set(title="what travels through other units", xlabel="training step", ylim=(-0.2, 1.02))
    axes[2].set(title="by time from input to error, at the end", xlabel="lag (ms)", ylim=(-0.2, 1.1))
    for panel in axes:
        panel.axhline(0.0, color="#cccccc", linewidth=0.8, zorder=0)
    axes[0].legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.4))
    figure.savefig(PICTURES / "alignment.png", dpi=110)


def draw_kills():
    """Where the kills fell: in the life of the killed process, and how far the run was by then."""
    results = read("kills")
    kills = [kill for trial in results["trials"] for kill in trial["kills"]]
    figure, axes = panels(size=(7, 3.4))
    for near, colour, where in ((False, BLUE, "anywhere"), (True, RED, "at a change in the directory")):
        at = [kill for kill in kills if kill["near"] == near]
        label = f"{where} ({len(at)})"
        axes.plot([k["seconds"] for k in at], [k["saved_steps"] for k in at], "o", color=colour, alpha=0.7, label=label)
    axes.set(xlabel="processor time of the killed process (s)", ylabel="training steps saved by then")
    axes.set(title=f"{len(kills)} kills; {results['identical']} of {results['runs']} runs end identical")
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    figure.savefig(PICTURES / "kills.png", dpi=110)


def draw_streams():
    """Words missed on a validation stream by the steps heard: a column a task, a row a window."""
    tasks = read("streams")["streams"]["tasks"]
    windows = sorted({run["compared"] for runs in tasks.values() for run in runs if (run["compared"] or 0) > 1})
    size = (3.4 * len(tasks), 0.6 + 2.3 * len(windows))
    figure, axes = panels(len(windows), len(tasks), size=size, squeeze=False, sharey="col", sharex="col")
    for column, (task, runs) in zip(axes.T, tasks.items()):
        for panel, window in zip(column, windows):
            for (rule, longer), (label, colour, style) in STREAM_LINES.items():
                compared = None if longer is None else window  # None: a window that holds a word
                of_line = [run for run in runs if (run["rule"], run["compared"]) == (rule, compared)]
                shown = [run["curve"] for run in of_line if longer is None or (run["window"] > window) == longer]
                if shown:
                    steps = [point["steps"] / 1000.0 for point in shown[0]]
                    missed = 100.0 * np.array([[point["validation"] for point in curve] for curve in shown])
                    panel.plot(steps, missed.T, color=colour, linewidth=0.5, alpha=0.4)
                    panel.plot(steps, missed.mean(0), style, color=colour, linewidth=1.6, label=label)
            panel.set_title(f"{task}, an update every {window} steps", fontsize=10)
        column[0].set(ylim=(0, None))
        column[-1].set_xlabel("1,000 steps heard, in each of 16 rows")
    for panel in axes[:, 0]:
        panel.set_ylabel("missed (%)")
    labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(*labels, fontsize=9, frameon=False, loc="outside lower center", ncols=5)
    figure.savefig(PICTURES / "streams.png", dpi=110)


def draw_seeds(axes, x, values, colour, label):
    """The mean over seeds, and a thin line for each."""
    values = np.array(values, dtype=float)
    axes.plot(x, values.T, color=colour, linewidth=0.6, alpha=0.6)
    axes.plot(x, values.mean(0), "o-", color=colour, markersize=3.5, label=label)


def run(options, about):
    """Draws them all."""
    PICTURES.mkdir(exist_ok=True)
    for run_dir in options.run_dirs:
        draw_learning_curve(run_dir)
        draw_sensitivity(run_dir)
    for draw in (draw_network, draw_reference, draw_alignment, draw_kills, draw_streams):
        draw()


main = Command("pictures", __doc__, run)
main.option("run_dirs", type=pathlib.Path, nargs="*", metavar="RUN_DIR", help="directory of a run")

if __name__ == "__main__":
    sys.exit(main())
