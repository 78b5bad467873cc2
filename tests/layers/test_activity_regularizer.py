"""Regularizers of activity: their cost by hand, their error in L(t) of every rule, masks, weights, pieces."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.cases import B, H, I, Network, T, draw, pairs, stacked
from ..reference.tools import all_same

RULES = ["kernl", "plain_kernl", "eprop", "rflo", "bptt"]
MASK = np.arange(T) < np.array([[T], [T - 2]])


# FiringRate by hand


@pytest.mark.parametrize(
    ("settings", "low", "high"),  # edges per ms
    [
        (dict(target=50.0, strength=7.0), 0.05, 0.05),
        (dict(target=50.0, dt=0.5), 0.05, 0.05),
        (dict(low=150.0, high=210.0), 0.15, 0.21),
        (dict(high=150.0), -1.0, 0.15),
        (dict(low=260.0), 0.26, 9.0),
    ],
)
def test_the_cost_of_rates_by_hand(settings, low, high):
    """Masked steps count for nothing, and neither does a rate within the band."""
    z = np.float64(np.random.default_rng(0).uniform(size=(3, 20, 5)) < 0.2)
    for lengths in ([20] * 3, [20, 3, 9]):
        mask, expected = np.arange(20) < np.array(lengths)[:, None], 0.0
        for i in range(5):
            rate = sum(z[mask][:, i]) / mask.sum() / settings.get("dt", 1.0)
            expected += settings.get("strength", 1.0) * (max(low - rate, 0.0) ** 2 + max(rate - high, 0.0) ** 2)
        assert expected > 1e-4
        found = kk.FiringRate(**settings)(z, **({} if mask.all() else {"mask": mask}))
        np.testing.assert_allclose(found / 3.0, expected, rtol=1e-12)
    assert float(kk.FiringRate(low=1.0, high=999.0)(z)) == 0.0
    of_all = kk.FiringRate(50.0, per_unit=False)(z)
    np.testing.assert_allclose(of_all / 3.0, (z.mean() - 0.05) ** 2, rtol=1e-12)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(), "target must be given, or low or high in its place; received target=None, low=None, high=None"),
        (dict(target=5.0, low=1.0), "target must be given, or low or high in its place; received target=5.0, low=1.0"),
        (dict(low=5.0, high=1.0), "high must be >= 5; received 1.0"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        kk.FiringRate(**settings)


# In the layer


def of_rates(z, mask=None):
    """dR/dz of FiringRate(40.0, strength=3.0), by hand: the same at every step that counts."""
    mask = np.ones(z.shape[:2], bool) if mask is None else mask
    rate = z[mask].mean(0)
    return 3.0 * 2.0 * (rate - 0.04) / mask.sum() * mask[..., None]


def of_squares(z, mask=None):
    """dR/dz of L2(0.75), whose cost Keras divides by the number of examples."""
    return 2.0 * 0.75 * z / len(z) * (1.0 if mask is None else mask[..., None])


REGULARIZERS = {
    "firing rate": (lambda: kk.FiringRate(40.0, strength=3.0), of_rates),
    "L2": (lambda: keras.regularizers.L2(0.75), of_squares),
}


def gradients(layer, n, error, weight=1.0, **arguments):
    """Of the weights and x, of a loss with the errors `error` and of what the layer adds, and that cost."""
    x = n.inputs
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x, **arguments) * error)
        cost = tf.add_n(layer.losses) if layer.losses else tf.constant(0.0, tf.float64)
        loss += weight * cost
    cell = layer.cell
    *weights, of_x = tape.gradient(loss, [cell.kernel, cell.recurrent_kernel, cell.bias, x])
    return stacked(weights), of_x, float(cost)


@pytest.mark.parametrize(
    "rule, name, kind, masked", list(pairs(RULES, ["hard adaptive", "tanh"], REGULARIZERS, [False, True]))
)
def test_its_error_is_a_part_of_the_signal_of_every_rule(rule, name, kind, masked):
    """The gradient is that of a layer without it whose errors are L(t) and dR/dz(t), found by hand."""
    make, by_hand = REGULARIZERS[kind]
    n, mask = Network(name), MASK if masked else None
    z, error = n.run().output, draw(9, B, T, H)
    error = error * MASK[..., None] if masked else error
    given = {} if mask is None else {"mask": tf.constant(mask)}
    found = gradients(n.layer(rule, activity_regularizer=make()), n, error, **given)
    expected = gradients(n.layer(rule), n, error + by_hand(z, mask), **given)
    assert np.abs(by_hand(z, mask)).max() > 1e-3
    all_same(found[:2], expected[:2], 1e-8)
    assert expected[2] == 0.0 and found[2] > 0.0


@pytest.mark.parametrize("settings", [{"return_state": True}, {"return_sequences": False}, {"stateful": True}])
def test_the_cost_is_that_of_all_outputs_and_of_no_state(settings):
    """And the pieces of a sequence have a cost each."""
    n, costs = Network("hard"), []
    layer = n.layer("eprop", activity_regularizer=keras.regularizers.L2(0.75), **settings)
    for piece in (n.inputs[:, :2], n.inputs[:, 2:]) if "stateful" in settings else (n.inputs,):
        layer(piece)
        costs.append(float(tf.add_n(layer.losses)))
    np.testing.assert_allclose(sum(costs), 0.75 * np.sum(n.run().output ** 2) / B, rtol=1e-12)


@pytest.mark.parametrize("counted", [[True, False], [False, False]])
def test_an_example_of_which_no_step_counts_is_none(counted):
    n = Network("hard")
    layer = n.layer("eprop", activity_regularizer=keras.regularizers.L2(0.75))
    layer(n.inputs, mask=tf.repeat(tf.constant(counted)[:, None], T, 1))
    expected = 0.75 * np.sum(n.run().output[counted] ** 2)  # of one example, or of none
    np.testing.assert_allclose(float(tf.add_n(layer.losses)), expected, rtol=1e-12)


def model_of(kind, regularizer, rule="eprop", **settings):
    keras.utils.set_random_seed(1)
    inputs = keras.Input(settings.pop("shape", (T, I)))
    layer = kk.RNN(kk.LIFCell(H, tau_s=None), rule=rule, seed=2, activity_regularizer=regularizer, name="hidden")
    model = kind(inputs, kk.Readout(2, name="readout")(layer(inputs)))
    model.compile(keras.optimizers.SGD(0.01), "mse", **(settings or {"run_eagerly": True}))
    return model


X, Y = np.float32(draw(1, 4, T, I) + 1.0), np.float32(draw(2, 4, T, 2))


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("eprop", {"jit_compile": False}),
        pytest.param("eprop", {"jit_compile": True}, marks=pytest.mark.slow),
        pytest.param("kernl", {"run_eagerly": True}, marks=pytest.mark.slow),
    ],
)
def test_a_plain_keras_model_and_ours_learn_the_same(rule, settings):
    """In any mode: the cost is in the loss that they report, and what it teaches in the weights."""
    weights, losses = [], []
    for kind, of_kind in ((kk.Model, settings), (keras.Model, {"run_eagerly": True})):
        if rule == "kernl" and kind is kk.Model:  # whose weights would learn with M after this step
            of_kind = {**of_kind, "sensitivity_optimizer": keras.optimizers.SGD(0.0)}
        model = model_of(kind, kk.FiringRate(low=200.0, high=300.0, strength=20.0), rule, **of_kind)
        if rule == "kernl":
            model.get_layer("hidden").sensitivity_tensor.assign(0.1 * draw(3, H, H))
        losses.append(model.fit(X, Y, epochs=1, shuffle=False, verbose=0).history["loss"][0])
        weights.append(model.get_layer("hidden").cell.get_weights())
    without = model_of(kk.Model, None, rule).evaluate(X, Y, verbose=0)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0] > without + 0.1
    all_same(*weights, 1e-4, 1e-6)


@pytest.mark.slow
def test_rates_reach_their_target():
    """The cost alone, without another loss."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((20, I))
    layer = kk.RNN(kk.LIFCell(20, tau_s=None), rule="eprop", activity_regularizer=kk.FiringRate(100.0), seed=1)
    model = kk.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(1.0), lambda y, z: 0.0 * tf.reduce_mean(z, -1))
    x = np.float32(draw(1, 32, 20, I) + 1.0)

    def away():
        return np.abs(model.predict(x, verbose=0).mean((0, 1)) - 0.1).mean()

    before = away()
    model.fit(x, np.zeros((32, 20, 20)), epochs=60, batch_size=32, verbose=0)
    assert away() < 0.5 * before


@pytest.mark.parametrize("kind", REGULARIZERS)
@pytest.mark.slow
def test_examples_of_weight_zero_count_for_nothing(kind):
    """A batch that was filled up teaches the same as the batch itself, in `kk.Model`."""
    filled = np.concatenate([X, 9.0 * X[:2]]), np.concatenate([Y, Y[:2]]), np.float32([[1], [1], [1], [1], [0], [0]])
    costs = []
    for x, y, weight in ((X, Y, np.ones((4, 1), "float32")), filled):
        models = model_of(kk.Model, REGULARIZERS[kind][0]()), model_of(kk.Model, None)
        costs.append(np.subtract(*(model.train_on_batch(x, y, sample_weight=weight) for model in models)))
    assert costs[0] > 0.01
    np.testing.assert_allclose(*costs, rtol=1e-3)


@pytest.mark.slow
def test_alignment_has_its_error():
    """Backpropagation's errors and the rule's are the same: its own gradient has a cosine of 1."""
    model, none = (model_of(kk.Model, each) for each in (kk.FiringRate(300.0, strength=50.0), None))
    found, without = (kk.gradient_alignment(each, X, Y, rules=("bptt",), windows=2) for each in (model, none))
    assert found.variables["hidden"]["bptt"].cosine == pytest.approx(1.0)
    assert found.lags["hidden"]["bptt"].share != pytest.approx(without.lags["hidden"]["bptt"].share, rel=1e-3)
