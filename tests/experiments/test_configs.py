"""The named configurations: what they are, what a configuration may not be, and the data and models that they make."""

import dataclasses
import inspect
import json
import math

import numpy as np
import pytest

from kernl_keras.cells.readout import ReadoutCell
from kernl_keras.experiments import pretrained
from kernl_keras.experiments.build import CELLS, build_model, load_data
from kernl_keras.experiments.configs import DEFAULT, EXPERIMENTS
from kernl_keras.experiments.experiment import Experiment
from kernl_keras.keras_version import keras
from kernl_keras.layers.audio import AudioEncoder
from kernl_keras.layers.encoder import SpikeEncoder
from kernl_keras.rules import BPTT, NAMES, EProp, KeRNL, PlainKeRNL, Replica

from ..reference import made_up_recordings

SHAPES = {  # name: (time steps, features, channels of the hidden layer's input, outputs)
    "smnist": (838, 2, 81, 10),
    "smnist-alif": (838, 2, 81, 10),
    "smnist-adlif": (838, 2, 81, 10),
    "smnist-reference": (838, 2, 81, 10),
    "smnist-rate": (838, 2, 81, 10),
    "smnist-irnn": (838, 2, 2, 10),
    "psmnist": (838, 2, 81, 10),
    "row-mnist": (28, 28, 28, 10),
    "row-mnist-rate": (28, 28, 28, 10),
    "adding": (100, 2, 2, 1),
    "adding-200": (200, 2, 2, 1),
    "adding-spiking": (100, 2, 2, 1),
    "adding-spiking-200": (200, 2, 2, 1),
    "ecg": (1301, 4, 4, 6),
    "anbn": (200, 2, 2, 2),
    "spoken-digits": (100, 40, 40, 10),
}


pytestmark = pytest.mark.usefixtures("packaged_data_read_once")


def make(name="adding", data=(50, 2), steps=100, **settings):
    return build_model(dataclasses.replace(EXPERIMENTS[name], **settings), *data, steps)


def test_a_configuration_survives_json():
    assert DEFAULT == "smnist" and list(EXPERIMENTS) == list(SHAPES)
    for name, experiment in EXPERIMENTS.items():
        assert name == experiment.name
        assert Experiment(**json.loads(json.dumps(dataclasses.asdict(experiment)))) == experiment


OFF = {"learn", "recurrent_connectivity", "excitatory", "connectivity_seed", "feedback", "feedback_initializer"}
ENCODING = {"self", "kwargs", "seed", "stateful", "delta", "period"}


@pytest.mark.parametrize("name", [*EXPERIMENTS, *(f"pretrained {name}" for name in pretrained.NETWORKS)])
def test_no_setting_is_left_to_a_default(name):
    """A constructor whose defaults change leaves the numbers of experiments and of trained networks alone.

    But for options that are off unless they are asked for; constants that learn stand in a field of their own.
    """
    experiment = EXPERIMENTS.get(name) or pretrained.experiment_of(name.removeprefix("pretrained "))
    cell = CELLS[experiment.cell]
    for kind, settings in ((cell, experiment.cell_settings), (ReadoutCell, experiment.readout_settings)):
        arguments = {name for name in kind.arguments() if not name.endswith(("_regularizer", "_constraint"))}
        assert settings.keys() == arguments - OFF
    for kind, settings in ((SpikeEncoder, experiment.encoder_settings), (AudioEncoder, experiment.front_end_settings)):
        assert settings is None or settings.keys() == inspect.signature(kind.__init__).parameters.keys() - ENCODING
    assert experiment.rule_settings.keys() == set(NAMES[experiment.rule].names())
    for value in experiment.rule_settings.values():
        if isinstance(value, dict):
            kind = keras.saving.get_registered_object(value["class_name"])
            assert value["config"].keys() == set(kind.names())


def test_another_rule_has_its_own_settings_and_epochs_are_steps():
    experiment = EXPERIMENTS["smnist"]
    assert experiment.with_rule("kernl") is experiment
    assert experiment.with_rule("eprop").make_rule().get_config() == {"adaptation": True, "reset_gradient": False}
    assert experiment.total_steps(7) == 600 and EXPERIMENTS["adding"].total_steps(7) == 35


def test_the_reference_is_that_of_the_design():
    """Section 3 of the equations, each number by hand; sqrt(200) = 14.142136."""
    reference = EXPERIMENTS["smnist-reference"]
    cell = reference.cell_settings
    assert reference.encoder_settings == {"units": 80, "code": "bernoulli", "context_switch": 784, "gain": 1.0}
    assert reference.task_settings == {"layout": "pixels", "context_steps": 54}
    assert (cell["units"], cell["tau_m"], cell["resistance"], cell["tau_s"], cell["tau_ref"]) == (200, 20, 2, 5, 1)
    assert (cell["adaptation_strength"], cell["reset"]) == (0, "hard")
    for weights in ("kernel_initializer", "recurrent_initializer"):
        assert cell[weights]["config"] == {"mean": 0.0, "stddev": pytest.approx(28.284271)}
    assert (reference.readout_settings["units"], reference.readout_settings["tau_out"]) == (10, 10.0)
    assert (reference.answer_steps, reference.batch_size) == (54, 25)
    rule = reference.make_rule()
    assert rule.get_config() == PlainKeRNL.reference(time_steps=838).get_config()
    assert (rule.noise, rule.post_factor, rule.credit) == ("synapse", "trace", "last")
    assert (type(rule.perturbation), rule.perturbation.std) == (Replica, 0.5)
    assert rule.perturbation.observe == "reset_voltage"
    assert (reference.optimizer, reference.optimizer_settings) == ("RMSprop", {"clipnorm": 200.0})
    assert (reference.sensitivity_optimizer, reference.sensitivity_learning_rate) == ("RMSprop", 1e-3)


def test_the_reference_initialisation():
    """std 28.28 from 200 x 281 draws: standard error 0.09; Glorot bound sqrt(6 / 400) = 0.1225; gamma < 1 / 838."""
    hidden = make("smnist-reference", (838, 2)).get_layer("hidden")
    weights = np.concatenate([hidden.cell.kernel.numpy(), hidden.cell.recurrent_kernel.numpy()])
    assert weights.shape == (281, 200) and weights.std() == pytest.approx(28.28, abs=0.4)
    m, gamma = hidden.sensitivity_tensor.numpy(), hidden.temporal_filter.numpy()
    assert 0.12 < np.abs(m).max() < 0.1225 and abs(m.mean()) < 0.002
    assert 0 <= gamma.min() and 0.0011 < gamma.max() < 1 / 838 and len(set(gamma.ravel())) == 200
    assert hidden.rule.get_config() == EXPERIMENTS["smnist-reference"].make_rule().get_config()


def above(**entry):
    return {"above": [{"cell": "lif", "cell_settings": {}, **entry}]}


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("smnist", {"task": "mnits"}, "task must be one of .*received 'mnits'"),
        ("smnist", {"source": None}, "data must be 'sample' or 'tfds' for experiment smnist; received None"),
        ("spoken-digits", {"source": "sample"}, "data must be 'tfds' for experiment spoken-digits; received 'sample'"),
        ("adding", {"source": "tfds"}, "data must be left out for experiment adding; received 'tfds'"),
        ("smnist", {"data_dir": "x"}, "data_dir is where data 'tfds' lie; received 'x' with data 'sample'"),
        ("adding", {"rule": "hebb"}, "rule must be one of .*received 'hebb'"),
        ("adding", {"sensitivity_optimizer": "Adam"}, "sensitivity_learning_rate must be a finite number; received"),
        ("adding", {"sensitivity_learning_rate": 0.1}, "sensitivity_optimizer must be named .*; received 0.1 and {}"),
        ("adding", {"start": "imagenet"}, "start must be one of .*received 'imagenet'"),
        ("adding", {"schedule": "linear"}, "schedule must be one of .*received 'linear'"),
        ("adding", {"epochs": None}, "epochs or steps must be given, one; received None and None"),
        ("adding", {"steps": 3}, "epochs or steps must be given, one; received 5 and 3"),
        ("adding", {"epochs": 0}, "epochs must be an integer >= 1; received 0"),
        ("adding", {"epochs": None, "steps": -1}, "steps must be an integer >= 1; received -1"),
        ("adding", {"batch_size": 0}, "batch_size must be an integer >= 1; received 0"),
        ("adding", {"learning_rate": math.nan}, "learning_rate must be a finite number; received nan"),
        ("adding", {"learning_rate": 0.0}, "learning_rate must be > 0; received 0.0"),
        ("adding", {"weight_decay": -1.0}, "weight_decay must be >= 0; received -1.0"),
        ("adding", {"seed": -1}, "seed must be an integer >= 0; received -1"),
        ("adding", {"seed": 2**30}, "seed must be <= .*received 1073741824"),
        ("adding", {"sensitivity_only": -1}, "sensitivity_only must be an integer >= 0; received -1"),
        ("adding", {"sensitivity_only": 1, "rule": "bptt"}, "sensitivity_only needs a rule that has M.*'bptt'"),
        ("adding", {"above": ["lif"]}, "above must hold dicts with cell and cell_settings, of .*received 'lif'"),
        ("adding", {"above": [{"cell": "lif"}]}, "above must hold dicts with cell and cell_settings"),
        ("adding", above(units=3), "above must hold dicts with cell and cell_settings"),
        ("adding", above(rule="hebb"), "rule must be one of"),
        ("adding", above(rule_settings={"adaptation": True}), "rule_settings must be left out"),
        ("adding", above(normalization="layer"), "normalization must be one of"),
        ("adding", above(dropout=1.0), "dropout must be >= 0 and <= 0.9; received 1.0"),
        ("adding", {**above(rule=None), "rule": "bptt", "sensitivity_only": 2}, "sensitivity_only needs a rule that"),
    ],
)
def test_errors(name, settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EXPERIMENTS[name], **settings)


def test_m_in_a_layer_above_is_enough_for_m_alone():
    changes = {"rule": "eprop", "rule_settings": {}, "sensitivity_only": 2, **above(rule="kernl")}
    assert dataclasses.replace(EXPERIMENTS["adding"], **changes).learns_sensitivity


# Data and models


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_data_and_model_fit(name, tmp_path):
    steps, features, channels, outputs = SHAPES[name]
    experiment = EXPERIMENTS[name]
    if experiment.task == "spoken_digits":
        made_up_recordings.write(tmp_path, made_up_recordings.recordings())
        experiment = dataclasses.replace(experiment, data_dir=str(tmp_path))
    data = load_data(experiment)
    assert (data.time_steps, data.features) == (steps, features)
    model = make(name, (steps, features))
    units = EXPERIMENTS[name].cell_settings["units"]
    cell = model.get_layer("hidden").cell
    assert tuple(cell.kernel.shape) == (channels, cell.currents * units)
    assert tuple(model.get_layer("hidden").sensitivity_tensor.shape) == (units, units)
    every_step = (steps,) if EXPERIMENTS[name].answer_steps == 0 else ()
    assert model.output_shape == (None, *every_step, outputs)
    assert model.jit_compile is True


def test_the_training_stream_is_endless_and_can_start_later():
    experiment = dataclasses.replace(
        EXPERIMENTS["adding"], task_settings={"steps": 7, "examples": 23, "validation": 5, "test": 3}, batch_size=4
    )
    whole = [y.numpy() for _, y in load_data(experiment).train.take(12)]  # 5 batches an epoch
    later = [y.numpy() for _, y in load_data(experiment, skip_batches=4).train.take(8)]
    np.testing.assert_array_equal(later, whole[4:])


def test_the_seed_decides_weights_noise_and_data():
    network = {"encoder_settings": {"units": 3, "code": "bernoulli"}, "cell": "lif", "cell_settings": {"units": 9}}
    models = [make(**network, seed=seed) for seed in (3, 3, 4)]
    weights = [np.concatenate([w.numpy().ravel() for w in model.trainable_variables]) for model in models]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.any(weights[0][weights[0] == weights[2]])  # biases are 0
    seeds = {(model.get_layer("encoder").seed, model.get_layer("hidden").seed) for model in models}
    assert seeds == {(6, 7), (8, 9)}  # four different ones
    rows = (load_data(dataclasses.replace(EXPERIMENTS["row-mnist"], seed=seed)) for seed in (3, 3, 4))
    orders = [next(iter(data.train))[1].numpy() for data in rows]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert np.any(orders[0] != orders[2])


def test_settings_reach_the_compiled_model():
    of_m = {"learning_rate": 0.5, "optimizer": "Adam", "optimizer_settings": {"clipvalue": 2.0}, "every": 4, "only": 7}
    settings = {"learning_rate": 0.25, "optimizer": "SGD", "optimizer_settings": {"clipnorm": 3.0}}
    settings |= {f"sensitivity_{name}": value for name, value in of_m.items()}
    model = make(rule_settings={"adaptation": False}, schedule="constant", jit_compile=False, **settings)
    assert type(model.optimizer).__name__ == "SGD" and model.optimizer.clipnorm == 3.0
    assert float(model.optimizer.learning_rate) == 0.25
    assert type(model.sensitivity_optimizer).__name__ == "Adam" and model.sensitivity_optimizer.clipvalue == 2.0
    assert float(model.sensitivity_optimizer.learning_rate) == 0.5
    assert (model.sensitivity_every, model.sensitivity_only, model.jit_compile) == (4, 7, False)
    assert model.get_layer("hidden").rule.get_config() == KeRNL(adaptation=False).get_config()


def test_the_learning_rate_falls_over_the_steps_in_which_the_weights_learn():
    """lr/2 (1 + cos(pi t / T)) with T = 100 - 20: whole at 0, half at 40, gone at 80."""
    experiment = dataclasses.replace(EXPERIMENTS["adding"], learning_rate=0.5, sensitivity_only=20)
    rate = build_model(experiment, 20, 2, total_steps=100).optimizer._learning_rate
    np.testing.assert_allclose([float(rate(t)) for t in (0, 40, 80)], [0.5, 0.25, 0.0], atol=1e-7)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_without_gradients_weights_decay_over_the_run_as_the_experiment_says(schedule):
    """And a run of few updates keeps nine tenths at each of them."""
    optimizer = make(weight_decay=0.7, schedule=schedule, learning_rate=0.03, sensitivity_only=20, steps=420).optimizer
    rate = optimizer._learning_rate if schedule == "cosine" else lambda _: optimizer.learning_rate
    left = np.prod([1.0 - float(rate(t)) * optimizer.weight_decay for t in range(400)])
    assert left == pytest.approx(np.exp(-0.7), rel=0.01)
    assert make(weight_decay=0.7, learning_rate=0.03, steps=2).optimizer.weight_decay == pytest.approx(0.1 / 0.03)
    assert make(weight_decay=0.0).optimizer.weight_decay is None


def test_layers_above_have_their_own_cells_rules_and_windows():
    rate = {"units": 7, "tau": 5.0}
    own = {"rule": "eprop", "layer_settings": {"window": 3}, "learn": ["tau_m"]}
    above = [
        {"cell": "leaky_rnn", "cell_settings": rate, "normalization": "batch", "dropout": 0.25},
        {"cell": "lif", "cell_settings": {"units": 4}, **own},
    ]
    model = make("adding", above=above, learn=["tau"], seed=3)
    assert [layer.name for layer in model.layers[1:-1]] == [
        "hidden", "hidden_2_normalization", "hidden_2_dropout", "hidden_2", "hidden_3", "readout",
    ]  # fmt: skip
    first, second, third = (model.get_layer(name) for name in ("hidden", "hidden_2", "hidden_3"))
    assert tuple(second.cell.kernel.shape) == (100, 7) and tuple(third.cell.kernel.shape) == (7, 4)
    assert second.rule.get_config() == first.rule.get_config() == EXPERIMENTS["adding"].make_rule().get_config()
    assert isinstance(third.rule, EProp) and (second.window, third.window) == (None, 3)
    assert [list(layer.cell.learn) for layer in (first, second, third)] == [["tau"], [], ["tau_m"]]
    assert model.get_layer("hidden_2_dropout").rate == 0.25
    assert [first.seed, second.seed, third.seed] == [7, 9, 11]
    whole = dataclasses.replace(EXPERIMENTS["adding"], above=above, rule="bptt", rule_settings={})
    assert [type(layer["rule"]) for layer in whole.hidden_layers] == [BPTT, BPTT, EProp]
