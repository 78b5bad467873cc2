"""The training step as a module: what it takes and gives, and that JAX's XLA makes of it what TensorFlow made."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from kernl_keras.keras_version import keras
from notebooks.lab.benchmark import network
from notebooks.lab.benchmark.peers import task
from notebooks.lab.stablehlo import timing
from notebooks.lab.stablehlo.__main__ import STEPS_BEFORE, export, main, write

TINY = {"batch": 2, "steps": 12, "inputs": 9, "units": 4, "outputs": 3, "threads": 1}
SETTINGS = {**TINY, "rule": "bptt", "rule_settings": {}}


@pytest.fixture(scope="module")
def module():
    return export(SETTINGS)


@pytest.mark.slow
def test_a_module_is_the_step_that_the_model_makes(module):
    """Beside `train_on_batch`, from the same seeds."""
    keras.utils.set_random_seed(task.SEED)
    model = network.build_model({**SETTINGS, "jit_compile": False})
    pixels, labels = task.batch(SETTINGS)
    x = np.stack([pixels, np.ones_like(pixels)], -1)
    for _ in range(STEPS_BEFORE):
        model.train_on_batch(x, labels)
    before = [np.array(weight.numpy()) for weight in model.trainable_variables]
    model.reset_metrics()
    loss = model.train_on_batch(x, labels, return_dict=True)["loss"]
    assert module.outputs[0] == pytest.approx(loss, rel=1e-5)
    written = dict(zip(module.feeds, module.outputs))
    for weight, old in zip(model.trainable_variables, before):
        (number,) = (n for n, array in enumerate(module.inputs) if array.shape == old.shape and np.allclose(array, old))
        np.testing.assert_allclose(written[number], weight.numpy(), rtol=1e-4, atol=1e-6)
        assert not np.allclose(written[number], old, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_inputs_and_outputs_and_their_files(module, tmp_path):
    assert module.names[:2] == ["x", "y"] and len(module.names) == len(module.inputs)
    assert module.feeds[0] == -1 and len(module.feeds) == len(module.outputs)
    assert len(set(module.feeds)) == len(module.feeds)
    for feed, output in zip(module.feeds[1:], module.outputs[1:]):
        assert (output.shape, output.dtype) == (module.inputs[feed].shape, module.inputs[feed].dtype)
    unwritten = [module.names[number] for number in range(len(module.names)) if number not in module.feeds]
    assert unwritten[:2] == ["x", "y"] and all("learning_rate" in name for name in unwritten[2:])
    write(tmp_path / "bptt-2", module, {"rule": "bptt"})
    code, inputs, outputs, names, feeds, record = timing.load(tmp_path / "bptt-2.stablehlo")
    assert (code, names, feeds, record) == (module.code, module.names, module.feeds, {"rule": "bptt"})
    for found, array in zip([*inputs, *outputs], [*module.inputs, *module.outputs], strict=True):
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bptt-2.npz", "bptt-2.stablehlo"]


def test_a_difference_by_hand():
    assert timing.difference(2.0, 2.0, 2.0) == 0.0
    assert timing.difference(2.5, 2.0) == 0.25
    assert timing.difference(np.array([3.0, 4.0]), np.zeros(2), np.array([0.0, 10.0])) == 0.5
    assert timing.difference(2.5, 2.0, 2.0) == float("inf")  # it was not to move
    assert timing.difference(np.nan, 2.0, 1.0) == float("inf")
    assert (timing.plain(float("inf")), timing.plain(0.5)) == (None, 0.5)


@pytest.mark.slow
def test_the_program_stands_alone(tmp_path):
    """It runs where this checkout cannot be imported, and its help asks for no JAX."""
    command = [sys.executable, "-I", timing.__file__, "--help"]
    assert "MODULE" in subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["kernl", "eprop", "bptt"])
def test_jax_makes_of_a_module_what_tensorflow_made(rule, tmp_path):
    pytest.importorskip("jax", reason="the modules run under JAX's XLA")
    flags = ["--rules", rule, "--batches", "3", "--steps", "60", "--units", "6", "--threads", "1"]
    assert main([*flags, "--output", str(tmp_path / "modules")]) == 0
    path = tmp_path / "modules" / f"{rule}-3.stablehlo"
    command = [sys.executable, timing.__file__, path, "--repeats", "2", "--output", tmp_path / "timing.json"]
    done = subprocess.run(command, env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "timing.json").read_text())
    (row,) = results["modules"]
    assert row["agrees"] and row["largest_difference"] <= 1e-4
    assert row["rule"] == rule and row["settings"]["batch"] == 3 and row["seconds"] > 0.0
    assert len(row["every"]) == 2 and len(set(row["mean_losses"])) == 5  # of steps that go on from each other
    assert set(results) >= {"device", "platform", "versions", "command"}


@pytest.mark.slow
def test_other_outputs_are_noticed(module, tmp_path):
    pytest.importorskip("jax", reason="the modules run under JAX's XLA")
    wrong = [array + 1 for array in module.outputs]
    write(tmp_path / "wrong", module._replace(outputs=wrong), {})
    (tmp_path / "broken.stablehlo").write_bytes(b"no module")
    (tmp_path / "broken.npz").write_bytes((tmp_path / "wrong.npz").read_bytes())
    command = [sys.executable, timing.__file__, "broken.stablehlo", "wrong.stablehlo", "--repeats", "1"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    broken, found = json.loads((tmp_path / "timing.json").read_text())["modules"]
    assert broken["error"] and not found["agrees"]
