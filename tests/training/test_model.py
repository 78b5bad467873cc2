"""`Model`: the order of its two updates, their schedule, their optimizers, and all that must not move."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.experiments import pretrained
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.rules import NAMES, Exponential, KeRNL
from kernl_keras.training import state
from kernl_keras.training.diagnostics import ACTIVITY, DIAGNOSTICS

from ..reference.cases import B, I, J, Network, T, draw, taking_turns
from ..reference.expected import Expected, kernels
from ..reference.tools import MODES as WRAPS
from ..reference.tools import all_same, through

O = 2  # noqa: E741
SENSITIVITY, WEIGHTS = {"sensitivity_tensor", "temporal_filter"}, {"kernel", "recurrent_kernel", "bias"}
ALL = SENSITIVITY | WEIGHTS
X, Y = np.float32(1.5 * draw(60, 6, 4, I) + 0.5), np.float32(draw(61, 6, 4, O))
MODES = {"eager": {"run_eagerly": True}, "graph": {"jit_compile": False}, "xla": {"jit_compile": True}}
SGD = keras.optimizers.SGD
slow = pytest.mark.slow


def build(*, below=(), layers=1, rule=None, cell=None, compiled=True, **settings):
    """A network with exponential kernels, so that there is a gamma to learn; it takes few steps, so it runs eagerly."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, I))
    x = through(below, inputs)
    for seed, name in enumerate(["hidden", "second"][:layers]):
        x = kk.RNN(cell or kk.LIFCell(5), rule=rule or KeRNL(kernel="exponential"), seed=seed, name=name)(x)
    model = kk.Model(inputs, keras.layers.Dense(O, name="readout")(x))
    if compiled:
        settings = {"optimizer": SGD(0.05), "sensitivity_optimizer": SGD(0.02), "loss": "mse", **settings}
        settings.setdefault("run_eagerly", "jit_compile" not in settings)
        model.compile(**settings)
    return model


def values(model):
    """Weights by name."""
    return {name: variable.numpy() for name, variable in pretrained.variables(model).items()}


def moved(before, after):
    """Names of the weights that moved, in all layers that have them."""
    found = {(name.split("/")[1], bool((before[name] != after[name]).any())) for name in before}
    names = {name for name, has_moved in found if has_moved} - {"draws"}
    assert not names & {name for name, has_moved in found if not has_moved}
    return names


def same(one, other, **tolerance):
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, err_msg=name, **{"rtol": 0.0, **tolerance})


@pytest.mark.parametrize("mode", ["eager", *(pytest.param(mode, marks=slow) for mode in ("graph", "xla"))])
def test_a_step_is_the_hand_computed_one(mode):
    """First M and gamma by F, then the weights by Eq. (22) with the new M and gamma, then the readout; its logs."""
    network, (m, gamma), y = Network("hard adaptive", dtype="float64"), kernels(1), draw(70, B, T, O)
    rule, rate, sensitivity_rate = KeRNL(kernel="exponential", reset_gradient=False), 0.1, 0.5
    layer, readout = network.layer(rule, m, gamma), keras.layers.Dense(O, dtype="float64")
    inputs = keras.Input((T, I), dtype="float64")
    model = kk.Model(inputs, readout(layer(inputs)))
    model.compile(SGD(rate), "mse", sensitivity_optimizer=SGD(sensitivity_rate), metrics=["mae"], **MODES[mode])
    layer.draws.assign(0)  # a symbolic call may have counted
    weights = (*layer.cell.trainable_weights, *readout.weights)
    before = [weight.numpy() for weight in weights]
    found = model.train_on_batch(network.x, y, return_dict=True) | model.diagnostics()

    def expected(m, gamma):
        """F, mean D^2 and their gradients; spikes, errors, and the gradients of all weights."""
        whole = Expected(network, rule, m, gamma)
        z, (w_out, b_out) = whole.run.output, before[-2:]
        error = z @ w_out + b_out - y
        of_output = 2.0 * error / y.size  # of the mean square
        of_hidden, _ = Expected(network, rule, m, gamma, of_output @ w_out.T).gradients()
        of_readout = np.einsum("bth,bto->ho", z, of_output), of_output.sum((0, 1))
        return whole.sensitivity(), z, error, (of_hidden, *of_readout)

    (loss, variance, of_m, of_gamma), z, error, (old, *_) = expected(m, gamma)
    new_m, new_gamma = m - sensitivity_rate * of_m, np.maximum(gamma - sensitivity_rate * of_gamma, 0.0)
    *_, of_weights = expected(new_m, new_gamma)
    hidden, *of_readout = of_weights
    assert np.abs(old - hidden).max() > 1e-3 * np.abs(hidden).max() > 0  # the order shows
    assert hidden.shape == (J, 4)
    tolerance = dict(rtol=1e-6, atol=1e-8)  # Keras keeps learning rates in single precision: updates of 0.1 to 3e-9
    np.testing.assert_allclose(layer.sensitivity_tensor, new_m[0], **tolerance)
    np.testing.assert_allclose(layer.temporal_filter, new_gamma[0], **tolerance)
    gradients = hidden[:I], hidden[I:-1], hidden[-1], *of_readout
    for weight, start, gradient in zip(weights, before, gradients, strict=True):
        np.testing.assert_allclose(weight, start - rate * gradient, **tolerance)

    norms = [np.sqrt(sum(np.sum(g**2) for g in group)) for group in ((of_m, of_gamma), of_weights)]
    right = {
        "loss": np.mean(error**2),
        "mae": np.mean(np.abs(error)),
        "sensitivity_loss": loss,
        "explained_variance": 1.0 - loss / variance,
        "restarted_perturbations": 0.0,
        "firing_rate": z.mean(),
        "silent_units": (z.sum((0, 1)) == 0).mean(),
        "saturated_units": 0.0,
        "sensitivity_gradient_norm": norms[0],
        "weight_gradient_norm": norms[1],
        "skipped_updates": 0.0,
    }
    assert set(right) == set(found) == {"loss", "mae", *DIAGNOSTICS}
    same(right, found, rtol=1e-4, atol=1e-6)


STEPS = {  # settings, and what moves in each step
    "M alone at first": (dict(sensitivity_only=2, sensitivity_every=1), [SENSITIVITY, SENSITIVITY, ALL]),
    "M in every third": (dict(sensitivity_every=3), [ALL, WEIGHTS, WEIGHTS, ALL]),
    "two layers": (dict(layers=2), [ALL]),
    "gamma stands": (dict(rule=KeRNL(kernel=Exponential(learn=False))), [ALL - {"temporal_filter"}]),
    "M stands": (dict(rule=KeRNL(learn_sensitivity=False)), [WEIGHTS]),
    "e-prop": (dict(rule="eprop"), [WEIGHTS]),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_each_step_moves(name):
    settings, steps = STEPS[name]
    model = build(**settings)
    if name == "e-prop":
        assert [each.shape for each in model.gradients(X, Y)] == [(I, 5), (5, 5), (5, O), (O,)]
    if name == "gamma stands":
        assert [len(each.shape) for each in model.rule_layers[0].sensitivity_weights] == [2]
    for expected in steps:
        before = values(model)
        model.train_on_batch(X, Y)
        assert moved(before, values(model)) == expected
    optimizers = model.optimizer, model.sensitivity_optimizer
    counts = [sum(bool(each & group) for each in steps) for group in (WEIGHTS, SENSITIVITY)]
    assert [int(each.iterations) for each in optimizers] == counts
    found = model.diagnostics()
    without = {*ACTIVITY, "weight_gradient_norm", "skipped_updates"}
    assert set(found) == (set(DIAGNOSTICS) if counts[1] else without)
    assert found["firing_rate"] > 0 and found["weight_gradient_norm"] > 0


@pytest.mark.sampled(2)
@pytest.mark.parametrize("rule", NAMES)
def test_what_learns_by_each_rule(rule):
    """All weights, and those of layers below; by "readout_only" what is above the layer alone."""
    model = build(below=[keras.layers.Dense(I, name="below")], rule=rule, cell=kk.LIFCell(5, use_bias=True))
    before = values(model)
    model.train_on_batch(X, Y)
    below = {"below/kernel", "below/bias", "hidden/kernel", "hidden/recurrent_kernel", "hidden/bias"}
    of_rule = {
        "kernl": {"hidden/sensitivity_tensor", "hidden/draws"},
        "plain_kernl": {"hidden/sensitivity_tensor", "hidden/temporal_filter", "hidden/draws"},
    }
    readout = {"readout/kernel", "readout/bias"}
    expected = readout if rule == "readout_only" else readout | below | of_rule.get(rule, set())
    assert {name for name, value in values(model).items() if np.any(value != before[name])} == expected
    assert set(before) == expected | below


def test_gamma_stays_at_or_above_zero_and_regularizers_in_the_loss():
    cell = kk.LIFCell(5, kernel_regularizer=keras.regularizers.L2(0.1))
    model = build(cell=cell, optimizer=SGD(0.0), sensitivity_optimizer=SGD(20.0))
    penalty = 0.1 * np.sum(cell.kernel.numpy() ** 2)
    loss = model.train_on_batch(X, Y)
    np.testing.assert_allclose(loss, penalty + np.mean((model.predict_on_batch(X) - Y) ** 2), rtol=1e-4)
    assert model.rule_layers[0].temporal_filter.numpy().min() == 0.0


def test_a_model_without_rule_layers():
    model = build(layers=0, optimizer="sgd")
    history = model.fit(X, Y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert set(model.diagnostics()) == {"weight_gradient_norm", "skipped_updates"}


def test_a_layer_that_is_called_twice():
    """Its F is that of both calls, and no part of the weights' loss."""
    one, other = keras.Input((None, I)), keras.Input((None, I))
    shared = kk.RNN(kk.LIFCell(5), name="hidden", seed=1)
    outputs = keras.layers.Dense(O)(keras.layers.Concatenate()([shared(one), shared(other)]))
    model = kk.Model([one, other], outputs)
    model.compile(SGD(0.0), "mse", sensitivity_optimizer=SGD(0.0), run_eagerly=True)
    trained = model.train_on_batch([X, 2.0 * X], Y, return_dict=True)
    tested = model.test_on_batch([X, 2.0 * X], Y, return_dict=True)
    np.testing.assert_allclose(trained["loss"], tested["loss"], rtol=1e-6)
    assert shared.report is None and model.diagnostics()["sensitivity_loss"] > 0.0


def test_evaluate_and_predict_move_nothing_and_compiling_again_replaces_everything():
    model = build()
    model.fit(X, Y, verbose=0)
    before = values(model)
    first = model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    assert model.evaluate(X, Y, verbose=0) == first  # no noise, no state
    after = values(model)
    assert moved(before, after) == set() and before["hidden/draws"] == after["hidden/draws"] == 1
    assert int(model.optimizer.iterations) == int(model.sensitivity_optimizer.iterations) == 1
    assert [layer.report for layer in model.rule_layers] == [None]  # no tensor of a traced step is kept
    model.compile("sgd", "mse", sensitivity_only=5, run_eagerly=True)  # replaces everything
    model.train_on_batch(X, Y)
    assert moved(after, values(model)) == SENSITIVITY and model.diagnostics()["sensitivity_loss"] > 0


def test_m_learns_alone_at_first_whatever_the_weights_optimizer_has_counted():
    model = build(sensitivity_every=8)
    for _ in range(3):
        model.train_on_batch(X, Y)
    model.compile(model.optimizer, "mse", sensitivity_only=2, run_eagerly=True)  # which keeps its moments
    for expected in (SENSITIVITY, SENSITIVITY, WEIGHTS):
        before = values(model)
        model.train_on_batch(X, Y)
        assert moved(before, values(model)) == expected


@pytest.mark.skipif(IS_KERAS_3, reason="Keras 3 has no such optimizers")
@pytest.mark.parametrize("name", ["optimizer", "sensitivity_optimizer"])
def test_optimizers_of_keras_before_2_11_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name} must not be one of keras.optimizers.legacy; received <"):
        build(**{name: keras.optimizers.legacy.SGD(0.1)})


def test_weights_do_not_wait_for_an_m_that_no_gradient_reaches():
    class Unperturbed(kk.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.readout = kk.RNN(kk.LIFCell(5), name="hidden"), keras.layers.Dense(O, name="readout")

        def call(self, x, training=None):
            return self.readout(self.hidden(x, training=False))

    model = Unperturbed()
    model.compile("sgd", "mse", sensitivity_only=5, run_eagerly=True)
    model.train_on_batch(X, Y)
    before = values(model)
    model.train_on_batch(X, Y)
    assert moved(before, values(model)) == WEIGHTS


def test_steps_in_which_m_rests_do_not_count_in_its_means():
    """Of two steps M learns in the first: what is reported of it is that step's alone, of the weights both's."""
    found = []
    for examples in (2, 4):  # in two batches
        model = build(sensitivity_every=2)
        model.fit(X[:examples], Y[:examples], batch_size=2, verbose=0, shuffle=False)
        found.append(model.diagnostics())
    one, both = found
    for name in ("sensitivity_loss", "explained_variance", "sensitivity_gradient_norm"):
        assert one[name] != 0.0
        np.testing.assert_allclose(both[name], one[name], rtol=1e-6)
    assert abs(both["weight_gradient_norm"] / one["weight_gradient_norm"] - 1.0) > 1e-3


@pytest.mark.parametrize("mode", [pytest.param("graph", marks=slow), "xla"])
def test_compiled_and_plain_steps_agree_and_are_traced_once(mode):
    results = []
    for settings in (MODES[mode], MODES["eager"]):
        model, traces = build(**settings), []
        step = model.train_step
        model.train_step = lambda batch, step=step, traces=traces: (traces.append(1), step(batch))[1]
        model.fit(X, Y, batch_size=3, verbose=0, shuffle=False)
        first = len(traces)
        model.fit(X, Y, batch_size=3, verbose=0, shuffle=False)
        assert len(traces) == first + (2 if settings is MODES["eager"] else 0) > 0
        results.append(values(model))
    same(*results, rtol=1e-4, atol=1e-5)


# `Model.gradients`


def drawing():
    """Layers whose draws and statistics a step moves, but for its weights."""
    return keras.layers.RNN(kk.InputSpikeCell(seed=5), return_sequences=True), keras.layers.BatchNormalization()


@pytest.mark.parametrize("group", ["sensitivity", "weights"])
def test_a_step_of_plain_descent_follows_the_gradients(group):
    """With M and gamma held the weights move by their gradient, and the other way round."""
    rate = 1e-3
    rates = (0.0, rate) if group == "sensitivity" else (rate, 0.0)
    model = build(below=drawing(), optimizer=SGD(rates[0]), sensitivity_optimizer=SGD(rates[1]))
    x = np.random.default_rng(0).uniform(size=X.shape).astype("float32")
    gradients, before = model.gradients(x, Y), [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(x, Y)
    learning = {id(v) for v in model.get_layer("hidden").sensitivity_weights}
    for variable, start, gradient in zip(model.trainable_variables, before, gradients, strict=True):
        moves = (id(variable) in learning) == (group == "sensitivity")
        assert np.abs(gradient).max() > 0.0
        expected = start - rate * gradient.numpy() if moves else start
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6 * moves)
        assert (variable.numpy() != start).any() == moves


@pytest.mark.parametrize("mode", taking_turns(["eager", "graph", "xla"]))
def test_gradients_move_nothing_and_the_modes_agree(mode):
    model = build(below=drawing())
    x, y = tf.constant(np.random.default_rng(0).uniform(size=X.shape), tf.float32), tf.constant(Y)
    model.train_on_batch(x, y)
    variables = [*model.variables, *(v for metric in model.metrics for v in metric.variables)]
    before, gradients = [v.numpy() for v in variables], WRAPS[mode](model.gradients)
    first, second = gradients(x, y), gradients(x, y)
    all_same(before, [v.numpy() for v in variables])
    for variable, one, two, eager in zip(model.trainable_variables, first, second, model.gradients(x, y), strict=True):
        assert one.shape == variable.shape
        np.testing.assert_array_equal(one, two)  # the same noise
        np.testing.assert_allclose(one, eager, rtol=1e-3, atol=1e-5)


def test_a_weight_that_no_loss_reaches_has_no_gradient_and_stays():
    model = build(below=(keras.layers.Dense(I, name="cut"), keras.layers.Lambda(tf.stop_gradient)))
    cut = {id(weight) for weight in model.get_layer("cut").trainable_weights}
    before = [weight.numpy() for weight in model.trainable_variables]
    gradients = model.gradients(X, Y)
    with pytest.warns(UserWarning, match="Gradients do not exist for variables .*cut/kernel"):
        model.train_on_batch(X, Y)
    for weight, old, gradient in zip(model.trainable_variables, before, gradients, strict=True):
        assert (gradient is None) == (id(weight) in cut) == bool((weight.numpy() == old).all())


def test_a_model_without_targets_has_gradients():
    """TensorBoard asks for them. The loss is the layer's own."""
    inputs = keras.Input(X.shape[1:])
    model = kk.Model(inputs, keras.layers.Dense(2, activity_regularizer="l2")(inputs))
    model.compile("sgd", run_eagerly=True)
    assert all(np.any(gradient) for gradient in model.gradients(X, None))


# Optimizers


def scaled(optimizer, scale=2.0**15):
    return keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=scale)


def scale_of(optimizer):
    return float(optimizer.dynamic_scale if IS_KERAS_3 else optimizer.loss_scale)


FACTOR = pytest.mark.skipif(not IS_KERAS_3, reason="optimizers of Keras 2 have no loss_scale_factor")


@pytest.mark.parametrize("how", ["both", pytest.param("factor", marks=FACTOR)])
def test_loss_scaling_changes_no_step(how):
    """In float32, where a power of 2 rounds nothing: KeRNL's gradients and M's, what is measured, what is clipped."""
    results = []
    for scale in (False, True):
        factor = {"loss_scale_factor": 64.0} if scale and how == "factor" else {}
        optimizers = [SGD(0.1, global_clipnorm=0.01, **factor) for _ in range(2)]
        if scale and how == "both":
            optimizers = [scaled(each) for each in optimizers]
        model = build(optimizer=optimizers[0], sensitivity_optimizer=optimizers[1])
        gradients = [each.numpy() for each in model.gradients(X, Y)]
        model.train_on_batch(X, Y)
        results.append([*gradients, *values(model).values(), *model.diagnostics().values()])
    all_same(*results)


@pytest.mark.parametrize("rule", ["bptt", "kernl"])
def test_tiny_gradients_survive_in_half_precision(rule):
    """As in `keras.Model`, where they have one way back; the loss is so small that they are 0 without its scale."""
    changes = {}
    for kind in (keras.Model, kk.Model):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((None, I))
        hidden = kk.RNN(kk.LIFCell(5), rule=rule, seed=1)(inputs)
        half = keras.layers.Dense(3, dtype="mixed_float16", name="half")(hidden)
        model = kind(inputs, keras.layers.Dense(O, name="readout")(half))
        model.compile(scaled(SGD(1e8)), "mse", loss_weights=[1e-8], run_eagerly=True)
        compared = model.get_layer("half").weights if rule == "kernl" else model.trainable_weights
        before = [weight.numpy() for weight in compared]  # of a hidden layer that learns by M, what is above it
        model.train_on_batch(X, Y)
        changes[kind] = [weight.numpy() - old for weight, old in zip(compared, before)]
    for change, right in zip(changes[kk.Model], changes[keras.Model], strict=True):
        assert np.abs(right).max() > 1e-4
        np.testing.assert_allclose(change, right, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("of, mode", taking_turns(itertools.product(["weights", "sensitivity"], ["eager", "xla"]), 4))
def test_a_loss_scale_that_is_too_large_is_lowered(of, mode):
    """Each step that overflows halves it, moves nothing else and is told nobody; then training goes on as without."""
    found = []
    for too_large in (True, False):
        optimizers = {"optimizer": SGD(0.05), "sensitivity_optimizer": SGD(0.02)}
        if too_large:
            name = "optimizer" if of == "weights" else "sensitivity_optimizer"
            optimizers[name] = scale = scaled(optimizers[name], 2.0**127)
        model = build(on_nonfinite="stop", sensitivity_every=1, **optimizers, **MODES[mode])
        m = model.get_layer("hidden").sensitivity_tensor
        m.assign(20 * m)  # which makes its gradients large, as the targets those of the weights
        before, steps, now = values(model), 0, set()
        while not now:
            model.train_on_batch(X, 60 * Y)
            now, steps = moved(before, values(model)), steps + 1
            assert steps < (30 if too_large else 2)
        if too_large:
            assert steps > 1 and scale_of(scale) == 2.0 ** (127 - steps + 1)
            assert scale_of(scale) in [float(variable) for variable in state.moved(model) if variable.shape == ()]
            assert now == ALL and model.diagnostics()["skipped_updates"] == 0.0
        found.append(values(model))
    same(*found, rtol=1e-6)


def test_a_gradient_that_no_loss_scale_is_to_blame_for_stops():
    model = build(optimizer=scaled(SGD(0.1), 1.0), on_nonfinite="stop")
    with pytest.raises(FloatingPointError, match="step 1: target of the batch holds"):
        model.train_on_batch(X, np.full_like(Y, np.nan))
    model.get_layer("readout").kernel.assign(tf.fill((5, O), np.float32(1e38)))
    with pytest.raises(FloatingPointError, match="holds NaN or infinity"):
        model.train_on_batch(X, Y)
    assert scale_of(model.optimizer) == 1.0


def test_mixed_dtypes_in_one_model():
    """A hidden layer in double precision below one in single, and a readout: one norm, one update; losses add up."""
    inputs = keras.Input((None, I), dtype="float64")
    wide = kk.RNN(kk.LIFCell(5, dtype="float64"), name="wide", dtype="float64")
    narrow = kk.RNN(kk.LIFCell(5), name="narrow")
    model = kk.Model(inputs, keras.layers.Dense(O, name="readout")(narrow(wide(inputs))))
    model.compile("sgd", "mse", sensitivity_every=1, run_eagerly=True)
    before = values(model)
    model.train_on_batch(X, Y)
    assert moved(before, values(model)) == WEIGHTS | {"sensitivity_tensor"}
    assert before["wide/kernel"].dtype == "float64" and before["narrow/kernel"].dtype == "float32"
    each = [layer.diagnostics.result()["sensitivity_loss"] for layer in (wide, narrow)]
    assert min(each) > 0.0 and model.diagnostics()["sensitivity_loss"] == pytest.approx(sum(each))


def test_each_group_is_clipped_by_its_own_optimizer():
    model = build(optimizer=SGD(1.0, global_clipnorm=1e-3), sensitivity_optimizer=SGD(1.0))
    before = values(model)
    model.train_on_batch(X, Y)
    steps = {name: value - before[name] for name, value in values(model).items()}
    groups = [[step for name, step in steps.items() if name.split("/")[1] in group] for group in (WEIGHTS, SENSITIVITY)]
    norms = [np.sqrt(sum(np.sum(step**2) for step in group)) for group in groups]
    np.testing.assert_allclose(norms[0], 1e-3, rtol=1e-2)
    assert model.diagnostics()["weight_gradient_norm"] > 1e-3 and norms[1] > 1e-3


@pytest.mark.parametrize("scale", taking_turns([1e2, 1.0, 1e-2]))
def test_steps_of_m_are_in_proportion_to_m_by_default(scale):
    """Whatever the units are: in one step the root mean square of M changes by 10 % of it."""
    model = build(sensitivity_optimizer=None)
    m = model.rule_layers[0].sensitivity_tensor
    before = scale * np.random.default_rng(0).normal(size=m.shape)
    m.assign(before)
    model.train_on_batch(np.tile(X, (1, 2, 1)), np.tile(Y, (1, 2, 1)))
    rms = [float(np.sqrt(np.mean(np.square(each)))) for each in (before, m.numpy() - before)]
    np.testing.assert_allclose(rms[1] / rms[0], 0.1, rtol=1e-3)


@pytest.mark.parametrize("scale", taking_turns([1e-4, 1.0, 1e4]))
def test_m_stays_finite_where_a_row_and_a_column_have_no_gradient(scale):
    """Of a unit that receives nothing and of one that sends nothing."""
    model = build(sensitivity_optimizer=None)
    weights = model.rule_layers[0].sensitivity_weights
    before = [weight.numpy() for weight in weights]
    gradients = [scale * np.random.default_rng(0).normal(size=weight.shape) for weight in weights]
    gradients[0][1], gradients[0][:, 2] = 0.0, 0.0  # M's, [H, H]
    pairs = [(tf.constant(gradient, "float32"), weight) for gradient, weight in zip(gradients, weights)]
    for _ in range(3):
        model.sensitivity_optimizer.apply_gradients(pairs)
    for gradient, old, weight in zip(gradients, before, weights):
        assert np.isfinite(weight.numpy()).all()
        np.testing.assert_array_equal(weight.numpy() != old, gradient != 0.0)


@pytest.mark.parametrize("averaged", taking_turns([(WEIGHTS | SENSITIVITY,), (WEIGHTS,), (SENSITIVITY,)]))
def test_the_weights_end_as_the_averages_of_their_own_optimizer(averaged):
    """W_rec and M are of one shape, as a mistake would need."""
    momentum, seen = 0.8, []
    rates = (0.05, WEIGHTS), (0.02, SENSITIVITY)
    one, other = (SGD(rate, use_ema=averaged >= group, ema_momentum=momentum) for rate, group in rates)
    model = build(optimizer=one, sensitivity_optimizer=other, sensitivity_every=1)
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(values(model)))
    seen.append(values(model))
    model.fit(X, Y, batch_size=2, shuffle=False, verbose=0, callbacks=[look])
    for name, value in values(model).items():
        history = [each[name] for each in seen]
        expected = history[-1]
        assert name.endswith("draws") or not np.array_equal(history[0], expected)
        if name.split("/")[1] in averaged:
            first = 1 if IS_KERAS_3 else 0  # of Keras 3 the average begins with the first step
            expected = history[first]
            for later in history[first + 1 :]:
                expected = momentum * expected + (1.0 - momentum) * later
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_m_by_least_squares_follows_weights_that_become_their_averages():
    model = build(rule="kernl", optimizer=SGD(0.5, use_ema=True, ema_momentum=0.8), sensitivity_optimizer=None)
    layer, seen = model.rule_layers[0], []

    def look(batch=None, logs=None):
        seen.append((layer.cell.direct_effect().numpy(), tf.convert_to_tensor(layer.sensitivity_tensor).numpy()))

    model.fit(X, Y, batch_size=2, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=look)])
    look()
    (*_, (last, last_m), (effect, m)) = seen
    assert np.abs(effect - last).max() > 1e-3
    np.testing.assert_allclose(m - effect, last_m - last, atol=1e-6)


def test_errors():
    model, both = build(compiled=False), SGD(0.1)
    with pytest.raises(ValueError, match="must not be the weights' optimizer; received <.* twice"):
        model.compile(both, "mse", sensitivity_optimizer=both)
    with pytest.raises(ValueError, match=r"You must call `compile\(\)` before `diagnostics\(\)`"):
        model.diagnostics()
    model.compile("sgd", "mse", sensitivity_optimizer="sgd")  # two of one word
