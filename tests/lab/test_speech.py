"""Levels and depths of recordings, and a network that meets a new speaker."""

import dataclasses
import wave
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.data.recording import read_wav
from kernl_keras.experiments.configs import SPOKEN_DIGITS
from kernl_keras.experiments.files import UserError
from kernl_keras.experiments.heard import Heard
from kernl_keras.experiments.pretrained import variables
from notebooks.lab import pack, sound, speakers
from notebooks.lab.tables import table_of

from ..reference.made_up_recordings import recordings, write

TIME = np.arange(800) / 8000.0
TONE = 0.5 * np.sin(2.0 * np.pi * 440.0 * TIME)


@pytest.mark.parametrize("bits, rate, channels", [(8, 8000, 1), (16, 44100, 2)])
def test_files_as_python_reads_them(bits, rate, channels, tmp_path):
    path = sound.as_file(tmp_path / "a.wav", TONE, bits, rate, channels)
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (channels, bits // 8, rate, rate // 10)
        data = np.frombuffer(file.readframes(rate), np.uint8 if bits == 8 else "<i2").reshape(-1, channels)
    found = (data - 128.0) / 128.0 if bits == 8 else data / 32768.0
    expected = 0.5 * np.sin(2.0 * np.pi * 440.0 * np.arange(rate // 10) / rate)
    np.testing.assert_allclose(found, np.repeat(expected[:, None], channels, 1), atol=2.0**-bits * 1.01)


def test_24_bits_what_is_beyond_full_scale_and_dither_of_two_steps(tmp_path):
    found, rate = read_wav(sound.as_file(tmp_path / "a.wav", 5.0 * TONE, 24))
    assert rate == 8000
    np.testing.assert_allclose(found, np.clip(5.0 * TONE, -1.0, 1.0), atol=2.0**-22)
    found, _ = read_wav(sound.as_file(tmp_path / "a.wav", np.zeros(8000), 8, dither=np.random.default_rng(0)))
    assert set(found * 128.0) == {-1.0, 0.0, 1.0}
    assert np.mean(found != 0.0) == pytest.approx(0.25, abs=0.02)  # beyond half a step lies a quarter of a triangle


def test_made_sounds_are_decided_by_the_seed():
    for make in {**sound.MADE, **sound.TABLE_ONLY}.values():
        one, same, other = (make(sound.Maker([TONE, TONE[::-1]], seed)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one, same)
        assert one.shape != other.shape or not np.array_equal(one, other)
        assert np.isfinite(one).all() and np.abs(one).max() <= 1.0
    pauses = sound.Maker([TONE], 3).several() == 0.0
    assert pauses.sum() > 1600 and not pauses[1]


def test_what_is_counted(tmp_path, monkeypatch):
    """A network that is right of loud words alone, and takes all else for noise."""
    monkeypatch.setattr(sound, "COUNT", 3)
    ways = {"as they are": (1.0, 16, False, 8000, 1, 0.1), "soft": (0.01, 16, False, 8000, 1, 0.0)}
    monkeypatch.setattr(sound, "WAYS", ways)

    def hear(path):
        loud = np.abs(read_wav(path)[0]).max() > 0.45
        return Heard("word" if loud else "no word", 1, 7 if loud else 3, 0.9 if loud else 0.1, -9.0)

    found = sound.measure([TONE] * 4, np.array([7, 7, 7, 1]), hear)
    first, soft = found["ways"].values()
    assert first["all_right"] == 0.75 and 2 <= first["right"] <= 3 and first["named_otherwise"] == 0
    assert soft == {"right": 0, "all_right": 0.0, "named_otherwise": 3, "all_named_otherwise": 1.0}
    assert found["kinds"]["silence"]["said"]["no word"] == 3 and found["kinds"]["silence"]["largest_share"] == 0.1
    assert [(row["low"], row["count"], row["right"]) for row in found["shares"]] == [(0.0, 4, 0.0), (0.9, 4, 0.75)]
    lines = table_of([{"sound": found}]).splitlines()
    assert "| soft | 0 | 3 | 0.0 % | 100.0 % |" in lines
    assert "| 90 to 95 % | 4 | 90 % | 75 % |" in lines


def test_the_regression_finds_the_chances_of_a_table():
    """One feature that is 0 or 1: its best chances are the shares that were counted, and weights count as copies."""
    x = np.array([[0.0], [0.0], [0.0], [1.0], [1.0]])
    y = np.eye(2)[[0, 0, 1, 0, 1]]
    weight = np.array([1.0, 1.0, 1.0, 1.0, 3.0])
    found = sound.logistic_regression(x, y, weight, penalty=1e-9)
    odds = found[1] @ [1.0, -1.0], (found[0] + found[1]) @ [1.0, -1.0]
    np.testing.assert_allclose(odds, [np.log(2.0), np.log(1.0 / 3.0)], rtol=1e-4)


def test_the_temperature_of_outputs_that_are_too_sure():
    """Classes drawn by the softmax of values; a network that says three times the values has the temperature 3."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5_000, 4))
    classes = (values + rng.gumbel(size=values.shape)).argmax(1)
    np.testing.assert_allclose(pack.best_temperature(3.0 * values, classes), 3.0, rtol=0.1)


T, BANDS = 10, 4
SMALL = dataclasses.replace(
    SPOKEN_DIGITS,
    task_settings={"seconds": 0.1, "validation": 20, "shift": [2, 1], "poor_copies": 0},
    front_end_settings={**SPOKEN_DIGITS.front_end_settings, "bands": BANDS},  # type: ignore[dict-item]
    cell_settings={**SPOKEN_DIGITS.cell_settings, "units": 6, "period": 7.0},
    **{"answer_steps": 3, "epochs": 1, "jit_compile": False},
)


@pytest.mark.slow
def test_every_start_is_the_same():
    """Weights, averages and optimizer begin anew: the same words teach the same."""
    learner = speakers.make_learner("e-prop", SMALL, T, BANDS)
    assert SMALL.weight_decay and not learner.model.optimizer.weight_decay  # the old weights are what it goes on from
    weights = {name: weight.numpy() for name, weight in variables(learner.model).items()}
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(8, T, BANDS)).astype("float32"), draw.integers(0, 10, 8).astype("int32")
    ends = []
    for rate in (1e-2, 1e-2, 1e-3):
        learner.start(weights, rate)
        np.testing.assert_array_equal(learner.model.get_layer("hidden").cell.kernel, weights["hidden/kernel"])
        learner.learn(x, y)
        ends.append((learner.model.get_layer("hidden").cell.kernel.numpy(), learner.averages[0]))
    np.testing.assert_array_equal(*ends[:2])
    moved, average = (np.abs(end - weights["hidden/kernel"]).max(axis=(1, 2)) for end in np.swapaxes(ends, 0, 1))
    assert moved[0] > 3.0 * moved[2] > 0.0
    np.testing.assert_allclose(average, 0.03 * moved, rtol=1e-2)


def test_errors_are_those_of_averages_and_of_where_it_began():
    learner = object.__new__(speakers.Learner)
    weight = tf.Variable(2.0)
    learner.model = SimpleNamespace(trainable_variables=[weight], predict=lambda x, **settings: weight.numpy() * x)
    learner.begin, learner.averages = [1.0], [-1.5]  # -1 together
    classes = np.array([0, 1, 2, 0])
    assert learner.errors((-np.eye(4), classes), (np.eye(4)[:2], classes[:2])) == [0.25, 1.0]
    assert weight.numpy() == 2.0 and learner.averages == [-1.5]


@pytest.mark.parametrize("any_order", [False, True])
def test_every_ten_words_have_each_digit_once_or_any_order(any_order):
    y = np.repeat(np.arange(10), 30)
    heard, asked = speakers.lessons(y, np.random.default_rng(0), any_order)
    assert len(heard) == 100 and sorted([*heard, *asked]) == list(range(300))
    complete = [sorted(y[heard[begin : begin + 10]]) == list(range(10)) for begin in range(0, 100, 10)]
    assert complete == [not any_order] * 10


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Few small recordings, and settings that do little with them; the arguments of the command."""
    pytest.importorskip("tensorflow_datasets")
    write(tmp_path / "data", recordings(takes=7))
    few = {"SPOKEN_DIGITS": SMALL, "WORDS": (2, 5)}
    few |= {"CHOOSING": ("george",), "updates": lambda heard: 4}
    for name, value in few.items():
        monkeypatch.setattr(speakers, name, value)
    monkeypatch.setattr(speakers.gru, "UNITS", 5)
    folders = ["--data-dir", str(tmp_path / "data"), "--networks", str(tmp_path / "networks")]
    return [*folders, "--speakers", "george", "theo", "--seeds", "3"]


@pytest.mark.slow
def test_the_results_file(results, small, tmp_path):
    found = results(speakers, *small, "--ways", "KeRNL", "GRU, readout only")["speakers"]
    kernl, gru = (found["ways"][way]["rows"] for way in ("KeRNL", "GRU, readout only"))
    for rows in (kernl, gru):
        assert len(rows) == 2 * 3 and {row["words"] for row in rows} == {0, 2, 5}
        assert len({row["learning_rate"] for row in rows}) == 1
    again = results(speakers, *small, "--ways", "e-prop")["speakers"]
    assert list(again["ways"]) == ["e-prop", "KeRNL", "GRU, readout only"] and again["ways"]["KeRNL"]["rows"] == kernl
    before = [[row["error"] for row in rows if row["words"] == 0] for rows in (kernl, again["ways"]["e-prop"]["rows"])]
    assert before[0] == before[1]
    assert len(table_of([{"speakers": again}]).splitlines()) == 5


@pytest.mark.slow
def test_litert_answers_as_keras_does(results, small):
    pytest.importorskip("ai_edge_litert")
    found = results(speakers, *small, "--ways", "KeRNL", "KeRNL, LiteRT")["speakers"]["ways"]
    before, device = ([row for row in found[way]["rows"] if row["words"] == 0] for way in ("KeRNL", "KeRNL, LiteRT"))
    for one, other in zip(before, device):
        assert (one["error"], one["old_error"]) == (other["error"], other["old_error"])


def test_networks_of_another_experiment_are_refused(tmp_path):
    np.savez(tmp_path / "gru-theo-0.npz", experiment="{}", git_revision="a", weights=np.zeros(1))
    theirs = dataclasses.replace(SMALL, task_settings={**SMALL.task_settings, "speaker": "theo"})
    with pytest.raises(UserError, match="was trained by another experiment"):
        speakers.trained("gru", theirs, tmp_path)
