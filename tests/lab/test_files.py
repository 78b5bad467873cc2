"""Files that the laboratory makes for the package and its pages: the sample of digits, networks and pictures."""

import dataclasses
import io
import zlib
from importlib import resources

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.data.mnist import SAMPLE_FILE, Digits, load_sample
from kernl_keras.experiments import pretrained
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.run import train
from kernl_keras.keras_version import keras
from notebooks.lab import make_sample, pack, pictures


@pytest.mark.slow
def test_the_command_writes_the_packaged_file_again(data_dir, tmp_path, capsys):
    packaged = resources.files("kernl_keras.data").joinpath(SAMPLE_FILE).read_bytes()
    output = tmp_path / "again.npz"
    assert 0 == make_sample.main(["--data-dir", data_dir, "--output", str(output)])
    with np.load(output, allow_pickle=False) as again, np.load(io.BytesIO(packaged), allow_pickle=False) as first:
        assert again.files == first.files
        for name in first.files:
            np.testing.assert_array_equal(again[name], first[name], strict=True)
    if "zlib-ng" not in zlib.ZLIB_RUNTIME_VERSION:  # which packs the same arrays into other bytes
        assert output.read_bytes() == packaged
    assert "8000 digits" in capsys.readouterr().out


def test_the_command_does_not_download(tmp_path):
    with pytest.raises(FileNotFoundError, match="give data_dir="):
        make_sample.main(["--data-dir", str(tmp_path), "--output", str(tmp_path / "sample.npz")])


def test_runs_give_the_pixels_back():
    """Decoded by hand, one run at a time."""
    short = [0, 0, 5, 6, 0], [5, 0, 0, 6], [0] * 3, [9] * 3
    long = [7] * 600 + [0] * 255 + [1], [0] * 254 + [1] * 255 + [0] * 256 + [1] * 510 + [0] * 766
    for pixels in (*short, *long):
        runs = make_sample.run_lengths(np.array(pixels) > 0)
        assert runs.dtype == np.uint8
        ink, decoded = iter([p for p in pixels if p]), []
        for place, length in enumerate(runs):
            decoded += [next(ink) if place % 2 else 0 for _ in range(length)]
        assert decoded == pixels


def tens(random, count):
    """So many of each class, in a random order."""
    return random.permutation(np.arange(10 * count) % 10).astype(np.int32)


def test_the_sample_is_read_as_it_was_written(tmp_path, monkeypatch):
    """A made-up MNIST with inked borders goes through the command's functions and back; a hundredth of its size."""
    monkeypatch.setattr(make_sample, "TRAIN_PER_CLASS", 7)
    monkeypatch.setattr(make_sample, "TEST_PER_CLASS", 2)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (200, 28, 28), np.uint8) * (random.random((200, 28, 28)) < 0.2)
    digits = Digits(images.astype(np.uint8), np.concatenate([tens(random, 16), tens(random, 4)]), 160)
    make_sample.write_npz(tmp_path / SAMPLE_FILE, make_sample.sample_arrays(digits))
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    sample = load_sample()
    for part, chosen, per_class in ((slice(0, 70), slice(0, 160), 7), (slice(70, None), slice(160, None), 2)):
        for digit in range(10):
            expected = digits.images[chosen][digits.labels[chosen] == digit][:per_class]
            np.testing.assert_array_equal(sample.images[part][digit::10], expected)


DRAWN = {"class_name": "kernl_keras>LogUniform", "config": {"low": 20.0, "high": 90.0}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a run of a moment, and its results."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    experiment = dataclasses.replace(
        EXPERIMENTS["smnist"], cell_settings={"units": 3, "tau_m": DRAWN},
        encoder_settings={"units": 4, "code": "bernoulli", "context_switch": 784},
        task_settings={"layout": "pixels", "context_steps": 54, "validation": 20}, steps=2, validate_every=2,
        jit_compile=False, batch_size=500,
    )  # fmt: skip
    return folder, train(experiment, folder, verbose=0)


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_pictures_of_a_run(finished, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    monkeypatch.setattr(pictures, "PICTURES", tmp_path / "pictures")
    assert pictures.main([str(finished[0])]) == 0
    drawn = {path.name: path.read_bytes()[:4] for path in (tmp_path / "pictures").iterdir()}
    assert set(drawn.values()) == {b"\x89PNG"}
    assert {"learning_curve.png", "sensitivity.png"} < set(drawn)


@pytest.mark.slow
def test_the_pictures_of_the_results(tmp_path, monkeypatch):
    """From the files alone; what a document shows beside them is drawn by `notebooks.lab.results`."""
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    monkeypatch.setattr(pictures, "PICTURES", tmp_path)
    assert pictures.main([]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "alignment.png", "kills.png", "network.png", "reference.png", "streams.png",
    }  # fmt: skip
