"""Learns from one endless sequence in pieces, and reports the memory that the process holds along the way.

    python -m notebooks.lab.stream --pieces 100000 --output notebooks/results/stream.json

The inputs jump between -1 and 1, each at random times. The network tells the leaky mean of the first one. Weights move
after every piece, and `steps_per_execution` pieces are one call. The memory that a layer's formula gives stands beside,
and the largest of the weights, and of the states with what is remembered: all of them have to stay finite.
"""

import sys
import time

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.files import write_json
from kernl_keras.keras_version import keras
from kernl_keras.training.state import layer_states

from .benchmark.peers.protocol import memory_mb, peak_memory_mb
from .gradients import numbers_inside
from .options import Command, machine
from .training import compiled

SETTINGS = {"batch": 2, "piece": 100, "inputs": 4, "units": 64, "periods": 20, "steps_per_execution": 50, "every": 250}
TAU, JUMPS = 100.0, 0.02  # ms of the leaky mean; how often an input jumps, a step


def pieces(settings, seed=0):
    """Endless (x [B, C, I], y [B, C, 1]), each piece going on where the one before ended."""
    random, keep = np.random.default_rng(seed), np.exp(-1.0 / TAU)
    x = random.choice([-1.0, 1.0], (settings["batch"], settings["inputs"]))
    mean = np.zeros(settings["batch"])
    while True:
        inputs, targets = [], []
        for _ in range(settings["piece"]):
            x = np.where(random.random(x.shape) < JUMPS, -x, x)
            mean = keep * mean + (1.0 - keep) * x[:, 0]
            inputs.append(x)
            targets.append(mean[:, None])
        yield np.stack(inputs, 1).astype("float32"), np.stack(targets, 1).astype("float32")


def build(settings):
    """The network, compiled."""
    keras.utils.set_random_seed(0)
    batch, piece, units = (settings[name] for name in ("batch", "piece", "units"))
    periods = np.geomspace(12.0, 400.0, settings["periods"])
    period = [float(periods[unit % len(periods)]) for unit in range(units)]
    cell = kk.ResonatorCell(units, tau_m=200.0, period=period, input_gain=1.0)
    inputs = keras.Input(batch_shape=(batch, piece, settings["inputs"]))
    hidden = kk.RNN(cell, rule="kernl", window=piece, traces="linear", stateful=True, seed=0, name="hidden")(inputs)
    model = kk.Model(inputs, kk.Readout(1, tau_out=50.0, stateful=True)(hidden))
    return compiled(model, 1e-3, loss="mse", jit_compile=True, steps_per_execution=settings["steps_per_execution"])


class Samples(keras.callbacks.Callback):
    """What the process holds, and the loss, after each so many pieces."""

    def __init__(self, settings):
        super().__init__()
        self.settings, self.start, self.rows = settings, time.perf_counter(), []

    def on_epoch_end(self, epoch, logs=None):
        steps = (epoch + 1) * self.settings["every"] * self.settings["piece"]
        row = {"steps": steps, "seconds": time.perf_counter() - self.start, "memory_mb": memory_mb()}
        self.rows.append({**row, "loss": float(logs["loss"])})
        if (epoch + 1) % 4 == 0:
            print(f"{steps:>10,} steps{row['memory_mb']:10.1f} MB    loss {logs['loss']:.4f}")


def largest(variables):
    """The largest absolute number in variables; NaN if one is not finite."""
    found = [np.max(np.abs(np.asarray(each)), initial=0.0) for each in variables]
    return float(np.max(found)) if np.isfinite(found).all() else float("nan")


def run(options, about):
    """Learns, measures, and writes the results file."""
    count, idle = options.pieces, memory_mb()
    settings = {**SETTINGS, "every": min(SETTINGS["every"], count)}
    settings["steps_per_execution"] = min(settings["steps_per_execution"], settings["every"])
    model = build(settings)
    layer = model.get_layer("hidden")
    signature = tuple(
        tf.TensorSpec((settings["batch"], settings["piece"], size), "float32") for size in (settings["inputs"], 1)
    )
    data = tf.data.Dataset.from_generator(lambda: pieces(settings), output_signature=signature)
    samples, every = Samples(settings), settings["every"]
    model.fit(data, steps_per_epoch=every, epochs=count // every, verbose=0, callbacks=[samples])
    number_mb = 4.0 * settings["batch"] / 1e6  # of one number for each example, in single precision
    first, last = samples.rows[0], samples.rows[-1]
    variance = float(np.mean([np.mean(y**2) for _, (_, y) in zip(range(200), pieces(settings))]))
    found = {
        "settings": settings,
        "steps": last["steps"],
        "pieces": count,
        "updates": int(np.asarray(model.optimizer.iterations)),
        "trace_size": layer.trace_size,
        "trace_mb": layer.trace_size * number_mb,
        "window_mb": numbers_inside(layer, settings["piece"]) * number_mb,
        "whole_mb": numbers_inside(layer, last["steps"]) * number_mb,
        "variance": variance,
        "largest": {
            "weights": largest(model.trainable_variables),
            "states": largest([state for _, state in layer_states(model)]),
        },
        "idle_mb": idle,
        "grown_mb": last["memory_mb"] - first["memory_mb"],
        "peak_mb": peak_memory_mb(),
        "samples": samples.rows,
    }
    write_json(options.output, {"stream": {**found, **about, "machine": machine()}})


main = Command("stream", __doc__, run)
main.count("--pieces", 10_000, "of 100 steps")
main.results()

if __name__ == "__main__":
    sys.exit(main())
