"""What `KeRNLModel.fit` makes of small networks, on one device or on the replicas of a strategy.

    python -m tests.training.replicas one|mirrored|workers FILE

writes it to FILE; "mirrored" is `MirroredStrategy` on two logical CPU devices, "workers" is
`MultiWorkerMirroredStrategy`, of whose processes TF_CONFIG says which this one is.
"""

import argparse
import contextlib
import json
import os

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

T, I, H, O = 7, 3, 4, 2  # noqa: E741
BATCH, EXAMPLES, EPOCHS = 6, 11, 2  # the last batch has 5: 3 for the first replica, 2 for the second

SPIKING = dict(tau_m=8.0, adaptation_strength=1.0, use_bias=True)
CELLS = {
    "spiking": lambda dtype: kk.KeRNLSpikingCell(H, dtype=dtype, **SPIKING),
    "rate": lambda dtype: kk.KeRNLRNNCell(H, tau=[3.0, 6.0, 9.0, 4.0], dtype=dtype),
}
CASES = {  # name: (cell, settings of the layer, settings of `compile`, what else there is)
    "own kernel": ("spiking", dict(temporal_kernel="own"), {}, ()),
    "learned kernel, clipped": ("spiking", {}, dict(clip=0.02), ("drawn",)),
    "twin, every second step": ("spiking", dict(sensitivity_mode="twin"), dict(sensitivity_every=2), ()),
    "masks": ("spiking", dict(temporal_kernel="own"), {}, ("masks",)),
    "masks, last step": ("spiking", dict(credit="last"), {}, ("masks", "weights")),
    "weights, M alone at first": ("spiking", {}, dict(sensitivity_only=1), ("weights",)),
    "plain form": ("spiking", dict(form="plain", num_kernels=2), {}, ()),
    "e-prop": ("spiking", dict(rule="eprop"), dict(clip=0.02), ("weights",)),
    "bptt_adjoint": ("spiking", dict(rule="bptt_adjoint"), {}, ("masks",)),
    "rate": ("rate", {}, {}, ("drawn",)),
}


def data(case):
    """x, y and weights of the examples (or None)."""
    generator = np.random.default_rng(5)
    x = generator.normal(0.6, 1.0, (EXAMPLES, T, I))
    y = generator.normal(size=(EXAMPLES, O))
    weights = np.array([1.0, 2.0, 0.0, 0.5, 1.0, 3.0, 1.0, 0.0, 0.0, 4.0, 1.0]) if "weights" in CASES[case][3] else None
    if "masks" in CASES[case][3]:
        valid = np.arange(T) < np.array([7, 2, 5, 1, 3, 2, 6, 7, 0, 3, 1])[:, None]
        x = np.where(valid[..., None], x, 0.0)
    return x, y, weights


def build(case, dtype, jit_compile=False):
    """The network of a case, compiled, its weights drawn by NumPy."""
    kind, settings, compile_settings, others = CASES[case]
    x = inputs = keras.Input((T, I), dtype=dtype)
    if "masks" in others:
        x = keras.layers.Masking(dtype=dtype)(x)
    if "drawn" in others:
        x = kk.SpikeEncoder(2, seed=3, dtype=dtype)(x)
    hidden = kk.KeRNL(CELLS[kind](dtype), seed=7, dtype=dtype, name="hidden", **settings)(x)
    voltage = kk.Readout(kk.ReadoutCell(O, dtype=dtype), dtype=dtype)(hidden)
    model = kk.KeRNLModel(inputs, kk.WindowMean(4, dtype=dtype)(voltage))
    generator = np.random.default_rng(11)
    for variable in model.trainable_variables:
        if "filter" not in variable.name:
            variable.assign(generator.normal(0.3, 1.0, variable.shape) * (1.0 if len(variable.shape) > 1 else 0.1))
    clip = compile_settings.get("clip")
    model.compile(
        keras.optimizers.Adam(0.02, global_clipnorm=clip),
        "mse",
        sensitivity_optimizer=keras.optimizers.RMSprop(0.01, global_clipnorm=clip),
        metrics=["mae"],
        weighted_metrics=["mse"],
        jit_compile=jit_compile,
        **{name: value for name, value in compile_settings.items() if name != "clip"},
    )
    return model


def numbers(model):
    """Every variable by name: weights, M, gamma, counters, both optimizers' slots."""
    found = {f"weights {n} {v.name.split('/')[-1].split(':')[0]}": v for n, v in enumerate(model.variables)}
    for name, optimizer in (("weights'", model.optimizer), ("sensitivity's", model.sensitivity_optimizer)):
        found |= {f"{name} optimizer {n}": v for n, v in enumerate(optimizer.variables)}
    return {name: value_of_all(variable) for name, variable in found.items()}


def value_of_all(variable):
    """The value of a variable, which must be the same on all replicas of this process."""
    values = tf.distribute.get_strategy().experimental_local_results(getattr(variable, "value", variable))
    first, *others = (np.asarray(value() if callable(value) else value) for value in values)
    for other in others:
        np.testing.assert_array_equal(other, first)
    return first


def train(case, dtype, strategy):
    """What comes of the case, by name: gradients before, values after, what was logged."""
    x, y, weights = (each if each is None else each.astype(dtype) for each in data(case))
    with strategy.scope() if strategy else contextlib.nullcontext():
        keras.utils.set_random_seed(1)
        model = build(case, dtype)
    fitted = model.fit(x, y, BATCH, EPOCHS, verbose=0, sample_weight=weights, shuffle=False)
    tested = model.evaluate(x, y, BATCH, verbose=0, sample_weight=weights, return_dict=True)
    with strategy.scope() if strategy else contextlib.nullcontext():
        found = numbers(model)
    found |= {f"logged {name}": values for name, values in fitted.history.items()}
    return found | {f"tested {name}": value for name, value in tested.items()}


def make_strategy(name):
    """The strategy that is called so; None for "one"."""
    if name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return tf.distribute.MultiWorkerMirroredStrategy() if name == "workers" else None


def run(strategy, cases=tuple(CASES), dtypes=("float64", "float32")):
    """`{"dtype/case/name": value}`."""
    return {
        f"{dtype}/{case}/{name}": value
        for dtype in dtypes
        for case in cases
        for name, value in train(case, dtype, strategy).items()
    }


if __name__ == "__main__":
    import sys, time

    tf.config.threading.set_intra_op_parallelism_threads(1)
    s = make_strategy(sys.argv[1])
    cases = sys.argv[3].split(";") if len(sys.argv) > 3 and sys.argv[3] else CASES
    dtypes = sys.argv[4].split(",") if len(sys.argv) > 4 else ("float64", "float32")
    found = {}
    for d in dtypes:
        for c in cases:
            t = time.time()
            try:
                found |= {f"{d}/{c}/{n}": v for n, v in train(c, d, s).items()}
                print(d, c, "%.1f s" % (time.time() - t), flush=True)
            except Exception as e:
                import traceback

                if "-v" in sys.argv:
                    traceback.print_exc()
                print(d, c, "FAILED", type(e).__name__, str(e)[:3000], flush=True)
    np.savez(sys.argv[2], **found)
