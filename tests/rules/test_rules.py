"""Rules are objects: their settings, how they are named, saved and loaded, and rules of one's own."""

import functools
import inspect
import math

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras import rules
from kernl_keras.keras_version import keras
from kernl_keras.rules import EProp, Exponential, KeRNL, LinearTraces, PlainKeRNL, Rule, Tangent, Twin
from kernl_keras.rules.settings import Settings

from ..reference.cases import B, H, Network, T, draw, taking_turns
from ..reference.expected import compute, kernels, same

# Of every setting of every object: a value that is not the default, and a cell where it matters.
CHANGES = {
    EProp: dict(adaptation=False, reset_gradient=True),
    rules.BPTT: dict(tape=True),
    KeRNL: dict(
        kernel="exponential", perturbation="twin", adaptation=False, reset_gradient=False, learn_sensitivity=False,
        sensitivity_initializer="zeros",
    ),
    PlainKeRNL: dict(
        kernel=Exponential(2), noise="synapse", post_factor="trace", credit="last", perturbation="twin",
        learn_sensitivity=False, sensitivity_initializer="recurrent",
    ),
    Exponential: dict(count=2, learn=False, initializer="zeros"),
    Tangent: dict(max_perturbation=0.5, resync_every=2, observe="voltage"),
    Twin: dict(std=1.5, resync_every=2, observe="voltage"),
    rules.Replica: dict(std=1.5, resync_every=2, observe="voltage"),
    LinearTraces: dict(poles=2, hops=2, damping=0.5, average=2.0, segments=0, segment_steps=1),
    rules.RFLO: {}, rules.ReadoutOnly: {}, rules.Membrane: dict(arrival=False),
    rules.WholeUnit: {},
}  # fmt: skip


def in_rule(made):
    """A rule that has the kernel or the perturbation `made`, or is it."""
    if isinstance(made, Rule):
        return made
    return KeRNL(kernel=made) if isinstance(made, rules.Kernel) else KeRNL("exponential", made)


def outcome(made):
    """Everything that a layer makes of a sequence: outputs, gradients, F, M and gamma, what learns; a list."""
    settings = dict(window=2, traces=made) if isinstance(made, LinearTraces) else {}
    name = "tanh" if isinstance(made, rules.Membrane) else "hard adaptive"  # of rate units it is a setting
    network = Network("resonator" if settings else name, time=4)
    layer = network.layer("kernl" if settings else in_rule(made), return_state=True, **settings)
    outputs, of_weights, of_x, of_sensitivity, states = compute(layer, network.inputs, draw(50, B, 4, H))
    loss = layer.report.sensitivity_loss
    found = [outputs, of_weights, of_x, *of_sensitivity, *([] if loss is None else [loss]), *layer.weights]
    if isinstance(made, rules.BPTT):  # by the tape the last states have a gradient
        with tf.GradientTape() as tape:
            _, *states = layer(network.inputs)
            of_state = tf.reduce_sum(states[0])
        found.append(tape.gradient(of_state, layer.cell.kernel) is None)
    return [np.asarray(x) for x in found]


def test_the_tables_cover_every_object_and_every_setting():
    public = {each for name in rules.__all__ if inspect.isclass(each := getattr(rules, name))}
    assert {each for each in public if issubclass(each, Settings)} == set(CHANGES) | {
        Rule, rules.Kernel, rules.Perturbation
    }  # fmt: skip
    for kind, changes in CHANGES.items():
        assert set(changes) == set(kind.names()), kind


@functools.cache
def outcome_by_default(kind):
    return outcome(kind())


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind, name", [(kind, name) for kind, of in CHANGES.items() for name in of], ids=str)
def test_every_setting_changes_something(kind, name):
    changed, default = outcome(kind(**{name: CHANGES[kind][name]})), outcome_by_default(kind)
    assert len(changed) != len(default) or not all(map(np.array_equal, changed, default))


@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.__name__)
def test_settings_are_saved_and_shown(kind):
    made = kind(**CHANGES[kind])
    again = kind.from_config(made.get_config())
    assert again.get_config() == made.get_config()
    if CHANGES[kind]:
        assert again.get_config() != kind().get_config()
    serialized = keras.saving.serialize_keras_object(made)
    assert keras.saving.deserialize_keras_object(serialized).get_config() == made.get_config()
    assert repr(made).startswith(f"{kind.__name__}(") and all(f"{name}=" in repr(made) for name in CHANGES[kind])


def test_words_are_the_defaults():
    for word, kind in rules.NAMES.items():
        made = rules.get(word)
        assert type(made) is kind and made.get_config() == kind().get_config()
        assert rules.get(made) is made
        assert rules.get(keras.saving.serialize_keras_object(made)).get_config() == made.get_config()


ERRORS = [  # numbers and words out of range are in `tests/badinput`
    (lambda: KeRNL("mine"), r"kernel must be one of \['exponential', 'membrane', 'whole_unit'\]; received 'mine'"),
    (lambda: KeRNL(kernel=3), "kernel must be one of .* or a Kernel; received 3"),
    (lambda: KeRNL(perturbation=5), r"perturbation must be one of \['replica', 'tangent', 'twin'\] or .*; received 5"),
    (lambda: KeRNL(reset_gradient=1), "reset_gradient must be True or False; received 1"),
    (lambda: KeRNL(sensitivity_initializer="mine"), "sensitivity_initializer must be 'recurrent', .*; received 'mine'"),
    (lambda: PlainKeRNL(noise="weights"), "noise must be one of .*'current'.*; received 'weights'"),
    (lambda: Twin(observe="spikes"), r"observe must be one of \['distance', .*, 'voltage'\]; received 'spikes'"),
    (lambda: LinearTraces(poles=[0.0]), "poles must be None, an integer >= 1, or a list of time constants > 0"),
    (lambda: LinearTraces(poles=[math.inf]), "poles must be None, an integer >= 1, or a list of time constants > 0"),
    (lambda: LinearTraces(poles=[(5.0, True)]), "poles must be None, an integer >= 1, or a list of time constants > 0"),
]


@pytest.mark.parametrize(("make", "message"), ERRORS, ids=[message[:30] for _, message in ERRORS])
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Rules of one's own


@keras.utils.register_keras_serializable("tests")
class Signed(EProp):
    """E-prop of which only the sign of the error is known."""

    def __init__(self, gain=1.0, **kwargs):
        super().__init__(**kwargs)
        self.gain = gain

    def learning_signal(self, error, steps):
        return self.gain * tf.sign(error)


@keras.utils.register_keras_serializable("tests")
class Hebbian(Rule):
    """The rule of `Rule`'s docstring."""

    def __init__(self, tau=20.0):
        self.tau = tau

    def carry_shapes(self, cell, traces):
        return [(cell.units,)]

    def backward_step(self, carry, now, context):
        error = now.L * now.step.psi + carry[0]
        return (math.exp(-context.cell.dt / self.tau) * error,), error


OWN = {"signed": Signed(gain=0.5, adaptation=False), "hebbian": Hebbian(tau=7.0)}


def test_an_own_rule_gives_its_gradient():
    """dC/dW_ij = sum L_i psi_i s_j filtered, by its own loops; the sign of the error in the place of the error."""
    network = Network("hard adaptive")
    run, error = network.run(), draw(50, B, T, H)
    s, decay = network.presynaptic(run), np.exp(-network.c.dt / 7.0)
    expected = np.zeros((s.shape[-1], H))
    for b in range(B):
        trace = np.zeros(s.shape[-1])
        for t in range(T):
            trace = decay * trace + s[b, t]
            expected += np.outer(trace, error[b, t] * run.psi[b, t])
    same(compute(network.layer(OWN["hebbian"]), network.inputs)[1], network.used(expected))
    signed = compute(network.layer(OWN["signed"]), network.inputs)[1]
    same(signed, compute(network.layer(EProp(adaptation=False)), network.inputs, 0.5 * np.sign(error))[1])


@pytest.mark.parametrize("name", taking_turns(OWN))
def test_an_own_rule_is_saved_loaded_and_aligned(name, tmp_path):
    inputs = keras.Input((T, 3))
    hidden = kk.RNN(kk.LIFCell(H), rule=OWN[name], name="hidden")(inputs)
    model = kk.Model(inputs, keras.layers.Dense(2)(hidden))
    model.compile("sgd", "mse", run_eagerly=True)
    x, y = np.float32(2.0 * draw(60, 6, T, 3)), np.float32(draw(61, 6, T, 2))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    rule = loaded.get_layer("hidden").rule
    assert type(rule) is type(OWN[name]) and rule.get_config() == OWN[name].get_config()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    found = kk.gradient_alignment(model, x, y, rules=[OWN[name], "eprop"], windows=2).variables["hidden"]
    assert set(found) == {type(OWN[name]).__name__, "eprop"} and 0.0 < found["eprop"].cosine <= 1.0
    assert np.isfinite(found[type(OWN[name]).__name__].cosine)


def test_m_of_kernels_is_that_of_the_layer():
    """The rule is settings alone: two layers may share one."""
    rule = KeRNL()
    layers = [Network(name).layer(rule, kernels()[0]) for name in ("hard", "soft free")]
    layers[0].sensitivity_tensor.assign(np.zeros((H, H)))
    assert np.abs(layers[1].sensitivity_tensor).max() > 0.0
