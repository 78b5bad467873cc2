"""The code of the README and of the pages runs, and does what they say."""

import math
import pathlib
import re

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.experiments import pretrained
from kernl_keras.keras_version import IS_KERAS_3, keras

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ROOT / "notebooks" / "pages"
README = ROOT / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def run(path, folder, monkeypatch):
    """The names after the Python blocks of a document, one after the other."""
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    assert blocks and blocks[0].startswith("import keras\nimport kernl_keras as kk\n")
    names = {}
    monkeypatch.chdir(folder)
    for block in blocks:
        exec(block if IS_KERAS_3 else block.replace("import keras\n", "from tensorflow import keras\n"), names)
    assert names["keras"] is keras or names["keras"].Input is keras.Input
    return names


def test_every_document_with_code_is_here():
    found = {path.stem for path in [README, *PAGES.rglob("*.md")] if BLOCK.search(path.read_text(encoding="utf-8"))}
    assert found == {"README", "rules", "streams", "device", "devices", "export", "networks"}


@pytest.mark.slow
def test_readme(tmp_path, monkeypatch):
    """As it stands, but for the number of digits."""
    whole = kk.data.sequential_mnist

    def few(*arguments, **settings):
        data = whole(*arguments, **settings)
        return data._replace(train=data.train.take(2), validation=data.validation.take(1))

    monkeypatch.setattr(kk.data, "sequential_mnist", few)
    block, _ = BLOCK.findall(README.read_text(encoding="utf-8"))
    assert block.count("\n") <= 25
    names = run(README, tmp_path, monkeypatch)
    assert names["model"].optimizer.iterations.numpy() == 2 * names["epochs"]
    whole_epoch = whole("sample", context_steps=0, batch_size=16).steps_per_epoch.train
    assert f"epochs = {names['epochs']}  # of {whole_epoch} updates\n" in block
    assert names["epochs"] == math.ceil(600 / whole_epoch)  # as the guide counts
    assert np.isfinite(names["model"].history.history["val_loss"]).all()
    assert list(tmp_path.glob("logs/*"))
    listener, hears = names["listener"], {"every": 60, "piece": 64, "batch_size": 16}
    listener.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    words = np.random.default_rng(0).uniform(size=(40, 50, 1)).astype("float32"), np.zeros(40, "int32")
    history = listener.fit(kk.data.stream(*words, **hears), steps_per_epoch=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_rules(tmp_path, monkeypatch):
    names = run(PAGES / "rules.md", tmp_path, monkeypatch)
    x, y = np.random.default_rng(0).uniform(size=(8, 28, 28)).astype("float32"), np.zeros((8, 10), "float32")
    for name in ("model", "rising", "quadratic"):
        model = names[name]
        before = model.layers[1].cell.kernel.numpy()
        model.compile("adam", "mse", run_eagerly=True)
        model.train_on_batch(x, y)
        assert np.abs(model.layers[1].cell.kernel.numpy() - before).max() > 0.0
        model.save("model.keras")
        loaded = keras.models.load_model("model.keras")
        assert repr(loaded.layers[1].rule) == repr(model.layers[1].rule)
        assert type(loaded.layers[1].cell) is type(model.layers[1].cell)
        np.testing.assert_array_equal(loaded(x), model(x))
    names["WrittenUnit"](3).build((None, 2))  # a wrong derivative would be warned of


@pytest.mark.slow
def test_streams(tmp_path, monkeypatch):
    model = run(PAGES / "streams.md", tmp_path, monkeypatch)["model"]
    x = np.random.default_rng(0).uniform(size=(25, 100, 81)).astype("float32")
    first, second = (model.predict(x, batch_size=25, verbose=0) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3  # the second piece goes on where the first ended


@pytest.mark.slow
def test_networks(tmp_path, monkeypatch):
    names = run(PAGES / "networks.md", tmp_path, monkeypatch)
    assert names["accuracy"] == pytest.approx(pretrained.record("ecg")["test_accuracy"], abs=5e-4)
    assert names["model"].optimizer.iterations.numpy() == 2


@pytest.mark.slow
def test_several_devices(tmp_path, monkeypatch):
    names = run(PAGES / "devices.md", tmp_path, monkeypatch)
    assert names["model"].optimizer.iterations.numpy() == 10
    assert names["strategy"].num_replicas_in_sync == 1  # on CPUs; `tests/training/test_distribution.py` has more


@pytest.mark.slow
def test_learning_on_a_device(tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT's own interpreter needs ai-edge-litert")
    names = run(PAGES / "device.md", tmp_path, monkeypatch)
    start, kept, now = names["learner"].save(), names["kept"], names["save"]()
    for model in (names["model"], names["loaded"]):
        np.testing.assert_array_equal(model.get_layer("hidden").cell.kernel, kept["hidden_kernel"])
    assert np.any(kept["hidden_kernel"] != start["hidden_kernel"]) and names["logits"].shape == (1, 4)
    for name, value in kept.items():
        np.testing.assert_array_equal(now[name], value)


@pytest.mark.slow
def test_export(tmp_path, monkeypatch):
    pytest.importorskip("nir", reason="the NIR graph needs nir")
    names = run(PAGES / "export.md", tmp_path, monkeypatch)
    model, ones = names["model"], np.ones((5, 28, 28), "float32")
    np.testing.assert_allclose(names["logits"], model.predict(ones, verbose=0), rtol=1e-6, atol=1e-6)
    voltages = keras.Model(model.input, model.get_layer("readout").output)(ones[:1])
    assert np.abs(voltages).max() > 0.01
    np.testing.assert_allclose(names["answer"]["outputs"], voltages[:, -1], rtol=1e-5, atol=1e-6)
    assert len(names["lite"]) > 1000 and (tmp_path / "network.nir").stat().st_size > 1000
