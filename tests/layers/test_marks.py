"""`reset` and `mask`: an example is its sequences by themselves, without masked steps; by every rule and window.

That masked batches teach constants, and units of every kind, is asked in `tests/rules/test_forms.py`.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.draws import draw_signs
from kernl_keras.keras_version import keras, short_name
from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, PlainKeRNL, Replica, Tangent, Twin

from ..reference.cases import B, H, I, Network, draw
from ..reference.expected import STD, compute, kernels, layer_of, same
from ..reference.tools import all_same
from ..reference.units import NO_GRADIENT, constants_in_use

pytestmark = pytest.mark.filterwarnings(NO_GRADIENT)

T = 11
ERROR = draw(53, B, T, H)
RESET = np.zeros((B, T), bool)
RESET[0, 6] = RESET[1, [0, 3, 9]] = True
MASK = np.ones((B, T), bool)
MASK[0, [2, 6, 7]] = MASK[1, [0, 4, 9, 10]] = False  # both rows have a reset that waits, one of them for the next piece
MASKS = {"gaps": MASK, "none": MASK.copy(), "ends": np.arange(T) < np.array([[T], [T - 4]])}
MASKS["none"][1] = False  # no step of this row is valid
DRAW = "kernl_keras.rules.perturbed_pass.draw_signs"
FREE = Tangent(1e9)
LINEAR, EXACT, ZEROS = {"traces": "linear"}, {"traces": True}, {"zero_output_for_mask": True}
ROWS = [
    ("resonator", KeRNL(perturbation=FREE), {}),
    ("hard adaptive", KeRNL(perturbation=FREE), EXACT),
    ("swinging tanh", KeRNL(perturbation=FREE), {"window": 3, **EXACT}),
    ("soft euler", KeRNL(perturbation=Twin(STD)), {"window": 3}),
    ("resonator", KeRNL(perturbation=FREE), {"window": 3, **LINEAR}),
    ("hard", KeRNL(perturbation=Twin(STD)), {"window": 1, **LINEAR}),
    ("tanh", KeRNL(perturbation=FREE), LINEAR),
    ("hard adaptive", KeRNL(Exponential(2), Replica(STD)), {"window": T, **EXACT}),
    ("resonator fixed", KeRNL(Exponential(2), FREE), EXACT),
    ("soft free", PlainKeRNL(Exponential(2), perturbation=Twin(STD)), EXACT),
    ("relu", PlainKeRNL(credit="last", perturbation=FREE), {}),
    ("hard", PlainKeRNL(credit="last", perturbation=FREE), {"unroll": True}),
    ("hard adaptive", EProp(), EXACT),
    ("resonator", EProp(reset_gradient=True), {"window": 3, **LINEAR}),
    ("soft euler", EProp(), {"window": 3, "unroll": True, **LINEAR}),
    ("identity euler", RFLO(), EXACT),
    ("hard adaptive", BPTT(), {}),
    ("swinging tanh", BPTT(), {"window": 3}),
    ("soft euler", BPTT(tape=True), {}),
    ("hard", kk.rules.ReadoutOnly(), {}),
    ("soft euler", KeRNL("whole_unit", Twin(STD)), {"window": 3, **EXACT}),
    ("hard", KeRNL("whole_unit", FREE), EXACT),
    ("swinging tanh", KeRNL(Exponential(2), FREE, reset_gradient=False), ZEROS),
    ("soft free", PlainKeRNL(Exponential(2), perturbation=Twin(STD, observe="voltage")), ZEROS),
]


def sequences_of(row, reset=RESET, mask=None):
    """The valid steps of each sequence of a row, of which there may be none."""
    number = np.cumsum(reset[row])
    steps = np.arange(T) if mask is None else np.flatnonzero(mask[row])
    return [steps[number[steps] == n] for n in range(number[-1] + 1)]


def states_before(layer):
    """States that are no zeros."""
    return [tf.constant(0.1 + 0.1 * np.abs(draw(n, B, size))) for n, size in enumerate(layer.state_size)]


def rows():
    """Each of `ROWS` with a reset, a mask, or both: valid steps are read in a row, windows begin anywhere."""
    for number, (cell, rule, settings) in enumerate(ROWS):
        masks = [None, ("gaps", "none", "ends")[number % 3]]
        for turn, (reset, mask) in enumerate(itertools.product((True, False), masks)):
            if (reset or mask) and not (reset and mask and settings.get("window") == 3):
                quick = (number + turn) % 11 == 0 and number != 21  # they take turns; traces of whole units take long
                quick |= (number, turn) in ((10, 3), (12, 1))  # a row without a valid step; gaps
                name = f"{cell}-{number}{'-reset' * reset}{f'-{mask}' if mask else ''}"
                yield pytest.param(cell, rule, settings, reset, mask, id=name, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(("cell", "rule", "settings", "resets", "mask"), list(rows()))
def test_it_is_its_sequences_by_themselves(cell, rule, settings, resets, mask, monkeypatch):
    """Outputs, states behind the last step, gradients of weights and inputs, F with its gradients, and the report."""
    network, mask, reset = Network(cell, time=T), MASKS.get(mask), RESET if resets else np.zeros_like(RESET)
    layer = layer_of(network, rule, return_state=True, **settings)
    signs = draw_signs(T, B, H, [1, 2])
    training = mask is not MASKS["ends"]  # without it nothing is perturbed
    learns = training and bool(layer.sensitivity_weights)
    before = states_before(layer)
    monkeypatch.setattr(DRAW, lambda *_: signs)
    marks = {"mask": mask, "reset": reset if resets else None}
    outputs, of_weights, of_x, of_m, states = compute(layer, network.inputs, ERROR, training, before, **marks)
    report, zeros = layer.report, settings.get("zero_output_for_mask", False)
    sum_of_weights, losses, counts, m_gradients, rates = 0.0, [], [], [], []
    for row in range(B):
        read = np.arange(T) if mask is None else np.flatnonzero(mask[row])
        end = [state[row : row + 1] for state in before]
        for number, steps in enumerate(sequences_of(row, reset, mask)):
            start = [tf.zeros_like(state) for state in end] if number else end
            end = start
            if not len(steps):
                continue
            places = np.searchsorted(read, steps)  # valid steps are read in a row, and so is the noise
            monkeypatch.setattr(DRAW, lambda *_, p=places, r=row: tf.gather(signs, p)[:, r : r + 1])
            after = [*read[1:], T]  # an output also stands for the masked steps behind it
            stops = [t + 1 if zeros else after[place] for t, place in zip(steps, places)]  # unless these are zeros
            error = np.array([ERROR[row, t:stop].sum(0) for t, stop in zip(steps, stops)])[None]
            x = tf.gather(network.inputs[row : row + 1], steps, axis=1)
            *found, end = compute(layer, x, error, training, initial_state=start)
            same(tf.gather(outputs[row], steps), found[0][0])
            same(tf.gather(of_x[row], steps), found[2][0])
            sum_of_weights += found[1]
            rates.append(np.abs(found[0][0]))
            if learns:
                losses.append(layer.report.sensitivity_loss)
                counts.append(1 if rule.last else len(steps))
                m_gradients.append(found[3])
        for state, alone in zip(states, end):
            same(state[row], alone[0], tolerance=1e-8)
    same(of_weights, sum_of_weights, tolerance=1e-8)
    same(report.firing_rate, np.concatenate(rates).mean())
    same(report.silent_units, np.mean(np.concatenate(rates).sum(0) == 0.0))
    if mask is not None:
        behind = ~mask & (np.cumsum(mask, 1) > 0)
        last = np.maximum.accumulate(np.where(mask, np.arange(T), 0), 1)
        repeated = np.take_along_axis(outputs.numpy(), last[..., None], 1)
        np.testing.assert_array_equal(outputs[behind], np.zeros_like(repeated[behind]) if zeros else repeated[behind])
    if learns:
        same(report.sensitivity_loss, np.average(losses, weights=counts))
        for one, *parts in zip(of_m, *m_gradients):
            same(one, np.average(parts, axis=0, weights=counts))


@pytest.mark.slow
@pytest.mark.parametrize(("window", "padded"), [(3, False), (None, True)])
def test_pieces_of_a_stateful_layer_are_the_whole(window, padded):
    """Rows that begin and end at different times; a reset behind a piece's last valid step is not lost."""
    network, m, mask = Network("resonator", time=T), kernels(), MASK.copy()
    mask[0, 2:8] = mask[1, 8:] = False  # the reset at step 6 of row 0 waits for step 8
    mask |= not padded
    error, settings = np.where(mask[..., None], ERROR, 0.0), dict(window=window, traces=True)
    layer = network.layer(KeRNL(), *m, **settings)
    whole = compute(layer, network.inputs, error, False, reset=RESET, mask=mask)
    for borders in ((0, 6, T), (0, 3, 9, T)):
        layer = network.layer(KeRNL(), *m, stateful=True, **settings)
        outputs, gradient = [], 0.0
        for cut in (np.s_[:, start:stop] for start, stop in zip(borders, borders[1:])):
            found = compute(layer, network.inputs[cut], error[cut], False, reset=RESET[cut], mask=mask[cut])
            outputs.append(found[0])
            gradient += found[1]
        same(tf.concat(outputs, 1)[mask], whole[0][mask])
        same(gradient, whole[1])


@pytest.mark.parametrize(
    ("cell", "window"), [("resonator", 3), pytest.param("hard adaptive", 4, marks=pytest.mark.slow), ("tanh", T - 1)]
)
def test_what_is_left_in_linear_memory_is_of_the_last_sequence(cell, window):
    """Wherever it begins in its window, and where the last window overlaps the one before; traces of constants as well.

    Windows begin where the call's do, so what the last K of them have is the same in sum alone.
    """
    network, reset = Network(cell, time=T), np.zeros((B, T), bool)
    network.learn = constants_in_use(network.kind, network.settings)
    reset[0, [2, 8]] = reset[1, 1] = True
    traces = kk.rules.LinearTraces(segments=8)  # more than there are
    layer = network.layer(KeRNL(), *kernels(), window=window, return_state=True, traces=traces)
    *states, means, steps, constants = layer(network.inputs, initial_state=states_before(layer), reset=reset)[1:]
    for row, begins in ((0, 8), (1, 1)):
        *alone, means_alone, steps_alone, constants_alone = layer(network.inputs[row : row + 1, begins:])[1:]
        for state, other in zip((*states, constants), (*alone, constants_alone)):
            same(state[row], other[0], tolerance=1e-8)
        pairs = (means, steps), (means_alone, steps_alone)
        sums = [tf.linalg.matvec(tf.reshape(m, (-1, 8, m.shape[-1] // 8)), n, transpose_a=True) for m, n in pairs]
        same(sums[0][row], sums[1][0], tolerance=1e-8)
        same(tf.reduce_sum(steps[row]), float(T - begins))


def test_sequences_part_at_the_same_steps_if_they_are_read_backwards():
    network = Network("hard", time=T)
    layer = network.layer("eprop", go_backwards=True)
    found = layer(network.inputs, reset=RESET)[:, ::-1]
    for row in range(B):
        for steps in filter(len, sequences_of(row)):
            alone = layer(tf.gather(network.inputs[row : row + 1], steps, axis=1))[:, ::-1]
            same(tf.gather(found[row], steps), alone[0])


def network_of(jit_compile, **settings):
    """A functional model with a second input, over a layer that masks."""
    keras.utils.set_random_seed(3)
    x, reset = keras.Input((None, I), dtype="float64"), keras.Input((None,), dtype="bool")
    kept = keras.layers.Masking(-7.0, dtype="float64")(x)
    hidden = kk.RNN(kk.LIFCell(H, tau_m=6.0, dtype="float64"), seed=5, **settings)(kept, reset=reset)
    model = kk.Model([x, reset], kk.Readout(2, dtype="float64")(hidden, reset=reset))
    model.compile("sgd", "mse", sensitivity_optimizer="sgd", jit_compile=jit_compile)
    return model


@pytest.mark.parametrize(
    ("jit_compile", "settings"),
    [(True, {}), (False, {"rule": "eprop", "window": 2}), (False, {"rule": BPTT(tape=True)})],
    ids=["xla", "window", "tape"],
)
@pytest.mark.slow
def test_in_a_model(jit_compile, settings, tmp_path):
    """A second input, with an implicit mask, in `fit`, saved and loaded: each row is its sequences by themselves.

    And so are the gradients, of the mean over all valid steps.
    """
    model = network_of(jit_compile, **settings)
    x, y = np.where(MASK[..., None], draw(7, B, T, I) + 0.7, -7.0), draw(8, B, T, 2)
    outputs = model.predict([x, RESET], verbose=0)
    nowhere = np.zeros_like(RESET)
    assert np.abs(outputs - model.predict([x, nowhere], verbose=0)).max() > 1e-3
    gradients, parts, counts = tf.function(model.gradients, jit_compile=jit_compile)([x, RESET], y), [], []
    for row in range(B):
        for steps in filter(len, sequences_of(row, RESET, MASK)):
            alone = x[row : row + 1, steps], nowhere[:1, steps]
            same(outputs[row, steps], model(alone)[0])
            parts.append(model.gradients(alone, y[row : row + 1, steps]))
            counts.append(len(steps))
    for weight, gradient, *of_parts in zip(model.trainable_variables, gradients, *parts, strict=True):
        if short_name(weight) != "sensitivity_tensor":  # that of M hears noise
            assert np.abs(gradient).max() > 1e-4
            same(gradient, np.average(of_parts, axis=0, weights=counts), 1e-5)  # Keras weighs losses in float32
    model.fit([x, RESET], y, batch_size=B, epochs=2, verbose=0)
    assert np.abs(model.predict([x, RESET], verbose=0) - outputs).max() > 1e-6
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    same(again.predict([x, RESET], verbose=0), model.predict([x, RESET], verbose=0))


@pytest.mark.parametrize("kind", ["mask", "reset"])
@pytest.mark.parametrize("layer", ["rnn", "readout", "mean", "encoder"])
def test_what_a_mask_and_a_reset_may_be(layer, kind):
    message = rf"{kind} must be booleans \[batch, time\] for inputs .* received (bool|float)"
    made = {"rnn": lambda: kk.RNN(kk.LIFCell(H)), "readout": lambda: kk.Readout(2), "mean": kk.TimeAverage}
    made["encoder"] = lambda: kk.SpikeEncoder(2)
    x = np.ones((B, T, I), "float32")
    for length in (T - 1, T + 1, 1):  # a shorter one must not shorten the sequences
        with pytest.raises(ValueError, match=message):
            made[layer]()(x, **{kind: np.ones((B, length), bool)})
    for marks in (np.ones((B, T, 1), bool), np.ones((B + 1, T), bool), np.ones(B, bool), True):
        with pytest.raises(ValueError, match=message):
            made[layer]()(x, **{kind: marks})
    if kind == "reset":
        with pytest.raises(ValueError, match=message):
            made[layer]()(x, reset=np.ones((B, T)))
    else:  # Keras' masks are often numbers
        same(made[layer]()(x, mask=np.ones((B, T))).shape, made[layer]()(x).shape)


@pytest.mark.parametrize("masked", [False, True])
def test_a_readout(masked):
    layer, x = kk.Readout(3, tau_out=4.0, return_state=True, dtype="float64"), tf.constant(draw(9, B, T, I))
    mask, start = MASK if masked else np.ones_like(MASK), tf.constant(draw(11, B, 3))
    error = np.where(mask[..., None], draw(10, B, T, 3), 0.0)
    layer.build((B, T, I))

    def found(x, error, start, of_end, **marks):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs, end = layer(x, initial_state=[start], **marks)
            loss = tf.reduce_sum(outputs * error) + of_end * tf.reduce_sum(end**2)
        return outputs, end, *tape.gradient(loss, [x, layer.cell.kernel])

    outputs, ends, of_x, of_kernel = found(x, error, start, 1.0, mask=mask if masked else None, reset=RESET)
    expected = 0.0
    for row in range(B):
        end, last = start[row : row + 1], RESET[row].sum()
        for number, steps in enumerate(sequences_of(row, RESET, mask)):
            end = tf.zeros_like(end) if number else end
            if len(steps):
                part = tf.gather(x[row : row + 1], steps, axis=1)
                alone, end, of_part, of_weights = found(part, error[row, steps], end, float(number == last))
                expected += of_weights
                same(tf.gather(outputs[row], steps), alone[0])
                same(tf.gather(of_x[row], steps), of_part[0])
        same(ends[row], end[0])
    same(of_kernel, expected)


@pytest.mark.parametrize("what", ["padding", "reset"])
def test_how_rules_agree_with_backpropagation(what):
    """Padding changes nothing, and nothing reaches over a reset, as in sequences of their own."""
    model = network_of(False, rule=KeRNL(learn_sensitivity=False))
    model.run_eagerly = True
    x, y, reset = 3.0 * draw(7, B, 6, I) + 2.0, draw(8, B, 6, 2), np.arange(6) == np.full((B, 1), 3)
    if what == "padding":
        parts = [np.insert(part, [2, 2, 4], -7.0, axis=1) for part in (x, y)]
        batches = ([x, ~reset & reset], y, 1), ([parts[0], np.zeros((B, 9), bool)], parts[1], 1)
    else:
        parts = [np.concatenate([part[:, :3], part[:, 3:]]) for part in (x, np.zeros_like(reset), y)]
        batches = ([x, reset], y, 2), (parts[:2], parts[2], 1)
    rules = "kernl", "rflo"
    one, other = (kk.gradient_alignment(model, inputs, y, rules, windows=count) for inputs, y, count in batches)
    all_same(one.variables, other.variables, 1e-9, 0.0)
    if what == "reset":
        lags = [lag for of_rules in one.lags.values() for lag in of_rules.values()]
        assert all(np.nan_to_num(lag.share[1]) == 0.0 for lag in lags)


@pytest.mark.parametrize("optimizer", ["sgd", None], ids=["F", "least squares"])
def test_what_m_explains_is_what_training_reports(optimizer):
    """Of the noise that the next update draws, in the steps that are there, with the F that M learns from."""
    model, generator = network_of(False, rule=KeRNL()), np.random.default_rng(4)
    model.compile("sgd", "mse", sensitivity_optimizer=optimizer, run_eagerly=True)
    x, reset = np.insert(3.0 * draw(7, B, 5, I) + 2.0, [1, 1, 3, 5], -7.0, axis=1), generator.random((B, 9)) < 0.2
    y = draw(8, B, 9, 2)
    (found,) = kk.gradient_alignment(model, [x, reset], y, ("kernl",), windows=1).explained_variance.values()
    model.train_on_batch([x, reset], y)
    assert (0.1 < found < 0.9) == (optimizer == "sgd")
    same(found, model.diagnostics()["explained_variance"], tolerance=1e-6)
