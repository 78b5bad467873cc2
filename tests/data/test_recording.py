"""Recordings: WAV files as they are written by `wave`, and a tone at another sampling rate."""

import wave

import numpy as np
import pytest

from kernl_keras.data.recording import read_wav, resampled, without_quiet_ends


def write(path, data, width=2, channels=1, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(bytes(data))
    return path


def test_samples_of_each_kind(tmp_path):
    values = np.array([0, 16384, -32768, 32767], "<i2")
    sound, rate = read_wav(write(tmp_path / "a.wav", values.tobytes(), rate=11025))
    assert sound.tolist() == [0.0, 0.5, -1.0, 32767 / 32768] and rate == 11025
    sound, _ = read_wav(write(tmp_path / "b.wav", [128, 192, 0], width=1))
    assert sound.tolist() == [0.0, 0.5, -1.0]
    sound, _ = read_wav(write(tmp_path / "c.wav", values.tobytes(), channels=2))
    assert sound.tolist() == [0.25, -0.5 / 32768]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 3, "data": [0] * 6}, "must have 8 or 16 bits a sample; received 24"),
        ({"channels": 6, "data": [0] * 24}, "must have one channel or two; received 6"),
        ({"data": []}, "must hold sound; received no samples"),
    ],
)
def test_files_of_another_kind(settings, message, tmp_path):
    with pytest.raises(ValueError, match=rf"a\.wav {message}"):
        read_wav(write(tmp_path / "a.wav", **settings))


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x10\0\0\0WAVEfmt "])
def test_what_is_no_wav_file(content, tmp_path):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.wav must be a WAV file without compression: \w+"):
        read_wav(tmp_path / "a.wav")


def test_a_file_that_was_cut_off(tmp_path):
    path = write(tmp_path / "a.wav", np.arange(8, dtype="<i2").tobytes())
    path.write_bytes(path.read_bytes()[:-3])
    sound, _ = read_wav(path)
    np.testing.assert_array_equal(sound * 32768, np.arange(6))


def test_quiet_ends_are_cut_off():
    sound = np.concatenate([np.full(400, 0.01), np.full(600, -0.8), np.zeros(200), np.full(250, 0.7), np.zeros(333)])
    np.testing.assert_array_equal(without_quiet_ends(sound, 8000), sound[400:1600])  # in frames of 200
    with pytest.raises(ValueError, match="the recording must hold a word; received silence"):
        without_quiet_ends(np.zeros(1000), 8000)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
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
