"""How near the gradients of pieces come to backpropagation's through the whole sequence, layer by layer.

The sequences are digits of 14 x 14 pixels, one by one, asked for in the ten steps after the last pixel. They come in
pieces of C steps. The gradients of all pieces, with what each layer remembers, add up to the network's. It has learned
by backpropagation for a while, and M is the direct effect of its weights. `layers alone` has a layer between any two,
through which no error goes over a border, and a readout without traces.
"""

import itertools
import sys

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.keras_version import keras
from kernl_keras.layers.step import Step, running

from .gradients import agreement
from .options import Command
from .training import compiled

BATCH, UNITS, LENGTH = 32, 100, 256
ASKED = np.isin(np.arange(LENGTH), range(196, 206)).astype("float32")  # the weight of each step
WINDOWS, LAYERS = (16, 64), (1, 2)
ROWS = {  # rule; whether errors go from layer to layer over a border
    "truncated backpropagation": ("bptt", True),
    "e-prop": ("eprop", True),
    "KeRNL, layers alone": ("kernl", False),
    "KeRNL": ("kernl", True),
}


def build(layers, rule, length, seed, stateful=True, joined=True):
    """A network of resonators; a layer that changes nothing keeps errors from going on."""
    keras.utils.set_random_seed(seed)
    inputs = x = keras.Input(batch_shape=(BATCH, length, 1))
    traces = {} if rule == "bptt" else {"traces": "linear"}
    for _ in range(layers):
        cell = kk.ResonatorCell(UNITS, tau_m=150.0, period=kk.LogSpaced(6.0, 200.0))
        x = kk.RNN(cell, rule=rule, stateful=stateful, seed=seed, **traces)(x)
        x = x if joined else keras.layers.Rescaling(1.0)(x)
    readout = kk.Readout(10, tau_out=20.0, stateful=stateful, traces=None if joined else False)
    return kk.Model(inputs, readout(x))


def loss(labels, outputs, weight):
    """Cross entropy at the steps that count."""
    labels = tf.repeat(labels[:, None], outputs.shape[1], 1)
    return tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(labels, outputs, from_logits=True) * weight)


def parts(model):
    """The weights of each layer, without M, a list of lists."""
    cells = [layer.cell for layer in model.layers if isinstance(layer, (kk.RNN, kk.Readout))]
    found = [[getattr(cell, name, None) for name in ("kernel", "recurrent_kernel", "bias")] for cell in cells]
    return [[weight for weight in weights if weight is not None] for weights in found]


def gradients(model, x, labels, window):
    """The sum of the pieces' gradients, an array for each layer."""
    weights = parts(model)

    @tf.function(jit_compile=True)
    def one(x, weight):
        with tf.GradientTape() as tape, running(Step()):
            total = loss(labels, model(x, training=True), weight)
        return tape.gradient(total, weights)

    pieces = [slice(start, start + window) for start in range(0, LENGTH, window)]
    found = [one(tf.constant(x[:, piece]), tf.constant(ASKED[piece])) for piece in pieces]
    return [
        np.concatenate([np.ravel(sum(np.asarray(g) for g in each)) for each in zip(*layer)]) for layer in zip(*found)
    ]


def measure(layers, seed, updates, windows):
    """The rows of one network, a list of dicts."""
    data = kk.data.sequential_mnist(size=14, context_steps=0)
    x, labels = kk.data.arrays(data.train)
    x = np.pad(x, ((0, 0), (0, LENGTH - x.shape[1]), (0, 0))).astype("float32")
    whole, random = build(layers, "bptt", LENGTH, seed, stateful=False), np.random.default_rng(seed)
    asked = lambda labels, outputs: loss(labels[:, 0], outputs, ASKED) / BATCH  # noqa: E731
    compiled(whole, 2e-3, loss=asked, jit_compile=True)
    for _ in range(updates):
        rows = random.integers(0, len(x), BATCH)
        whole.train_on_batch(x[rows], labels[rows][:, None])
    rows = random.integers(0, len(x), BATCH)
    x, labels, found = x[rows], tf.constant(labels[rows]), []
    exact = gradients(whole, x, labels, LENGTH)
    for window, (label, (rule, joined)) in itertools.product(windows, ROWS.items()):
        model = build(layers, rule, window, seed, joined=joined)
        for own, theirs in zip(itertools.chain(*parts(model)), itertools.chain(*parts(whole))):
            own.assign(theirs)
        for layer in model.layers:
            if isinstance(layer, kk.RNN):
                layer.reset_sensitivity()
        for number, (one, other) in enumerate(zip(gradients(model, x, labels, window), exact)):
            name = "readout" if number == layers else f"layer {number + 1}"
            about = {"layers": layers, "seed": seed, "window": window, "crosses": label, "of": name}
            found.append({**about, **agreement(one, other)})
    return found


def run(options, about):
    """A results file, written anew after each network."""
    for window in options.windows:
        if not 1 <= window <= LENGTH or LENGTH % window:
            raise UserError(f"--windows must divide {LENGTH}; received {window}.")
    rows = []
    for layers, seed in itertools.product(options.layers, options.seeds):
        rows += measure(layers, seed, options.updates, options.windows)
        write_json(options.output, {"borders": {"updates": options.updates, "rows": rows, **about}})
    for row in rows:
        place = f"{row['layers']} layers, seed {row['seed']}, C={row['window']}, {row['crosses']}, {row['of']}"
        print(f"{place}: {row['cosine']:.3f} ({row['length']:.2f})")


main = Command("borders", __doc__, run)
main.option("--layers", type=int, nargs="+", choices=(1, 2, 3), default=LAYERS)
main.option("--windows", type=int, nargs="+", default=WINDOWS, metavar="C", help="16 64 if not given")
main.count("--updates", 300, "of backpropagation")
main.seeds(0, 1, 2)
main.results()
main.machine()

if __name__ == "__main__":
    sys.exit(main())
