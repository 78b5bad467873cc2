"""The guide followed on series: how a file is read, what a missing package gives, the rows."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.keras_version import keras
from notebooks.lab import guide, recipe
from notebooks.lab.tables import table_of

ROOT = pathlib.Path(__file__).parents[2]
TS = """@problemName Two
@data
1.0,2.0,3.0:4.0,5.0,6.0:b
7.0,8.0:9.0,10.0:a
"""


def small():
    """Six sequences of two classes and two lengths, with a test of four."""
    rng = np.random.default_rng(0)
    x = [np.float32(rng.normal(size=(length, 2))) for length in (4, 5, 5, 4, 5, 5, 4, 5, 5, 5)]
    return x[:6], np.array([0, 1] * 3), x[6:], np.array([0, 1] * 2)


def test_a_file_of_series(tmp_path, monkeypatch):
    (tmp_path / "datasets/data/Two").mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"datasets/data/Two/Two_{part}.ts").write_text(TS)
    monkeypatch.setattr(guide, "file_of", lambda package, path: tmp_path / path)
    x, y, x_test, y_test = guide.whole("some", "Two")
    assert x[0].tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]] and x[1].shape == (2, 2)
    assert y.tolist() == y_test.tolist() == [1, 0] and len(x_test) == 2


def test_what_is_scaled_is_the_training_data_without_the_padding():
    task = guide.Task(small)
    assert (task.x.shape, task.x_test.shape, task.equal, task.outputs) == ((6, 5, 2), (4, 5, 2), False, 2)
    every = np.concatenate([row[:length] for row, length in zip(task.x, (4, 5, 5, 4, 5, 5))])
    np.testing.assert_allclose(every.mean(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(every.std(0), 1.0, atol=1e-5)
    assert not task.x[0, 4:].any()
    x = [np.float32([[n], [0]]) for n in range(6)]
    task = guide.Task(lambda: (x[:4], np.float32([[10], [20], [30], [40]]), x[4:], np.float32([[25], [50]])))
    assert task.regression and not task.every_step  # numbers to predict are scaled as the training data say
    np.testing.assert_allclose(task.y[:, 0], np.array([-15, -5, 5, 15]) / np.sqrt(125), rtol=1e-6)
    np.testing.assert_allclose(task.y_test[:, 0], np.array([0, 25]) / np.sqrt(125), rtol=1e-6)


def test_means_of_steps():
    x, y, x_test, y_test = guide.means(small, 2)
    assert [len(each) for each in x] == [2] * 6 and len(x_test) == 4
    np.testing.assert_allclose(x[1][1], (small()[0][1][2] + small()[0][1][3]) / 2)


def test_epochs_of_updates():
    for examples, updates, epochs in ((36, 600, 200), (1250, 600, 8), (16, 3, 3), (17, 3, 2)):
        assert guide.epochs_of(updates, examples) == epochs
        batches = len(tf.data.Dataset.range(examples).batch(guide.BATCH))
        assert (epochs - 1) * batches < updates <= epochs * batches


def test_a_GRU_has_about_as_many_weights_as_the_guide_has():
    task = guide.Task(small)
    counts = [make(task).count_params() for make in (guide.guide, guide.gru)]
    assert counts[1] == pytest.approx(counts[0], rel=0.1)


def test_a_missing_package_is_skipped_and_its_reason_kept(results, monkeypatch):
    monkeypatch.setattr(guide, "HELD_OUT", {"one": lambda: guide.whole("no_such_package", "One")})
    found = results(guide)["guide"]
    assert found["skipped"] == {"one": "the package no_such_package is not installed"} and not found["rows"]


def test_the_notebook_and_the_README_have_the_choices_that_are_measured():
    notebook = json.loads((ROOT / "notebooks/guide.ipynb").read_text("utf-8"))
    of_notebook = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    of_readme = (ROOT / "README.md").read_text("utf-8").split("```python")[1].split("```")[0]
    for text in (of_notebook, of_readme):
        for choice in ("CosineDecay(5e-3, ", "global_clipnorm=1.0", "tau_out=None", "LogSpaced(4, ", "jit_compile"):
            assert choice in text
        assert "sensitivity_every" not in text and "input_gain" not in text
    assert "SpikeEncoder" not in of_readme
    assert "(600, 192)\nBATCH_SIZE = 16\n" in of_notebook and "batch_size=16" in of_readme
    assert (guide.UPDATES, guide.BATCH, guide.RATE) == (600, 16, 5e-3)


def shorten(monkeypatch):
    sizes = {"UPDATES": 2, "BATCH": 4, "UNITS": 3, "GRU_UNITS": 3}
    for name, value in {"HELD_OUT": {"small": small}, **sizes}.items():
        monkeypatch.setattr(guide, name, value)


@pytest.mark.slow
def test_rows_are_made_once(results, monkeypatch):
    shorten(monkeypatch)
    found = results(guide, "--seeds", "0")
    assert results(guide, "--seeds", "0") == found
    (row,) = found["guide"]["rows"]
    assert row["metric"] == "accuracy" and list(row["networks"]) == ["guide", "16 epochs", "GRU"]
    assert all(0.0 <= each["test"] <= 1.0 for each in row["networks"].values())
    assert [each["updates"] for each in row["networks"].values()] == [2, 32, 2]
    assert table_of([found]).count("\n") == 2


@pytest.mark.slow
def test_other_choices_are_tried_on_what_is_held_out(results, monkeypatch):
    shorten(monkeypatch)
    for name, value in {"DEVELOPMENT": {"small": small}, "BATCH": 4, "UPDATES": 2}.items():
        monkeypatch.setattr(recipe, name, value)
    found = results(recipe, "--only", "the guide", "input_gain=3", "--repeats", "2")
    assert [row["variant"] for row in found["recipe"]["rows"]] == ["the guide", "input_gain=3"]
    assert all(len(row["held_out"]) == len(row["train"]) == 2 for row in found["recipe"]["rows"])
    assert table_of([found]).count("\n") == 3


@pytest.mark.slow
def test_a_compiled_network_starts_anew(monkeypatch):
    shorten(monkeypatch)
    task, found = guide.Task(small), []
    used = guide.ready(guide.guide(task), task, 4)
    for seed in (1, 2):
        recipe.restart(used, task, {}, seed)
        guide.learn(used, task.x, task.y, 2, seed)
    recipe.restart(used, task, {}, 3)
    keras.utils.set_random_seed(3)
    new = guide.ready(guide.guide(task), task, 4)
    for model in (used, new):
        guide.learn(model, task.x, task.y, 2, 3)
        found.append(model.get_weights())
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)
