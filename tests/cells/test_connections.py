"""Sparse recurrence and Dale's law: what is drawn, what training keeps, gradients, saving, export."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.cases import B, H, I, Network, T, draw, taking_turns
from ..reference.expected import compute, same
from ..reference.tools import run_by_steps

MASK = np.array([[1, 0, 1, 0], [0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]], bool)
SIGNS = np.array([1.0, -1.0, 1.0, -1.0])
DALE = [True, False, True, False]
CELLS = {"lif": kk.LIFCell, "resonator": kk.ResonatorCell, "rate": kk.LeakyRNNCell}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.5),
    "momentum": lambda: keras.optimizers.SGD(0.5, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.3),
    "adamw": lambda: keras.optimizers.AdamW(0.3, weight_decay=0.1),
}


def build(kind="lif", units=H, **settings):
    cell = CELLS[kind](units, **settings)
    cell.build((None, I))
    return cell


@pytest.mark.parametrize("kind", CELLS)
def test_connections_are_drawn_with_their_probability(kind):
    """Without a seed, too; a copy by the configuration has the same ones."""
    cell = build(kind, 200, recurrent_connectivity=0.1)
    weights, raw = cell.recurrent_weights().numpy(), cell.recurrent_kernel.numpy()
    mask = cell.recurrent_mask.numpy()
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert mask.mean() == pytest.approx(0.1, abs=5 * np.sqrt(0.09 / 40000))
    np.testing.assert_array_equal(raw != 0.0, mask > 0.0)
    np.testing.assert_array_equal(weights, raw if kind == "rate" else raw * (1.0 - np.eye(200)))
    np.testing.assert_array_equal(weights != 0.0, cell.connections() > 0.0)
    again, other = (build(kind, **{**cell.get_config(), **more}) for more in ({}, {"connectivity_seed": 5}))
    again, other = again.recurrent_mask.numpy(), other.recurrent_mask.numpy()
    np.testing.assert_array_equal(again, mask)
    assert (other != mask).mean() > 0.1


@pytest.mark.parametrize("settings, share", [(dict(recurrent_connectivity=0.25), 0.25), (dict(excitatory=0.8), 1.0)])
def test_the_gain_holds_for_the_connections_that_there_are(settings, share):
    """The root mean square of what all inputs of a unit add to its potential in one step is the gain."""
    cell = build(units=400, self_connections=True, recurrent_gain=0.7, **settings)
    added = cell.recurrent_kernel.numpy() * np.asarray(cell.parameters().drive)
    assert np.sqrt(np.sum(added**2) / 400) == pytest.approx(0.7, rel=0.03)
    assert np.mean(added != 0.0) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("kind", CELLS)
def test_initial_weights_have_the_signs_of_their_units(kind):
    for excitatory, signs in ((0.75, [1, 1, 1, -1]), (DALE, SIGNS), (1.0, [1] * 4), (0.0, [-1] * 4)):
        weights = build(kind, excitatory=excitatory, self_connections=True).recurrent_weights().numpy()
        assert (weights * np.array(signs)[:, None] > 0.0).all()


def test_excitation_and_inhibition_cancel_in_the_mean():
    """Four units excite for each that inhibits, whose weights are four times as large."""
    weights = build(units=500, excitatory=0.8, self_connections=True).recurrent_weights().numpy()
    assert -weights[400:].mean() == pytest.approx(4.0 * weights[:400].mean(), rel=0.02)
    assert abs(weights.mean()) < 0.02 * np.abs(weights).mean()


def model_of(rule="kernl", optimizer="adam", kind="lif", **settings):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((T, I))
    settings = {"recurrent_connectivity": MASK, "excitatory": DALE, **settings}
    hidden = kk.RNN(CELLS[kind](H, **settings), rule=rule, name="hidden", seed=2)(inputs)
    model = kk.Model(inputs, kk.Readout(2, name="readout")(hidden))
    model.compile(OPTIMIZERS[optimizer](), "mse", sensitivity_optimizer="adam", run_eagerly=True)
    return model


DATA = np.float32(draw(1, 16, T, I) + 1.0), np.float32(3.0 * draw(2, 16, T, 2))


def begin_near_zero(cell):
    """So that every sign is at stake."""
    cell.recurrent_kernel.assign(0.01 * SIGNS[:, None] * MASK)


def check_zeros_and_signs(weights):
    np.testing.assert_array_equal(weights[~MASK], 0.0)
    assert (weights * SIGNS[:, None] >= 0.0).all()


TRAINED = ("kernl sgd", "kernl adam", "bptt sgd", "bptt adam", "eprop adamw", "rflo momentum")


@pytest.mark.parametrize("rule, optimizer", taking_turns([row.split() for row in TRAINED], every=6))
def test_training_keeps_zeros_and_signs(rule, optimizer):
    model = model_of(rule, optimizer)
    cell = model.get_layer("hidden").cell
    begin_near_zero(cell)
    before, changed = cell.recurrent_kernel.numpy(), 0.0
    for _ in range(4):
        model.fit(*DATA, batch_size=8, epochs=1, verbose=0)
        check_zeros_and_signs(cell.recurrent_kernel.numpy())
        check_zeros_and_signs(cell.recurrent_weights().numpy())
        changed += np.abs(cell.recurrent_kernel.numpy() - before).max()
    assert changed > 0.1
    assert (before[MASK] != 0.0).all() and (cell.recurrent_kernel.numpy()[MASK] == 0.0).any()


def test_a_plain_keras_model_keeps_them_as_well():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((T, I))
    cell = kk.LIFCell(H, recurrent_connectivity=MASK, excitatory=DALE)
    model = keras.Model(inputs, keras.layers.RNN(cell, return_sequences=True)(inputs))
    begin_near_zero(cell)
    model.compile(keras.optimizers.SGD(5.0), "mse", run_eagerly=True)
    model.fit(DATA[0], draw(3, 16, T, H), epochs=3, verbose=0)
    weights = cell.recurrent_kernel.numpy()
    check_zeros_and_signs(weights)
    assert (weights[MASK] == 0.0).any()


def test_a_weight_that_fell_to_zero_can_grow_again():
    model = model_of("bptt", "sgd")
    cell = model.get_layer("hidden").cell
    cell.recurrent_kernel.assign(tf.zeros((H, H)))
    model.fit(*DATA, epochs=6, verbose=0)
    assert (cell.recurrent_kernel.numpy() != 0.0).any()


def test_a_constraint_of_the_users_follows():
    cell = build(excitatory=DALE, recurrent_constraint=keras.constraints.MaxNorm(1.0), self_connections=True)
    weights = tf.convert_to_tensor(cell.recurrent_kernel.constraint(tf.constant(5.0 * draw(0, H, H), tf.float32)))
    assert (weights.numpy() * SIGNS[:, None] >= 0.0).all()
    norms = np.linalg.norm(weights, axis=0)
    assert norms.max() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.sampled(3)  # each rule has a turn
@pytest.mark.parametrize("rule", ["kernl", "plain_kernl", "eprop", "rflo", "bptt"])
@pytest.mark.parametrize("name", ["hard", "resonator", "tanh"])
def test_every_rules_gradient_is_that_of_a_network_masked_by_hand(name, rule):
    """What W_rec holds where no connection is has no effect, and its gradient is 0."""
    n, by_hand = Network(name), Network(name)
    kept, n.settings = n.w_rec, {**n.settings, "recurrent_connectivity": MASK}
    n.w_rec = by_hand.w_rec = kept * MASK
    layer = n.layer(rule)
    error = draw(9, B, T, H)
    outputs, of_weights, of_x, _ = compute(by_hand.layer(rule), by_hand.inputs, error, training=False)
    layer.cell.recurrent_kernel.assign(kept)
    found = compute(layer, n.inputs, error, training=False)
    rows = np.ones((I + H + 1, H))
    rows[I : I + H] = MASK
    same(found[1], of_weights * rows)
    same(found[2], of_x)
    np.testing.assert_array_equal(found[0], outputs)
    assert np.abs(of_weights[I : I + H][~MASK]).max() > 0.0  # the mask matters


def test_what_has_no_recurrence_stays_so():
    """With the optimizer that M has by default, too: a step of it is a share of M, which is 0."""
    model = model_of("kernl", recurrent_connectivity=0.0)
    model.compile("adam", "mse", sensitivity_every=1, run_eagerly=True)
    history = model.fit(*DATA, epochs=2, verbose=0).history
    layer = model.get_layer("hidden")
    assert not np.any(layer.cell.recurrent_kernel) and not np.any(layer.sensitivity_tensor)
    assert np.all(np.isfinite(history["loss"])) and np.any(layer.cell.kernel)


def test_m_starts_from_the_connections_that_there_are():
    layer = kk.RNN(kk.LIFCell(H, recurrent_connectivity=MASK), rule="kernl")
    layer.build((None, T, I))
    there = MASK & ~np.eye(H, dtype=bool)
    np.testing.assert_array_equal(layer.sensitivity_tensor.numpy() != 0.0, there.T)


@pytest.mark.slow
def test_alignment_counts_the_connections_that_there_are():
    model = model_of("eprop")
    alignment = kk.gradient_alignment(model, DATA[0][:4], DATA[1][:4], rules=("bptt",), windows=2)
    assert alignment.variables["hidden/recurrent_kernel"]["bptt"].cosine == pytest.approx(1.0)
    cell = model.get_layer("hidden").cell
    np.testing.assert_array_equal(cell.connections(), MASK & ~np.eye(H, dtype=bool))


@pytest.mark.parametrize("connectivity", [MASK, pytest.param(0.5, marks=pytest.mark.slow)], ids=["matrix", "drawn"])
@pytest.mark.parametrize("kind", taking_turns(CELLS))
def test_saved_and_loaded(kind, connectivity, tmp_path):
    model = model_of("eprop", kind=kind, recurrent_connectivity=connectivity)
    cell = model.get_layer("hidden").cell
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    other = model_of("eprop", kind=kind, recurrent_connectivity=connectivity)  # draws other connections
    other.load_weights(tmp_path / "model.weights.h5")
    for each in (loaded, other):
        np.testing.assert_array_equal(each.get_layer("hidden").cell.recurrent_weights(), cell.recurrent_weights())
        np.testing.assert_array_equal(each(DATA[0]), model(DATA[0]))
    loaded.fit(*DATA, epochs=2, verbose=0)
    weights = loaded.get_layer("hidden").cell.recurrent_kernel.numpy()
    np.testing.assert_array_equal(weights[cell.recurrent_mask.numpy() == 0.0], 0.0)
    assert (weights * SIGNS[:, None] >= 0.0).all()


def test_exports_have_the_weights_as_the_units_see_them():
    model = model_of("eprop", tau_ref=0.0, resistance=2.0, recurrent_connectivity=0.5, excitatory=0.5)
    cell = model.get_layer("hidden").cell
    cell.recurrent_kernel.assign(draw(5, H, H))  # what is masked is not 0 any more
    weights = cell.recurrent_weights().numpy()
    graph = kk.to_nir(model)
    exported = graph.nodes["hidden_units"].nodes["recurrent_kernel"].weight
    np.testing.assert_allclose(exported, cell.resistance * weights.T, rtol=1e-6)
    assert (exported == 0.0).sum() >= H
    outputs, _ = run_by_steps(kk.one_step(model), DATA[0])
    np.testing.assert_allclose(outputs, model(DATA[0]), rtol=1e-5, atol=1e-6)
