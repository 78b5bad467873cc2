"""A recording of the user's own: a WAV file as sound of one sampling rate, without the quiet before and after it."""

import wave

import numpy as np

ZERO_CROSSINGS = 16  # of the low-pass filter, on each side
PASSED = 0.95  # share of half the lower sampling rate that the filter lets pass
FRAME = 0.025  # s
QUIET = 0.05  # of the loudest frame's root mean square


def read_wav(path):
    """Sound of a WAV file, 8 or 16 bits a sample, of one channel or the mean of two.

    Args:
        path: of the file.

    Returns:
        float64 [samples] in [-1, 1], and the sampling rate in Hz.

    Raises:
        OSError: where there is no such file, or it cannot be read.
        ValueError: for a file that is no WAV file of this kind, or that is empty.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            data = file.readframes(count)
    except (wave.Error, EOFError) as error:
        reason = str(error) or "it ends too soon"
        raise ValueError(f"{path} must be a WAV file without compression: {reason}.") from error
    if width not in (1, 2):
        raise ValueError(f"{path} must have 8 or 16 bits a sample; received {8 * width}.")
    if channels not in (1, 2):
        raise ValueError(f"{path} must have one channel or two; received {channels}.")
    whole = len(data) // (width * channels) * width * channels  # a file that was cut off may end within a sample
    if not whole or not rate:
        raise ValueError(f"{path} must hold sound; received no samples.")
    if width == 1:  # unsigned, with 128 for silence
        samples = (np.frombuffer(data[:whole], np.uint8).astype(float) - 128.0) / 128.0
    else:
        samples = np.frombuffer(data[:whole], "<i2") / 32768.0
    return samples.reshape(-1, channels).mean(1), rate


def without_quiet_ends(sound, rate):
    """The part of a sound [N] from the first to the last frame of 25 ms that is not quiet.

    Quiet is a root mean square below a twentieth of the loudest frame's.

    Raises:
        ValueError: for silence.

    >>> len(without_quiet_ends(np.repeat([0.0, 0.5, 0.0], 1000), 8000))
    1000
    """
    size = max(round(FRAME * rate), 1)
    frames = np.pad(sound, (0, -len(sound) % size)).reshape(-1, size)
    loudness = np.sqrt((frames**2).mean(1))
    if not loudness.max():
        raise ValueError("the recording must hold a word; received silence.")
    (loud,) = np.nonzero(loudness > QUIET * loudness.max())
    return sound[loud[0] * size : (loud[-1] + 1) * size]


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
    times = np.arange(len(sound) * to // rate) / to
    near = np.rint(times * rate).astype(int)[:, None] + np.arange(-reach, reach + 1)  # [n, K], samples k
    away = times[:, None] - near / rate  # s
    window = np.where(np.abs(away) < width, np.cos(0.5 * np.pi * away / width) ** 2, 0.0)
    weights = 2.0 * highest / rate * np.sinc(2.0 * highest * away) * window
    return (np.pad(sound, reach + 1)[near + reach + 1] * weights).sum(1)
