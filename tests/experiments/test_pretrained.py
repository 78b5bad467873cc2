"""Networks that come with the package: what they hold, that they test as they say, and runs that begin with one."""

import dataclasses
import random

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments import experiment as experiment_module
from kernl_keras.experiments import pretrained, run
from kernl_keras.experiments.backup import Backup
from kernl_keras.experiments.build import build_model
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.experiment import FOLDER, NETWORKS, SOURCES
from kernl_keras.experiments.feeds import Epochs

from ..reference.tools import all_same, policy


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_says_how_it_came_about_and_is_small(name):
    record = pretrained.record(name)
    for key in ("test_accuracy", "seed", "command", "git_revision", "steps", "versions"):
        assert record[key] is not None
    assert "dirty" not in record["git_revision"]
    assert (FOLDER / f"{name}.npz").stat().st_size < 1e6


@pytest.mark.slow
def test_the_packaged_digits_come_out_as_the_network_says():
    """1,000 of the 10,000 test digits: within four standard errors of the accuracy on all."""
    data = kk.data.sequential_mnist("sample", batch_size=250)
    accuracy = kk.load_pretrained("smnist").evaluate(data.test, return_dict=True, verbose=0)["accuracy"]
    stated = pretrained.record("smnist")["test_accuracy"]
    assert stated > 0.9 and abs(accuracy - stated) < 4 * np.sqrt(stated * (1 - stated) / 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_stated_accuracy_to_the_digit(name, request):
    experiment = pretrained.experiment_of(name)
    if "tfds" in SOURCES[experiment.task]:
        experiment = dataclasses.replace(experiment, source="tfds", data_dir=request.getfixturevalue("data_dir"))
    test = run.evaluate(experiment=experiment, verbose=0, pretrained=name)
    assert test["accuracy"] == pytest.approx(pretrained.record(name)["test_accuracy"], abs=5e-5)


def test_a_run_takes_every_number_of_a_real_network_and_loading_one_resets_no_random_state():
    """Two networks loaded, and what is drawn after each is not the same."""
    drawn = []
    for _ in range(2):
        network = kk.load_pretrained("smnist")
        drawn.append((random.random(), np.random.random()))
    assert drawn[0][0] != drawn[1][0] and drawn[0][1] != drawn[1][1]
    model = build_model(dataclasses.replace(pretrained.experiment_of("smnist"), seed=5), 838, 2, 1)
    pretrained.start_from("smnist", model)
    all_same(model.get_weights(), network.get_weights())


def test_it_loads_under_mixed_precision():
    """Its states and its readout stay in float32, so that it answers the same."""
    x = np.random.default_rng(0).integers(0, 129, (2, 100, 40)).astype("float32") / 128.0  # exact in half precision
    expected = tf.function(kk.load_pretrained("spoken-digits"))(x)
    with policy("mixed_bfloat16"):
        answer = tf.function(kk.load_pretrained("spoken-digits"))(x)
    np.testing.assert_allclose(np.float32(answer), expected, rtol=0.02, atol=0.02)


# Runs that begin with the numbers of a network

TINY = dataclasses.replace(
    EXPERIMENTS["adding"], name="tiny", task_settings={"steps": 7, "examples": 8, "validation": 8, "test": 5},
    cell="lif", cell_settings={"units": 5, "tau_m": 4.0}, batch_size=4, epochs=2, jit_compile=False,
)  # fmt: skip


def build(**changes):
    return build_model(dataclasses.replace(TINY, **changes), 7, 2, 4)


def numbers(model):
    """`{layer/weight: array}`."""
    return {name: variable.numpy() for name, variable in pretrained.variables(model).items()}


@pytest.fixture(scope="module")
def file():
    """What the file of a network holds."""
    return numbers(build(seed=9))


@pytest.fixture
def tiny(file, monkeypatch):
    """It is among the packaged ones."""
    monkeypatch.setattr(experiment_module, "NETWORKS", [*NETWORKS, "tiny"])
    monkeypatch.setattr(pretrained, "_read", lambda name: {**file, "record": np.array("{}")})
    return file


def test_a_run_begins_with_the_numbers_of_the_network_once(tiny, tmp_path, monkeypatch):
    """A resumed run goes on from where it was: the package may have another network by then."""
    experiment = dataclasses.replace(TINY, start="tiny")
    monkeypatch.setattr(run, "fit", lambda *_: None)
    for resume in (False, True):
        with pytest.raises(run.UserError, match=r"holds no model\.keras"):  # no epoch, no model to test
            run.train(experiment, tmp_path / "run", resume, verbose=0)
        model = build()
        Backup(tmp_path / "run", Epochs(experiment)).restore(model)
        begun = numbers(model)
        assert begun.keys() == tiny.keys() and "hidden/recurrent_kernel" in tiny
        all_same(begun, tiny)
        monkeypatch.setattr(run, "start_from", None)


@pytest.mark.parametrize(
    "changes, new, missing",
    [
        ({"learn": ["tau_m", "base_threshold"]}, 2, False),  # which begin as the run has them
        ({"rule": "eprop", "rule_settings": {}}, 0, True),  # goes on without M
    ],
)
def test_numbers_that_only_the_run_or_only_the_network_has(tiny, changes, new, missing):
    model = build(**changes)
    before = numbers(model)
    pretrained.start_from("tiny", model)
    after = numbers(model)
    left_out = {name.split("/")[1] for name in tiny.keys() - after.keys()}
    assert len(after.keys() - tiny.keys()) == new and left_out <= pretrained.OF_A_RULE
    assert ("sensitivity_tensor" in left_out) == missing
    assert {"hidden/kernel", "hidden/recurrent_kernel", "readout/kernel"} < after.keys()
    all_same(after, {name: tiny.get(name, before[name]) for name in after})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"cell_settings": {"units": 6, "tau_m": 4.0}}, r"shape \(5, 5\), while the experiment has shape \(6, 6\)"),
        ({"readout_settings": {"units": 1, "tau_out": None, "use_bias": False}}, "readout/bias .* experiment has none"),
    ],
)
def test_another_network_is_refused_and_nothing_of_it_taken(tiny, changes, message):
    model = build(**changes)
    before = numbers(model)
    with pytest.raises(ValueError, match=f"start must be a network of .*received 'tiny'.*{message}"):
        pretrained.start_from("tiny", model)
    all_same(numbers(model), before)
