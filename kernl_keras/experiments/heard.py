"""A recording's digit and how sure it is, or why there is none: too quiet, cut off, several words."""

import functools
import math
import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ..data.recording import read_wav, resampled
from ..data.spoken_digits import SAMPLING_RATE, padded
from ..dynamics.audio import band_power, mel_filters
from .build import front_end
from .files import UserError, as_user_error, explained, read_json
from .pretrained import experiment_of, load_pretrained, record
from .run import load_saved, read_settings

KINDS = ("word", "begin cut off", "end cut off", "several words", "no word")
TOO_QUIET = -85.0  # dB, where a sine of amplitude 1 has 0; 16-bit silence with dither has -90
STEP, FRAME = 80, 200  # samples, 10 and 25 ms
ACTIVE, LOUD = -34.0, -6.0  # dB by the loudest step
NOISE, ABOVE = -5.0, 3.0  # dB: noise is softer than the first, and sound is so much louder than noise
STEADY, LONG = 5.0, 20  # dB, steps: noise varies by no more for so long, as hardly any word does
LOWEST = -60.0  # dB: what is softer makes no difference
PAUSE, SHORTEST = 15, 5  # steps: shorter pauses are inside a word, shorter sounds are none
FILTERS = functools.cache(lambda: mel_filters(40, FRAME, float(SAMPLING_RATE), 80.0, 4000.0))
WEIGHTS = pathlib.Path(__file__).parent / "kinds.json"


class Heard(NamedTuple):
    """What a recording was taken for."""

    kind: str  # of `KINDS`, or "too quiet"
    words: int  # how many were counted; 0 where it is too quiet
    digit: int | None  # of the first word; None where it is too quiet
    share: float | None  # the chance that it is one word, and this one; None of a network that is not calibrated
    level: float  # dB of the loudest step

    def __str__(self):
        if self.level < -200.0:
            return "nothing: silence"
        if self.kind == "too quiet":
            return f"nothing: the loudest 25 ms have {self.level:.0f} dB, and a word must have {TOO_QUIET:.0f} dB"
        if self.kind == "no word":
            return "no word: noise, a tone or another sound"
        if self.kind == "several words":
            return f"several words{f' ({self.words})' * (self.words > 1)}; the first sounds like {self.digit}"
        sure = "how sure is not known: no words were held back" if self.share is None else f"{100 * self.share:.0f} %"
        if self.kind == "word":
            return f"{self.digit} ({sure})"
        edge = self.kind.split()[0]
        return f"cut off: the recording {edge}s within a word; what is there sounds like {self.digit} ({sure})"


def hear(sound, answer, temperature=None):
    """The `Heard` of a sound [samples] at 8 kHz, by a network's `answering` and the temperature of its softmax."""
    power = powers(sound)
    loudest = 10.0 * math.log10(max(power.sum(1).max(), 1e-30))
    if loudest < TOO_QUIET:
        return Heard("too quiet", 0, None, None, loudest)
    level = decibels(power)
    parts, fitted = segments(level), read_json(WEIGHTS)  # a logistic regression on features [9]
    scaled = (features(power) - np.array(fitted["mean"])) / np.array(fitted["deviation"])
    chances = tf.nn.softmax(scaled @ np.array(fitted["weights"]) + np.array(fitted["bias"])).numpy()  # of `KINDS`
    kind = KINDS[int(chances.argmax())]
    begin, end = parts[0][0], parts[0 if kind == "several words" else -1][1]
    values = answer(sound[begin * STEP : (end - 1) * STEP + FRAME])
    digit, share = int(values.argmax()), None
    if temperature is not None:
        share = float(chances[0] * tf.nn.softmax(values / temperature).numpy()[digit])
    return Heard(kind, len(parts), digit, share, loudest)


def powers(sound):
    """The `band_power` of a sound at 8 kHz, [T, 40], every 10 ms, of 25 ms that lie inside it."""
    frames = tf.signal.frame(np.pad(sound, (0, max(FRAME - len(sound), 0))), FRAME, STEP)
    return band_power(frames, FILTERS()).numpy()  # FILTERS waits until TensorFlow's threads are set


def decibels(power):
    """The level of each step by that of the loudest one, [T]."""
    level = power.sum(1)
    return 10.0 * np.log10(np.maximum(level / level.max(), 10.0 ** (LOWEST / 10.0)))


def active(level):
    """The steps of a level [T] with sound: louder than noise, the softest level that stays the same for a while."""
    quiet = ACTIVE
    if len(level) >= LONG:
        parts = np.lib.stride_tricks.sliding_window_view(level, LONG)
        largest = parts.max(1)
        noise = largest[largest - parts.min(1) < STEADY].min(initial=0.0)
        quiet = max(quiet, noise + ABOVE) if noise < NOISE else quiet
    return np.flatnonzero(level > quiet)


def segments(level):
    """Where there is sound: [(first step, step behind the last), ...] between pauses."""
    steps = active(level)
    parts = np.split(steps, np.flatnonzero(np.diff(steps) > PAUSE) + 1)
    long = [part for part in parts if len(part) >= SHORTEST] or parts
    return [(int(part[0]), int(part[-1]) + 1) for part in long]


def features(power):
    """Numbers [9] that tell a word from other sounds by its power [T, bands]; none depends on how loud it is.

    The amplitude at the first and at the last step by that of the loudest; the longest pause inside, 0.1 s; how much
    the level varies, dB; how flat the spectrum is, dB (0 for noise, less for tones), and its square; how much its shape
    varies, dB; the logarithm of the length; and the share of loud steps.
    """
    level = decibels(power)
    steps = active(level)
    edges = np.where(np.isin([0, len(level) - 1], steps), 10.0 ** (level[[0, -1]] / 20.0), 0.0)
    inside = level[steps[0] : steps[-1] + 1]
    heard = power[steps] + 1e-9 * power.sum(1).max()
    flatness = 10.0 * np.mean(np.log10(heard).mean(1) - np.log10(heard.mean(1)))
    shape = 10.0 * np.log10(heard / heard.sum(1, keepdims=True) + 1e-3)
    if len(shape) > 2:
        shape = (shape[:-2] + shape[1:-1] + shape[2:]) / 3.0
    pause, loud = 0.1 * (np.diff(steps).max(initial=1) - 1), (inside > LOUD).mean()
    return np.array([*edges, pause, inside.std(), flatness, flatness**2, shape.std(0).mean(), np.log(len(steps)), loud])


def hear_recording(path, run_dir=None, pretrained=None):
    """The `Heard` of a WAV file, by the network of a run on a stream of spoken digits, or by one of the packaged.

    Quiet ends are cut off, of a longer word the last second counts, and before a shorter one there is silence, as in
    `spoken_digits`. The digit is the class with the largest mean output over the steps in which a word is asked for.
    """
    answer, temperature = packaged_network(pretrained) if pretrained else trained_network(run_dir)
    return hear(sound_of(path), answer, temperature)


def packaged_network(name):
    """The answers of a packaged network to a word, a function, and its temperature."""
    experiment = experiment_of(name)
    _check_hears(experiment, name)
    return answering(load_pretrained(name), experiment), record(name)["temperature"]


def trained_network(run_dir):
    """The same of the network of a run on a stream, which has no temperature, as it held no words back."""
    experiment, settings = read_settings(run_dir, stream=True)
    _check_hears(experiment, f"{run_dir} holds a run of {experiment.name}, which")
    encoder = front_end(experiment)
    steps = round(experiment.task_settings["seconds"] * 1000.0 / encoder.hop) + settings.answer - 1
    features = encoder.bands * encoder.encoder.units
    return answering(load_saved(run_dir, experiment, (steps, features)), experiment, settings.answer), None


def _check_hears(experiment, whose):
    """Raises `UserError` for an experiment without sound."""
    if experiment.front_end_settings is None:
        raise UserError(f"{whose} hears no sound.")


def answering(model, experiment, answer=None):
    """From a word, float [samples], to a model's values of its classes [n]: of its last `answer` steps the mean."""
    encoder, samples = front_end(experiment), round(experiment.task_settings["seconds"] * SAMPLING_RATE)

    @tf.function
    def outputs(sound):
        x = encoder(sound)
        if answer is None:
            return model(x, training=False)[0]
        x = tf.pad(x, ((0, 0), (0, answer - 1), (0, 0)))  # the pause that follows a word
        return tf.reduce_mean(model(x, training=False)[0, -answer:], 0)

    return lambda sound: outputs(padded([sound], samples)).numpy().astype(float)


def sound_of(path):
    """A recording at 8 kHz, float [samples]; complaints as `UserError`."""
    with as_user_error(), explained(f"{path} cannot be read"):
        sound, rate = read_wav(path)
    if rate < SAMPLING_RATE:
        raise UserError(f"{path} must have a sampling rate of {SAMPLING_RATE} Hz or more; received {rate} Hz.")
    return resampled(sound, rate, SAMPLING_RATE)
