"""Training batches: their order, resumable at any batch; sequences that move at random; short batches filled up."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.data.augment import shifted
from kernl_keras.data.batches import Splits, array_data, numbered_indices, sequence_data
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.rules import KeRNL, PlainKeRNL

from ..reference.tools import all_same


def drawn(count=None, first=0, examples=23, batch_size=5, seed=3, **settings):
    """The example numbers of the first batches, or of all: [N, B]."""
    dataset = numbered_indices(first, examples, batch_size, seed, **settings)
    dataset = dataset.take(-1 if count is None else count)
    return np.stack([indices for _, indices in dataset.as_numpy_iterator()])


def test_an_epoch_draws_every_example_at_most_once_in_full_batches():
    found = drawn(first=100)
    assert found.shape == (4, 5) and found.dtype == np.int64
    assert len(np.unique(found)) == 20 and found.min() >= 100 and found.max() < 123
    assert not np.array_equal(found.ravel(), np.sort(found.ravel()))


def test_passes_over_one_epoch_are_the_epochs_of_the_endless_stream():
    """In which every example has its turn. Keras is told both lengths."""
    one_epoch, endless = numbered_indices(0, 23, 5, 3), drawn(40, repeat=True)
    passes = [indices for _ in range(3) for _, indices in one_epoch.as_numpy_iterator()]
    np.testing.assert_array_equal(passes, endless[:12])
    assert set(endless.ravel()) == set(range(23)) and one_epoch.cardinality() == 4
    assert numbered_indices(0, 23, 5, 3, repeat=True).cardinality() == tf.data.INFINITE_CARDINALITY


def test_orders_of_epochs_and_seeds_are_unrelated():
    """A weak shuffle shows here: `index_shuffle` gives 0.8 between neighbouring epochs of 55,000 examples."""
    orders = [drawn(3, 0, 55_000, 55_000, seed, repeat=True) for seed in (0, 1)]
    correlation = np.corrcoef(np.concatenate([*orders, [np.arange(55_000)]]))
    assert np.abs(correlation - np.eye(7)).max() < 0.02  # 4 standard deviations, 4 / sqrt(55000)


def test_skipping_starts_where_an_uninterrupted_stream_would_be():
    """Whatever TensorFlow's own seed is."""
    whole = drawn(20, repeat=True)
    for skip in (0, 3, 4, 9):  # 4 batches an epoch
        tf.random.set_seed(1234 + skip)
        np.testing.assert_array_equal(drawn(11, repeat=True, skip_batches=skip), whole[skip : skip + 11])


def make_data(validation=7, make_batch=lambda i, key: (tf.zeros((tf.shape(i)[0], 2, 3)), i), **settings):
    settings = dict(batch_size=5, seed=0, repeat=False, skip_batches=0, description="numbers") | settings
    return sequence_data(make_batch, first=Splits(0, 23, 30), examples=Splits(23, validation, 8), **settings)


def test_skipping_makes_no_skipped_example():
    made = []

    def make_batch(indices, key):
        tf.py_function(lambda i: made.append(i.numpy()), [indices], [])
        return tf.zeros((5, 2, 3)), indices

    data = make_data(make_batch=make_batch, repeat=True, skip_batches=10**9 + 1)
    x, y = next(iter(data.train.take(1)))
    assert len(made) < 10
    np.testing.assert_array_equal(made[0], y)


def test_parts_are_disjoint_and_their_sizes_are_told():
    data = make_data()
    assert data.steps_per_epoch == Splits(4, 2, 2) == Splits(len(data.train), len(data.validation), len(data.test))
    assert (data.time_steps, data.features, data.description) == (2, 3, "numbers")
    seen = [np.concatenate([y for _, y in part.as_numpy_iterator()]) for part in (data.validation, data.test)]
    assert seen[0].tolist() == list(range(23, 30)) and seen[1].tolist() == list(range(30, 38))
    assert all(y.max() < 23 for _, y in data.train.as_numpy_iterator())
    data = make_data(validation=0)
    assert data.validation is None and data.steps_per_epoch.validation == 0


SEQUENCES = np.random.default_rng(0).uniform(1, 2, (600, 7, 5)).astype("float32")


def moves(before, after, largest):
    """The moves, each of (steps, features), that make one sequence of the other."""
    (time, features), (steps, bands) = before.shape, largest
    wide = np.pad(before, [(steps, steps), (bands, bands)])
    every = np.ndindex(2 * steps + 1, 2 * bands + 1)
    return [(steps - t, bands - i) for t, i in every if np.array_equal(after, wide[t : t + time, i : i + features])]


def moves_of(x, y, largest):
    """By how much each example was moved: the one move that makes y of x."""
    found = [moves(before, after, largest) for before, after in zip(x, y)]
    assert all(len(each) == 1 for each in found)
    return np.array(found)[:, 0]


def test_a_move_is_towards_later_steps_and_higher_features():
    found = shifted(SEQUENCES[:50], (2, 1), tf.constant([3, 4], tf.int64)).numpy()
    for x, y, (steps, features) in zip(SEQUENCES, found, moves_of(SEQUENCES, found, (2, 1))):
        for t, i in np.ndindex(*y.shape):
            inside = 0 <= t - steps < 7 and 0 <= i - features < 5
            assert y[t, i] == (x[t - steps, i - features] if inside else 0.0)
    pinned = shifted(tf.constant([[[1.0], [2.0], [3.0]]]), (1, 0), tf.constant([0, 7], tf.int64))
    assert pinned.numpy().ravel().tolist() == [0.0, 1.0, 2.0]  # the moves of a seed are those of published results


# The same bits for both axes would show in the second.
@pytest.mark.parametrize("largest", [(2, 1), (1, 1), (2, 0), (0, 2), (0, 0)])
def test_all_moves_within_the_bounds_are_as_likely(largest):
    found = moves_of(SEQUENCES, shifted(SEQUENCES, largest, tf.constant([3, 4], tf.int64)).numpy(), largest)
    every = np.array(list(np.ndindex(*(2 * most + 1 for most in largest)))) - largest
    counts = np.array([np.sum((found == move).all(-1)) for move in every])
    expected = len(SEQUENCES) / len(every)
    assert sum(counts) == len(SEQUENCES)
    assert np.abs(counts - expected).max() < 4 * np.sqrt(expected)  # standard deviations


def streams(skip_batches=0, seed=3, repeat=True):
    settings = {"batch_size": 4, "seed": seed, "repeat": repeat, "skip_batches": skip_batches, "description": ""}
    augment = lambda x, key: shifted(x, (2, 1), key)  # noqa: E731
    return array_data(SEQUENCES[:20], np.arange(20), Splits(10, 5, 5), augment=augment, **settings)


def test_training_sequences_alone_move_and_otherwise_each_time():
    """A stream that starts later, and the passes over one epoch, have the moves of the whole stream."""
    data, epoch = streams(), streams(repeat=False).train
    for part in (data.validation, data.test):
        for x, y in part.as_numpy_iterator():
            np.testing.assert_array_equal(x, SEQUENCES[y])
    whole = list(data.train.take(12).as_numpy_iterator())
    found = [str(moves_of(SEQUENCES[y], x, (2, 1))) for x, y in whole]
    assert len(set(found)) == 12  # no batch has the moves of another
    all_same(list(streams(skip_batches=3).train.take(3)), whole[3:6])
    all_same([batch for _ in range(3) for batch in epoch], whole[:6])
    x, y = next(streams(seed=4).train.as_numpy_iterator())
    assert str(moves_of(SEQUENCES[y], x, (2, 1))) != found[0]


# Short batches filled with examples of weight 0: a training step on one is that on the short batch.

X = np.random.default_rng(0).normal(1.0, 2.0, (7, 12, 3)).astype("float32")
Y = np.arange(7) % 4


def batches(size=3):
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(size)


def test_every_batch_is_full_and_nothing_is_lost():
    found = list(kk.data.full_batches(batches(), 3).as_numpy_iterator())
    assert [x.shape for x, _, _ in found] == [(3, 12, 3)] * 3
    np.testing.assert_array_equal(np.concatenate([x[w > 0] for x, _, w in found]), X)
    np.testing.assert_array_equal(np.concatenate([y[w > 0] for _, y, w in found]), Y)
    np.testing.assert_array_equal(found[-1][2], [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(found[-1][0], X[[6, 6, 6]])


@pytest.mark.parametrize("shape", [(7,), (7, 12)], ids=["examples", "steps"])
def test_weights_are_kept(shape):
    weight = np.random.default_rng(1).uniform(0.5, 2.0, shape).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((X, np.zeros(shape), weight)).batch(4)
    found = list(kk.data.full_batches(data, 4).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([w for _, _, w in found]), [*weight, 0.0 * weight[0]])


@pytest.mark.parametrize("weights", [(), (np.full(7, 2.0),), ((np.full(7, 2.0), np.full((7, 12), 2.0)),)])
def test_nested_data(weights):
    data = tf.data.Dataset.from_tensor_slices(({"a": X, "b": Y}, (Y, X), *weights)).batch(4)
    *_, (x, y, weight) = kk.data.full_batches(data, 4)
    assert x["a"].shape == (4, 12, 3) and x["b"].shape == y[0].shape == (4,) and y[1].shape == (4, 12, 3)
    one, steps = 2.0 if weights else 1.0, 12 if weights and isinstance(weights[0], tuple) else 1
    np.testing.assert_array_equal(weight[0], [one, one, one, 0.0])
    np.testing.assert_array_equal(weight[1], [[one] * steps] * 3 + [[0.0] * steps])


def test_what_cannot_be_filled_up_is_refused():
    for data in (batches(), tf.data.Dataset.from_tensors((X[:0], Y[:0]))):
        with pytest.raises(tf.errors.InvalidArgumentError, match="data must have batches of 1 to 2 examples"):
            list(kk.data.full_batches(data, 2))
    for data, what in (((X, Y), r"tuple\.$"), (tf.data.Dataset.from_tensor_slices(X).batch(3), "TensorSpec")):
        with pytest.raises(ValueError, match=rf"data must be .* \(x, y\).*batch\(3\) makes one .* received {what}"):
            kk.data.full_batches(data, 3)


CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")


def build(rule="kernl", **compiled):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12, 3))
    hidden = kk.RNN(kk.LIFCell(5, tau_m=8.0), rule=rule, seed=7, name="hidden")(inputs)
    model = kk.Model(inputs, kk.TimeAverage(4)(kk.Readout(4)(hidden)))
    model.compile(keras.optimizers.SGD(0.1), CLASSES, sensitivity_optimizer=keras.optimizers.SGD(0.1), **compiled)
    return model


@pytest.mark.parametrize(
    "units, loss, metric",
    [(4, CLASSES, "accuracy"), (1, keras.losses.MeanSquaredError(reduction="sum"), "mae")],
    ids=["classes", "numbers"],
)
def test_answers_at_every_step(units, loss, metric):
    """The last batch of one example moves the weights as it would alone, and metrics do not count its copies."""
    classes = np.random.default_rng(1).integers(0, 4, (7, 12))
    data = tf.data.Dataset.from_tensor_slices((X, classes if units == 4 else classes[..., None] + 0.0)).batch(3)
    found = []
    for each in (data, kk.data.full_batches(data, 3)):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((12, 3))
        model = kk.Model(inputs, kk.Readout(units)(inputs))
        model.compile(keras.optimizers.SGD(0.01), loss, weighted_metrics=[metric], run_eagerly=True)
        found.append([*model.fit(each, shuffle=False, verbose=0).history[metric], *model.get_weights()])
    all_same(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "rule",
    [
        KeRNL(),
        pytest.param(KeRNL("exponential", perturbation="twin"), marks=pytest.mark.slow),
        pytest.param(PlainKeRNL(credit="last"), marks=pytest.mark.slow),
    ],
    ids=["membrane", "exponential, twin", "plain, last"],
)
def test_a_filled_batch_trains_as_the_short_one(rule):
    """Every weight, M and gamma, and the diagnostics."""
    short, filled, before = (build(rule, run_eagerly=True) for _ in range(3))
    short.train_on_batch(X[:2], Y[:2])
    one = short.diagnostics()
    ((x, y, weight),) = kk.data.full_batches(batches(2).take(1), 5)
    filled.train_on_batch(x, y, sample_weight=weight)
    other = filled.diagnostics()
    all_same(filled.get_weights(), short.get_weights(), rtol=1e-5, atol=1e-6)
    assert max(np.abs(after - start).max() for after, start in zip(short.get_weights(), before.get_weights())) > 0.01
    for name in ("sensitivity_loss", "explained_variance", "firing_rate", "silent_units", "weight_gradient_norm"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-6)
    assert one["sensitivity_loss"] > 0 and one["firing_rate"] > 0


def test_a_filled_batch_of_several_targets_trains_as_the_short_one():
    """Answers at every step, and one for each sequence."""
    found = []
    for size in (2, 5):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((12, 3))
        hidden = kk.RNN(kk.LIFCell(5, tau_m=8.0), rule="kernl", seed=7)(inputs)
        steps, whole = kk.Readout(3, name="steps")(hidden), kk.TimeAverage(name="whole")(kk.Readout(1)(hidden))
        model = kk.Model(inputs, {"steps": steps, "whole": whole})
        loss = keras.losses.MeanSquaredError(reduction="sum")
        model.compile(keras.optimizers.SGD(0.01), {"steps": loss, "whole": loss}, run_eagerly=True)
        data = tf.data.Dataset.from_tensors((X[:2], {"steps": X[:2], "whole": X[:2, 0, :1]}))
        model.fit(kk.data.full_batches(data, size), verbose=0)
        found.append([*model.get_weights(), model.diagnostics()["firing_rate"]])
    all_same(*found, rtol=1e-5, atol=1e-6)


SCRIPT = """
import tensorflow as tf
from tests.data.test_batches import X, Y, batches, build
import kernl_keras as kk
model = build("eprop")
model.compile(loss="sparse_categorical_crossentropy", jit_compile=True)
data = batches() if {short} else kk.data.full_batches(batches(), 3)
model.fit(data, epochs=2, verbose=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("short", "compilations"), [(False, 1), (True, 2)])
def test_an_epoch_with_a_short_batch_compiles_once(short, compilations, tmp_path):
    """XLA writes a file for every module that it compiles; the training step is the one with loops."""
    environment = {**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"}
    subprocess.run([sys.executable, "-c", SCRIPT.format(short=short)], check=True, env=environment)
    step = "one_step_on_data" if IS_KERAS_3 else "run_step"  # what the Kerases call it
    assert len(list(tmp_path.glob(f"*{step}*before_optimizations.txt"))) == compilations
