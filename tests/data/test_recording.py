"""Recordings: WAV files by `wave`, or byte for byte, and a tone at another sampling rate."""

import struct

import numpy as np
import pytest

from kernl_keras.data import recording
from kernl_keras.data.recording import read_wav, resampled

from ..reference.cases import taking_turns
from ..reference.tools import write_wav


def test_samples_of_each_kind(tmp_path):
    values = np.array([0, 16384, -32768, 32767], "<i2")
    sound, rate = read_wav(write_wav(tmp_path / "a.wav", values.tobytes(), rate=11025))
    assert sound.tolist() == [0.0, 0.5, -1.0, 32767 / 32768] and rate == 11025
    sound, _ = read_wav(write_wav(tmp_path / "b.wav", [128, 192, 0], width=1))
    assert sound.tolist() == [0.0, 0.5, -1.0]
    sound, _ = read_wav(write_wav(tmp_path / "c.wav", values.tobytes(), channels=2))
    assert sound.tolist() == [0.25, -0.5 / 32768]


def by_hand(path, kind, bits, data, more=b"", before=b""):
    """A file of 48 kHz, mono, chunk by chunk."""
    form = struct.pack("<HHIIHH", kind, 1, 48000, 6000 * bits, bits // 8, bits) + more
    parts = before + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts)
    return path


def extended(kind, bits):
    """What the format 65534 adds: its size, valid bits, speakers, and a name that begins with the kind."""
    return struct.pack("<HHIH", 22, bits, 4, kind) + bytes.fromhex("000000001000800000aa00389b71")


def whole(values, width):
    return b"".join(int(value).to_bytes(width, "little", signed=True) for value in values)


@pytest.mark.parametrize(
    "kind, bits, data",
    [
        (1, 16, whole([8192, -32768, 1], 2)),
        (1, 24, whole([2**21, -(2**23), 256], 3)),
        (1, 32, whole([2**29, -(2**31), 65536], 4)),
        (3, 32, struct.pack("<3f", 0.25, -1.0, 2.0**-15)),
        (3, 64, struct.pack("<3d", 0.25, -1.0, 2.0**-15)),
    ],
)
def test_more_bits_and_the_extended_format(kind, bits, data, tmp_path):
    """As sox writes 24 bits, with a chunk of odd length before."""
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    for file in (
        by_hand(tmp_path / "a.wav", kind, bits, data),
        by_hand(tmp_path / "b.wav", 65534, bits, data, extended(kind, bits), odd),
    ):
        sound, rate = read_wav(file)
        assert sound.tolist() == [0.25, -1.0, 2.0**-15] and rate == 48000


@pytest.mark.parametrize(
    "kind, bits, data, message",
    [
        (6, 8, b"ab", "must hold integers of 8, 16, 24 or 32 bits, or floating.*; received format 6 of 8 bits"),
        (1, 12, b"abcd", "received format 1 of 12 bits"),
        (65534, 24, b"abc", "received format 0 of 24 bits"),  # the rest of its name is missing
        (3, 32, struct.pack("<f", np.nan), "must hold numbers; received samples that are NaN or infinite"),
        (1, 16, b"", "must hold sound; received no samples"),
        (1, 16, b"a", "must hold sound; received no samples"),
    ],
)
def test_files_of_another_kind(kind, bits, data, message, tmp_path):
    with pytest.raises(ValueError, match=rf"a\.wav.* {message}"):
        read_wav(by_hand(tmp_path / "a.wav", kind, bits, data))


def test_what_is_no_wav_file_or_has_more_than_two_channels(tmp_path):
    for content in (b"", b"no sound at all", b"RIFF\x10\0\0\0WAVEfmt ", b"RIFX\0\0\0\x10WAVE"):
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.wav must be a WAV file; received another kind, or one that ends"):
            read_wav(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"a\.wav must have one channel or two; received 6"):
        read_wav(write_wav(tmp_path / "a.wav", [0] * 24, channels=6))


def test_a_file_that_was_cut_off(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.arange(8, dtype="<i2").tobytes())
    path.write_bytes(path.read_bytes()[:-3])
    sound, _ = read_wav(path)
    np.testing.assert_array_equal(sound * 32768, np.arange(6))


def test_a_recording_at_the_rate_that_is_wanted_stays_as_it_is():
    sound = np.random.default_rng(0).normal(size=500)
    np.testing.assert_array_equal(resampled(sound, 8000, 8000), sound)


def test_a_long_recording_is_resampled_part_by_part(monkeypatch):
    sound = np.random.default_rng(0).normal(size=2000)
    whole_one = resampled(sound, 44100, 8000)
    monkeypatch.setattr(recording, "AT_ONCE", 50)
    np.testing.assert_array_equal(resampled(sound, 44100, 8000), whole_one)


@pytest.mark.parametrize("rate", taking_turns([8000, 16000, 11025, 22050, 44100, 48000], 2))
def test_a_tone_that_the_new_rate_has_stays_and_one_that_it_has_not_goes(rate):
    """What is heard at 8 kHz is the same sine, and not a tone above 4 kHz as another one."""
    seconds = np.arange(rate) / rate
    tones = np.sin(2 * np.pi * 700 * seconds) + 0.5 * np.cos(2 * np.pi * 3000 * seconds)
    high = np.sin(2 * np.pi * 4700 * seconds) * (rate > 9400)
    found = resampled(tones + high, rate, 8000)
    assert len(found) == 8000
    times = np.arange(8000) / 8000
    expected = np.sin(2 * np.pi * 700 * times) + 0.5 * np.cos(2 * np.pi * 3000 * times)
    np.testing.assert_allclose(found[100:-100], expected[100:-100], atol=2e-3)
