"""What `GradientAlignment` writes is what `gradient_alignment` says, and training does not notice."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.callbacks.alignment import scalars
from kernl_keras.keras_version import keras
from kernl_keras.training.alignment import Agreement, Alignment, LagAgreement

from ..reference.tools import all_same
from .test_tensorboard import events

T, I, H, O = 5, 3, 5, 2  # noqa: E741


def build(sensitivity_only=0, **settings):
    keras.utils.set_random_seed(5)
    inputs = keras.Input((T, I), batch_size=4 if settings else None)
    hidden = kk.RNN(kk.LIFCell(H, recurrent_gain=1.0), name="hidden", seed=1, **settings)(inputs)
    model = kk.Model(inputs, keras.layers.Dense(O, name="readout")(hidden))
    model.compile(keras.optimizers.SGD(0.05), "mse", sensitivity_only=sensitivity_only, run_eagerly=True)
    return model


def data(seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(0.6, 2.0, (8, T, I)).astype("float32"), generator.normal(size=(8, T, O)).astype("float32")


def written_in(folder):
    return {tag: list(values.items()) for tag, (_, values) in events(folder)["alignment"].items()}


@pytest.mark.slow
def test_what_is_written_is_what_the_function_says(tmp_path):
    model, examples = build(), tuple(part[:4] for part in data(1))
    expected = scalars(kk.gradient_alignment(model, *examples, ("kernl", "eprop"), windows=2))
    callback = kk.GradientAlignment(tmp_path, 2, examples, ("kernl", "eprop"), windows=2)
    model.fit(*data(), batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=[callback])
    written = written_in(tmp_path)
    assert set(written) == set(expected)
    assert {
        "alignment/hidden/kernel/kernl/nonlocal_cosine",
        "alignment/hidden/eprop/norm_ratio",
        "alignment/hidden/kernl/cosine_at_lag/3ms",
        "alignment/hidden/explained_variance",
    } < set(written)
    assert not any("eprop/nonlocal" in tag for tag in written)  # of nothing
    for tag, values in written.items():
        assert [step for step, _ in values] == [0, 2, 4]
        np.testing.assert_allclose(values[0][1], expected[tag], rtol=1e-5)
    last = scalars(kk.gradient_alignment(model, *examples, ("kernl", "eprop"), windows=2))
    tag = "alignment/hidden/kernel/eprop/cosine"
    np.testing.assert_allclose(written[tag][-1][1], last[tag], rtol=1e-5)
    assert written[tag][0][1] != written[tag][-1][1]
    assert [step for step, _ in callback.history] == [0, 2, 4]


def test_training_does_not_notice_and_validation_data_are_taken(tmp_path):
    """A model of a fixed batch size gets a batch of it."""
    validation = dict(validation_data=data(1), validation_batch_size=4)
    callback, models = kk.GradientAlignment(tmp_path, examples=3, rules=("eprop",), windows=1), []
    for callbacks in ([], [callback]):
        models.append(build(stateful=True))
        models[-1].fit(*data(), batch_size=4, **validation, shuffle=False, verbose=0, callbacks=callbacks)
    all_same(*(model.get_weights() for model in models))
    assert [step for step, _ in written_in(tmp_path)["alignment/hidden/eprop/cosine"]] == [0, 2]


def test_numbers_that_do_not_exist_are_left_out():
    nan = float("nan")
    found = Alignment(
        {"a/kernel": {"eprop": Agreement(0.5, 2.0, nan)}},
        {"a": {"eprop": LagAgreement([0.0, 2.5], [nan, 0.25], [nan, 1.0], [nan, nan], [0.0, 1.0])}, "a/kernel": {}},
        {"a": -0.5},
    )
    assert scalars(found) == {
        "alignment/a/kernel/eprop/cosine": 0.5,
        "alignment/a/kernel/eprop/norm_ratio": 2.0,
        "alignment/a/eprop/cosine_at_lag/2.5ms": 0.25,
        "alignment/a/explained_variance": -0.5,
    }


def test_without_examples_there_is_nothing_to_measure(tmp_path):
    with pytest.raises(ValueError, match="examples must be a batch .* has no validation data; received 16"):
        build().fit(*data(), verbose=0, callbacks=[kk.GradientAlignment(tmp_path)])


@pytest.mark.slow
def test_steps_in_which_m_and_gamma_learn_alone_count(tmp_path):
    model, examples = build(sensitivity_only=10), tuple(part[:4] for part in data(1))
    callback = kk.GradientAlignment(tmp_path, 2, examples, ("eprop",), windows=1)
    for _ in range(2):
        model.fit(*data(), batch_size=2, verbose=0, shuffle=False, callbacks=[callback])
    assert [step for step, _ in callback.history] == [0, 2, 4, 4, 6, 8]


@pytest.mark.slow
def test_a_batch_that_is_skipped_is_no_step(tmp_path):
    x, y = data()
    x[:4] = np.nan
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    callback = kk.GradientAlignment(tmp_path, 1, tuple(part[:4] for part in data(1)), ("eprop",), windows=1)
    with pytest.warns(RuntimeWarning, match="skipped"):
        build().fit(batches, epochs=2, verbose=0, callbacks=[callback])
    assert [step for step, _ in callback.history] == [0, 0, 1, 1, 2]
    assert [step for step, _ in written_in(tmp_path)["alignment/hidden/eprop/cosine"]] == [0, 1, 2]
