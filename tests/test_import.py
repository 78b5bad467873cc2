"""What `import kernl_keras` costs, and what it brings along."""

import json
import subprocess
import sys

import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3

PROGRAM = """
import json, sys, time
import tensorflow, {keras}

def packages():
    return {{name.split(".")[0] for name in sys.modules}}

before, start = packages(), time.process_time()
import kernl_keras as kk
seconds = time.process_time() - start
found = {{"brought": sorted(packages() - before), "listed": dir(kk), "modules": sorted(sys.modules)}}
for name in kk.__all__:
    getattr(kk, name)
print(json.dumps({{**found, "seconds": seconds, "brought_by_use": sorted(packages() - before)}}))
"""
LATER = ("callbacks", "data", "experiments", "export", "naive")  # rooms that load when they are first used


@pytest.fixture(scope="module")
def imported():
    """What a fresh Python says of the import, with TensorFlow and Keras there before."""
    program = PROGRAM.format(keras="keras" if IS_KERAS_3 else "tf_keras")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_brings_no_other_package(imported):
    """Neither TensorFlow Datasets nor TensorBoard, NIR or matplotlib; nor do the public names when they are used."""
    for brought in (imported["brought"], imported["brought_by_use"]):
        assert set(brought) - sys.stdlib_module_names == {"kernl_keras"}


def test_it_costs_little(imported):
    """Processor time: 0.06 s where it was measured, of which a busy machine makes more."""
    assert imported["seconds"] < 0.3


def test_rooms_load_on_first_use(imported):
    rooms = {name.split(".")[1] for name in imported["modules"] if name.startswith("kernl_keras.")}
    assert {"cells", "layers", "training"} <= rooms and not rooms & set(LATER)


def test_every_public_name_is_listed_and_there(imported):
    assert imported["listed"] == sorted(kk.__all__) == dir(kk)
    assert all(hasattr(kk, name) for name in kk.__all__)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'kernl_keras' has no attribute 'LSTM'"):
        kk.LSTM  # noqa: B018
