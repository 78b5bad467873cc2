"""A run becomes a network that comes with the package, and the pictures of a run are drawn."""

import dataclasses

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.experiments import pretrained
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.run import train
from kernl_keras.keras_version import keras
from notebooks.lab import pack, pictures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a run of a moment, and its results."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    experiment = dataclasses.replace(
        EXPERIMENTS["smnist"],
        cell_settings={
            "units": 3,
            "tau_m": {"class_name": "kernl_keras>LogUniform", "config": {"low": 20.0, "high": 90.0}},
        },
        encoder_settings={"units": 4, "code": "bernoulli", "context_switch": 784},
        task_settings={"layout": "pixels", "context_steps": 54, "validation": 20},
        steps=2,
        validate_every=2,
        jit_compile=False,
        batch_size=500,
    )
    return folder, train(experiment, folder, verbose=0)


def test_a_run_becomes_a_network_and_comes_back(finished, tmp_path, monkeypatch):
    folder, results = finished
    monkeypatch.setattr(pack, "FOLDER", tmp_path)
    assert pack.main([str(folder), "small"]) == 0
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    monkeypatch.setattr(pretrained, "NETWORKS", ["small"])
    model = kk.load_pretrained("small")
    x = np.random.default_rng(0).random((2, 838, 2))
    x[..., 1] = 1.0
    saved = keras.models.load_model(folder / "model.keras")
    np.testing.assert_allclose(model.predict(x, verbose=0), saved.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    assert pretrained.record("small")["test_accuracy"] == results["test_accuracy"]
    assert pretrained.experiment_of("small").steps == 2


def test_the_pictures_of_a_run(finished, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    monkeypatch.setattr(pictures, "PICTURES", tmp_path / "pictures")
    assert pictures.main([str(finished[0])]) == 0
    drawn = {path.name: path.read_bytes()[:4] for path in (tmp_path / "pictures").iterdir()}
    assert set(drawn.values()) == {b"\x89PNG"}
    assert {"learning_curve.png", "sensitivity.png"} < set(drawn)


def test_the_pictures_of_the_results(tmp_path, monkeypatch):
    """From the files alone; what a document shows beside them is drawn by `notebooks.lab.results`."""
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    monkeypatch.setattr(pictures, "PICTURES", tmp_path)
    assert pictures.main([]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "alignment.png", "benchmark.png", "kills.png", "network.png", "race.png", "reference.png", "streams.png",
        "windows.png", "windows-all.png",
    }  # fmt: skip
