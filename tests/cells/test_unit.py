"""Units of one's own: those of the package written once more, and one that it does not have."""

import math

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, LinearTraces, PlainKeRNL, ReadoutOnly, Replica

from ..reference.cases import draw
from ..reference.expected import compute, learn, same
from ..reference.tools import run_by_steps
from ..reference.units import TAUS, Leaky, PotentialFirst, Quadratic, Synaptic, layer_over

B, T, I, H = 2, 9, 3, 4  # noqa: E741
LASTING, PERIODS = [90.0, 40.0, 70.0, 80.0], [12.0, 7.0, 30.0, 9.0]


class Waiting(Leaky):
    """`LIFCell` with a refractory time of 2 ms, in which a unit does not hear."""

    states = ("v", "wait")

    def integrate(self, state, current, p):
        return tf.where(state.wait > 0.0, state.v, *super().integrate(state, current, p)), state.wait

    def recover(self, before, spike, p):
        return before.v * (1.0 - spike), tf.nn.relu(before.wait - 1.0) + 2.0 * tf.stop_gradient(spike)


@keras.utils.register_keras_serializable("tests")
class Adapting(kk.Unit):
    """`AdLIFCell`."""

    states = ("v", "w")
    unit_constants = {"tau_m": 6.0, "tau_a": 30.0, "coupling": 20.0, "strength": 40.0}

    def integrate(self, state, current, p):
        left = tf.exp(-p.dt / p.tau_m)
        return left * state.v + (1.0 - left) * (current - state.w), state.w

    def distance(self, before, p):
        return before.v - 1.0

    def recover(self, before, spike, p):
        left = tf.exp(-p.dt / p.tau_a)
        v = before.v * (1.0 - spike)
        return v, left * before.w + (1.0 - left) * (p.coupling * v + p.strength * spike)


class Swinging(kk.Unit):
    """The potentials of `ResonatorCell`."""

    states = ("v", "quadrature")
    unit_constants = {"tau_m": 100.0, "period": 20.0}

    def integrate(self, state, current, p):
        left, angle = tf.exp(-p.dt / p.tau_m), 2.0 * np.pi * p.dt / p.period
        leak, turn = left * tf.cos(angle), left * tf.sin(angle)
        return leak * state.v - turn * state.quadrature + current, turn * state.v + leak * state.quadrature

    def distance(self, before, p):
        return before.v - 1.0

    def recover(self, before, spike, p):
        return (state for state in before)


class WrittenAdapting(Adapting):
    """With its derivatives by hand, some of which are numbers and some depend on constants alone."""

    def derivatives(self, start, current, before, spike, p):
        leak, left = tf.exp(-p.dt / p.tau_m), tf.exp(-p.dt / p.tau_a)
        coupled = (1.0 - left) * p.coupling
        return {
            "P": ((leak, leak - 1.0), (0.0, 1.0)),
            "Q": (1.0 - leak, 0),
            "r": [1, 0],
            "K": [[1.0 - spike, 0.0], [coupled * (1.0 - spike), left]],
            "s": (-before.v, (1.0 - left) * p.strength - coupled * before.v),
        }


class WrittenQuadratic(Quadratic):
    """With derivatives that depend on the states, and others as they are found."""

    def derivatives(self, start, current, before, spike, p):
        share = p.dt / p.tau_m
        steep = 1.0 + share * p.sharpness * (2.0 * start.v - 0.5)
        found = super().derivatives(start, current, before, spike, p)
        return {**found, "P": ((steep, -share), (0.0, 1.0 - p.dt / p.tau_w)), "s": (-before.v, p.jump)}


PACKAGED = {  # own unit: its settings, and the package's cell with its own, or the same without written derivatives
    "leaky": (
        Leaky, dict(tau_m=TAUS), kk.LIFCell,
        dict(tau_m=TAUS, tau_s=None, tau_a=1.0, tau_ref=0.0, resistance=2.0),
    ),
    "waiting": (
        Waiting, dict(tau_m=TAUS), kk.LIFCell,
        dict(tau_m=TAUS, tau_s=None, tau_a=1.0, tau_ref=2.0, resistance=2.0),
    ),
    "adapting": (
        Adapting, dict(tau_m=TAUS, tau_a=30.0), kk.AdLIFCell,
        dict(tau_m=TAUS, tau_a=30.0, resistance=1.0, coupling=20.0, adaptation_strength=40.0, surrogate="triangle"),
    ),
    "swinging": (
        Swinging, dict(tau_m=LASTING, period=PERIODS), kk.ResonatorCell,
        dict(tau_m=LASTING, period=PERIODS, tau_a=1.0, adaptation_strength=0.0, surrogate="triangle"),
    ),
    "adapting, written": (WrittenAdapting, dict(tau_m=TAUS), Adapting, dict(tau_m=TAUS)),
    "quadratic, written": (WrittenQuadratic, dict(tau_m=TAUS), Quadratic, dict(tau_m=TAUS)),
}  # fmt: skip
RULES = {
    "bptt": (BPTT(), {}),
    "bptt, tape": (BPTT(tape=True), {}),
    "bptt, window": (BPTT(), {"window": 4}),
    "eprop": (EProp(reset_gradient=True), {}),
    "eprop, reset not followed": (EProp(), {}),
    "eprop, traces": (EProp(reset_gradient=True), {"traces": True}),
    "eprop, window": (EProp(reset_gradient=True), {"window": 4}),
    "eprop, linear memory": (EProp(reset_gradient=True), {"window": 4, "traces": "linear"}),
    "kernl, linear memory": (KeRNL("whole_unit"), {"window": 4, "traces": "linear"}),
    "kernl": (KeRNL("whole_unit"), {}),
    "kernl, traces": (KeRNL("whole_unit"), {"traces": True}),
    "kernl, no adaptation": (KeRNL("whole_unit", adaptation=False), {}),
    "kernl, replica, window": (KeRNL("whole_unit", Replica(0.3)), {"window": 4}),
    "kernl, exponential, traces": (KeRNL("exponential"), {"traces": True}),
    "plain": (PlainKeRNL(Exponential(2), noise="synapse"), {}),
    "rflo": (RFLO(), {}),
    "readout only": (ReadoutOnly(), {}),
}
X, ERROR = 3.0 * draw(71, B, T, I) + 1.0, draw(72, B, T, H)
WEIGHTS = draw(73, I, H), draw(74, H, H), draw(75, H)
SENSITIVITY = 0.3 * draw(76, 2, H, H), 0.1 * draw(77, 2, H) ** 2


@pytest.mark.sampled(9)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("unit", PACKAGED)
def test_a_unit_written_once_more_learns_as_the_packages(unit, rule):
    own, settings, packaged, of_package = PACKAGED[unit]
    (rule, of_layer), common = RULES[rule], dict(use_bias=True, dtype="float64")
    layers = (
        layer_over(kind(H, **of_cell, **common), rule, X.shape, WEIGHTS, SENSITIVITY, **of_layer)
        for kind, of_cell in ((own, settings), (packaged, of_package))
    )
    found, expected = (compute(layer, tf.constant(X), ERROR) for layer in layers)
    assert 0.05 < np.mean(expected[0]) < 0.95
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected)):
        same(one, other)


@pytest.mark.parametrize("settings", [{}, {"window": 4}, {"traces": True, "stateful": True}], ids=repr)
@pytest.mark.parametrize("kind", [Leaky, Synaptic, PotentialFirst])
def test_kernl_is_exact_through_one_other_unit(kind, settings):
    """Units 0 and 1 go to 2 and 3, which go nowhere; M is the direct effect, and a current may move several states."""
    layers, x, error = [], tf.constant(X), tf.constant(ERROR)
    for rule, of_layer in (("bptt", {}), (KeRNL("whole_unit"), settings)):
        layer = kk.RNN(kind(H, use_bias=True, dtype="float64"), rule, **of_layer)
        layer.build(x.shape)
        layer.cell.kernel.assign(WEIGHTS[0])
        layer.cell.recurrent_kernel.assign(np.outer([1, 1, 0, 0], [0, 0, 1, 1]) * WEIGHTS[1])
        layers.append(layer)
    layers[1].reset_sensitivity()
    expected, found = compute(layers[0], x, error)[1], 0.0
    for steps in (slice(0, 5), slice(5, T)) if layers[1].stateful else (slice(0, T),):
        found += compute(layers[1], x[:, steps], error[:, steps])[1]
    same(found, expected)


def test_under_rflo_no_spike_moves_an_adaptation():
    """p(t) leaks as v does, whatever spikes do to w, in NumPy."""
    p = [0.9, 0.2, 0.95, 0.5]  # leak, pull, decay, jump

    class Jumping(kk.Unit):
        states = ("v", "w")

        def integrate(self, state, current, _):
            return p[0] * state.v - p[1] * state.w + current, p[2] * state.w

        def distance(self, before, _):
            return before.v - 1.0

        def recover(self, before, spike, _):
            return before.v * (1.0 - spike), before.w + p[3] * spike

    layer = kk.RNN(Jumping(H, dtype="float64"), "rflo")
    layer.build(X.shape)
    layer.cell.kernel.assign(WEIGHTS[0])
    layer.cell.recurrent_kernel.assign(np.zeros((H, H)))
    expected, spikes = np.zeros((I, H)), 0
    for x, error in zip(X, ERROR):
        v, w, of_v = np.zeros(H), np.zeros(H), np.zeros((I, H))
        for now, of_z in zip(x, error):
            v, w = p[0] * v - p[1] * w + now @ WEIGHTS[0], p[2] * w
            psi, z = 0.3 * np.maximum(1.0 - np.abs(v - 1.0), 0.0), v >= 1.0
            of_v = p[0] * of_v + now[:, None] * psi
            expected += of_v * of_z
            v, w, spikes = v * ~z, w + p[3] * z, spikes + z.sum()
    assert spikes > 5
    same(learn(layer, tf.constant(X), tf.constant(ERROR)).gradients["kernel"], expected)


@pytest.mark.parametrize(
    "rule", [pytest.param("kernl", marks=pytest.mark.slow), "eprop", pytest.param("bptt", marks=pytest.mark.slow)]
)
def test_a_unit_of_ones_own_is_trained_saved_loaded_and_exported(rule, tmp_path):
    inputs, x, y = keras.Input((5, I)), np.float32(X[:, :5]), np.float32(draw(78, B, 5, 2))
    drawn = dict(sharpness=kk.LogUniform(1.5, 2.5), jump=keras.initializers.RandomUniform(-0.1, 0.4))
    hidden = kk.RNN(Quadratic(H, learn="sharpness", tau_m=TAUS, **drawn), rule=rule, name="hidden")(inputs)
    model = kk.Model(inputs, kk.Readout(2)(hidden))
    model.compile("adam", "mse", jit_compile=rule != "eprop", run_eagerly=rule == "eprop")
    before = [each.numpy() for each in model.trainable_variables]
    model.fit(x, y, verbose=0)
    moved = [np.any(each.numpy() != old) for each, old in zip(model.trainable_variables, before)]
    assert all(moved)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cells = [each.get_layer("hidden").cell for each in (model, loaded)]
    assert cells[0].get_config() == cells[1].get_config()
    for name in drawn:
        one, other = (np.asarray(cell.constants()[name]) for cell in cells)
        assert len(set(one)) == H and np.array_equal(one, other)
    same(loaded(x), model(x))
    alignment = kk.gradient_alignment(model, x, y, ("eprop",), windows=1)
    cosines = alignment.variables["hidden/kernel"]
    assert 0.0 < cosines["eprop"].cosine < 1.0
    if rule == "eprop":
        outputs, _ = run_by_steps(kk.one_step(model), x)
        np.testing.assert_allclose(outputs, model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("own", "packaged", "constants"),
    [
        (Leaky, kk.LIFCell, dict(tau_m=[4.0, 60.0, 9.0, 6.0])),
        (Adapting, kk.AdLIFCell, dict(tau_m=TAUS, tau_a=30.0, coupling=[20.0, 90.0, 5.0, 30.0])),
        (Swinging, kk.ResonatorCell, dict(tau_m=LASTING, period=PERIODS)),
    ],
)
@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_linear_memory_of_a_unit_is_that_of_the_packages(own, packaged, constants, dt):
    of_package, found, poles = {"tau_s": None, **({"tau_a": 1.0} if packaged is not kk.AdLIFCell else {})}, [], []
    for kind, settings in ((own, constants), (packaged, {**of_package, **constants})):
        layer = kk.RNN(kind(H, dt=dt, use_bias=True, **settings), rule="eprop", traces="linear", window=8)
        layer.build(X.shape)
        memory = layer.memory.settings
        found.append((memory.hops, memory.segments, memory.segment_steps, layer.memory.grow))
        poles.append(layer.memory.filters.poles)
    assert found[0] == found[1]
    same(*poles, tolerance=1e-4)


def test_periods_of_units_of_your_own_are_those_of_the_draws():
    """Constants that are drawn give the range of 100 draws for each unit, the same in every process."""
    first, again = (Adapting(H, tau_a=kk.LogUniform(10.0, 90.0)).swings() for _ in range(2))
    assert first == again and first[1] > 1.1 * first[0]


def test_a_unit_without_a_derivative_at_rest_does_not_oscillate():
    class Rooted(Swinging):
        def integrate(self, state, current, p):
            return 0.5 * state.v + current, tf.sqrt(state.quadrature)

    assert (Rooted(H).time_scales(), Rooted(H).swings()) == (((100.0, 100.0), None), None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whether_a_unit_oscillates_is_found_in_its_dtype(dtype):
    own, packaged = Adapting(H, dtype=dtype), kk.AdLIFCell(H, tau_m=6.0, tau_a=30.0, coupling=20.0)
    assert own.swings() == pytest.approx(packaged.swings(), rel=1e-5)


class Scaled(Leaky):
    """What a current adds depends on a constant. `scaled_lif` is the same step in the package."""

    def integrate(self, state, current, p):
        return (state.v + p.dt / p.tau_m * (current - state.v),)


def scaled_lif(units, **settings):
    return kk.LIFCell(units, resistance=1.0, tau_s=None, tau_ref=0.0, discretization="euler", **settings)


@pytest.mark.parametrize("kind", [Scaled, scaled_lif])
def test_the_drive_of_a_unit_is_that_of_its_constants_now(kind):
    """After they have learned, M = drive W_rec^T still is the direct effect, so that F is 0."""
    rule = KeRNL("whole_unit", adaptation=True)
    cell = kind(H, tau_m=20.0, learn="tau_m", dtype="float64")
    layer = kk.RNN(cell, rule=rule, traces="linear", window=4, seed=1)
    x = tf.constant(np.tile(X, (1, 2, 1)))
    layer(x)
    for tau in (20.0, 4.0):
        cell.learned_weights()["tau_m"].assign(np.full(H, np.log(tau)))
        np.testing.assert_allclose(cell.parameters().drive, np.full(H, 1.0 / tau))
        layer.sensitivity_tensor.assign(np.transpose(cell.recurrent_weights()) / tau)
        layer(x, training=True)
        assert float(layer.report.sensitivity_loss) < 1e-20 < 1e-3 < float(layer.report.perturbation_variance)


@pytest.mark.parametrize("learn", [pytest.param((), marks=pytest.mark.slow), "tau_m"])
def test_a_loaded_unit_has_the_drive_of_the_draws_that_were_saved(learn, tmp_path):
    keras.utils.register_keras_serializable("tests")(Scaled)
    inputs = keras.Input(batch_shape=(B, 3, I))
    cell = Scaled(H, tau_m=kk.LogUniform(2.0, 80.0), learn=learn)
    traces, x, y = LinearTraces(segments=1), np.float32(X[:, :3]), np.ones((B, 3, H), "float32")
    model = kk.Model(inputs, kk.RNN(cell, rule="kernl", stateful=True, window=2, traces=traces)(inputs))
    model.compile("sgd", "mse", run_eagerly=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    same(loaded.layers[1].cell.parameters().drive, cell.parameters().drive)
    for one, other in zip(model.gradients(x, y), loaded.gradients(x, y)):
        np.testing.assert_array_equal(one, other)


WRITTEN = {"P": ((0.9,),), "Q": (0.1,), "r": (1.0,), "K": ((1.0,),), "s": (0.0,)}
MISTAKES = [  # what is written in the place of what `Leaky` has, and the message
    (dict(integrate=lambda self, state, current, p: state.v), r"integrate must .* as in return \(v,\); received one"),
    (dict(states=("v", "w")), r"Wrong.integrate must return one tensor for each .*received 1\."),
    (dict(integrate=lambda self, state, current, p: (state.v,)), "integrate must let a current raise .*tive of 0"),
    (dict(integrate=lambda self, state, current, p: (state.w,)), "no attribute 'w'. The states of Wrong are v, and p"),
    (
        dict(integrate=lambda self, state, current, p: (math.exp(-p.dt) * current,)),
        "real number.* as tensors",
    ),
    (dict(integrate=lambda self, state, current, p: (p.tau * current,)), "'tau'. .*, and p has tau_m, dt"),
    (dict(integrate=kk.Unit.integrate), "Wrong must implement integrate"),
    (dict(distance=lambda self, before, p: before.v > 1.0), "distance must return one .* received bool of shape"),
    (dict(distance=lambda self, before, p: tf.reduce_mean(before.v)), "distance must return .* received float32 of"),
    (dict(distance=lambda self, before, p: before.v + 0.01 * tf.sqrt(before.v)), "Wrong must have finite derivatives"),
    (
        dict(integrate=lambda self, state, current, p: (current - tf.reduce_mean(state.v),)),
        "Wrong.integrate must .* al",
    ),
    (dict(distance=lambda self, before, p: before.v - tf.reduce_max(before.v, -1)), "Wrong.distance must compute each"),
    (dict(recover=lambda self, before, spike, p: (tf.cumsum(before.v),)), "Wrong.recover must compute each unit"),
    (dict(integrate=lambda self, state, current, p: None), r"as in return \(v,\); received None"),
    (dict(integrate=lambda self, state, current, p: {"v": state.v}), "as in return .*; received {'v'"),
    (
        dict(recover=lambda self, before, spike, p: (0.0,)),
        r"must return v as a float32 tensor of shape \(4,\), .*ed 0.0",
    ),
    (dict(recover=lambda self, before, spike, p: (tf.cast(spike, "int32"),)), "must return v as .* received int32 of"),
    (dict(integrate=lambda self, state, current, p: (current[..., :1],)), r"must return v as .* of shape \(1,\)"),
    (dict(distance=lambda self, before, p: before.v[:2]), r"distance must return .* received float32 of shape \(2,\)"),
    (dict(states="volt"), "states of Wrong must be a tuple of one or more different names; received 'volt'"),
    (dict(states=("v", "v")), r"a tuple of one or more different names; received \('v', 'v'\)"),
    (dict(states=()), r"a tuple of one or more different names; received \(\)"),
    (dict(unit_constants=("tau_m",)), r"unit_constants of Wrong must be a dict; received \('tau_m',\)"),
    (dict(unit_constants={"tau_m": 9.0, "Own": 1.0}), r"must have names of their own; received \['Own'\]"),
    (dict(derivatives=lambda self, *_: None), r"derivatives must return a dict of P, Q, r, K and s; received None"),
    (dict(derivatives=lambda self, *_: {"P": 1.0, "Q": 1.0}), r"must return a dict of P, .*; received \['P', 'Q'\]"),
    *(
        (dict(derivatives=lambda self, *_, wrong=wrong: {**WRITTEN, **wrong}), message)
        for wrong, message in (
            ({"P": (0.9,)}, r"derivatives must return P as a tuple of 1 rows of 1 entries, .*; received \(0.9,\)"),
            ({"s": (0.0, 0.0)}, r"must return s as a tuple of 1 entries, each a number or a float32 .*\(0.0, 0.0\)"),
            ({"r": ("v",)}, r"must return r as a tuple of 1 entries, .*; received \('v',\)"),
            ({"Q": (tf.ones(H, "float64"),)}, r"must return Q as .*float64"),
            ({"K": ((tf.ones(H + 1),),)}, r"must return K as .*shape=\(5,\)"),
            ({"r": (math.nan,)}, "must have finite derivatives"),
            ({"Q": (0.0,)}, "integrate must let a current raise .*tive of 0"),
        )
    ),
    (dict(linear_step=lambda self, *_: None), r"received \['linear_step'\], which .* Write derivatives in its place."),
    (
        dict(constants={"tau": 9.0}),
        r"received \['constants'\], which .* Constants go into unit_constants.",
    ),
    (dict(gate=lambda self, x: tf.sigmoid(x)), r"methods of Wrong must have names of their own; received \['gate'\]"),
    (dict(states=("class",)), r"states of Wrong must be a tuple of valid .* received \('class',\)"),
    (dict(states=("_v",)), r"must be a tuple of valid .* without a leading underscore; received \('_v',\)"),
    (dict(states=("adaptation", "v")), r"states of Wrong must have 'adaptation' as the last .*; received \('adap"),
    (dict(states=("adaptation",)), "states of Wrong must have 'adaptation' as the last of several"),
    (dict(states=("v", "trace")), r"states of Wrong must have names of their own; received \['trace'\]"),
    (dict(states=("v", "output")), r"states of Wrong must have names of their own; received \['output'\]"),
    (
        dict(unit_constants={"tau_m": 9.0, "drive": 1.0, "learn": 1.0, "call": 1.0, "bias": 1.0}),
        r"unit_constants of Wrong must have .* received \['bias', 'call', 'drive', 'learn'\]",
    ),
    (dict(unit_constants={"tau m": 1.0}), "unit_constants of Wrong must be a dict whose .* received {'tau m'"),
]


@pytest.mark.parametrize(("wrong", "message"), MISTAKES)
def test_what_is_wrong_with_a_unit_is_named(wrong, message):
    with pytest.raises((ValueError, TypeError, AttributeError, NotImplementedError), match=message):
        type("Wrong", (Leaky,), wrong)(H).build((None, I))


def test_the_nearest_constant_is_named():
    with pytest.raises((TypeError, ValueError), match="Leaky has no argument 'tau_n'; did you mean 'tau_m'"):
        Leaky(H, tau_n=3.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"P": ((1.0, 0.0), (0.0, 1.0))}, r": P\[0\]\[0\] is 1 where differentiation finds 1\..*, P\[0\]\[1\] is 0 wh.*"
         r"finds -0.125, P\[1\]\[1\] is 1 where differentiation finds 0.9667\. All"),
        ({"s": (0.0, 0.3)}, r": s\[0\] is 0 where differentiation finds -[^,]*\. All rules follow"),
        ({"Q": (1.0, 0.1), "r": (1.0, -1.0)}, r": Q\[1\] is 0.1 where .* finds 0, r\[1\] is -1 where .* finds 0\. All"),
    ],
)  # fmt: skip
def test_written_derivatives_that_are_not_those_of_the_functions_are_warned_of(wrong, message):
    def derivatives(self, *step):
        return {**Quadratic.derivatives(self, *step), **wrong}

    with pytest.warns(UserWarning, match=f"Wrong.derivatives should return those of integrate, .* recover{message}"):
        type("Wrong", (Quadratic,), {"derivatives": derivatives})(H).build((None, I))


def test_a_path_can_be_left_out_of_what_is_written():
    """E-prop that follows the reset is then e-prop that does not."""

    class Blind(Leaky):
        def derivatives(self, *step):
            return {**super().derivatives(*step), "s": (0.0,)}

    rules, layers = (EProp(reset_gradient=True), EProp(), EProp(reset_gradient=True)), []
    for kind, rule in zip((Blind, Leaky, Leaky), rules):
        cell = kind(H, tau_m=TAUS, use_bias=True, dtype="float64")
        if kind is Blind:
            with pytest.warns(UserWarning, match=r"Blind.derivatives should .* s\[0\] is 0 where"):
                layers.append(layer_over(cell, rule, X.shape, WEIGHTS))
        else:
            layers.append(layer_over(cell, rule, X.shape, WEIGHTS))
    blind, without, following = (compute(layer, tf.constant(X), ERROR)[1] for layer in layers)
    same(blind, without)
    assert np.abs(following - without).max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(jump=keras.initializers.Constant(-1.0), learn="jump"), "jump must be from 0.001 to 1000 where it learns"),
        (dict(jump="zeros", learn="jump"), "jump must be a number, a list or an initializer; received 'zeros'"),
        (dict(jump=keras.initializers.Zeros(), learn="jump"), "jump must be from 0.001 to 1000 where it learns; rec"),
        (dict(jump=keras.initializers.Constant(np.nan)), "jump must be finite; its initializer .* drew nan"),
        (dict(jump=keras.initializers.Constant(np.nan), learn="jump"), "jump must be from 0.001 to 1000 where"),
    ],
)
def test_what_an_initializer_of_a_constant_may_draw(settings, message):
    with pytest.raises(ValueError, match=message):
        Quadratic(H, **settings).build((None, I))


@pytest.mark.parametrize("flat", [tf.floor, tf.sign, tf.stop_gradient])
def test_a_distance_without_a_derivative_is_warned_of(flat):
    kind = type("Flat", (Leaky,), {"distance": lambda self, before, p: flat(before.v - 1.0)})
    with pytest.warns(UserWarning, match="Flat.distance should have a derivative"):
        kind(H).build((None, I))


@pytest.mark.parametrize("hidden", [lambda z: tf.where(z > 0.0, 1.0, 0.0), tf.stop_gradient])
def test_a_reset_without_a_derivative_is_warned_of(hidden):
    kind = type("Blind", (Leaky,), {"recover": lambda self, before, z, p: (before.v * (1.0 - hidden(z)),)})
    with pytest.warns(UserWarning, match="Blind.recover should have a derivative by the spike"):
        kind(H).build((None, I))


def test_the_observed_potential_of_the_reference_settings_is_that_after_the_reset():
    layer = kk.RNN(Leaky(H, dtype="float64"), rule=kk.rules.PlainKeRNL.reference(time_steps=T), dtype="float64")
    layer.build((None, T, I))
    state = [tf.random.normal((2, H), dtype="float64") for _ in layer.cell.state_size]
    step, after = layer.cell.step(state[0] + 2.0, layer.cell.State(*state), layer.cell.parameters())
    seen = layer.rule.perturbation.observed(layer.cell, layer.cell.observables(step, after))
    np.testing.assert_array_equal(seen, tf.where(step.output > 0.0, tf.zeros_like(seen), step.before[0]))
    assert tf.reduce_any(step.output > 0.0)


def test_a_unit_that_does_not_rest_at_0_is_warned_of():
    def integrate(self, state, current, p):
        return (state.v + p.dt / p.tau_m * (current + 0.5 - state.v),)

    with pytest.warns(UserWarning, match="Wrong.integrate should leave a unit at rest .* it changes v"):
        type("Wrong", (Leaky,), {"integrate": integrate})(H).build((None, I))
