"""The experiments: every setting of every named run, in one place. Change a number here, or on the command line."""

import math
from dataclasses import replace

from ..initializers import LogSpaced
from .experiment import Experiment


def normal(std, mean=0.0):
    """Configuration of a Keras initializer."""
    return {"class_name": "RandomNormal", "config": {"mean": mean, "stddev": std}}


def spread(low, high, count=20, units=200):
    """`count` values from `low` to `high`, evenly over the orders of magnitude; unit after unit takes the next."""
    return LogSpaced(low, high, count).values(units)


def configured(name, **settings):
    """Configuration of an object of this package."""
    return {"class_name": f"kernl_keras>{name}", "config": settings}


# Every argument of the cells, the readout, the encoder and the rules is written out here or in the experiments. So a
# constructor whose defaults change leaves the experiments' numbers alone.
WEIGHTS: dict = dict(kernel_initializer="glorot_uniform", bias_initializer="zeros")
DRIVEN = dict(WEIGHTS, kernel_initializer=None, recurrent_initializer=None, input_gain=3.0, recurrent_gain=0.3)
SPIKING = dict(DRIVEN, base_threshold=1.0, dt=1.0, surrogate_damping=0.3, self_connections=False)
LEAK = dict(tau_s=5.0, tau_a=200.0, tau_ref=1.0, resistance=2.0, discretization="exponential", surrogate="triangle")
LIF = dict(SPIKING, **LEAK, adaptation_strength=0.0, reset_potential=0.0, reset="hard", use_bias=False)
RESONATOR = dict(SPIKING, tau_s=None, tau_a=10.0, adaptation_strength=10.0, surrogate="exponential", use_bias=True)
CONTINUOUS = dict(WEIGHTS, dt=1.0, use_bias=True, self_connections=True, recurrent_initializer="orthogonal")
LEAKY_RNN = dict(CONTINUOUS, period=None, discretization="exponential")
LSTM = dict(CONTINUOUS, unit_forget_bias=True)
READOUT = dict(WEIGHTS, gain=None, dt=1.0, discretization="exponential", use_bias=False)
ENCODER: dict = dict(units=80, code="threshold", context_switch=784, gain=1.0)
LEARNED = dict(learn_sensitivity=True, sensitivity_initializer="recurrent")
TANGENT = configured("Tangent", max_perturbation=30.0, resync_every=None, observe=None)
KERNL = dict(LEARNED, kernel="membrane", perturbation=TANGENT, adaptation=True, reset_gradient=True)
EXPONENTIAL_KERNL = dict(KERNL, kernel=configured("Exponential", count=1, learn=True, initializer=None))

# Units of 20 periods about that of a row of pixels, 28 ms, which go on swinging for 300 ms.
PERIODS = spread(12.0, 42.0)
RESONATORS = dict(RESONATOR, units=200, tau_m=300.0, period=PERIODS)

# Half of the units adapt their threshold, and the membranes' time constants are spread: both are the network's memory.
# With R_m = 1 / (1 - exp(-1/20)) a current of 1 moves the fastest membranes by 1 a step.
ADAPTIVE_UNITS = {
    **dict(LIF, units=200, tau_s=None, tau_a=700.0, tau_ref=2.0, reset="soft"),
    "tau_m": configured("LogUniform", low=20.0, high=400.0, seed=1),
    "resistance": 1.0 / (1.0 - math.exp(-1.0 / 20.0)),
    "adaptation_strength": [1.8] * 100 + [0.0] * 100,
}

SMNIST = Experiment(
    name="smnist",
    description="MNIST pixel by pixel: 784 steps of one pixel, 54 to answer in",
    task="mnist",
    source="sample",
    task_settings={"layout": "pixels", "context_steps": 54},
    encoder_settings=ENCODER,
    cell="resonator",
    cell_settings=RESONATORS,
    readout_settings=dict(READOUT, units=10, tau_out=20.0),
    answer_steps=20,
    loss="cross_entropy",
    metric="accuracy",
    chance=0.1,
    batch_size=16,
    learning_rate=2e-3,
    optimizer_settings={"global_clipnorm": 1.0},
    weight_decay=1.0,
    rule_settings=KERNL,
    sensitivity_every=4,
    steps=600,
    validate_every=100,
)

SMNIST_ALIF = replace(
    SMNIST,
    name="smnist-alif",
    description="The same task, leaky units of which half adapt their threshold",
    cell="lif",
    cell_settings=ADAPTIVE_UNITS,
    learning_rate=1e-2,
    weight_decay=0.0,
    rule_settings=EXPONENTIAL_KERNL,
    sensitivity_every=1,
)

# Leaky units with an adaptation current: between spikes the potential oscillates with a period of two rows and more. A
# spike resets the potential, and not the current. R_m is None, for tau_m is long and spread.
TAU_M, TAU_A = spread(100.0, 1_000.0, count=200), 900.0
COUPLING = [(2.0 * math.pi / period) ** 2 * tau_m * TAU_A for period, tau_m in zip(spread(56.0, 840.0), TAU_M)]
SMNIST_ADLIF = replace(
    SMNIST,
    name="smnist-adlif",
    description="MNIST pixel by pixel, leaky units with an adaptation current",
    cell="adlif",
    cell_settings={
        **dict(RESONATOR, units=200, tau_m=TAU_M, tau_a=TAU_A, resistance=None, surrogate="gaussian", input_gain=4.0),
        "coupling": COUPLING,
        "adaptation_strength": [5.0 * coupling for coupling in COUPLING],
    },
    learn=["tau_m", "tau_a", "base_threshold", "tau_out"],
    weight_decay=0.0,
    rule_settings=dict(KERNL, kernel="whole_unit", reset_gradient=False),
)

# What `PlainKeRNL.reference(time_steps=838)` has.
TO_1_838 = {"class_name": "RandomUniform", "config": {"minval": 0.0, "maxval": 1.0 / 838}}
REFERENCE_RULE = {
    **dict(LEARNED, noise="synapse", post_factor="trace", credit="last", sensitivity_initializer="glorot_uniform"),
    "kernel": configured("Exponential", count=1, learn=True, initializer=TO_1_838),
    "perturbation": configured("Replica", std=0.5, resync_every=None, observe="reset_voltage"),
}

# The network and the rule of the reference KeRNL code; R_m 2, and std R_m sqrt(H) / dt of the initial weights.
STD = normal(2.0 * math.sqrt(200))
SMNIST_REFERENCE = replace(
    SMNIST_ALIF,
    name="smnist-reference",
    description="The same task, network and rule of the reference KeRNL code",
    encoder_settings=dict(ENCODER, code="bernoulli"),
    cell_settings=dict(LIF, units=200, tau_m=20.0, kernel_initializer=STD, recurrent_initializer=STD),
    readout_settings=dict(READOUT, units=10, tau_out=10.0),
    answer_steps=54,
    batch_size=25,
    learning_rate=1e-3,
    optimizer="RMSprop",
    optimizer_settings={"clipnorm": 200.0},
    schedule="constant",
    rule="plain_kernl",
    rule_settings=REFERENCE_RULE,
    sensitivity_optimizer="RMSprop",
    sensitivity_learning_rate=1e-3,
)

SWINGING_RATES = dict(
    LEAKY_RNN, units=200, tau=300.0, period=PERIODS, activation="tanh", recurrent_initializer=normal(0.02)
)

SMNIST_RATE = replace(
    SMNIST,
    name="smnist-rate",
    description="MNIST pixel by pixel, tanh units that swing as they leak",
    cell="leaky_rnn",
    cell_settings=SWINGING_RATES,
    weight_decay=0.0,
)

# Identity recurrent weights, no leak: the memory of the network is the network's alone.
SMNIST_IRNN = replace(
    SMNIST,
    name="smnist-irnn",
    description="MNIST pixel by pixel, rectified linear units that start at identity",
    encoder_settings=None,
    cell="leaky_rnn",
    cell_settings={
        **dict(LEAKY_RNN, units=200, tau=None, activation="relu", kernel_initializer=normal(0.001)),
        "recurrent_initializer": {"class_name": "Identity", "config": {}},
    },
    learning_rate=1e-4,
    weight_decay=0.0,
    rule_settings=EXPONENTIAL_KERNL,
)

PSMNIST = replace(
    SMNIST,
    name="psmnist",
    description="The pixels in one random order, the same for all digits",
    task_settings=dict(SMNIST.task_settings, order="permuted"),
    cell_settings=dict(RESONATORS, period=spread(6.0, 1200.0)),
)

WHOLE_EPOCHS: dict = dict(steps=None, validate_every=None)
ROW_MNIST = replace(
    SMNIST,
    name="row-mnist",
    description="MNIST row by row: 28 steps of 28 pixels, which are the input currents",
    task_settings={"layout": "rows", "context_steps": 0},
    encoder_settings=None,
    cell_settings=dict(RESONATORS, tau_m=20.0, period=spread(4.0, 60.0)),
    answer_steps=14,
    batch_size=64,
    learning_rate=5e-3,
    weight_decay=0.0,
    epochs=10,
    **WHOLE_EPOCHS,
)

ROW_MNIST_RATE = replace(
    ROW_MNIST,
    name="row-mnist-rate",
    description="The same with tanh units that swing as they leak",
    cell="leaky_rnn",
    cell_settings=dict(SWINGING_RATES, tau=20.0, period=spread(4.0, 60.0)),
)

# Rectified units that swing slowly, if at all: what has passed the threshold stays.
ADDING = Experiment(
    name="adding",
    description="The adding problem: add the two marked numbers of 100 steps",
    task="adding",
    source=None,
    task_settings={"steps": 100, "examples": 50_000},
    encoder_settings=None,
    cell="leaky_rnn",
    cell_settings={
        **dict(LEAKY_RNN, units=100, tau=1000.0, activation="relu"),
        "period": spread(300.0, 30000.0, count=10, units=100),
        "kernel_initializer": normal(1.0),
        "bias_initializer": normal(0.5),
        "recurrent_initializer": normal(0.01),
    },
    readout_settings=dict(READOUT, units=1, tau_out=None, use_bias=True),
    answer_steps=1,
    loss="mse",
    metric="mse",
    chance=1.0 / 6.0,
    batch_size=50,
    learning_rate=3e-3,
    optimizer_settings={"global_clipnorm": 10.0},
    rule_settings=KERNL,
    sensitivity_every=4,
    epochs=5,
)

TWICE: dict = {"description": "The same over 200 steps", "task_settings": {"steps": 200, "examples": 50_000}}
ADDING_200 = replace(ADDING, name="adding-200", **TWICE)

# Spikes where number and marker together cross a threshold, of each unit another; the readout sums them.
ADDING_SPIKING = replace(
    ADDING,
    name="adding-spiking",
    description="The adding problem with spiking units, summed by a slow readout",
    cell="lif",
    cell_settings={
        **dict(LIF, units=200, tau_m=2.0, tau_s=None, tau_ref=0.0, reset="soft", surrogate="exponential"),
        "resistance": 1.0 / (1.0 - math.exp(-1.0 / 2.0)),
        **dict(use_bias=True, bias_initializer=normal(0.2, mean=-0.4), input_gain=1.5, recurrent_gain=0.1),
    },
    readout_settings=dict(READOUT, units=1, tau_out=1000.0, use_bias=True, kernel_initializer="zeros"),
    learning_rate=1e-3,
    epochs=3,
)

ADDING_SPIKING_200 = replace(ADDING_SPIKING, name="adding-spiking-200", **TWICE)

# Two leads' level crossings are the input currents; periods from 20 steps to nearly the whole sequence.
ECG = replace(
    SMNIST,
    name="ecg",
    description="Heartbeats: which of six parts is on, at each of 1,301 steps",
    task="ecg",
    source=None,
    task_settings={"channel_dropout": 0.1},
    encoder_settings=None,
    cell_settings={
        **dict(RESONATOR, units=200, tau_m=100.0, period=spread(20.0, 800.0, count=200)),
        "kernel_initializer": normal(1.5),
        "recurrent_initializer": normal(0.3 / math.sqrt(200)),
    },
    readout_settings=dict(READOUT, units=6, tau_out=20.0, gain=10.0, use_bias=True, kernel_initializer=normal(1 / 200)),
    answer_steps=0,
    learn=["tau_m", "period", "tau_a", "base_threshold", "adaptation_strength", "tau_out"],
    chance=1.0 / 6.0,
    learning_rate=1.5e-2,
    weight_decay=0.0,
    schedule="constant",
    optimizer_settings={"global_clipnorm": 1.0, "use_ema": True, "ema_momentum": 0.995},  # over about 200 batches
    epochs=20,  # 40 gain less on validation data than seeds differ by
    **WHOLE_EPOCHS,
)

# Gates count well. Sequences are learned from as wholes: the weights change after each batch of them.
ANBN = replace(
    ADDING,
    name="anbn",
    description="A^n B^n: the next symbol of strings of which a network knows the end if it counts",
    task="anbn",
    task_settings={"steps": 200, "shortest": 1, "longest": 32, "examples": 50_000},
    cell="lstm",
    cell_settings=dict(LSTM, units=32),
    readout_settings=dict(READOUT, units=2, tau_out=None, use_bias=True),
    answer_steps=0,
    loss="cross_entropy",
    metric="accuracy",
    chance=0.5,
    learning_rate=1e-2,
    optimizer_settings={"global_clipnorm": 1.0},
    rule_settings=EXPONENTIAL_KERNL,
    epochs=2,
)

# A step is 10 ms. Sound in 40 bands is the input currents; periods from 40 ms to most of a word.
SOUND = dict(sampling_rate=8000.0, frame=25.0, hop=10.0, low=80.0, high=None, compression="pcen", tau=400.0)
SPOKEN_DIGITS = replace(
    SMNIST,
    name="spoken-digits",
    description="Spoken digits of five speakers: sound in 40 bands, 100 steps of 10 ms",
    task="spoken_digits",
    source="tfds",
    task_settings={"seconds": 1.0, "shift": [8, 1], "poor_copies": 3},
    front_end_settings=dict(SOUND, bands=40, code="current", units=1, gain=1.0),
    encoder_settings=None,
    cell_settings=dict(RESONATOR, units=200, tau_m=30.0, period=spread(4.0, 60.0)),
    answer_steps=20,
    batch_size=32,
    learning_rate=5e-3,
    weight_decay=1.0,
    epochs=10,
    **WHOLE_EPOCHS,
)

DEFAULT = SMNIST.name
EXPERIMENTS = {each.name: each for each in [*globals().values()] if isinstance(each, Experiment)}
