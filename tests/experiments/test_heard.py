"""What a recording is taken for, by made-up words, and how it is said."""

import functools
import re

import numpy as np
import pytest

from kernl_keras import cli
from kernl_keras.experiments import heard, pretrained
from kernl_keras.experiments.heard import Heard, hear

from ..reference.tools import write_wav

RATE = 8000
RNG = np.random.default_rng(0)


def voice(seconds=0.45, pitch=120.0, rng=RNG):
    """A vowel that glides, after a little hiss: loud and soft, of all frequencies, as a word is."""
    time = np.arange(int(seconds * RATE)) / RATE
    way = time / seconds
    formants = ((300.0 + 500.0 * way, 80.0), (2300.0 - 1200.0 * way, 150.0), (2900.0 + 0.0 * way, 200.0))
    sound = np.zeros(len(time))
    for k in range(1, 32):
        heights = (1.0 / (1.0 + ((k * pitch - centre) / width) ** 2) for centre, width in formants)
        height = sum(each / (n + 1) for n, each in enumerate(heights))
        sound += height * np.sin(2.0 * np.pi * pitch * k * time)
    sound *= np.interp(way, [0.0, 0.15, 0.5, 1.0], [0.02, 1.0, 0.7, 0.01])
    hiss = np.diff(rng.normal(size=801)) * np.interp(np.arange(800), [0, 300, 800], [0.01, 0.4, 0.2])
    sound = np.concatenate([hiss, sound])
    return 0.4 * sound / np.abs(sound).max()


def answer(values=(0.0, 5.0, 1.0)):
    """A network that says the same of all, and keeps what it was given."""
    given = []

    def answered(sound):
        given.append(sound)
        return np.array(values)

    answered.given = given
    return answered


def room(*parts, noise=1e-3):
    sound = np.concatenate([np.zeros(3000) if part is None else part for part in parts])
    return sound + noise * RNG.normal(size=len(sound))


SOUNDS = {
    "silence": (lambda: np.zeros(4000), "too quiet"),
    "16-bit silence with dither": (lambda: np.rint(RNG.random(8000) - RNG.random(8000)) / 2.0**15, "too quiet"),
    "a click in silence": (lambda: np.eye(1, 8000, 4000)[0] * 1e-5, "too quiet"),
    "8-bit silence with dither": (lambda: np.rint(RNG.random(8000) - RNG.random(8000)) / 128.0, "no word"),
    "white noise": (lambda: 0.2 * RNG.normal(size=6000), "no word"),
    "a tone": (lambda: 0.3 * np.sin(0.4 * np.arange(6000)), "no word"),
    "a word": (voice, "word"),
    "a word in a room": (lambda: room(None, voice(), None), "word"),
    "a soft word": (lambda: 0.02 * voice(), "word"),
    "the begin of a word": (lambda: voice()[: int(0.25 * RATE)], "end cut off"),
    "the end of a word": (lambda: voice()[int(0.25 * RATE) :], "begin cut off"),
    "two words": (lambda: room(None, voice(), None, voice(0.3, 150.0), None), "several words"),
    "three words": (lambda: room(voice(), None, voice(0.5, 90.0), None, voice(), noise=0.0), "several words"),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_what_a_sound_is_taken_for(name):
    sound, kind = SOUNDS[name]
    found = hear(sound(), answer(), temperature=1.0)
    assert found.kind == kind, found
    sure = np.exp(5.0) / (1.0 + np.exp(5.0) + np.exp(1.0))
    if kind == "word":
        assert 0.5 * sure < found.share < sure and found.digit == 1
    elif kind == "too quiet":
        assert found.digit is None and found.share is None
    else:
        assert found.share < 0.5 * sure


def test_the_network_hears_the_word_alone():
    """Of a word in a room the word, of several the first; their noise and pauses are cut off, to 35 ms."""
    word = voice()
    network = answer()
    for sound in (room(None, word, None), room(None, word, None, voice(0.3), None)):
        found = hear(sound, network)
        assert found.share is None
        assert abs(len(network.given[-1]) - len(word)) < 0.12 * RATE
    assert found.words == 2
    lag = np.argmax(np.correlate(room(None, word, None, noise=0.0), network.given[0], "valid"))
    assert abs(lag - 3000) < 0.06 * RATE


def test_the_level_makes_no_difference_and_neither_do_pauses():
    word = room(None, voice(), None)
    features = heard.features(heard.powers(word))
    np.testing.assert_allclose(heard.features(heard.powers(0.03 * word)), features, rtol=1e-3, atol=1e-3)
    assert heard.powers(word[:30]).shape == (1, 40)  # of a sound that is shorter than a frame


def test_sound_is_between_pauses():
    """Noise at -20 dB; a click of 20 ms is no sound, and a gap of 100 ms no pause."""
    level = np.full(100, -20.0)
    level[10:30], level[40:50] = 0.0, -5.0
    level[70:72] = -3.0
    assert heard.segments(level) == [(10, 50)]
    level[90:98] = -10.0
    assert heard.segments(level) == [(10, 50), (90, 98)]
    np.testing.assert_array_equal(heard.active(np.full(9, -1.0)), np.arange(9))
    np.testing.assert_array_equal(heard.active(np.linspace(0.0, -30.0, 60)), np.arange(60))  # a soft end is no noise


QUIET = "too quiet", 0, None, None


@pytest.mark.parametrize(
    "found, said",
    [
        (Heard("word", 1, 7, 0.934, -20.0), "7 (93 %)"),
        (Heard("word", 1, 7, None, -20.0), "7 (how sure is not known: no words were held back)"),
        (Heard(*QUIET, -91.2), "nothing: the loudest 25 ms have -91 dB, and a word must have -85 dB"),
        (Heard(*QUIET, -300.0), "nothing: silence"),
        (Heard("several words", 3, 4, 0.1, -20.0), "several words (3); the first sounds like 4"),
        (Heard("several words", 1, 4, 0.1, -20.0), "several words; the first sounds like 4"),
        (Heard("no word", 1, 4, 0.1, -20.0), "no word: noise, a tone or another sound"),
        *(
            (
                Heard(f"{end} cut off", 1, 8, 0.214, -20.0),
                f"cut off: the recording {end}s within a word; what is there sounds like 8 (21 %)",
            )
            for end in ("begin", "end")
        ),
    ],
)
def test_how_it_is_said(found, said):
    assert str(found) == said


def test_the_packaged_network_hears_a_file(tmp_path, capsys, monkeypatch):
    """By the command line, without a run; a soft word is heard as a loud one is."""
    monkeypatch.setattr(heard, "packaged_network", functools.cache(heard.packaged_network))
    said = []
    word = voice(rng=np.random.default_rng(0))
    for sound in (np.zeros(4000), word, 0.05 * word):
        path = write_wav(tmp_path / "a.wav", (32767 * sound).astype("<i2").tobytes(), rate=RATE)
        assert cli.main(["stream", "--pretrained", "spoken-digits", "--wav", str(path)]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == "nothing: silence\n"
    (digit, share), (again, soft) = (re.fullmatch(r"(\d) \((\d+) %\)\n", line).groups() for line in said[1:])
    assert digit == again and abs(int(share) - int(soft)) <= 10
    assert 0.2 < pretrained.record("spoken-digits")["temperature"] < 5.0
