"""Learns from one endless sequence in pieces, and reports the memory that the process holds along the way.

    python -m notebooks.lab.stream --pieces 100000 --output notebooks/results/stream.json

The inputs jump between -1 and 1, each at random times. The network tells the leaky mean of the first one. Weights move
after every piece, at a learning rate that stays, without and with weight decay, and `steps_per_execution` pieces are
one call. The memory that a layer's formula gives stands beside, and the largest of the weights, and of the states with
what is remembered: all of them have to stay finite.
"""

import gc
import itertools
import sys
import time

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.keras_version import keras
from kernl_keras.training.state import layer_states

from .benchmark.peers.protocol import memory_mb, peak_memory_mb
from .gradients import numbers_inside
from .options import Command, machine
from .training import compiled

SETTINGS = {"batch": 2, "piece": 100, "inputs": 4, "units": 64, "periods": 20, "steps_per_execution": 50, "every": 250}
RULES = ("kernl", "eprop", "bptt")
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


def build(settings, rule, weight_decay):
    """The network, compiled; by backpropagation it is truncated."""
    keras.utils.set_random_seed(0)
    batch, piece, units = (settings[name] for name in ("batch", "piece", "units"))
    periods = np.geomspace(12.0, 400.0, settings["periods"])
    period = [float(periods[unit % len(periods)]) for unit in range(units)]
    cell = kk.ResonatorCell(units, tau_m=200.0, period=period, input_gain=1.0)
    inputs = keras.Input(batch_shape=(batch, piece, settings["inputs"]))
    traces = None if rule == "bptt" else "linear"
    hidden = kk.RNN(cell, rule, window=piece, traces=traces, stateful=True, seed=0, name="hidden")(inputs)
    model = kk.Model(inputs, kk.Readout(1, tau_out=50.0, stateful=True)(hidden))
    at_once = settings["steps_per_execution"]
    return compiled(model, 1e-3, loss="mse", weight_decay=weight_decay, jit_compile=True, steps_per_execution=at_once)


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


def learn(settings, count, rule, weight_decay):
    """One run of so many pieces; a dict of what was measured."""
    idle, every = memory_mb(), settings["every"]
    model = build(settings, rule, weight_decay)
    layer = model.get_layer("hidden")
    signature = tuple(
        tf.TensorSpec((settings["batch"], settings["piece"], size), "float32") for size in (settings["inputs"], 1)
    )
    data = tf.data.Dataset.from_generator(lambda: pieces(settings), output_signature=signature)
    samples = Samples(settings)
    model.fit(data, steps_per_epoch=every, epochs=count // every, verbose=0, callbacks=[samples])
    number_mb = 4.0 * settings["batch"] / 1e6  # of one number for each example, in single precision
    first, last = samples.rows[0], samples.rows[-1]
    return {
        "rule": rule,
        "weight_decay": weight_decay,
        "steps": last["steps"],
        "pieces": count,
        "updates": int(np.asarray(model.optimizer.iterations)),
        "trace_size": layer.trace_size,
        "trace_mb": layer.trace_size * number_mb,
        "window_mb": numbers_inside(layer, settings["piece"]) * number_mb,
        "whole_mb": numbers_inside(layer, last["steps"]) * number_mb,
        "recurrent_norm": float(np.linalg.norm(layer.cell.recurrent_weights())),
        "largest": {
            "weights": largest(model.trainable_variables),
            "states": largest([state for _, state in layer_states(model)]),
        },
        "idle_mb": idle,
        "grown_mb": last["memory_mb"] - first["memory_mb"],
        "peak_mb": peak_memory_mb(),
        "samples": samples.rows,
    }


def run(options, about):
    """Learns, measures, and writes the results file after each run."""
    for weight_decay in options.weight_decay:
        if not 0.0 <= weight_decay < 1.0:
            raise UserError(f"--weight-decay must be at least 0 and less than 1; received {weight_decay}.")
    settings, runs = {**SETTINGS, "every": min(SETTINGS["every"], options.pieces)}, []
    settings["steps_per_execution"] = min(settings["steps_per_execution"], settings["every"])
    variance = float(np.mean([np.mean(y**2) for _, (_, y) in zip(range(200), pieces(settings))]))
    for rule, weight_decay in itertools.product(options.rules, options.weight_decay):
        print(f"{rule}, weight decay {weight_decay:g}")
        runs.append(learn(settings, options.pieces, rule, weight_decay))
        found = {"settings": settings, "variance": variance, "runs": runs}
        write_json(options.output, {"stream": {**found, **about, "machine": machine()}})
        keras.backend.clear_session()
        gc.collect()


main = Command("stream", __doc__, run)
main.count("--pieces", 10_000, "of 100 steps")
main.option("--rules", nargs="+", choices=RULES, default=list(RULES), metavar="RULE", help=f"of {', '.join(RULES)}")
main.option("--weight-decay", type=float, nargs="+", default=[0.0, 0.1], metavar="D", help="of AdamW")
main.results()

if __name__ == "__main__":
    sys.exit(main())
