"""The code of the README's sections on several devices and on other programs runs, and does what they say."""

import pathlib
import re

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras

pytestmark = pytest.mark.slow

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def run(title, folder, monkeypatch):
    """What the names are after the Python blocks of a section, one after the other."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## )", README, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert blocks and all(block.count("\n") <= 15 for block in blocks)
    names = {"keras": keras, "kk": kk}  # those of "In code"
    monkeypatch.chdir(folder)
    for block in blocks:
        exec(block, names)
    return names


def test_several_devices(tmp_path, monkeypatch):
    names = run("Several devices", tmp_path, monkeypatch)
    assert names["model"].optimizer.iterations.numpy() == 10
    assert names["strategy"].num_replicas_in_sync == 1  # on CPUs; `tests/training/test_distribution.py` has more


def test_elsewhere(tmp_path, monkeypatch):
    pytest.importorskip("nir", reason="the NIR graph needs nir")
    names = run("Elsewhere", tmp_path, monkeypatch)
    model, ones = names["model"], np.ones((5, 28, 28), "float32")
    np.testing.assert_allclose(names["logits"], model.predict(ones, verbose=0), rtol=1e-6, atol=1e-6)
    voltages = keras.Model(model.input, model.get_layer("readout").output)(ones[:1])
    assert np.abs(voltages).max() > 0.01
    np.testing.assert_allclose(names["answer"]["outputs"], voltages[:, -1], rtol=1e-5, atol=1e-6)
    assert len(names["lite"]) > 1000 and (tmp_path / "network.nir").stat().st_size > 1000
