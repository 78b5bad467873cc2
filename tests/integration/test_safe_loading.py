"""A model file from a stranger: Keras' safe mode holds with our layers in it, and inside of them."""

import json
import pathlib
import zipfile

import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras

load = keras.models.load_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model whose first layer runs code, as Keras itself saves it."""
    folder = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        x = keras.Input((6, 3))
        y = keras.layers.Lambda(lambda x: (open("ran", "w").close(), x)[1])(x)
        hidden = kk.RNN(kk.LeakyRNNCell(4), name="hidden")(y)
        model = kk.Model(x, kk.TimeAverage(2)(kk.Readout(2)(hidden)))
        model.compile("sgd", "mse", sensitivity_optimizer="sgd")
        model.save(folder / "planted.keras")
    return folder / "planted.keras"


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """The file that shows that its code ran."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "ran"


def changed_by(move, path):
    """A file with the configuration changed by `move(config, the planted layer's own part)`."""
    other = pathlib.Path(f"{path.stem}-moved.keras")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                move(config, config["config"]["layers"][1])
                content = json.dumps(config)
            changed.writestr(name, content)
    return other


PLACES = {  # what our layers and our model keep, and what of a configuration holds it: the planted one may stand there
    "cell": lambda config: config["config"]["layers"][2]["config"],
    "rule": lambda config: config["config"]["layers"][2]["config"],
    "kernel": lambda config: config["config"]["layers"][2]["config"]["rule"]["config"],
    "sensitivity_optimizer": lambda config: config["compile_config"],
}


def disarm(config, planted):
    """Makes the layer harmless: what is left is the place that its code was moved to."""
    planted.update(class_name="Activation", config={"name": planted["config"]["name"], "activation": "linear"})
    if isinstance(planted["inbound_nodes"][0], dict):  # Keras 3 hands a Lambda a mask
        planted["inbound_nodes"][0]["kwargs"] = {}


def test_without_the_code_it_is_a_model(saved, ran):
    assert load(changed_by(disarm, saved)).output_shape == (None, 2) and not ran.exists()


@pytest.mark.parametrize("place", [None, *PLACES])
def test_planted_code_is_refused(saved, ran, place):
    """Where Keras saved it, and in places of our own."""

    def move(config, planted):
        PLACES[place](config)[place] = {**planted, "inbound_nodes": []}

    with pytest.raises(Exception, match="safe_mode=False"):
        load(changed_by(disarm, changed_by(move, saved)) if place else saved)
    assert not ran.exists()


def test_the_planted_code_is_no_dud(saved, ran):
    load(saved, safe_mode=False)
    assert ran.exists()
