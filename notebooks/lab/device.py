"""Learns in LiteRT's interpreter, step by step, and compares with `fit`: weights, microseconds and kilobytes.

The inputs are noise, and now and then one of the first four has a pulse. The class of each step is which of them had
the last one. Both learn from every step, in the same order. Where a rounding makes or takes a spike, the two part:
weights are compared up to there, and accuracies to the end.
"""

import sys
import time

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.files import write_json
from kernl_keras.keras_version import keras, short_name

from .options import Command, litert_interpreter, machine
from .training import compiled

INPUTS, UNITS, CLASSES = 12, 64, 4
PULSES, PULSE, NOISE = 0.2, 2.0, 0.3  # how often, how high; standard deviation
CELLS = {
    "rate": lambda: kk.LeakyRNNCell(UNITS, tau=5.0),
    "LIF": lambda: kk.LIFCell(UNITS, tau_m=10.0, adaptation_strength=1.0),
    "resonator, 8 periods": lambda: kk.ResonatorCell(
        UNITS, tau_m=20.0, period=[4.0 + 3.0 * (unit % 8) for unit in range(UNITS)]
    ),
}
RULES = {"e-prop": kk.rules.EProp, "KeRNL": lambda: kk.rules.KeRNL(learn_sensitivity=False)}
CASES = [
    ("rate", "e-prop", "exact"),
    ("rate", "KeRNL", "linear"),
    ("LIF", "e-prop", "exact"),
    ("LIF", "e-prop", "linear"),
    ("LIF", "KeRNL", "linear"),
    ("resonator, 8 periods", "e-prop", "exact"),
    ("resonator, 8 periods", "KeRNL", "linear"),
]
PARTED = 1e-2  # of the range of the outputs


def stream(steps):
    """x [N, 1, I] and the class of each step [N, 1]."""
    random = np.random.default_rng(0)
    x = random.normal(scale=NOISE, size=(steps, 1, INPUTS)).astype("float32")
    pulses, places = random.random(steps) < PULSES, random.integers(0, CLASSES, steps)
    x[pulses, 0, places[pulses]] += PULSE
    last = np.maximum.accumulate(np.where(pulses, np.arange(steps), -1))
    return x, np.where(last < 0, 0, places[last])[:, None].astype("int32")


def build(cell, rule, memory):
    """The network, compiled, for one step at a time."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(batch_shape=(1, 1, INPUTS))
    traces = True if memory == "exact" else "linear"
    hidden = kk.RNN(CELLS[cell](), RULES[rule](), window=1, traces=traces, stateful=True, name="hidden")(inputs)
    readout = kk.Readout(CLASSES, tau_out=None, gain=1.0, stateful=True, name="readout")
    return compiled(kk.Model(inputs, readout(hidden)), 1e-3)


def timed(step, **inputs):
    """The outputs of all steps [N, classes], and the median of their microseconds; `inputs` have an axis of steps."""
    outputs, microseconds = [], []
    for now in zip(*inputs.values()):
        start = time.perf_counter()
        answer = step(**dict(zip(inputs, now)))
        microseconds.append(1e6 * (time.perf_counter() - start))
        outputs.append(np.array(answer["outputs"])[0])
    return np.stack(outputs), float(np.median(microseconds))


def largest_difference(saved, model):
    """The largest difference of any weight that learns, and the largest weight."""
    differences, largest = [], []
    for layer in model.layers:
        for weight in layer.trainable_weights:
            value = tf.convert_to_tensor(weight).numpy()
            differences.append(np.abs(saved[f"{layer.name}_{short_name(weight)}"] - value).max())
            largest.append(np.abs(value).max())
    return float(max(differences)), float(max(largest))


def measure(case, steps, interpreter):
    """A row of the results: what one network takes on a device, and how it compares with `fit`."""
    model, (x, y) = build(*case), stream(steps)
    taught = {"x": x, "y": y, "sample_weight": np.ones((steps, 1), "float32")}
    learner = kk.learner(model)
    content = learner.to_litert()
    loaded = interpreter(model_content=content, num_threads=1)
    run = {name: loaded.get_signature_runner(name) for name in loaded.get_signature_list()}
    start = {name: value.numpy() for name, value in learner.save().items()}
    here, _ = timed(learner.learn, **taught)
    there, of_learning = timed(run["learn"], **taught)
    _, of_answers = timed(run["step"], x=x)
    apart = np.abs(here - there).max(1) > PARTED * np.ptp(here)
    agreed = int(np.argmax(apart)) if apart.any() else steps
    run["restore"](**start)
    timed(run["learn"], **{name: value[:agreed] for name, value in taught.items()})
    data = tf.data.Dataset.from_tensor_slices((x[:agreed, None], y[:agreed, None]))
    model.fit(data, verbose=0)
    difference, largest = largest_difference(run["save"](), model)
    late = slice(steps // 2, None)
    accuracy, accuracy_here = (float(np.mean(each[late].argmax(-1) == y[late, 0])) for each in (there, here))
    sizes = {
        f"{group}_kb": sum(variable.dtype.size * variable.shape.num_elements() for variable in tensors.values()) / 1e3
        for group, tensors in learner.tensors.items()
    }
    return {
        **dict(zip(("cell", "rule", "memory"), case)),
        "answer_us": of_answers,
        "learn_us": of_learning,
        "file_kb": len(content) / 1e3,
        **sizes,
        "agreed": agreed,
        "difference": difference,
        "largest_weight": largest,
        "accuracy": accuracy,
        "accuracy_of_tensorflow": accuracy_here,
    }


def run(options, about):
    """Measures, and writes the results file."""
    Interpreter = litert_interpreter()
    rows = []
    for case in CASES:
        rows.append(measure(case, options.steps, Interpreter))
        print(f"{', '.join(case):40}{rows[-1]['learn_us']:8.0f} us{rows[-1]['agreed']:8} steps alike", flush=True)
        keras.backend.clear_session()
    sizes = {"inputs": INPUTS, "units": UNITS, "classes": CLASSES, "steps": options.steps}
    write_json(options.output, {"on_device": {**sizes, "rows": rows, **about, "machine": machine()}})


main = Command("device", __doc__, run)
main.count("--steps", 1000)
main.results()

if __name__ == "__main__":
    sys.exit(main())
