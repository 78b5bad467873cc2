"""What `Model.fit` makes of small networks: on one device, and on the replicas of a strategy in other processes.

`python -m tests.training.replicas mirrored|workers FILE DTYPE/CASE ...` is such a process: two logical CPU devices
under `MirroredStrategy`, or one of the workers of `MultiWorkerMirroredStrategy`, whom TF_CONFIG tells about the others.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import warnings
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras, short_name
from kernl_keras.replicas import replica
from kernl_keras.rules import Exponential, KeRNL, PlainKeRNL

T, I, H, O = 7, 3, 4, 2  # noqa: E741
OPTIMIZERS = (keras.optimizers.Adam, 0.02), (keras.optimizers.RMSprop, 0.01)  # of the weights, of M and gamma
BATCH, EXAMPLES, EPOCHS = 6, 11, 2  # of the last batch, of 5, the first replica has 3 and the second 2
STRATEGIES = {"mirrored": 1, "workers": 2}  # name: processes; two replicas in all
ROOT = pathlib.Path(__file__).parents[2]


class Case(NamedTuple):
    """A network, and how it learns."""

    layer: dict = {}  # settings of `RNN`
    compile: dict = {}  # of `compile`
    clip: float | None = None  # global_clipnorm of both optimizers
    rate: bool = False  # rate units, no spiking ones
    drawn: bool = False  # an encoder that draws is in front
    masked: bool = False  # sequences of unlike lengths
    sequences: bool = False  # the loss is of every step, and hears of the mask
    weighted: bool = False  # examples have weights, some 0
    nan: int | None = None  # the example that is not finite
    stateful: bool = False  # an encoder with states is in front; its batches are full
    scale: float | None = None  # loss scale of both optimizers
    evaluate: bool = False  # gradients, predictions and evaluation are looked at, too


CASES = {
    "membrane kernel": Case(clip=0.02, drawn=True, weighted=True, evaluate=True),
    "exponential kernel, masks": Case(
        dict(rule=KeRNL(kernel="exponential")), dict(sensitivity_every=2), masked=True, evaluate=True
    ),
    "twin, M alone at first": Case(dict(rule=KeRNL(perturbation="twin")), dict(sensitivity_only=1), weighted=True),
    "every step's error, masks": Case(masked=True, sequences=True),
    "plain form, last step": Case(dict(rule=PlainKeRNL(kernel=Exponential(2), credit="last"))),
    "e-prop, not finite": Case(dict(rule="eprop"), clip=0.02, nan=4),  # on the second replica
    "states, not finite": Case(nan=7, stateful=True),  # on the first
    "bptt": Case(dict(rule="bptt"), masked=True, weighted=True),
    "rate": Case(drawn=True, rate=True),
    "firing rate": Case(dict(rule="eprop", activity_regularizer=kk.FiringRate(100.0, strength=1000.0))),
    "firing rate, masks": Case(dict(rule="eprop", activity_regularizer=kk.FiringRate(50.0, strength=1e3)), masked=True),
    "least squares, masks": Case(compile=dict(sensitivity_optimizer=None), masked=True),
    "loss scale": Case(clip=0.02, weighted=True, scale=2.0**15),
    "too large a loss scale": Case(clip=0.02, weighted=True, scale=2.0**124),
}


def data(case):
    """x, y and weights of the examples (or None)."""
    generator = np.random.default_rng(5)
    examples = 2 * BATCH if case.stateful else EXAMPLES
    x = generator.normal(0.6, 1.0, (examples, T, I))
    y = generator.normal(size=(examples, T, O) if case.sequences else (examples, O))
    weights = np.array([1.0, 2.0, 0.0, 0.5, 1.0, 3.0, 1.0, 0.0, 0.0, 4.0, 1.0]) if case.weighted else None
    if case.masked:
        lengths = np.array([7, 2, 5, 1, 3, 2, 6, 7, 0, 3, 1])
        x *= np.arange(T)[None, :, None] < lengths[:, None, None]
    if case.nan is not None:
        x[case.nan] = np.nan
    return x, y, weights


def build(case, dtype):
    """The network of a case, compiled, its weights drawn by NumPy."""
    batch = BATCH // tf.distribute.get_strategy().num_replicas_in_sync if case.stateful else None
    x = inputs = keras.Input(batch_shape=(batch, T, I), dtype=dtype, name="x")
    if case.masked:
        x = keras.layers.Masking(dtype=dtype)(x)
    if case.drawn:
        x = kk.SpikeEncoder(2, seed=3, dtype=dtype)(x)
    if case.stateful:
        x = kk.SpikeEncoder(4, "threshold", context_switch=3, stateful=True, dtype=dtype, name="front")(x)
    if case.rate:
        cell = kk.LeakyRNNCell(H, tau=[3.0, 6.0, 9.0, 4.0], dtype=dtype)
    else:
        cell = kk.LIFCell(H, tau_m=8.0, adaptation_strength=1.0, use_bias=True, dtype=dtype)
    x = kk.RNN(cell, seed=7, dtype=dtype, name="hidden", **case.layer)(x)
    x = kk.Readout(O, dtype=dtype)(x)
    model = kk.Model(inputs, x if case.sequences else kk.TimeAverage(4, dtype=dtype)(x))
    generator = np.random.default_rng(11)
    for variable in (*cell.trainable_variables, *model.layers[-1 if case.sequences else -2].trainable_variables):
        scale = 0.1 if len(variable.shape) == 1 else 1.0 if case.rate else 5.0  # which makes them spike now and then
        variable.assign(generator.normal(0.3, 1.0, variable.shape) * scale)
    optimizers = [kind(rate, global_clipnorm=case.clip) for kind, rate in OPTIMIZERS]
    if case.scale:
        optimizers = [keras.mixed_precision.LossScaleOptimizer(each, initial_scale=case.scale) for each in optimizers]
    metrics = dict(metrics=["mae"], weighted_metrics=["mse"])
    settings = {"sensitivity_optimizer": optimizers[1], "sensitivity_every": 1, **case.compile}
    model.compile(optimizers[0], "mse", **metrics, **settings)
    return model


def numbers(model):
    """Every variable by name: weights, M, gamma, counters, both optimizers' slots."""
    found = {f"variable {n}, {short_name(v)}": v for n, v in enumerate(model.variables)}
    for name, optimizer in (("weights", model.optimizer), ("sensitivity", model.sensitivity_optimizer)):
        found |= {f"optimizer of {name}, {n}": v for n, v in enumerate(optimizer.variables)}
    return {name: value_of_all(variable) for name, variable in found.items()}


def value_of_all(variable):
    """The value of a variable, which must be the same on all replicas of this process."""
    values = tf.distribute.get_strategy().experimental_local_results(getattr(variable, "value", variable))
    first, *others = (np.asarray(value() if callable(value) else value) for value in values)
    for other in others:
        np.testing.assert_array_equal(other, first)
    return first


def train(case, dtype, strategy=None):
    """What comes of a case, by name: gradients, the values after training, what was logged."""
    x, y, weights = (each if each is None else each.astype(dtype) for each in data(case))
    with floatx(dtype), strategy.scope() if strategy else contextlib.nullcontext():
        keras.utils.set_random_seed(1)
        model = build(case, dtype)
        found = gradients(model, x, y, strategy) if case.evaluate else {}
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", RuntimeWarning)
            warnings.filterwarnings("ignore", "All layers with states should")  # the encoder alone is meant
            fitted = model.fit(x, y, BATCH, EPOCHS, verbose=0, sample_weight=weights, shuffle=False)
        found["said"] = "".join(str(each.message) for each in said if "skipped" in str(each.message))
        if case.stateful:
            local = tf.distribute.get_strategy().experimental_local_results
            for n, state in enumerate(model.get_layer("front").states):
                parts = [part.numpy() for part in local(state)]
                found[f"state {n}"] = np.concatenate(parts) if parts[0].ndim else parts[0]
        found |= numbers(model) | {f"logged {name}": values for name, values in fitted.history.items()}
        found |= {f"logged {name}": value for name, value in model.diagnostics().items()}
        if case.evaluate:
            tested = model.evaluate(x, y, BATCH, verbose=0, sample_weight=weights, return_dict=True)
            tested |= model.diagnostics(training=False)
            found |= {f"tested {name}": value for name, value in tested.items()}
    return found


@contextlib.contextmanager
def floatx(dtype):
    """Within, Keras computes losses in this precision, whatever that of the layers is."""
    before = keras.backend.floatx()
    keras.backend.set_floatx(dtype)
    try:
        yield
    finally:
        keras.backend.set_floatx(before)


def gradients(model, x, y, strategy):
    """`Model.gradients` of the first 5 examples, 3 of the first replica and 2 of the second."""

    def of_replica():
        mine = slice(0, 3) if replica() == 0 else slice(3, 5)
        return model.gradients(x[mine], y[mine])

    every = strategy.run(of_replica) if strategy else model.gradients(x[:5], y[:5])
    local = tf.distribute.get_strategy().experimental_local_results
    return {f"gradient {n}": local(each)[0].numpy() for n, each in enumerate(every) if each is not None}


def elsewhere(strategy, names, folder, timeout=900.0):
    """What each process of a strategy found of some "DTYPE/CASE": a dict of arrays each.

    Raises:
        OSError: where no port of the loopback can be had.
        RuntimeError: where a process fails, with what it said, or takes more than `timeout` seconds.
    """
    count = STRATEGIES[strategy]
    addresses = free_addresses(count) if count > 1 else []
    files = [folder / f"{strategy}-{n}.npz" for n in range(count)]
    processes = []
    try:
        for n, file in enumerate(files):
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": n}} if addresses else {}
            environment = {**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONPATH": str(ROOT)}
            with open(file.with_suffix(".txt"), "w") as said:
                command = [sys.executable, "-m", "tests.training.replicas", strategy, file, *names]
                processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said))
        end = time.monotonic() + timeout
        while any(process.poll() is None for process in processes):
            if time.monotonic() > end or any(process.poll() for process in processes):  # the others would wait for it
                break
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
    if status := [process.wait() for process in processes if process.wait()]:
        said = "\n".join(file.with_suffix(".txt").read_text()[-3000:] for file in files)
        raise RuntimeError(f"{strategy} failed with {status}, or took more than {timeout:g} s.\n{said}")
    return [dict(np.load(file, allow_pickle=False)) for file in files]


def free_addresses(count):
    """Addresses of the loopback that nobody listens to."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def make_strategy(name):
    """The strategy of that name; to be made before TensorFlow does anything else."""
    if name == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def run(names, strategy=None):
    """`{"DTYPE/CASE/NAME": value}` of some "DTYPE/CASE"."""
    found = {}
    for name in names:
        dtype, case = name.split("/")
        found |= {f"{name}/{key}": value for key, value in train(CASES[case], dtype, strategy).items()}
    return found


if __name__ == "__main__":
    np.savez(sys.argv[2], **run(sys.argv[3:], make_strategy(sys.argv[1])))
