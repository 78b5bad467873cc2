"""A recording of the user's own: a WAV file as sound of one sampling rate, and how loud it is."""

import struct

import numpy as np

ZERO_CROSSINGS = 16  # of the low-pass filter, on each side
PASSED = 0.95  # share of half the lower sampling rate that the filter lets pass
FRAME = 0.025  # s
AT_ONCE = 10_000  # samples that are resampled in one go
PCM, FLOAT, EXTENSIBLE = 1, 3, 65534  # formats of WAV files
KINDS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}  # format: bits a sample


def read_wav(path):
    """Sound of a WAV file, of one channel or the mean of two, float64 [samples], and its sampling rate in Hz.

    Source: Microsoft, Multiple channel audio data and WAVE files (2001), for the format 65534.
    """
    with open(path, "rb") as file:
        parts = chunks(file.read())
    if "fmt " not in parts or "data" not in parts or len(parts["fmt "]) < 16:
        raise ValueError(f"{path} must be a WAV file; received another kind, or one that ends too soon.")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", parts["fmt "][:16])
    if kind == EXTENSIBLE:  # its kind is at the beginning of a longer name
        kind = int.from_bytes(parts["fmt "][24:26], "little")
    if bits not in KINDS.get(kind, ()):
        raise ValueError(
            f"{path} must hold integers of 8, 16, 24 or 32 bits, or floating point of 32 or 64; received format {kind} "
            f"of {bits} bits."
        )
    if channels not in (1, 2):
        raise ValueError(f"{path} must have one channel or two; received {channels}.")
    size = bits // 8 * channels
    data = parts["data"][: len(parts["data"]) // size * size]  # a file that was cut off may end within a sample
    if not data or not rate:
        raise ValueError(f"{path} must hold sound; received no samples.")
    samples = decoded(data, kind, bits).reshape(-1, channels).mean(1)
    if not np.isfinite(samples).all():
        raise ValueError(f"{path} must hold numbers; received samples that are NaN or infinite.")
    return samples, rate


def chunks(content):
    """The parts of a RIFF file of the kind WAVE, `{name: bytes}`; the last may be shorter than it says.

    >>> chunks(b"RIFF\\x12\\0\\0\\0WAVEdata\\x02\\0\\0\\0ab")
    {'data': b'ab'}
    """
    parts, at = {}, 12
    while content[:4] == b"RIFF" and content[8:12] == b"WAVE" and at + 8 <= len(content):
        name, size = content[at : at + 4].decode("latin-1"), int.from_bytes(content[at + 4 : at + 8], "little")
        parts.setdefault(name, content[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return parts


def decoded(data, kind, bits):
    """Samples, float64, of their bytes."""
    if kind == FLOAT:
        return np.frombuffer(data, f"<f{bits // 8}").astype(float)
    if bits == 8:  # unsigned, with 128 for silence
        return (np.frombuffer(data, np.uint8) - 128.0) / 128.0
    wide = np.zeros((len(data) * 8 // bits, 4), np.uint8)
    wide[:, 4 - bits // 8 :] = np.frombuffer(data, np.uint8).reshape(-1, bits // 8)
    return wide.view("<i4")[:, 0] / 2.0**31


def loudness(sound, rate):
    """Root mean square of each 25 ms of a sound [N]; the last may be shorter, and has silence behind it.

    >>> loudness(np.repeat([0.0, 0.5], 200), 8000)
    array([0. , 0.5])
    """
    size = max(round(FRAME * rate), 1)
    return np.sqrt((np.pad(sound, (0, -len(sound) % size)).reshape(-1, size) ** 2).mean(1))


def resampled(sound, rate, to):
    """A sound [N] of `rate` Hz at `to` Hz: a windowed sinc, which is a low-pass filter, at the new times.

        y(n) = sum_k x(k) (2 f / rate) sinc(2 f s) cos(pi s / 2 w)^2,    s = n / to - k / rate,  |s| < w

    f is 0.95 of half the lower of the two rates, and w = 16 / 2 f is 16 zero crossings.

    Source: Smith, Gossett, A flexible sampling-rate conversion method, ICASSP (1984).

    >>> resampled(np.ones(44100), 44100, 8000).shape
    (8000,)
    """
    if rate == to:
        return sound
    highest = PASSED * min(rate, to) / 2.0
    width = ZERO_CROSSINGS / (2.0 * highest)  # s
    reach = int(np.ceil(width * rate))
    times, wide = np.arange(len(sound) * to // rate) / to, np.pad(sound, reach + 1)
    sampled = np.empty(len(times))
    for begin in range(0, len(times), AT_ONCE):  # memory for a part of it alone
        part = times[begin : begin + AT_ONCE]
        near = np.rint(part * rate).astype(int)[:, None] + np.arange(-reach, reach + 1)  # [n, K], samples k
        away = part[:, None] - near / rate  # s
        window = np.where(np.abs(away) < width, np.cos(0.5 * np.pi * away / width) ** 2, 0.0)
        weights = 2.0 * highest / rate * np.sinc(2.0 * highest * away) * window
        sampled[begin : begin + AT_ONCE] = (wide[near + reach + 1] * weights).sum(1)
    return sampled
