"""A run on a stream by the command line: what it prints and writes, its resumption, and recordings."""

import dataclasses
import json

import numpy as np
import pytest

from kernl_keras import cli
from kernl_keras.callbacks.stream_backup import StreamBackup
from kernl_keras.data.recording import read_wav, resampled
from kernl_keras.experiments import feeds, heard, provenance, run
from kernl_keras.experiments.configs import EXPERIMENTS, SPOKEN_DIGITS
from kernl_keras.experiments.files import UserError
from kernl_keras.keras_version import keras

from ..reference import made_up_recordings
from ..reference.tools import write_wav

pytest.importorskip("tensorflow_datasets", reason="the recordings are read by TensorFlow Datasets")

TINY = dataclasses.replace(
    SPOKEN_DIGITS, name="tiny", task_settings={"seconds": 0.2},
    front_end_settings={**SPOKEN_DIGITS.front_end_settings, "bands": 8}, cell="leaky_rnn",
    cell_settings={"units": 12, "tau": 5.0}, rule="eprop", rule_settings={}, batch_size=5, learning_rate=0.02,
    jit_compile=False,
)  # fmt: skip
SETTINGS = ["--pieces", "5", "--piece", "20", "--seed", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prepared data set of 300 made-up recordings, 50 of them for learning."""
    return made_up_recordings.write(tmp_path_factory.mktemp("data"), made_up_recordings.recordings(takes=6))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    monkeypatch.setattr(feeds, "REPORT_EVERY", 2)


def command(folder, run_dir, *more):
    return ["stream", "--experiment", "tiny", "--data-dir", str(folder), "--run-dir", str(run_dir), *SETTINGS, *more]


def without_times(results):
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in results["curve"]]
    return {**results, "curve": rows, "seconds": None, "command": None}


@pytest.mark.slow
def test_a_run_its_resumption_and_a_recording(folder, tmp_path, capsys, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert cli.main(command(folder, whole)) == 0
    printed = capsys.readouterr().out
    results = json.loads((whole / "results.json").read_text())
    assert results["command"].startswith("kernl-keras stream --experiment tiny --data-dir")
    assert results["seed"] == 3 and results["configuration"]["rule"] == "eprop" and "git_revision" in results
    assert results["computed_with"] == [provenance.computed_with()]
    assert results["stream"] == {"pieces": 5, "piece": 20, "answer": 10, "rows": 5, "every": 37}
    assert [row["pieces"] for row in results["curve"]] == [2, 4, 5]
    # 100 steps are two whole stretches of 37, with a word in each of 5 rows, and 26 steps of a third
    assert 10 <= results["words"] == results["curve"][-1]["words"] <= 15
    assert results["test_words"] == 250 and results["chance"] == 0.9 and 0.0 < results["test_word_error"] < 1.0
    words = f"{results['words']} words heard, errors of the last"
    assert all(said in printed for said in ("5 pieces of 20 steps, 5 rows", words, "Test words 250"))
    assert list((whole / "tensorboard" / "stream").glob("events.out.tfevents.*"))

    def kill(self, epoch, logs=None):  # after the progress is written, before the backup is
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        before = StreamBackup.on_epoch_end
        patched.setattr(StreamBackup, "on_epoch_end", lambda *all: before(*all) if all[1] == 0 else kill(*all))
        assert cli.main(command(folder, killed)) == 130
    assert f"kernl-keras stream --resume --run-dir {killed}" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["stream", "--run-dir", str(killed), "--resume", "--seed", "4"])
    assert "another configuration: seed was 3, now 4" in capsys.readouterr().err
    assert cli.main(["stream", "--run-dir", str(killed), "--resume", "--verbose", "0"]) == 0
    resumed = json.loads((killed / "results.json").read_text())
    assert without_times(resumed) == without_times(results)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["stream", "--run-dir", str(killed), "--resume"])
    assert "has learned 5 pieces: give more by --pieces" in capsys.readouterr().err

    assert cli.main(["stream", "--run-dir", str(whole), "--wav", str(recording(tmp_path / "a.wav"))]) == 0
    assert capsys.readouterr().out == "no word: noise, a tone or another sound\n"
    answer, temperature = heard.trained_network(whole)
    said = heard.hear(heard.sound_of(tmp_path / "a.wav"), answer, temperature)
    assert said.digit in range(10) and said.share is None
    sound = np.concatenate([np.zeros(800), np.sin(np.arange(800.0))])
    model = keras.models.load_model(whole / "model.keras")  # for pieces of the stream: step by step, as it is
    x = heard.front_end(run.read_settings(whole, stream=True)[0])(sound[None, :, None].astype("float32"))
    x = np.concatenate([x, np.zeros((1, 9, 8))], 1).astype("float32")
    x = np.pad(np.repeat(x, 5, 0), ((0, 0), (0, 11), (0, 0)))  # 29 steps are two pieces of 20 with 11 behind
    outputs = np.concatenate([model.predict(part, verbose=0, batch_size=5) for part in np.split(x, 2, axis=1)], 1)
    np.testing.assert_allclose(answer(sound), outputs[0, 19:29].mean(0), rtol=1e-4, atol=1e-5)
    tone = sound[800:]  # before a shorter word is silence, and of a longer one the end counts
    np.testing.assert_array_equal(answer(tone), answer(sound))
    np.testing.assert_array_equal(answer(np.concatenate([tone, sound])), answer(sound))
    assert np.any(answer(np.concatenate([tone, np.zeros(800)])) != answer(sound))
    (samples, rate), found = read_wav(recording(tmp_path / "b.wav")), heard.sound_of(tmp_path / "b.wav")
    np.testing.assert_array_equal(found, resampled(samples, rate, 8000))
    with pytest.raises(UserError, match=r"a\.wav must have a sampling rate of 8000 Hz or more; received 4000 Hz"):
        heard.hear_recording(recording(tmp_path / "a.wav", rate=4000), whole)
    with pytest.raises(UserError, match=r"none\.wav cannot be read: No such file or directory"):
        heard.hear_recording(tmp_path / "none.wav", whole)


@pytest.mark.slow
def test_a_run_goes_on_for_any_number_of_pieces_and_after_a_kill_in_its_test(folder, tmp_path):
    """From within a report to within the same one, to its end and beyond: the numbers of a run that never ended.

    After the kill all pieces are learned, and no `fit` is left that would read the backup.
    """
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    resume = ["stream", "--run-dir", str(parts), "--resume", "--verbose", "0", "--pieces"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feeds, "REPORT_EVERY", 4)
        assert cli.main(command(folder, whole, "--verbose", "0", "--pieces", "9")) == 0
        assert cli.main(command(folder, parts, "--verbose", "0", "--pieces", "2")) == 0
        for pieces in ("3", "6"):
            assert cli.main([*resume, pieces]) == 0
        with patched.context() as killed:
            killed.setattr(run, "load_saved", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            assert cli.main([*resume, "9"]) == 130
        assert cli.main([*resume, "9"]) == 0
    one, other = (keras.models.load_model(each / "model.keras").get_weights() for each in (whole, parts))
    for weight, another in zip(one, other, strict=True):
        np.testing.assert_array_equal(weight, another)
    results = [without_times(json.loads((each / "results.json").read_text())) for each in (whole, parts)]
    assert results[0] == results[1] and [row["pieces"] for row in results[0]["curve"]] == [4, 8, 9]


def recording(path, rate=16000):
    tone = 8000 * np.sin(2 * np.pi * 900 * np.arange(rate // 10) / rate)
    return write_wav(path, np.pad(tone, (rate // 2, rate // 2)).astype("<i2").tobytes(), rate=rate)


def test_words_of_a_stream_are_not_moved():
    assert "shift" in SPOKEN_DIGITS.task_settings
    assert feeds.for_stream(SPOKEN_DIGITS).task_settings == {"seconds": 1.0, "poor_copies": 3, "validation": 0}
