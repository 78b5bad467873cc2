"""From a configuration to data and model: shapes, seeds, settings that reach their place."""

import dataclasses

import numpy as np
import pytest

from kernl_keras.experiments.build import build_data, build_model, learning_rate
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.rules import BPTT, EProp

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


def make(name="adding", data=(50, 2), steps=100, **settings):
    return build_model(dataclasses.replace(EXPERIMENTS[name], **settings), *data, steps)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_data_and_model_fit(name, tmp_path):
    steps, features, channels, outputs = SHAPES[name]
    experiment = EXPERIMENTS[name]
    if experiment.task == "spoken_digits":
        made_up_recordings.write(tmp_path, made_up_recordings.recordings())
        experiment = dataclasses.replace(experiment, data_dir=str(tmp_path))
    data = build_data(experiment)
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
    whole = [y.numpy() for _, y in build_data(experiment).train.take(12)]  # 5 batches an epoch
    later = [y.numpy() for _, y in build_data(experiment, skip_batches=4).train.take(8)]
    np.testing.assert_array_equal(later, whole[4:])


def test_the_seed_decides_weights_noise_and_data():
    models = [make("smnist-reference", (838, 2), seed=seed) for seed in (3, 3, 4)]
    weights = [np.concatenate([w.numpy().ravel() for w in model.trainable_variables]) for model in models]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.mean(weights[0] == weights[2]) < 0.01
    seeds = {(model.get_layer("encoder").seed, model.get_layer("hidden").seed) for model in models}
    assert seeds == {(6, 7), (8, 9)}  # four different ones
    orders = [
        next(iter(build_data(dataclasses.replace(EXPERIMENTS["row-mnist"], seed=seed)).train))[1].numpy()
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert np.any(orders[0] != orders[2])


def test_the_reference_initialisation():
    """std 28.28 from 200 x 281 draws: standard error 0.09; Glorot bound sqrt(6 / 400) = 0.1225; gamma < 1 / 838."""
    hidden = make("smnist-reference", (838, 2)).get_layer("hidden")
    weights = np.concatenate([hidden.cell.kernel.numpy(), hidden.cell.recurrent_kernel.numpy()])
    assert weights.shape == (281, 200) and weights.std() == pytest.approx(28.28, abs=0.4)
    m, gamma = hidden.sensitivity_tensor.numpy(), hidden.temporal_filter.numpy()
    assert 0.12 < np.abs(m).max() < 0.1225 and abs(m.mean()) < 0.002
    assert 0 <= gamma.min() and 0.0011 < gamma.max() < 1 / 838
    assert hidden.rule.get_config() == EXPERIMENTS["smnist-reference"].make_rule().get_config()


def test_settings_reach_the_compiled_model():
    model = make(
        rule="eprop",
        rule_settings={"reset_gradient": True},
        optimizer="SGD",
        optimizer_settings={"clipnorm": 3.0},
        schedule="constant",
        learning_rate=0.25,
        sensitivity_optimizer="Adam",
        sensitivity_learning_rate=0.5,
        sensitivity_optimizer_settings={"clipvalue": 2.0},
        sensitivity_every=4,
        jit_compile=False,
    )
    assert type(model.optimizer).__name__ == "SGD" and model.optimizer.clipnorm == 3.0
    assert float(model.optimizer.learning_rate) == 0.25
    assert type(model.sensitivity_optimizer).__name__ == "Adam" and model.sensitivity_optimizer.clipvalue == 2.0
    assert float(model.sensitivity_optimizer.learning_rate) == 0.5
    assert (model.sensitivity_every, model.sensitivity_only) == (4, 0)
    assert model.get_layer("hidden").rule.get_config() == {"adaptation": True, "reset_gradient": True}
    assert model.jit_compile is False
    assert make(sensitivity_only=7).sensitivity_only == 7


def test_the_learning_rate_falls_over_the_steps_in_which_the_weights_learn():
    """lr/2 (1 + cos(pi t / T)) with T = 100 - 20: whole at 0, half at 40, gone at 80."""
    experiment = dataclasses.replace(EXPERIMENTS["adding"], learning_rate=0.5, sensitivity_only=20)
    rate = learning_rate(experiment, 100)
    np.testing.assert_allclose([float(rate(t)) for t in (0, 40, 80)], [0.5, 0.25, 0.0], atol=1e-7)


def test_layers_above_have_their_own_cells_rules_and_windows():
    rate = {"units": 7, "tau": 5.0}
    above = [
        {"cell": "leaky_rnn", "cell_settings": rate, "normalization": "batch", "dropout": 0.25},
        {
            "cell": "lif",
            "cell_settings": {"units": 4},
            "rule": "eprop",
            "layer_settings": {"window": 3},
            "learn": ["tau_m"],
        },
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
    whole = make("adding", above=above, rule="bptt", rule_settings={})
    assert isinstance(whole.get_layer("hidden_2").rule, BPTT) and isinstance(whole.get_layer("hidden_3").rule, EProp)


def test_m_alone_needs_m_in_one_of_the_hidden_layers():
    entry = {"cell": "leaky_rnn", "cell_settings": {"units": 3}, "rule": "kernl"}
    below = dataclasses.replace(EXPERIMENTS["adding"], rule="eprop", rule_settings={}, above=[entry])
    assert dataclasses.replace(below, sensitivity_only=2).learns_sensitivity
    with pytest.raises(ValueError, match="sensitivity_only needs a rule that has M"):
        dataclasses.replace(below, above=[{**entry, "rule": None}], sensitivity_only=2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("lif", "above must hold dicts with cell and cell_settings, of"),
        ({"cell": "lif"}, "above must hold dicts with cell and cell_settings"),
        ({"cell": "lif", "cell_settings": {}, "units": 3}, "above must hold dicts with cell and cell_settings"),
        ({"cell": "lif", "cell_settings": {}, "rule": "hebb"}, "rule must be one of"),
        ({"cell": "lif", "cell_settings": {}, "rule_settings": {"adaptation": True}}, "rule_settings must be left out"),
        ({"cell": "lif", "cell_settings": {}, "normalization": "layer"}, "normalization must be one of"),
        ({"cell": "lif", "cell_settings": {}, "dropout": 1.0}, "dropout must be >= 0 and <= 0.9; received 1.0"),
    ],
)
def test_a_bad_layer_above(entry, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EXPERIMENTS["adding"], above=[entry])
