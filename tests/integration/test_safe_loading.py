"""A model file from a stranger: Keras' safe mode holds with our layers in it, and inside of them."""

import json
import zipfile

import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras

load = keras.models.load_model


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A model whose first layer runs code, as Keras itself saves it; and the file that shows that it ran."""
    monkeypatch.chdir(tmp_path)
    x = keras.Input((6, 3))
    y = keras.layers.Lambda(lambda x: (open("ran", "w").close(), x)[1])(x)
    hidden = kk.RNN(kk.LeakyRNNCell(4), name="hidden")(y)
    model = kk.Model(x, kk.TimeAverage(2)(kk.Readout(2)(hidden)))
    model.compile("sgd", "mse", sensitivity_optimizer="sgd")
    model.save(tmp_path / "planted.keras")
    (tmp_path / "ran").unlink()
    return tmp_path / "planted.keras", tmp_path / "ran"


def changed_by(move, path):
    """The file with its configuration changed by `move(config, the planted layer's own part)`."""
    other = path.with_name(f"{path.stem}-moved.keras")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                planted = config["config"]["layers"][1]
                move(config, planted)
                content = json.dumps(config)
            changed.writestr(name, content)
    return other


def as_layer(config, planted):
    """As it was saved."""


def as_cell(config, planted):
    """Where our layer keeps its cell."""
    config["config"]["layers"][2]["config"]["cell"] = {**planted, "inbound_nodes": []}


def as_rule(config, planted):
    """Where our layer keeps its rule."""
    config["config"]["layers"][2]["config"]["rule"] = {**planted, "inbound_nodes": []}


def as_kernel(config, planted):
    """Where the rule keeps its kernel."""
    config["config"]["layers"][2]["config"]["rule"]["config"]["kernel"] = {**planted, "inbound_nodes": []}


def as_optimizer(config, planted):
    """Where our model keeps its second optimizer."""
    config["compile_config"]["sensitivity_optimizer"] = {**planted, "inbound_nodes": []}


def disarm(config, planted):
    """Makes the layer harmless: what is left is the place that its code was moved to."""
    planted.update(class_name="Activation", config={"name": planted["config"]["name"], "activation": "linear"})
    if isinstance(planted["inbound_nodes"][0], dict):  # Keras 3 hands a Lambda a mask
        planted["inbound_nodes"][0]["kwargs"] = {}


def test_without_the_code_it_is_a_model(planted):
    path, ran = planted
    assert load(changed_by(disarm, path)).output_shape == (None, 2) and not ran.exists()


@pytest.mark.parametrize("move", [as_layer, as_cell, as_rule, as_kernel, as_optimizer])
def test_planted_code_is_refused(planted, move):
    path, ran = planted
    other = changed_by(move, path)
    if move is not as_layer:
        other = changed_by(disarm, other)
    with pytest.raises(Exception, match="safe_mode=False"):
        load(other)
    assert not ran.exists()


def test_the_planted_code_is_no_dud(planted):
    path, ran = planted
    load(path, safe_mode=False)
    assert ran.exists()
