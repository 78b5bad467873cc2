"""What every peer trains, and on what: the same pixels, labels and first weights for all, drawn by NumPy."""

import math

import numpy as np

TAU_M = 20.0  # ms, of the membranes; a time step is 1 ms
TAU_OUT = 10.0  # ms, of the readout
THRESHOLD = 1.0
LEARNING_RATE = 1e-3  # of RMSProp
SEED = 0


def window(settings):
    """The number of last steps that the context channel marks and the logits are the mean of."""
    return min(54, settings["steps"])


def batch(settings):
    """Pixels [B, T] in [0, 0.1), float32, and labels [B], int64."""
    rng = np.random.default_rng(SEED)
    pixels = 0.1 * rng.random((settings["batch"], settings["steps"]), dtype=np.float32)
    return pixels, rng.integers(settings["outputs"], size=settings["batch"])


def context(settings, batch=None):
    """The context channel [T, B, 1]: 0, then 1 in the window; B is that of the settings, or another."""
    channel = np.zeros((settings["steps"], batch or settings["batch"], 1), np.float32)
    channel[-window(settings) :] = 1.0
    return channel


def encode(pixels, settings):
    """Input spikes [T, B, I] of digits, pixels [B, T] in [0, 1]: the threshold crossings that `SpikeEncoder` makes.

    Half of the channels have the way up and half the way down, each a threshold of its own; the last is the context.
    """
    count = (settings["inputs"] - 1) // 2
    thresholds = (np.arange(1, count + 1) / (count + 1)).astype(np.float32)
    above = pixels.T[:, :, None] >= thresholds  # [T, B, count]
    before = np.concatenate([np.zeros_like(above[:1]), above[:-1]])
    return np.concatenate([above & ~before, before & ~above, context(settings, pixels.shape[0])], 2, dtype=np.float32)


def tau_m(settings):
    """The membranes' time constants in ms: that of all, or [H] evenly over the orders of magnitude up to "slowest".

    With 20 ms alone no unit remembers the digit in the steps to answer in.
    """
    if "slowest" not in settings:
        return TAU_M
    return np.geomspace(TAU_M, settings["slowest"], settings["units"]).astype(np.float32)


def drive(settings):
    """How much a current moves the membranes: 1, or [H] less where they are slower, so that all reach the same."""
    return np.float32(np.expm1(-1.0 / tau_m(settings)) / np.expm1(-1.0 / TAU_M))


def weights(settings):
    """The weights [I, H], [H, H] and [H, O] that training starts from, float32.

    They are for a membrane that takes its input as it is: v <- decay v + current. The units then spike in about 6 per
    cent of 838 steps.
    """
    inputs, units, outputs = settings["inputs"], settings["units"], settings["outputs"]
    rng = np.random.default_rng(settings.get("seed", SEED) + 1)

    def normal(rows, columns, std):
        return (std * rng.standard_normal((rows, columns))).astype(np.float32)

    return (
        normal(inputs, units, 3.0 / math.sqrt(inputs)),
        normal(units, units, 0.3 / math.sqrt(units)),
        normal(units, outputs, 1.0 / math.sqrt(units)),
    )
