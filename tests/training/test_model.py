"""`Model`: the order of its two updates, their schedule, and all that must not move."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.cells.lif import LIFCell
from kernl_keras.keras_version import IS_KERAS_3, keras
from kernl_keras.layers.rnn import RNN
from kernl_keras.rules import Exponential, KeRNL
from kernl_keras.training import state
from kernl_keras.training.diagnostics import ACTIVITY, DIAGNOSTICS
from kernl_keras.training.model import Model
from kernl_keras.training.optimizers import take_gradients, update

from ..reference.cases import B, I, J, Network, T, draw
from ..reference.expected import Expected, kernels

O = 2  # noqa: E741


def rule(**settings):
    """With exponential kernels, so that there is a gamma to learn."""
    return KeRNL(kernel="exponential", **settings)


RULE = rule(reset_gradient=False)


def data(examples=6):
    return np.float32(1.5 * draw(60, examples, T, I) + 0.5), np.float32(draw(61, examples, T, O))


def model(layers=1, compile=True, learning_rate=0.05, sensitivity_learning_rate=0.02, **settings):  # noqa: A002
    inputs = x = keras.Input((T, I))
    names = ["hidden", "second"][:layers]
    for seed, name in enumerate(names):
        x = RNN(LIFCell(5), rule=settings.pop("rule", None) or rule(), seed=seed, name=name)(x)
    network = Model(inputs, keras.layers.Dense(O, name="readout")(x))
    if compile:
        settings = {"optimizer": keras.optimizers.SGD(learning_rate), **settings}
        settings.setdefault("sensitivity_optimizer", keras.optimizers.SGD(sensitivity_learning_rate))
        settings.setdefault("run_eagerly", "jit_compile" not in settings)  # for a few steps, tracing takes longest
        network.compile(loss="mse", **settings)
    return network


def values(network):
    """Weights of the `RNN` layer and the readout by name."""
    layers = network.rule_layers + [network.get_layer("readout")]
    return {f"{f.name}/{w.name.split('/')[-1].split(':')[0]}": w.numpy() for f in layers for w in f.weights}


def moved(before, after):
    return {name.split("/")[1] for name in before if (before[name] != after[name]).any()} - {"draws"}


SENSITIVITY = {"sensitivity_tensor", "temporal_filter"}
WEIGHTS = {"kernel", "recurrent_kernel", "bias"}


@pytest.mark.parametrize("wrap", ["eager", pytest.param("graph", marks=pytest.mark.slow), "xla"])
def test_a_step_is_the_hand_computed_one(wrap):
    """First M and gamma by F, then the weights by Eq. (22) with the new M and gamma, then the readout."""
    network, (m, gamma) = Network("hard adaptive", dtype="float64"), kernels(1)
    rate, sensitivity_rate = 0.1, 0.5
    layer = network.layer(RULE, m, gamma)
    inputs = keras.Input((T, I), dtype="float64")
    readout = keras.layers.Dense(O, dtype="float64")
    trained = Model(inputs, readout(layer(inputs)))
    trained.compile(
        keras.optimizers.SGD(rate), "mse", sensitivity_optimizer=keras.optimizers.SGD(sensitivity_rate),
        run_eagerly=wrap == "eager", jit_compile=wrap == "xla",
    )  # fmt: skip
    layer.draws.assign(0)  # a symbolic call may have counted
    cell, y = layer.cell, draw(70, B, T, O)
    w_out, b_out = (w.numpy() for w in readout.weights)
    w_rec = cell.recurrent_kernel.numpy()
    trained.train_on_batch(network.x, y)

    before = Expected(network, RULE, m, gamma)
    _, _, of_m, of_gamma = before.sensitivity()
    new_m, new_gamma = m - sensitivity_rate * of_m, np.maximum(gamma - sensitivity_rate * of_gamma, 0.0)
    z = before.run.output
    error = 2.0 * (z @ w_out + b_out - y) / y.size  # of the mean square
    of_weights, _ = Expected(network, RULE, new_m, new_gamma, error @ w_out.T).gradients()
    old, _ = Expected(network, RULE, m, gamma, error @ w_out.T).gradients()
    assert np.abs(old - of_weights).max() > 1e-3 * np.abs(of_weights).max() > 0  # the order shows
    tolerance = dict(rtol=1e-6, atol=1e-8)  # Keras keeps learning rates in single precision: updates of 0.1 to 3e-9
    np.testing.assert_allclose(layer.sensitivity_tensor, new_m[0], **tolerance)
    np.testing.assert_allclose(layer.temporal_filter, new_gamma[0], **tolerance)
    np.testing.assert_allclose(cell.kernel, network.w_in - rate * of_weights[:I], **tolerance)
    np.testing.assert_allclose(cell.recurrent_kernel, w_rec - rate * of_weights[I:-1], **tolerance)
    np.testing.assert_allclose(cell.bias, network.bias - rate * of_weights[-1], **tolerance)
    np.testing.assert_allclose(readout.weights[0], w_out - rate * np.einsum("bth,bto->ho", z, error), **tolerance)
    np.testing.assert_allclose(readout.weights[1], b_out - rate * error.sum((0, 1)), **tolerance)
    assert of_weights.shape == (J, 4)


def test_gamma_stays_at_or_above_zero():
    network = model(sensitivity_learning_rate=1e3)
    network.fit(*data(), verbose=0)
    gamma = network.rule_layers[0].temporal_filter.numpy()
    assert gamma.min() == 0.0


def test_diagnostics_by_hand():
    """One step: the numbers are those of `Expected`; the loss is the compiled one, without F."""
    network, (m, gamma) = Network("hard adaptive", dtype="float32"), kernels(1)
    layer = network.layer(RULE, m, gamma)
    inputs = keras.Input((T, I))
    readout = keras.layers.Dense(O)
    trained = Model(inputs, readout(layer(inputs)))
    trained.compile("sgd", "mse", sensitivity_optimizer=keras.optimizers.SGD(0.0), metrics=["mae"], run_eagerly=True)
    layer.draws.assign(0)
    y, (w_out, b_out) = draw(70, B, T, O), (w.numpy().astype("float64") for w in readout.weights)
    history = trained.fit(network.x, y, verbose=0, shuffle=False).history
    assert set(history) == {"loss", "mae"}
    expected = Expected(network, RULE, m, gamma)
    loss, variance, of_m, of_gamma = expected.sensitivity()
    z = expected.run.output
    error = z @ w_out + b_out - y
    of_output = 2.0 * error / y.size
    of_weights, _ = Expected(network, RULE, m, gamma, of_output @ w_out.T).gradients()
    of_readout = np.einsum("bth,bto->ho", z, of_output), of_output.sum((0, 1))
    norms = [np.sqrt(sum(np.sum(g**2) for g in group)) for group in ((of_m, of_gamma), (of_weights, *of_readout))]
    by_hand = {
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
    found = {name: values[0] for name, values in history.items()} | trained.diagnostics()
    assert set(by_hand) == set(found) == {"loss", "mae", *DIAGNOSTICS}
    for name, value in by_hand.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_warm_up():
    """`sensitivity_only` steps of M and gamma alone, then both."""
    network, (x, y) = model(sensitivity_only=2, sensitivity_every=1), data()
    for step in range(4):
        before = values(network)
        network.train_on_batch(x, y)
        assert moved(before, values(network)) == (SENSITIVITY if step < 2 else SENSITIVITY | WEIGHTS)
    assert int(network.sensitivity_optimizer.iterations) == 4 and int(network.optimizer.iterations) == 2


def test_ratio_of_updates():
    network, (x, y) = model(sensitivity_every=3), data()
    for step in range(7):
        before = values(network)
        network.train_on_batch(x, y)
        assert moved(before, values(network)) == (WEIGHTS | SENSITIVITY if step % 3 == 0 else WEIGHTS)


@pytest.mark.parametrize(
    "learned", ["eprop", "bptt", KeRNL(learn_sensitivity=False)], ids=["eprop", "bptt", "M stands"]
)
def test_models_without_m_and_gamma_to_learn(learned):
    network, (x, y) = model(rule=learned), data()
    before = values(network)
    network.fit(x, y, verbose=0)
    assert moved(before, values(network)) == WEIGHTS
    found = network.diagnostics()
    assert set(found) == {*ACTIVITY, "weight_gradient_norm", "skipped_updates"}
    assert found["firing_rate"] > 0 and found["weight_gradient_norm"] > 0


def test_a_frozen_gamma_stands_still_while_m_learns():
    network, (x, y) = model(rule=KeRNL(kernel=Exponential(learn=False))), data()
    before = values(network)
    network.fit(x, y, verbose=0)
    assert moved(before, values(network)) == (WEIGHTS | SENSITIVITY) - {"temporal_filter"}
    assert [weight.shape.rank for weight in network.rule_layers[0].sensitivity_weights] == [2]


def test_a_model_without_rule_layers():
    inputs = keras.Input((T, I))
    network = Model(inputs, keras.layers.Dense(O)(inputs))
    network.compile("sgd", "mse")
    x, y = data()
    history = network.fit(x, y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert set(network.diagnostics()) == {"weight_gradient_norm", "skipped_updates"}


def test_two_layers():
    network, (x, y) = model(layers=2), data()
    before = values(network)
    first, second = network.rule_layers
    assert [first.name, second.name] == ["hidden", "second"]
    network.train_on_batch(x, y)
    after = values(network)
    assert all((before[name] != after[name]).any() for name in before)


def test_regularizers_stay_in_the_loss():
    inputs = keras.Input((T, I))
    hidden = RNN(LIFCell(5, kernel_regularizer=keras.regularizers.L2(0.1)))(inputs)
    network = Model(inputs, keras.layers.Dense(O)(hidden))
    network.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    x, y = data()
    penalty = 0.1 * np.sum(network.rule_layers[0].cell.kernel.numpy() ** 2)
    loss = network.fit(x, y, verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, penalty + np.mean((network.predict(x, verbose=0) - y) ** 2), rtol=1e-4)


def test_evaluate_and_predict_move_nothing():
    network = model()
    x, y = data()
    network.fit(x, y, verbose=0)
    before = values(network)
    iterations = int(network.optimizer.iterations)
    first = network.evaluate(x, y, verbose=0)
    network.predict(x, verbose=0)
    assert [layer.report for layer in network.rule_layers] == [None]  # no tensor of a traced step is kept
    assert network.evaluate(x, y, verbose=0) == first  # no noise, no state
    after = values(network)
    assert moved(before, after) == set() and before["hidden/draws"] == after["hidden/draws"] == 1
    assert int(network.optimizer.iterations) == int(network.sensitivity_optimizer.iterations) == iterations == 1
    assert [layer.report for layer in network.rule_layers] == [None]


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_gradient_that_is_not_finite_is_skipped(jit_compile):
    """Neither by NaN in the targets nor by NaN in the inputs does any weight move, M and gamma not either."""
    network, (x, y) = model(jit_compile=jit_compile), data()
    bad_y, bad_x = y.copy(), x.copy()
    bad_y[0, 2, 0], bad_x[0, 3, 1] = np.nan, np.nan
    before = values(network)
    for batch in ((x, bad_y), (bad_x, y)):
        network.train_on_batch(*batch)
        assert moved(before, values(network)) == set()
        found = network.diagnostics()
        assert found.pop("skipped_updates") == 1.0 and np.isnan(list(found.values())).all()
        assert int(network.optimizer.iterations) == int(network.sensitivity_optimizer.iterations) == 0
    network.train_on_batch(x, y)
    found = network.diagnostics()
    assert moved(before, values(network)) == SENSITIVITY | WEIGHTS and found["skipped_updates"] == 0.0
    assert np.isfinite(list(found.values())).all()


def test_update_by_hand():
    variable, other = (tf.Variable(value) if not IS_KERAS_3 else keras.Variable(value) for value in ([1.0, 2.0], 3.0))
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build([variable, other])

    def of(slope):
        """Of a loss with that slope by `variable`, which does not reach `other`."""
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_sum(slope * variable)
        return take_gradients(tape, None if slope is None else loss, [variable, other], optimizer)

    reached = of([3.0, -4.0])
    assert (float(reached.norm), bool(reached.finite)) == (5.0, True)
    update(reached, True)
    np.testing.assert_allclose(variable.numpy(), [-0.5, 4.0])
    assert not bool(of([1.0, np.inf]).finite)
    update(reached, tf.constant(False))
    nothing = of(0.0)._replace(gradients=[], variables=[])
    update(nothing, True)
    np.testing.assert_allclose(variable.numpy(), [-0.5, 4.0])
    np.testing.assert_allclose(other.numpy(), 3.0)
    assert int(optimizer.iterations) == 1


def scaled(optimizer, scale=2.0**15):
    return keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=scale)


def scale_of(optimizer):
    return float(optimizer.dynamic_scale if IS_KERAS_3 else optimizer.loss_scale)


FACTOR = pytest.mark.skipif(not IS_KERAS_3, reason="optimizers of Keras 2 have no loss_scale_factor")


@pytest.mark.parametrize("how", ["both", pytest.param("factor", marks=FACTOR)])
def test_loss_scaling_changes_no_step(how):
    """In float32, where a power of 2 rounds nothing: KeRNL's gradients and M's, what is measured, what is clipped."""
    (x, y), results = data(), []
    for scale in (False, True):
        keras.utils.set_random_seed(1)
        factor = {"loss_scale_factor": 64.0} if scale and how == "factor" else {}
        optimizers = [keras.optimizers.SGD(0.1, global_clipnorm=0.01, **factor) for _ in range(2)]
        if scale and how == "both":
            optimizers = [scaled(each) for each in optimizers]
        network = model(optimizer=optimizers[0], sensitivity_optimizer=optimizers[1])
        gradients = [each.numpy() for each in network.gradients(x, y)]
        network.train_on_batch(x, y)
        results.append([*gradients, *values(network).values(), *network.diagnostics().values()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rule", ["bptt", "kernl"])
def test_tiny_gradients_survive_in_half_precision(rule):
    """As in `keras.Model`, where they have one way back; the loss is so small that they are 0 without its scale."""
    x, y = data()
    changes = {}
    for kind in (keras.Model, Model):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((T, I))
        hidden = RNN(LIFCell(5), rule=rule, seed=1)(inputs)
        half = keras.layers.Dense(3, dtype="mixed_float16", name="half")(hidden)
        network = kind(inputs, keras.layers.Dense(O, name="readout")(half))
        network.compile(scaled(keras.optimizers.SGD(1e8)), "mse", loss_weights=[1e-8], run_eagerly=True)
        compared = network.get_layer("half").weights if rule == "kernl" else network.trainable_weights
        before = [weight.numpy() for weight in compared]  # of a hidden layer that learns by M, what is above it
        network.train_on_batch(x, y)
        changes[kind] = [weight.numpy() - old for weight, old in zip(compared, before)]
    for change, right in zip(changes[Model], changes[keras.Model], strict=True):
        assert np.abs(right).max() > 1e-4
        np.testing.assert_allclose(change, right, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("of", ["weights", "sensitivity"])
@pytest.mark.parametrize("wrap", ["eager", pytest.param("xla", marks=pytest.mark.slow)])
def test_a_loss_scale_that_is_too_large_is_lowered(of, wrap):
    """Each step that overflows halves it, moves nothing else and is told nobody; then training goes on as without."""
    x, y = data()
    y, found = 60 * y, []  # which makes the weights' gradients large, as M below makes its own
    settings = {"jit_compile": True} if wrap == "xla" else {}
    for too_large in (True, False):
        keras.utils.set_random_seed(1)
        optimizers = {"optimizer": keras.optimizers.SGD(0.05), "sensitivity_optimizer": keras.optimizers.SGD(0.02)}
        if too_large:
            name = "optimizer" if of == "weights" else "sensitivity_optimizer"
            optimizers[name] = scale = scaled(optimizers[name], 2.0**127)
        network = model(on_nonfinite="stop", sensitivity_every=1, **optimizers, **settings)
        m = network.get_layer("hidden").sensitivity_tensor
        m.assign(20 * m)
        if too_large:
            before, steps = values(network), 0
            while not (moved_now := moved(before, values(network))):
                network.train_on_batch(x, y)
                steps += 1
                assert steps < 30
            assert steps > 1 and scale_of(scale) == 2.0 ** (127 - steps + 1)
            assert scale_of(scale) in [float(variable) for variable in state.moved(network) if variable.shape == ()]
            assert moved_now == WEIGHTS | SENSITIVITY and network.diagnostics()["skipped_updates"] == 0.0
        else:
            network.train_on_batch(x, y)
        found.append(values(network))
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name], err_msg=name)


def test_a_gradient_that_no_loss_scale_is_to_blame_for_stops():
    network = model(optimizer=scaled(keras.optimizers.SGD(0.1), 1.0), on_nonfinite="stop")
    x, y = data()
    with pytest.raises(FloatingPointError, match="step 1: target of the batch holds"):
        network.train_on_batch(x, np.full_like(y, np.nan))
    network.get_layer("readout").kernel.assign(tf.fill((5, O), np.float32(1e38)))
    with pytest.raises(FloatingPointError, match="holds NaN or infinity"):
        network.train_on_batch(x, y)
    assert scale_of(network.optimizer) == 1.0


def test_mixed_dtypes_in_one_model():
    """A hidden layer in double precision below a readout in single: one norm, one update."""
    inputs = keras.Input((T, I), dtype="float64")
    hidden = RNN(LIFCell(5, dtype="float64"), name="hidden", rule="eprop")(inputs)
    network = Model(inputs, keras.layers.Dense(O, name="readout", dtype="float32")(hidden))
    network.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    before = values(network)
    network.train_on_batch(*data())
    assert moved(before, values(network)) == WEIGHTS and before["hidden/kernel"].dtype == "float64"


def test_each_group_is_clipped_by_its_own_optimizer():
    clipped = keras.optimizers.SGD(1.0, global_clipnorm=1e-3)
    network, (x, y) = model(optimizer=clipped, sensitivity_learning_rate=1.0), data()
    before = values(network)
    network.train_on_batch(x, y)
    norm = network.diagnostics()["weight_gradient_norm"]
    after = values(network)
    steps = {name: after[name] - before[name] for name in before}
    of_weights = [step for name, step in steps.items() if name.split("/")[1] in WEIGHTS]
    of_sensitivity = [step for name, step in steps.items() if name.split("/")[1] in SENSITIVITY]
    np.testing.assert_allclose(np.sqrt(sum(np.sum(step**2) for step in of_weights)), 1e-3, rtol=1e-2)
    assert norm > 1e-3 and np.sqrt(sum(np.sum(step**2) for step in of_sensitivity)) > 1e-3


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_compiled_and_plain_steps_agree_and_are_traced_once(jit_compile):
    x, y = data()
    results = []
    for settings in ({"jit_compile": jit_compile}, {"run_eagerly": True}):
        keras.utils.set_random_seed(1)
        network = model(**settings)
        traces, step = [], network.train_step
        network.train_step = lambda batch, step=step, traces=traces: (traces.append(1), step(batch))[1]
        network.fit(x, y, batch_size=3, verbose=0, shuffle=False)
        first = len(traces)
        network.fit(x, y, batch_size=3, verbose=0, shuffle=False)
        assert len(traces) == first + (2 if "run_eagerly" in settings else 0) > 0
        results.append(values(network))
    for name, value in results[1].items():
        np.testing.assert_allclose(results[0][name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_loaded_model_goes_on_where_the_saved_one_was(tmp_path):
    """Weights, both optimizers' slots, their settings, the schedule and the count of draws."""
    adam, rmsprop = keras.optimizers.Adam(0.01), keras.optimizers.RMSprop(0.003, momentum=0.5)
    network = model(
        optimizer=adam, sensitivity_optimizer=rmsprop, sensitivity_only=1, sensitivity_every=2, metrics=["mae"]
    )
    x, y = data()
    network.fit(x, y, batch_size=2, verbose=0, shuffle=False)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Model) and (loaded.sensitivity_only, loaded.sensitivity_every) == (1, 2)
    for one, other in (
        (network.optimizer, loaded.optimizer),
        (network.sensitivity_optimizer, loaded.sensitivity_optimizer),
    ):
        assert type(one) is type(other) and int(one.iterations) == int(other.iterations) > 0
        slots = [getattr(o, "variables", None) for o in (one, other)]
        slots = [s() if callable(s) else s for s in slots]
        assert len(slots[0]) == len(slots[1]) > 2
        for slot, again in zip(*slots):
            np.testing.assert_array_equal(slot.numpy(), again.numpy())
    histories = [m.fit(x, y, batch_size=2, verbose=0, shuffle=False).history for m in (network, loaded)]
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-5, err_msg=name)
    for one, other in zip(network.weights, loaded.weights):
        np.testing.assert_allclose(other.numpy(), one.numpy(), rtol=1e-5, atol=1e-6)


def test_compiling_again_replaces_everything():
    network, (x, y) = model(), data()
    network.fit(x, y, verbose=0)
    network.compile("sgd", "mse", sensitivity_only=5, run_eagerly=True)
    before = values(network)
    network.fit(x, y, verbose=0)
    assert moved(before, values(network)) == SENSITIVITY
    assert network.diagnostics()["sensitivity_loss"] > 0


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
def test_steps_of_m_are_in_proportion_to_m_by_default(scale):
    """Whatever the units are: in one step the root mean square of M changes by 10 % of it."""
    network = model(sensitivity_optimizer=None)
    m = network.rule_layers[0].sensitivity_tensor
    before = scale * np.random.default_rng(0).normal(size=m.shape)
    m.assign(before)
    network.train_on_batch(*data())
    rms = [float(np.sqrt(np.mean(np.square(each)))) for each in (before, m.numpy() - before)]
    np.testing.assert_allclose(rms[1] / rms[0], 0.1, rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_m_stays_finite_where_a_row_and_a_column_have_no_gradient(scale):
    """Of a unit that receives nothing and of one that sends nothing."""
    network = model(sensitivity_optimizer=None)
    weights = network.rule_layers[0].sensitivity_weights
    before = [weight.numpy() for weight in weights]
    gradients = [scale * np.random.default_rng(0).normal(size=weight.shape) for weight in weights]
    gradients[0][1], gradients[0][:, 2] = 0.0, 0.0  # M's, [H, H]
    for _ in range(3):
        network.sensitivity_optimizer.apply_gradients(
            [(tf.constant(gradient, "float32"), weight) for gradient, weight in zip(gradients, weights)]
        )
    for gradient, old, weight in zip(gradients, before, weights):
        assert np.isfinite(weight.numpy()).all()
        np.testing.assert_array_equal(weight.numpy() != old, gradient != 0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(sensitivity_only=-1), "sensitivity_only must be an integer >= 0; received -1"),
        (dict(sensitivity_every=0), "sensitivity_every must be an integer >= 1; received 0"),
        (dict(diagnostics=1), "diagnostics must be True or False; received 1"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        model(compile=False).compile("sgd", "mse", **settings)


def test_a_layer_that_is_called_twice():
    """Its F is that of both calls, and no part of the weights' loss."""
    one, other = keras.Input((T, I)), keras.Input((T, I))
    shared = RNN(LIFCell(5), name="hidden", seed=1)
    outputs = keras.layers.Dense(O)(keras.layers.Concatenate()([shared(one), shared(other)]))
    network = Model([one, other], outputs)
    still = {"sensitivity_optimizer": keras.optimizers.SGD(0.0)}
    network.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True, **still)
    x, y = data()
    trained = network.train_on_batch([x, 2.0 * x], y, return_dict=True)
    tested = network.test_on_batch([x, 2.0 * x], y, return_dict=True)
    np.testing.assert_allclose(trained["loss"], tested["loss"], rtol=1e-6)
    assert shared.report is None and network.diagnostics()["sensitivity_loss"] > 0.0


def test_one_optimizer_for_both_groups_is_an_error():
    optimizer = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="sensitivity_optimizer must not be the weights' optimizer; received <"):
        model(optimizer=optimizer, sensitivity_optimizer=optimizer)
    model(optimizer="sgd", sensitivity_optimizer="sgd")


SUBCLASSED = """
import numpy as np
import kernl_keras as kk

class Mine(kk.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.readout = kk.RNN(kk.LIFCell(4), seed=1), kk.Readout(2)

    def call(self, x):
        return self.readout(self.hidden(x))

x = np.random.default_rng(0).normal(1.0, 2.0, (6, 7, 3)).astype("float32")
for order in ("compile fit", "compile call fit", "call compile fit"):
    model = Mine()
    steps = {"compile": lambda: model.compile("sgd", "mse", sensitivity_every=2), "call": lambda: model(x)}
    steps["fit"] = lambda: (
        model.fit(x, np.zeros((6, 7, 2)), verbose=0), print(model.diagnostics()["sensitivity_loss"] > 0.0)
    )
    for step in order.split():
        steps[step]()
"""


@pytest.mark.slow
def test_a_subclassed_model_trains_whenever_it_is_built():
    """In a process of its own: after a `Model` of inputs and outputs Keras expects them of its subclasses."""
    done = subprocess.run([sys.executable, "-c", SUBCLASSED], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["True"] * 3, done.stderr[-2000:]


def test_steps_in_which_m_rests_do_not_count_in_its_means():
    """Of two steps M learns in the first: what is reported of it is that step's alone, of the weights both's."""
    x, y = data(4)
    found = []
    for examples in (2, 4):
        keras.utils.set_random_seed(8)
        network = model(sensitivity_every=2)
        network.fit(x[:examples], y[:examples], batch_size=2, verbose=0, shuffle=False)
        found.append(network.diagnostics())
    one, both = found
    for name in ("sensitivity_loss", "explained_variance", "sensitivity_gradient_norm"):
        assert one[name] != 0.0
        np.testing.assert_allclose(both[name], one[name], rtol=1e-6)
    assert abs(both["weight_gradient_norm"] / one["weight_gradient_norm"] - 1.0) > 1e-3


@pytest.mark.slow
def test_keras_own_backup_goes_on_exactly(tmp_path):
    """`BackupAndRestore`: weights, counts of draws and the slots of both optimizers, to the bit."""

    def train(*callbacks):
        keras.utils.set_random_seed(4)
        network = model(
            optimizer=keras.optimizers.Adam(0.01), sensitivity_optimizer=keras.optimizers.RMSprop(0.01, momentum=0.5)
        )
        history = network.fit(*data(2), batch_size=2, epochs=4, shuffle=False, verbose=0, callbacks=list(callbacks))
        optimizers = network.optimizer, network.sensitivity_optimizer
        return len(history.epoch), [*network.weights, *(v for each in optimizers for v in each.variables)]

    def stop(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup" if IS_KERAS_3 else str(tmp_path / "backup"))

    with pytest.raises(KeyboardInterrupt):
        train(backup(), keras.callbacks.LambdaCallback(on_epoch_begin=stop))
    epochs, resumed = train(backup())
    assert epochs == 2
    for one, other in zip(train()[1], resumed, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
