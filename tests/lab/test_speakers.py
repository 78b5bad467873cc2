"""A network meets a new speaker: what it starts with, what it hears, and what the results file says."""

import dataclasses
import json

import numpy as np
import pytest

from kernl_keras.experiments.configs import SPOKEN_DIGITS
from kernl_keras.experiments.pretrained import variables
from notebooks.lab import speakers
from notebooks.lab.tables import table_of

from ..reference.made_up_recordings import recordings, write

T, BANDS = 10, 4
SMALL = dataclasses.replace(
    SPOKEN_DIGITS,
    task_settings={"seconds": 0.1, "validation": 20},
    front_end_settings={**SPOKEN_DIGITS.front_end_settings, "bands": BANDS},  # type: ignore[dict-item]
    cell_settings={**SPOKEN_DIGITS.cell_settings, "units": 6, "period": 7.0},
    answer_steps=3,
    epochs=1,
    jit_compile=False,
)


@pytest.fixture(scope="module")
def learner():
    return speakers.Learner(SMALL, "eprop", T, BANDS)


def test_every_start_is_the_same(learner):
    """Weights and optimizer begin anew: the same words teach the same."""
    weights = {name: weight.numpy() for name, weight in variables(learner.model).items()}
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(4, T, BANDS)).astype("float32"), draw.integers(0, 10, 4).astype("int32")
    ends = []
    for rate in (1e-2, 1e-2, 1e-3):
        learner.start(weights, rate)
        np.testing.assert_array_equal(learner.model.get_layer("hidden").cell.kernel, weights["hidden/kernel"])
        learner.learn(x, y)
        ends.append(learner.model.get_layer("hidden").cell.kernel.numpy())
    np.testing.assert_array_equal(ends[0], ends[1])
    moved = [np.abs(end - weights["hidden/kernel"]).max() for end in ends]
    assert moved[0] > 3.0 * moved[2] > 0.0


def test_errors_are_a_share(learner):
    x = np.zeros((4, T, BANDS), "float32")
    answer = int(learner.model.predict(x[:1], verbose=0).argmax())
    assert learner.errors(x, np.array([answer, answer, answer, (answer + 1) % 10])) == 0.25


@pytest.mark.slow
def test_the_results_file(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    write(tmp_path / "data", recordings(takes=7))
    monkeypatch.setattr(speakers, "SPOKEN_DIGITS", SMALL)
    monkeypatch.setattr(speakers, "WORDS", (2, 5))
    monkeypatch.setattr(speakers, "RATES", (1e-3, 1e-2))
    monkeypatch.setattr(speakers, "SPEAKERS", ("george", "theo"))
    path = tmp_path / "out.json"
    assert speakers.main(["--seeds", "3", "--data-dir", str(tmp_path / "data"), "--output", str(path)]) == 0
    found = json.loads(path.read_text())["speakers"]
    assert found["chosen_on"] == "george" and set(found["rates"].values()) <= {1e-3, 1e-2}
    assert len(found["rows"]) == 2 * 3 * 3 and {row["words"] for row in found["rows"]} == {0, 2, 5}
    before = {row["error"] for row in found["rows"] if (row["speaker"], row["words"]) == ("theo", 0)}
    assert len(before) == 1
    assert len(table_of([{"speakers": found}]).splitlines()) == 6


def test_the_table():
    row = {"seed": 0, "learning_rate": 1e-3}
    rows = [
        {**row, "speaker": speaker, "way": way, "words": words, "error": error, "old_error": old}
        for speaker, worse in (("george", 0.5), ("theo", 0.0), ("jackson", 0.1))
        for way, gain in (("readout only", 0.05), ("KeRNL", 0.1))
        for words, error, old in ((0, 0.3 + worse, 0.01), (10, 0.3 - gain + worse, 0.03))
    ]
    assert table_of([{"speakers": {"rows": rows, "chosen_on": "george"}}]).splitlines() == [
        "| learns on by | before | 10 words | old speakers |",
        "| --- | --- | --- | --- |",
        "| frozen | 35.0 % | 35.0 % | 1.0 % |",
        "| readout only | 35.0 % | 30.0 % | 3.0 % |",
        "| KeRNL | 35.0 % | 25.0 % | 3.0 % |",
    ]
