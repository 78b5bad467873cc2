"""Every way to run a rule learns the same: by the adjoint, in pieces, in a graph, under XLA, unrolled; every unit."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.keras_version import keras
from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, LinearTraces, PlainKeRNL, Replica, Twin

from ..reference.cases import CELLS, B, H, I, draw, taking_turns
from ..reference.expected import STD, gradients_or_zeros, learn, same
from ..reference.own_kernel import Alpha
from ..reference.units import NO_GRADIENT, UNITS, build_layer, same_gradients
from .test_rules import OWN

pytestmark = pytest.mark.filterwarnings(NO_GRADIENT)

T = 6
ERROR = draw(53, B, T, H)
RULES = {
    "kernl": KeRNL(),
    "kernl, no adaptation": KeRNL(adaptation=False),
    "kernl, reset not followed": KeRNL(reset_gradient=False),
    "kernl, potential alone": KeRNL(adaptation=False, reset_gradient=False),
    "exponential": KeRNL("exponential"),
    "2 exponentials": KeRNL(Exponential(2)),
    "whole unit": KeRNL("whole_unit"),
    "whole unit, reset not followed": KeRNL("whole_unit", reset_gradient=False),
    "plain": PlainKeRNL(),
    "plain, 2 kernels": PlainKeRNL(Exponential(2)),
    "e-prop": EProp(),
    "e-prop, no adaptation": EProp(adaptation=False),
    "e-prop, reset": EProp(reset_gradient=True),
    "RFLO": RFLO(),
    **OWN,
    "alpha": KeRNL(Alpha(5.0)),
}
WITHOUT_WINDOWS = ("plain", "plain, 2 kernels", "RFLO", *OWN)
LINEAR = ("kernl", "kernl, potential alone", "e-prop", "e-prop, reset")
TRACES = [  # by the number of segments and their steps
    LinearTraces(5, hops=2, damping=0.7, average=6.0, segments=count, segment_steps=steps)
    for count, steps in ((0, None), (1, None), (3, 1), (5, 2))
]
FEW = {  # units that not every rule goes with
    "LSTM": ("exponential", "2 exponentials", "e-prop"),
    "own": ("exponential", "2 exponentials", "whole unit", "e-prop", "e-prop, reset"),
    "own synapse": ("whole unit", "e-prop", "e-prop, reset"),
}


def suits(rule, unit):
    """Whether a rule goes with a unit; rules of one's own are asked of one alone."""
    return unit == "hard adaptive" if rule in OWN else rule in FEW.get(unit, RULES)


def rows():
    """Every rule over every unit, with a window or without; where time is short each with one of the others.

    And linear memory, where there is one: its pieces are the whole that has it, too.
    """
    for one, rule in enumerate(RULES):
        for other, unit in enumerate(UNITS):
            if suits(rule, unit):
                window = 2 if (one + other) % 2 and rule not in WITHOUT_WINDOWS else None
                quick = (one + other) % len(UNITS) == 0 or rule in OWN or unit in FEW and rule == "e-prop"
                yield pytest.param(rule, unit, window, False, marks=() if quick else pytest.mark.slow)
    for number, (rule, unit) in enumerate(itertools.product(LINEAR, CELLS)):
        yield pytest.param(rule, unit, 2, TRACES[number % 4], marks=() if number % 13 == 0 else pytest.mark.slow)


def learn_in_pieces(layer, x, borders):
    """Outputs, the sum of the weights' gradients, and the states behind the last piece."""
    outputs, total, states = [], {}, None
    for start, stop in zip((0, *borders), (*borders, T)):
        found = learn(layer, x[:, start:stop], ERROR[:, start:stop], initial_state=states)
        outputs.append(found.outputs)
        total = {name: total.get(name, 0.0) + each for name, each in found.gradients.items()}
        states = found.states
    return tf.concat(outputs, 1), total, states


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("rule", "unit", "window", "memory"), list(rows()))
def test_pieces_with_traces_are_the_whole(rule, unit, window, memory):
    """Outputs, states, and the gradients of all weights, constants that learn among them."""
    settings = {"learn": rule not in WITHOUT_WINDOWS, "window": window}  # those give constants no credit of their own
    stored, x = build_layer(unit, RULES[rule], T, traces=memory, **settings)
    traced, _ = build_layer(unit, RULES[rule], T, traces=memory or True, return_state=True, **settings)
    whole, by_traces = learn(stored, x, ERROR), learn(traced, x, ERROR)
    same_gradients(by_traces.gradients, whole.gradients)
    borders = (1, 4) if window is None else (2, 4)
    outputs, gradients, states = learn_in_pieces(traced, x, borders)
    same(outputs, whole.outputs)
    same_gradients(gradients, whole.gradients)
    for one, other in zip(states, by_traces.states, strict=True):
        same(one, other, 1e-8)
    if unit == "hard adaptive" and not memory:
        without, _ = build_layer(unit, RULES[rule], T, window=window, return_state=True)
        assert np.abs(learn_in_pieces(without, x, borders)[1]["kernel"] - whole.gradients["kernel"]).max() > 1e-4


MASK = np.array([[1, 1, 0, 1, 1, 0], [0, 1, 1, 1, 1, 1]], bool)
MASKED = [
    *(("hard adaptive", rule, {"window": 3}) for rule in RULES if rule not in WITHOUT_WINDOWS),
    *(("hard adaptive", rule, {}) for rule in ("whole unit", *OWN)),
    ("soft euler", "kernl", {"window": 3, "traces": True}),
    ("soft euler", "e-prop", {"window": 3, "traces": "linear"}),
    ("swinging tanh", "kernl", {"window": 3}),
    ("spread currents", "whole unit", {}),
    ("LSTM", "exponential", {"window": 2}),
    ("own", "e-prop", {"window": 3}),
]


@pytest.mark.sampled(7)
@pytest.mark.parametrize(("unit", "rule", "settings"), MASKED)
def test_a_masked_batch_learns_what_its_sequences_would(unit, rule, settings):
    """Windows are counted over the steps that are there. And a reset makes two sequences of one."""
    layer, x = build_layer(unit, RULES[rule], T, learn=rule not in WITHOUT_WINDOWS, **settings)
    masked = learn(layer, x, np.where(MASK[..., None], ERROR, 0.0), mask=tf.constant(MASK))
    total = {}
    for row in range(B):
        steps = np.flatnonzero(MASK[row])
        alone = learn(layer, tf.gather(x[row : row + 1], steps, axis=1), ERROR[row : row + 1, steps])
        same(tf.gather(masked.outputs[row], steps), alone.outputs[0])
        same(tf.gather(masked.x_gradient[row], steps), alone.x_gradient[0], 1e-8)
        total = {name: total.get(name, 0.0) + each for name, each in alone.gradients.items()}
    same_gradients(masked.gradients, total)
    cut = settings.get("window", 3)
    parts = [learn(layer, x[:, steps], ERROR[:, steps]).gradients for steps in (slice(0, cut), slice(cut, T))]
    both = learn(layer, x, ERROR, reset=tf.one_hot([cut, cut], T) > 0.5).gradients
    same_gradients(both, {name: parts[0][name] + parts[1][name] for name in both})


MODES = [  # unit, rule, settings of the layer
    ("hard adaptive", KeRNL(), {}),
    ("resonator", KeRNL(), {"window": 4}),
    ("resonator", KeRNL(), {"window": 4, "traces": "linear"}),
    ("tanh", KeRNL(), {}),
    ("hard adaptive", KeRNL("whole_unit"), {}),
    ("swinging tanh", KeRNL("whole_unit"), {}),
    ("hard", KeRNL(Exponential(2), Twin(STD, resync_every=2)), {"window": 4}),
    ("soft euler", PlainKeRNL(Exponential(2), "synapse", credit="last"), {}),
    ("hard", PlainKeRNL(perturbation=Replica(STD), credit="last"), {}),
    ("current", KeRNL("whole_unit"), {}),
    ("resonator", BPTT(), {}),
    ("own", EProp(), {}),
    ("LSTM", KeRNL("exponential"), {}),
    ("resonator", BPTT(), {"window": 4}),
    ("hard adaptive", OWN["signed"], {}),
    ("hard adaptive", OWN["hebbian"], {}),
    ("hard adaptive", KeRNL(Alpha(5.0)), {"window": 2}),
]


MODE_ROWS = itertools.product(range(len(MODES)), ("unroll", "graph", "xla"))


@pytest.mark.parametrize(("number", "mode"), taking_turns(MODE_ROWS, every=16))
def test_every_mode_agrees(number, mode):
    """Gradients of everything, the noise included; graphs know neither batch nor length."""
    unit, rule, settings = MODES[number]
    layer, x = build_layer(unit, rule, T, **settings)
    steps = (T,) if mode == "unroll" or (number, mode) == (10, "xla") else (T, 3)  # XLA compiles anew; one row is quick
    expected = [learn(layer, x[:, :n], ERROR[:, :n], training=True) for n in steps]
    other, _ = build_layer(unit, rule, T, **settings, unroll=mode == "unroll")
    run = lambda x, error: learn(other, x, error, training=True)  # noqa: E731
    if mode != "unroll":
        signature = [tf.TensorSpec((None, None, size), "float64") for size in (I, H)]
        run = tf.function(run, signature, jit_compile=mode == "xla")
    for n, each in zip(steps, expected):
        found = run(x[:, :n], tf.constant(ERROR[:, :n]))
        for one, another in zip(tf.nest.flatten(found), tf.nest.flatten(each), strict=True):
            same(one, another)


SEGMENTED = itertools.product(("hard adaptive", "current", "tanh"), ("kernl", "e-prop"))


@pytest.mark.parametrize(("unit", "rule"), taking_turns(SEGMENTED, every=5))
def test_segments_are_as_long_where_graphs_do_not_know_the_length(unit, rule):
    """Pieces whose windows are as long as they are, each of several segments."""
    layer, x = build_layer(unit, RULES[rule], T, traces=LinearTraces(segments=3, segment_steps=2), return_state=True)

    def in_graph(layer, x, error, initial_state):
        specs = [tf.TensorSpec((None, None, size), "float64") for size in (I, H)]
        states = [tf.TensorSpec(state.shape, state.dtype) for state in initial_state or ()]
        piece = tf.function(lambda x, error, *states: learn(layer, x, error, initial_state=list(states) or None))
        return piece.get_concrete_function(*specs, *states)(x, tf.constant(error), *(initial_state or ()))

    one = other = None
    for piece in slice(0, 3), slice(3, 6):
        one = learn(layer, x[:, piece], ERROR[:, piece], initial_state=one and one.states)
        other = in_graph(layer, x[:, piece], ERROR[:, piece], other and other.states)
    same_gradients(other.gradients, one.gradients)


@pytest.mark.parametrize("size", taking_turns([4, 1, T - 1]))
def test_blocks_of_any_size_learn_the_same(size, monkeypatch):
    monkeypatch.setattr("kernl_keras.sequences.time_loop.BLOCK", size)
    last = PlainKeRNL(Exponential(2), "synapse", credit="last")
    for rule in (KeRNL(), KeRNL("exponential"), last, BPTT()):
        layers = [build_layer("soft euler", rule, T, unroll=unroll) for unroll in (False, True)]
        found, expected = (tf.nest.flatten(learn(layer, x, ERROR, training=True)) for layer, x in layers)
        for one, other in zip(found, expected, strict=True):
            same(one, other)


EXACT = {  # where a window is the whole sequence
    "kernl": (KeRNL(), {}),
    "kernl, linear memory": (KeRNL(), {"traces": "linear"}),
    "exponential": (KeRNL("exponential"), {}),
    "whole unit": (KeRNL("whole_unit"), {}),
    "e-prop, reset": (EProp(reset_gradient=True), {}),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("unit", UNITS)
def test_backpropagation_is_that_of_automatic_differentiation(unit):
    """By the tape of the layer, Keras' own layer, the adjoint, and rules with a window of the whole sequence."""
    turn = UNITS.index(unit) % 2
    backwards = turn == 1
    layer, x = build_layer(unit, BPTT(tape=True), T, go_backwards=backwards)
    plain = keras.layers.RNN(layer.cell, return_sequences=True, dtype="float64", go_backwards=backwards)
    outputs, _, x_gradient, gradients, *_ = learn(layer, x, ERROR)
    assert 0.01 < np.abs(gradients["kernel"]).max()  # tau_a has no effect where the threshold does not move
    assert all(np.abs(each).max() > 1e-5 or name == "log_tau_a" for name, each in gradients.items())
    others = [plain, build_layer(unit, BPTT(), T, go_backwards=backwards)[0]]
    rules = [name for name in EXACT if name in RULES and suits(name, unit) or name not in RULES and unit in CELLS]
    for rule, settings in (EXACT[name] for name in rules[UNITS.index(unit) // 3 % 3 :: 3]):  # they take turns
        others.append(build_layer(unit, rule, T, window=T + turn, go_backwards=backwards, **settings)[0])
    for other in others:
        found = learn(other, x, ERROR)
        same(found.outputs, outputs)
        same(found.x_gradient, x_gradient, 1e-8)
        same_gradients(found.gradients, gradients)
        assert other is plain or other.report.sensitivity_loss is None


@pytest.mark.parametrize("unit", UNITS)
def test_eprop_is_automatic_differentiation_without_the_recurrent_paths(unit):
    """Of the cell's own steps, where nobody hears how what others send would change."""
    layer, x = build_layer(unit, EProp(reset_gradient=unit != "LSTM"), T)
    cell, found = layer.cell, learn(layer, x, ERROR).gradients
    with tf.GradientTape() as tape:
        total, p, recurrent = 0.0, cell.parameters(), cell.recurrent_weights()
        state = cell.State(*(tf.zeros((B, size), x.dtype) for size in cell.state_size))
        for t in range(T):
            heard = tf.stop_gradient(cell.presynaptic(state)) @ recurrent
            step, state = cell.step(cell.input_current(x[:, t]) + heard, state, p)
            total += tf.reduce_sum(step.output * ERROR[:, t])
    same_gradients(found, dict(zip(found, gradients_or_zeros(tape, total, cell.trainable_weights))))


def test_constants_in_use():
    """The table has all of them."""
    units = "hard adaptive", "soft euler", "swinging tanh", "relu"
    adaptive, soft, swinging, relu = (set(build_layer(unit, "eprop", T)[0].cell.learn) for unit in units)
    assert adaptive == {"tau_m", "tau_a", "base_threshold", "adaptation_strength"}
    assert soft == adaptive | {"tau_s"} and swinging == {"tau", "period"} and relu == set()
