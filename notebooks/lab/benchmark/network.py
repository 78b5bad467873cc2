"""The reference network and one training step of it in this package, and the network that takes part in the race."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments.build import build_model as build_experiment
from kernl_keras.experiments.configs import SMNIST, spread
from kernl_keras.keras_version import keras

from .peers import task

VERSIONS = {"tensorflow": tf.__version__, "keras": keras.__version__}


def set_threads(settings):
    """The number of threads that the settings of a worker ask for."""
    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(settings["threads"])


def with_context(pixels):
    """Pixels [B, T] as inputs [B, T, 2]: the second says that a step is one."""
    return np.stack([pixels, np.ones_like(pixels)], -1)


def build(settings):
    """The `build` of our worker, see `peers.protocol.serve`.

    `settings` has `batch`, `steps`, `inputs`, `units`, `outputs`, `threads` and `rule`, one of ours or "keras_bptt" for
    `keras.layers.RNN` over the same cell. It may have

        rule_settings, layer, jit_compile    of the rule, of `RNN`, of `compile`
        pieces      how many pieces of `steps` steps a step feeds to a stateful network
        one_call    all of them are one call, by `steps_per_execution`
        cadence     M learns as often as by default, and not in every step; what counts is the mean of as many steps
        gradients   "all" or "readout": a step is the loss and these gradients alone, no update and nothing of Keras'
    """
    set_threads(settings)
    keras.utils.set_random_seed(task.SEED)
    model = build_model(settings)
    pixels, labels = task.batch(settings)
    x, y = tf.constant(with_context(pixels)), tf.constant(labels)
    if "gradients" in settings:
        return functools.partial(loss_and_gradients, compiled_gradients(model, settings["gradients"]), x, y), VERSIONS

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
    return step, VERSIONS


def compiled_gradients(model, part):
    """`(x, y) -> loss, gradients` of all weights, or of those of the readout alone."""
    weights = (model if part == "all" else model.get_layer("readout")).trainable_weights

    @tf.function(jit_compile=True)
    def run(x, y):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        return loss, tape.gradient(loss, weights)

    return run


def loss_and_gradients(run, x, y):
    """The loss as a number, when all is done."""
    return float(run(x, y)[0])


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


def experiment_of(settings):
    """The experiment `smnist` with the rule, the sizes and the seed of a race's settings.

    The learning rate is set for each step, and weights do not decay: nobody knows how many steps there will be.
    """
    cell = {**SMNIST.cell_settings, "units": settings["units"], "period": spread(12.0, 42.0, units=settings["units"])}
    encoder = {"units": settings["inputs"] - 1, "context_switch": settings["steps"] - settings["context_steps"]}
    return dataclasses.replace(
        SMNIST.with_rule(settings["rule"]),
        cell_settings=cell,
        encoder_settings={**(SMNIST.encoder_settings or {}), **encoder},
        layer_settings=settings["layer"],
        learning_rate=settings["learning_rate"],
        optimizer_settings={"global_clipnorm": settings["clip_norm"]},
        batch_size=settings["batch"],
        schedule="constant",
        weight_decay=0.0,
        seed=settings["seed"],
    )


def build_racer(settings):
    """What trains and predicts in a race, see `peers.racing.run`."""
    set_threads(settings)
    model = build_experiment(experiment_of(settings), settings["steps"], 2, total_steps=1)

    def train(pixels, labels, rate):
        model.optimizer.learning_rate = rate
        model.train_on_batch(with_context(pixels), labels)

    def predict(pixels):
        return model.predict_on_batch(with_context(pixels)).argmax(1)

    return train, predict, VERSIONS
