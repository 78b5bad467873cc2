"""Lets the packaged network hear test words at other levels, depths and rates, and sounds that are no word.

    python -m notebooks.lab.sound --data-dir DIR --output notebooks/results/sound.json
    python -m notebooks.lab.sound --data-dir DIR --fit

The first command writes every test word, and 40 sounds of each other kind, as WAV files, and counts what `stream
--wav` says of them. The second fits what tells words from other sounds (`kernl_keras/experiments/kinds.json`) on
recordings for training, and touches none for testing.
"""

import collections
import pathlib
import sys
import tempfile
import wave

import numpy as np
import tensorflow as tf

from kernl_keras.data.spoken_digits import SAMPLING_RATE, SPOKEN_DIGIT, is_test, read_recordings
from kernl_keras.data.tfds_folder import read_from_folder
from kernl_keras.experiments.files import write_json
from kernl_keras.experiments.heard import KINDS, WEIGHTS, features, hear, packaged_network, powers, sound_of

from .options import Command, check_folder

NETWORK = "spoken-digits"
COUNT = 40  # words of the table, and made sounds of each kind
GAINS = (5.0, 1.0, 0.2, 0.05, 0.02, 0.01)
WAYS = {  # how words are recorded: gain, bits, whether dither is added, Hz, channels, seconds of silence at both ends
    **{f"{gain:g} times as loud, 16 bits": (gain, 16, False, 8000, 1, 0.0) for gain in GAINS},
    "8 bits": (1.0, 8, False, 8000, 1, 0.0),
    "8 bits with dither": (1.0, 8, True, 8000, 1, 0.0),
    "8 bits with dither, silence at both ends": (1.0, 8, True, 8000, 1, 0.5),
    "0.02 times as loud, with dither, silence at both ends": (0.02, 16, True, 8000, 1, 0.5),
    "24 bits": (1.0, 24, False, 8000, 1, 0.0),
    "44.1 kHz, stereo": (1.0, 16, False, 44100, 2, 0.0),
    "44.1 kHz, stereo, 0.02 times as loud": (0.02, 16, False, 44100, 2, 0.0),
    "44.1 kHz, stereo, 8 bits": (1.0, 8, False, 44100, 2, 0.0),
}
SAID = ("word", "begin cut off", "end cut off", "several words", "no word", "too quiet")
BINS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.0)  # of shares


def as_file(path, sound, bits=16, rate=8000, channels=1, dither=None):
    """Writes a sound [N] of 8 kHz, whose full scale is 1, as a WAV file of integers; what is beyond is cut off.

    All channels are the same. `dither` is the generator of triangular noise of two steps, added before rounding.
    """
    steps = np.repeat(resampled_up(sound, rate)[:, None], channels, 1) * 2.0 ** (bits - 1)
    if dither is not None:
        steps = steps + dither.random(steps.shape) - dither.random(steps.shape)
    steps = np.clip(np.rint(steps), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype("<i4")
    if bits == 8:
        data = (steps + 128).astype(np.uint8).tobytes()
    else:
        data = steps.reshape(-1, 1).view(np.uint8)[:, : bits // 8].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, bits // 8, rate, 0, "NONE", None))
        file.writeframes(data)
    return path


def resampled_up(sound, rate):
    """A sound of 8 kHz at a rate that is not lower, whole to the last sample: by its Fourier transform."""
    if rate == SAMPLING_RATE:
        return sound
    count = round(len(sound) * rate / SAMPLING_RATE)
    return np.fft.irfft(np.fft.rfft(sound), count) * count / len(sound)


class Maker:
    """Makes sounds that are not one whole word, of recordings [N] at 8 kHz; its seed decides all of them."""

    def __init__(self, words, seed):
        self.words, self.rng = words, np.random.default_rng(seed)

    def word(self):
        """One of the recordings."""
        return self.words[self.rng.integers(len(self.words))]

    def seconds(self, low, high):
        """How many samples a random time has."""
        return int(self.rng.uniform(low, high) * SAMPLING_RATE)

    def begin_cut_off(self):
        """The last 30 to 70 % of a word, half of them with silence behind."""
        word = self.word()
        return np.concatenate([word[int(self.rng.uniform(0.3, 0.7) * len(word)) :], self.silence()])

    def end_cut_off(self):
        """The first 30 to 70 % of a word, half of them with silence before."""
        word = self.word()
        return np.concatenate([self.silence(), word[: int(self.rng.uniform(0.3, 0.7) * len(word))]])

    def silence(self):
        """0.1 to 0.4 s of it, or none."""
        return np.zeros(self.seconds(0.1, 0.4) * self.rng.integers(2))

    def several(self):
        """Two or three words, equally loud, with pauses of 0.2 to 0.6 s between."""
        parts = []
        for _ in range(self.rng.integers(2, 4)):
            word = self.word()
            parts += [0.4 * word / np.abs(word).max(), np.zeros(self.seconds(0.2, 0.6))]
        return np.concatenate(parts[:-1])

    def noise(self):
        """Noise, white, pink or brown."""
        count = self.seconds(0.3, 1.5)
        spectrum = np.fft.rfft(self.rng.normal(size=count))
        sound = np.fft.irfft(spectrum * np.arange(1, len(spectrum) + 1) ** -self.rng.choice([0.0, 0.5, 1.0]), count)
        return 0.5 * sound / np.abs(sound).max()

    def dithered_silence(self):
        """Noise of two steps of 8 bits."""
        count = self.seconds(0.3, 1.5)
        return (self.rng.random(count) - self.rng.random(count)) / 128.0

    def tone(self, low=0.2, high=1.5):
        """A tone with up to five harmonics, which stays or fades."""
        time = np.arange(self.seconds(low, high)) / SAMPLING_RATE
        pitch = np.exp(self.rng.uniform(np.log(90.0), np.log(1500.0)))
        harmonics = [k for k in range(1, self.rng.integers(2, 7)) if k * pitch < 3900.0]
        sound = sum(np.sin(2.0 * np.pi * pitch * k * time) / k for k in harmonics)
        if self.rng.random() < 0.5:
            sound = sound * np.exp(-time / self.rng.uniform(0.1, 1.0))
        return 0.4 * sound

    def melody(self):
        """Up to six tones, one after the other, each with a soft begin."""
        tones = [self.tone(0.1, 0.4) for _ in range(self.rng.integers(2, 7))]
        return np.concatenate([each * np.minimum(np.arange(len(each)) / 80.0, 1.0) for each in tones])

    def in_a_room(self, sound):
        """Half of them with 0.05 to 0.6 s before and behind, and noise 25 to 60 dB below the largest sample."""
        if self.rng.random() < 0.5:
            return sound
        sound = np.concatenate([np.zeros(self.seconds(0.05, 0.6)), sound, np.zeros(self.seconds(0.05, 0.6))])
        noise = np.abs(sound).max() * 10.0 ** (-self.rng.uniform(25.0, 60.0) / 20.0)
        return sound + noise * self.rng.normal(size=len(sound))

    def recorded(self, sound):
        """Of any level, some of them with 8 bits or beyond full scale."""
        bits, gain = ((16, 0.03), (16, 5.0), (8, 1.0), (16, self.rng.uniform(0.05, 1.0)))[self.rng.integers(4)]
        step = 2.0 ** (1 - bits)
        dither = self.rng.random(len(sound)) - self.rng.random(len(sound))
        return np.clip(step * np.rint(gain * sound / step + dither * (bits == 8)), -1.0, 1.0)


MADE = {
    "begin cut off": Maker.begin_cut_off,
    "end cut off": Maker.end_cut_off,
    "several words": Maker.several,
    "noise": Maker.noise,
    "8-bit silence with dither": Maker.dithered_silence,
    "tones": Maker.tone,
}
TABLE_ONLY = {"melodies": Maker.melody}  # not among what is fitted


def recordings_of(data_dir):
    """The recordings for testing, then those for training: each sounds, digits."""
    recordings, _ = read_from_folder(SPOKEN_DIGIT, read_recordings, data_dir, True)
    tested = is_test(recordings, None)
    return [
        ([np.asarray(recordings.sounds[n], float) for n in np.flatnonzero(part)], recordings.digits[part])
        for part in (tested, ~tested)
    ]


def measure(words, digits, hear):
    """What `hear` says of WAV files with test words, by the way of recording and by share, and with other sounds."""
    chosen = np.random.default_rng(0).permutation(len(words))[:COUNT]
    right, said, shares = {}, {}, []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "sound.wav")
        for way, (gain, bits, dither, rate, channels, silence) in WAYS.items():
            generator, ends = np.random.default_rng(1) if dither else None, round(silence * SAMPLING_RATE)
            heard = [hear(as_file(path, np.pad(gain * word, ends), bits, rate, channels, generator)) for word in words]
            found = np.array([each.digit == digit for each, digit in zip(heard, digits)])
            named = np.array([each.kind == "word" for each in heard])
            right[way] = {
                "right": int(found[chosen].sum()),
                "all_right": float(found.mean()),
                "named_otherwise": int((~named[chosen]).sum()),
                "all_named_otherwise": float(1.0 - named.mean()),
            }
            print(f"{way:56}{right[way]}", flush=True)
            shares += [[each.share or 0.0, bool(each.digit == digit)] for each, digit in zip(heard, digits)]
        maker = Maker(words, seed=2)
        sounds = {kind: [make(maker) for _ in range(COUNT)] for kind, make in {**MADE, **TABLE_ONLY}.items()}
        sounds["16-bit silence with dither"] = [each / 256.0 for each in sounds["8-bit silence with dither"]]
        sounds["silence"] = [0.0 * each for each in sounds["8-bit silence with dither"]]
        for kind, made in sounds.items():
            heard = [hear(as_file(path, each)) for each in made]
            counts = collections.Counter(each.kind for each in heard)
            said[kind] = {
                "said": {name: counts[name] for name in SAID},
                "mean_share": float(np.mean([each.share or 0.0 for each in heard])),
                "largest_share": float(max(each.share or 0.0 for each in heard)),
            }
            print(f"{kind:56}{said[kind]}", flush=True)
    return {"count": COUNT, "words": len(words), "ways": right, "kinds": said, "shares": reliability(shares)}


def reliability(shares):
    """How many of the words with a share in each bin were right, [{low, high, count, share, right}, ...]."""
    share, right = np.array(shares, float).T
    rows = []
    for low, high in zip(BINS, BINS[1:]):
        inside = (share >= low) & ((share < high) | (high == BINS[-1]))
        if inside.any():
            row = {"low": low, "high": high, "count": int(inside.sum())}
            rows.append({**row, "share": float(share[inside].mean()), "right": float(right[inside].mean())})
    return rows


def fit(words, seed=0):
    """What `kinds.json` holds: a logistic regression of `KINDS` on the features of words and of made sounds.

    Words have half of the weight.
    """
    maker, rows = Maker(words, seed), []  # features, kind, weight

    def add(sound, kind, share):
        rows.append((features(powers(maker.recorded(sound))), KINDS.index(kind), share))

    for word in words:
        add(maker.in_a_room(word), "word", 0.5 / len(words))
    each = len(words) // len(MADE)
    for name, make in MADE.items():
        for _ in range(each):
            sound = make(maker)
            sound = sound if name.endswith("cut off") else maker.in_a_room(sound)  # its edge is that of the file
            add(sound, name if name in KINDS else "no word", 0.5 / len(MADE) / each)
    x, kinds, weight = map(np.array, zip(*rows))
    mean, deviation = x.mean(0), x.std(0)
    weights = logistic_regression((x - mean) / deviation, np.eye(len(KINDS))[kinds], weight)
    return {
        "kinds": KINDS,
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
        "weights": weights[:-1].tolist(),
        "bias": weights[-1].tolist(),
        "sounds": {kind: int(np.sum(kinds == n)) for n, kind in enumerate(KINDS)},
        "seed": seed,
    }


def logistic_regression(x, y, weight, penalty=1e-4):
    """Weights and, last, biases [F + 1, K] of x [n, F] and y [n, K], whose rows have a weight; by Newton's method."""
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    found = np.zeros((x.shape[1], y.shape[1]))
    for _ in range(30):
        p = tf.nn.softmax(x @ found).numpy()
        slope = x.T @ ((p - y) * weight[:, None]) + penalty * found
        inner = np.einsum("nk,kl->nkl", p, np.eye(y.shape[1])) - p[:, :, None] * p[:, None, :]
        curvature = np.einsum("n,ni,nkl,nj->kilj", weight, x, inner, x, optimize=True)
        curvature = curvature.reshape(found.size, found.size) + penalty * np.eye(found.size)
        found -= np.linalg.solve(curvature, slope.T.ravel()).reshape(found.shape[::-1]).T
    return found


def run(options, about):
    """Measures or fits, and writes the file."""
    (words, digits), (trained, _) = recordings_of(options.data_dir)
    path = WEIGHTS if options.fit else options.output
    check_folder(path)
    if options.fit:
        write_json(path, {**fit(trained), **about})
    else:
        answer, temperature = packaged_network(NETWORK)
        found = measure(words, digits, lambda file: hear(sound_of(file), answer, temperature))
        write_json(path, {"sound": {**found, **about}})
    print(f"Results    {path}")


main = Command("sound", __doc__, run)
main.data_dir()
which = main.parser.add_mutually_exclusive_group(required=True)
which.add_argument("--output", type=pathlib.Path, metavar="FILE")
which.add_argument("--fit", action="store_true", help="fit what tells words from other sounds")

if __name__ == "__main__":
    sys.exit(main())
