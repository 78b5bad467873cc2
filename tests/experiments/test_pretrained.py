"""Networks that come with the package: what they hold, and that they test as they say."""

import dataclasses
import os
import random

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments import packaged, pretrained
from kernl_keras.experiments.experiment import SOURCES
from kernl_keras.keras_version import IS_KERAS_3, keras

DATA = os.environ.get("KERNL_KERAS_DATA_DIR")


@pytest.mark.parametrize("name", packaged.NAMES)
def test_a_network_says_how_it_came_about_and_is_small(name):
    record = pretrained.record(name)
    for key in ("test_accuracy", "seed", "command", "git_revision", "steps", "versions"):
        assert record[key] is not None
    assert "dirty" not in record["git_revision"]
    assert (packaged.FOLDER / f"{name}.npz").stat().st_size < 1e6


@pytest.mark.slow
def test_the_packaged_digits_come_out_as_the_network_says():
    """1,000 of the 10,000 test digits: within four standard errors of the accuracy on all."""
    data = kk.data.sequential_mnist("sample", batch_size=250)
    accuracy = kk.load_pretrained("smnist").evaluate(data.test, return_dict=True, verbose=0)["accuracy"]
    stated = pretrained.record("smnist")["test_accuracy"]
    assert stated > 0.9 and abs(accuracy - stated) < 4 * np.sqrt(stated * (1 - stated) / 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", packaged.NAMES)
def test_the_stated_accuracy_to_the_digit(name):
    experiment = pretrained.experiment_of(name)
    if "tfds" in SOURCES[experiment.task]:
        if not DATA:
            pytest.skip("KERNL_KERAS_DATA_DIR is not set: the whole data set is needed")
        experiment = dataclasses.replace(experiment, source="tfds", data_dir=DATA)
    test = pretrained.evaluate_pretrained(name, experiment, verbose=0)
    assert test["accuracy"] == pytest.approx(pretrained.record(name)["test_accuracy"], abs=5e-5)


def test_no_random_state_is_reset():
    """Two networks loaded, and what is drawn after each is not the same."""
    drawn = []
    for _ in range(2):
        kk.load_pretrained("smnist")
        drawn.append((random.random(), np.random.random()))
    assert drawn[0][0] != drawn[1][0] and drawn[0][1] != drawn[1][1]


def test_an_unknown_network_is_an_error():
    with pytest.raises(ValueError, match="name must be one of .*received 'imagenet'"):
        kk.load_pretrained("imagenet")


def test_it_loads_under_mixed_precision():
    """Its states and its readout stay in float32, so that it answers the same."""
    config = keras.config if IS_KERAS_3 else keras.mixed_precision
    set_policy = config.set_dtype_policy if IS_KERAS_3 else config.set_global_policy
    x = np.random.default_rng(0).integers(0, 129, (2, 838, 2)).astype("float32") / 128.0  # exact in half precision
    expected = tf.function(kk.load_pretrained("smnist"))(x)
    set_policy("mixed_bfloat16")
    try:
        answer = tf.function(kk.load_pretrained("smnist"))(x)
    finally:
        set_policy("float32")
    np.testing.assert_allclose(np.float32(answer), expected, rtol=0.02, atol=0.02)
