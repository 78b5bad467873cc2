"""The reference network, and one training step of it in this package."""

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from .peers import task


def build(settings):
    """The `build` of our worker, see `peers.protocol.serve`.

    Args:
        settings: dict with `batch`, `steps`, `inputs`, `units`, `outputs`, `threads`; `rule`, one of ours or
            "keras_bptt" for `keras.layers.RNN` over the same cell; and, each of them optional, `rule_settings`, of that
            rule; `layer`, of `RNN`; `jit_compile`; `pieces`: the number of pieces of `steps` steps that a step feeds to
            a stateful network; `one_call`: whether all of them are one call, by `steps_per_execution`; and `cadence`:
            whether M learns as often as by default instead of in every step, and what counts is the mean of as many
            steps.

    Returns:
        `step`, which trains on a batch and returns the loss, and the versions.
    """
    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(settings["threads"])
    keras.utils.set_random_seed(task.SEED)
    model = build_model(settings)
    pixels, labels = task.batch(settings)
    counted = np.ones_like(pixels)  # the context input
    x, y = tf.constant(np.stack([pixels, counted], -1)), tf.constant(labels)

    if settings.get("one_call"):
        model.make_train_function()
        data, calls = iter(tf.data.Dataset.from_tensors((x, y)).repeat()), 1
    else:
        data, calls = None, settings.get("pieces", 1)

    def step():
        for _ in range(calls * step.averages):
            logs = model.train_function(data) if data else model.train_on_batch(x, y, return_dict=True)
        return float(logs["loss"])

    step.averages = model.sensitivity_every
    return step, {"tensorflow": tf.__version__, "keras": keras.__version__}


def build_model(settings):
    """The reference network, compiled. Arguments as for `build`.

    Example:

    >>> sizes = {"batch": 2, "steps": 60, "inputs": 81, "units": 20, "outputs": 10, "threads": 1}
    >>> build_model({**sizes, "rule": "eprop"}).output_shape
    (2, 10)
    """
    stateful = "pieces" in settings
    cell = kk.LIFCell(settings["units"])
    common = {"name": "hidden", "stateful": stateful}
    if settings["rule"] == "keras_bptt":
        hidden = keras.layers.RNN(cell, return_sequences=True, **common)
    else:
        rule = kk.rules.NAMES[settings["rule"]](**settings.get("rule_settings", {}))
        hidden = kk.RNN(cell, rule, seed=task.SEED, **common, **settings.get("layer", {}))
    window = task.window(settings)
    inputs = keras.Input(batch_shape=(settings["batch"], settings["steps"], 2))
    spikes = kk.SpikeEncoder(settings["inputs"] - 1, context_switch=settings["steps"] - window, seed=1)(inputs)
    # the sum of the reference network, which the peers have too
    readout = kk.Readout(settings["outputs"], gain=None, use_bias=False, stateful=stateful, name="readout")
    voltage = readout(hidden(spikes))
    model = kk.Model(inputs, kk.TimeAverage(window)(voltage))
    model.compile(
        optimizer=keras.optimizers.RMSprop(task.LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=settings.get("jit_compile", True),
        steps_per_execution=settings["pieces"] if settings.get("one_call") else 1,
        **({} if settings.get("cadence") else {"sensitivity_every": 1}),
    )
    return model
