"""A run that begins with the numbers of a packaged network."""

import dataclasses

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.experiments import experiment as experiment_module
from kernl_keras.experiments import packaged, pretrained, run
from kernl_keras.experiments.build import assemble, build_model
from kernl_keras.experiments.configs import EXPERIMENTS

TINY = dataclasses.replace(
    EXPERIMENTS["adding"],
    name="tiny",
    task_settings={"steps": 7, "examples": 8, "validation": 8, "test": 5},
    cell="lif",
    cell_settings={"units": 5, "tau_m": 4.0},
    batch_size=4,
    epochs=2,
    jit_compile=False,
)
CONSTANTS = ["tau_m", "base_threshold"]


@pytest.fixture
def tiny(monkeypatch):
    """A network among the packaged ones; what its file holds."""
    model = build_model(dataclasses.replace(TINY, seed=9), 7, 2, 4)
    file = {name: variable.numpy() for name, variable in packaged.variables(model).items()}
    monkeypatch.setattr(experiment_module, "NETWORKS", [*packaged.NAMES, "tiny"])
    monkeypatch.setattr(packaged, "read", lambda name: {**file, "record": np.array("{}")})
    return file


def initial(run_dir, experiment):
    """`{layer/weight: array}` of the model in a run's backup."""
    model = assemble(experiment, 7, 2, 4)
    run.restore(run_dir, run.read_backup(run_dir), model)
    return {name: variable.numpy() for name, variable in packaged.variables(model).items()}


def test_a_run_begins_with_the_numbers_of_the_network(tiny, tmp_path, monkeypatch):
    experiment = dataclasses.replace(TINY, start="tiny")
    monkeypatch.setattr(run, "fit", lambda *_: None)
    with pytest.raises(run.UserError):  # no epoch, no model to test
        run.train(experiment, tmp_path / "run", verbose=0)
    begun = initial(tmp_path / "run", experiment)
    assert begun.keys() == tiny.keys() and "hidden/recurrent_kernel" in tiny
    for name, value in tiny.items():
        np.testing.assert_array_equal(begun[name], value, err_msg=name)


def test_a_resumed_run_goes_on_from_where_it_was(tiny, tmp_path):
    experiment = dataclasses.replace(TINY, start="tiny")
    expected = run.train(experiment, tmp_path / "straight", verbose=0)
    whole, runs = run.fit, []

    def one_epoch(run_dir, model, experiment, data, total_steps, *rest):
        runs.append(1)
        whole(run_dir, model, experiment, data, 2 if len(runs) == 1 else total_steps, *rest)
        if len(runs) == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "fit", one_epoch)
        with pytest.raises(KeyboardInterrupt):
            run.train(experiment, tmp_path / "resumed", verbose=0)
        patch.setattr(run, "start_from", None)  # the package may have another network by now
        assert run.train(experiment, tmp_path / "resumed", resume=True, verbose=0)["curve"] == expected["curve"]
    assert [point["epoch"] for point in expected["curve"]] == [1, 2]


def test_constants_that_only_the_run_learns_begin_as_it_has_them(tiny):
    model = build_model(dataclasses.replace(TINY, learn=CONSTANTS), 7, 2, 4)
    before = {name: variable.numpy() for name, variable in packaged.variables(model).items()}
    packaged.start_from("tiny", model)
    after = {name: variable.numpy() for name, variable in packaged.variables(model).items()}
    new = after.keys() - tiny.keys()
    assert len(new) == len(CONSTANTS)
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name] if name in new else tiny[name], err_msg=name)


def test_another_rule_goes_on_without_m(tiny):
    model = build_model(dataclasses.replace(TINY, rule="eprop", rule_settings={}), 7, 2, 4)
    packaged.start_from("tiny", model)
    after = {name: variable.numpy() for name, variable in packaged.variables(model).items()}
    assert {"hidden/kernel", "hidden/recurrent_kernel", "readout/kernel"} < after.keys() < tiny.keys()
    for name, value in after.items():
        np.testing.assert_array_equal(value, tiny[name], err_msg=name)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"cell_settings": {"units": 6, "tau_m": 4.0}}, r"shape \(5, 5\), while the experiment has shape \(6, 6\)"),
        (
            {"readout_settings": {"units": 1, "tau_out": None, "use_bias": False}},
            "readout/bias .* while the experiment has none",
        ),
    ],
)
def test_another_network_is_refused_and_nothing_of_it_taken(tiny, changes, message):
    model = build_model(dataclasses.replace(TINY, **changes), 7, 2, 4)
    before = [variable.numpy() for variable in packaged.variables(model).values()]
    with pytest.raises(ValueError, match=f"start must be a network of .*received 'tiny'.*{message}"):
        packaged.start_from("tiny", model)
    for variable, value in zip(packaged.variables(model).values(), before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="start must be one of .*received 'imagenet'"):
        dataclasses.replace(TINY, start="imagenet")


def test_of_a_real_network_every_number_is_taken():
    experiment = pretrained.experiment_of("smnist")
    model = build_model(dataclasses.replace(experiment, seed=5), 838, 2, 1)
    packaged.start_from("smnist", model)
    for ours, theirs in zip(model.get_weights(), kk.load_pretrained("smnist").get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
