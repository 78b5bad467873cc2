"""The agreement of a rule's weight gradient with that of backpropagation through time."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..checks import integer
from ..keras_version import keras
from ..layers.names import distinct, rule_layers
from ..layers.step import Step, running
from ..rules import BPTT, EProp, KeRNL, get
from ..rules.backward import Past
from ..rules.learned_sensitivity import LearnedSensitivity
from ..rules.rule import name_of
from ..rules.window import way_back
from ..sequences.clean_pass import clean_pass
from ..sequences.masks import Marks, ValidSteps
from .compiled import compiled_as
from .metrics import present
from .optimizers import LeastSquares
from .state import Kept, lasting

EXACT, OWN, LOCAL = object(), object(), object()  # rules that the comparison itself needs; no name is one of these
DEFAULT = ("eprop", "rflo")  # rules to compare beside the layers' own, by default


class Agreement(NamedTuple):
    """Agreement of a gradient with that of backpropagation; NaN where one of the two is zero."""

    cosine: float  # of the angle between them
    norm_ratio: float  # its norm over that of backpropagation's
    nonlocal_cosine: float  # cosine of the parts through other units alone; NaN for a rule without such a part


class LagAgreement(NamedTuple):
    """`Agreement` by the time between input and error. Lists, an entry for each lag."""

    lag: list[float]  # ms
    cosine: list[float]
    norm_ratio: list[float]
    nonlocal_cosine: list[float]
    share: list[float]  # norm of backpropagation's contribution over that of its whole gradient


class Alignment(NamedTuple):
    """The result of `gradient_alignment`."""

    # {"layer/weight": {rule: Agreement}}, and {"layer": ...} for all weights of a layer together
    variables: dict[str, dict[str, Agreement]]
    lags: dict[str, dict[str, LagAgreement]]  # likewise, without constants
    explained_variance: dict[str, float]  # {"layer": 1 - F / mean D^2}, for layers whose M and gamma learn


def gradient_alignment(
    model: keras.Model,
    x: Any,
    y: Any,
    rules: Sequence[Any] | Mapping[str, Any] | None = None,
    windows: int = 8,
    sample_weight: Any = None,
) -> Alignment:
    """Compares each rule's weight gradients with those of backpropagation through time with the surrogate.

    Each `RNN` layer is compared, whatever its own rule, on the errors L(t) = dC/dz(t) that backpropagation brings it (a
    `Readout` with random feedback sends them by its own weights here):

        cosine = <g, g_bptt> / (|g| |g_bptt|),        norm ratio = |g| / |g_bptt|

    for each weight, for all of the layer, and for the logarithm of each constant that learns. By lag: the sequence is
    cut into `windows` of equal length; windows k <= l give the part of the gradient that comes from the errors of
    window l and the inputs of window k, and all pairs with the same l - k are summed. Lag 0 is within a window; the
    last window may be shorter; masked steps take no time. Errors that reach a layer through states that it returns are
    not seen, and of several calls of a layer only the last is.

    A high cosine does not mean a higher accuracy. Most of a gradient's length is local, a unit's own output by its own
    weights, and errors of this part may hide what a rule adds. So `nonlocal_cosine` compares the parts through other
    units alone: for `KeRNL` the second term of (22), for backpropagation the part that is lost when the path through
    the recurrent weights is cut. A step along a poor direction, averaged over many batches, may learn better than one
    along a good one; and backpropagation with a surrogate is itself no gradient of the spiking network, which has none.

    Args:
        model: built and compiled Keras model with `RNN` layers; its loss is differentiated. The model stays as it is.
        x, y: a batch, as for `fit`. Memory is that of one step of backpropagation.
        rules: list of rules, as words or objects, or a dict of them by names of your own; None for each layer's own
            rule beside "eprop" and "rflo", without those that do not go with a layer's cell. The word of the layer's
            own rule stands for that rule as it is, with its settings, M and gamma. A rule that learns M is left out for
            layers that have another one.
        windows: number of windows, at most T; one or more fewer where T is no multiple of it.
        sample_weight: as for `fit`.

    Returns:
        An `Alignment`: `variables` is {"layer/weight": {rule: (cosine, norm_ratio, nonlocal_cosine)}}, where "layer"
        alone stands for all weights of a layer; `lags` has the same as lists over `lag`, in ms, with `share`, the norm
        of backpropagation's part at that lag over that of its whole gradient; `explained_variance` is {"layer":
        number}.

    Raises:
        ValueError: for an unknown rule, one that does not go with a cell, a model without `RNN` layers, and more
            windows than steps.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from tensorflow import keras
    >>> inputs = keras.Input((12, 3))
    >>> hidden = kk.RNN(kk.LIFCell(4), name="hidden")(inputs)
    >>> model = kk.Model(inputs, keras.layers.Dense(2)(hidden))
    >>> model.compile("sgd", "mse", run_eagerly=True)
    >>> x, y = np.random.default_rng(0).normal(1.0, 2.0, (5, 12, 3)), np.ones((5, 12, 2))
    >>> alignment = kk.gradient_alignment(model, x, y, rules=("bptt", "eprop"), windows=3)
    >>> round(alignment.variables["hidden/kernel"]["bptt"].cosine, 6), alignment.lags["hidden"]["eprop"].lag
    (1.0, [0.0, 4.0, 8.0])

    Source: Marschall, Cho, Savin, JMLR 21 (2020), section 4.3 (alignment of online rules, for rate units).
    """
    return Alignments(model, rules, windows)(x, y, sample_weight)


class Alignments:
    """`gradient_alignment` of one model for many batches, compiled once. Arguments as there."""

    def __init__(self, model, rules=None, windows=8):
        self.model, self.layers = model, rule_layers(model)
        if not self.layers:
            raise ValueError(f"model must have an RNN layer; received {model!r} without one.")
        self.rules = check_rules(rules)
        if rules is None:
            self.rules = {**{name_of(layer.rule): layer.rule for layer in self.layers}, **check_rules(DEFAULT)}
        self.asked_for = rules is not None
        self.windows = integer("windows", windows)
        self._compiled = {}

    def __call__(self, x, y, sample_weight=None):
        """The `Alignment` for a batch."""
        x, y, sample_weight = tf.nest.map_structure(
            lambda part: None if part is None else tf.convert_to_tensor(part), (x, y, sample_weight)
        )
        variables, lags, explained, taken = {}, {}, {}, set()
        with Kept(lasting(self.model)):
            calls, errors = backpropagated_errors(self.model, self.layers, x, y, sample_weight)
            for call, error in zip(calls, errors):
                layer, name = call.layer, distinct(call.layer.name, taken)
                rules = self._rules_of(layer)
                parts, by_rule = self._contributions(layer, rules, call, error)
                asked = [rule for rule in self.rules if rule in rules]
                step = layer.cell.dt * (-(-call.sequences.shape[1] // self.windows))
                for weight, rows in weight_rows(layer).items():
                    weight = f"{name}/{weight}" if weight else name
                    weight_arrays = {rule: array[:, :, rows] for rule, array in parts.items()}
                    pairs = {rule: beside_exact(weight_arrays, rule, rules[rule]) for rule in asked}
                    variables[weight] = {rule: agreement(pair.sum((1, 2))) for rule, pair in pairs.items()}
                    lags[weight] = {rule: lag_agreement(pair, step) for rule, pair in pairs.items()}
                for constant in layer.cell.learn:
                    constant_arrays = {rule: arrays[constant] for rule, arrays in by_rule.items()}
                    pairs = {rule: beside_exact(constant_arrays, rule, rules[rule]).sum((1, 2)) for rule in asked}
                    variables[f"{name}/log_{constant}"] = {rule: agreement(pair) for rule, pair in pairs.items()}
                if layer.sensitivity_weights:
                    explained[name] = explained_variance(self.model, layer, call, present(sample_weight, x, y))
        return Alignment(variables, lags, explained)

    def _contributions(self, layer, rules, call, error):
        """`{rule: [K, K, J, H]}`, gradients of the weights from the errors of window l and the inputs of window k, at
        [l, k]; and `{rule: {constant: [1, 1, 1, H]}}`, those of the constants from all windows together."""
        x, error = (tf.transpose(part, (1, 0, 2)) for part in (call.sequences, error))
        steps = x.shape[0]
        if self.windows > steps:
            raise ValueError(f"windows must be at most the {steps} time steps; received {self.windows}.")
        length = -(-steps // self.windows)
        windows = -(-steps // length)
        state = call.initial_state[: len(layer.cell.State._fields)]
        starts = None if call.steps is None else call.steps.starts
        by_window, constants = {}, {}
        for name, rule in rules.items():
            if (key := (id(layer), name)) not in self._compiled:
                self._compiled[key] = compiled_as(self.model, functools.partial(current_errors, layer, rule))
            rows, field_gradients = [], 0.0
            signal = rule.learning_signal(error, call.steps)
            for late in range(windows):
                now = (tf.range(steps) // length == late)[:, None, None]
                currents, s, fields = self._compiled[key](x, tf.where(now, signal, tf.zeros_like(error)), state, starts)
                cuts = (slice(early, early + length) for early in range(0, steps, length))
                rows.append([tf.einsum("tbj,tbh->jh", s[cut], currents[cut]).numpy() for cut in cuts])
                field_gradients += fields
            by_window[name] = np.array(rows) * trained(layer)
            constants[name] = constant_gradients(layer.cell, field_gradients)
        return by_window, constants

    def _rules_of(self, layer):
        """The rules to compute for a layer, `{name: rule}`; raises for one that was asked for and is not possible."""
        own = layer.rule
        rules = {EXACT: BPTT(), OWN: EProp(reset_gradient=True)}
        if isinstance(own, KeRNL):
            rules[LOCAL] = EProp(own.adaptation, own.reset_gradient)
        for name, given in self.rules.items():
            rule = get(given)
            if type(rule) is type(own) and (isinstance(given, str) or isinstance(rule, LearnedSensitivity)):
                rules[name] = own
            elif not isinstance(rule, LearnedSensitivity):
                try:
                    rule.check(layer.cell, False)
                    rules[name] = rule
                except ValueError:
                    if self.asked_for:
                        raise
        return rules


def backpropagated_errors(model, layers, x, y, sample_weight):
    """The last `Call` of each layer that is called, and its errors L [B, T, H], by backpropagation from above."""
    with tf.GradientTape() as tape, running(Step(exact=True)) as step:
        y_pred = model(x, training=False)
        loss = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
    calls = [calls[-1] for layer in layers if (calls := [call for call in step.calls if call.layer is layer])]
    outputs = [call.outputs for call in calls]
    return calls, tape.gradient(loss, outputs, unconnected_gradients="zero")


def current_errors(layer, rule, x, error, state, starts):
    """dC/dI [T, B, H], s [T, B, J] and the gradient of the cell's `fields()` [F, H], from x [T, B, I], L [T, B, H]."""
    cell = layer.cell
    before, p = cell.State(*state), cell.parameters()
    steps = None if starts is None else ValidSteps(None, tf.transpose(starts))
    residuals, _ = clean_pass(cell, p, cell.recurrent_weights(), cell.input_current(x), before, starts=starts)
    past = Past(layer, x, before, residuals, p, steps)
    inputs, presynaptic = past.presynaptic(0, past.length)
    s = tf.concat([inputs, presynaptic, tf.ones_like(presynaptic[..., :1])], -1)
    currents, gradient = way_back(rule, past, layer.window if rule is layer.rule else None)(error)
    return currents, s, gradient[s.shape[-1] :]


def constant_gradients(cell, field_gradients):
    """Gradients of the logarithms of the constants that learn, each [1, 1, 1, H], from those of `fields()` [F, H]."""
    weights = cell.learned_weights()
    with tf.GradientTape() as tape:
        p = cell.parameters()
        parts = [getattr(p, field) * gradient for field, gradient in zip(cell.fields(), field_gradients)]
    gradients = tape.gradient(parts, list(weights.values()), unconnected_gradients="zero")
    return {name: gradient.numpy()[None, None, None] for name, gradient in zip(weights, gradients)}


def check_rules(rules):
    """The argument `rules` as `{name: rule as it was given}`; empty for None."""
    if rules is None:
        return {}
    if isinstance(rules, str) or not isinstance(rules, Iterable):
        raise ValueError(f"rules must be a list of rules or their names; received {rules!r}.")
    named = rules if isinstance(rules, Mapping) else {name_of(get(rule)): rule for rule in rules}
    for rule in named.values():
        get(rule)
    return dict(named)


def trained(layer):
    """The mask of the weights that learn [J, G H], 0 where there is no connection."""
    inputs, units, columns = layer.cell.kernel.shape[0], layer.cell.units, layer.cell.kernel.shape[1]
    mask = np.ones((inputs + units + 1, columns), layer.compute_dtype)
    mask[inputs : inputs + units] = layer.cell.connections()
    return mask


def weight_rows(layer):
    """The rows of each weight in [J, H] by its name, and under "" all rows."""
    inputs, units = layer.cell.kernel.shape[0], layer.cell.units
    rows = {"": slice(0, inputs + units), "kernel": slice(0, inputs), "recurrent_kernel": slice(inputs, inputs + units)}
    if layer.cell.bias is not None:
        rows |= {"": slice(None), "bias": slice(inputs + units, None)}
    return rows


def cosine(one, other):
    """The cosine of the angle between two arrays; NaN where one is zero."""
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.sum(one * other) / norms) if norms > 0.0 else float("nan")  # NaN too where one holds NaN


def ratio(one, other):
    """The ratio of two arrays' norms; NaN where the second is zero."""
    norm = np.linalg.norm(other)
    return float(np.linalg.norm(one) / norm) if norm > 0.0 else float("nan")


def beside_exact(contributions, name, rule):
    """Contributions of a rule and of backpropagation, and of both through other units alone, or NaN [4, K, K, ..].

    M of `PlainKeRNL` holds a unit's own leak and the other units together, so it has NaN, like rules without M.
    """
    own, exact = contributions[name], contributions[EXACT]
    local = OWN if isinstance(rule, BPTT) else LOCAL if isinstance(rule, KeRNL) else None
    through = np.full_like(own, np.nan) if local is None else own - contributions[local]
    return np.stack([own, exact, through, exact - contributions[OWN]])


def agreement(parts):
    """The `Agreement` of four gradients, in the order of `beside_exact`."""
    own, exact, *through = parts
    return Agreement(cosine(own, exact), ratio(own, exact), cosine(*through))


def lag_agreement(parts, step):
    """The `LagAgreement` from `beside_exact`; `step` is a window's length in ms."""
    lags = range(parts.shape[1])
    by_lag = [sum(parts[:, late, late - lag] for late in range(lag, len(lags))) for lag in lags]  # all of one l - k
    share = [ratio(exact, parts[1].sum((0, 1))) for _, exact, *_ in by_lag]
    return LagAgreement([float(lag * step) for lag in lags], *map(list, zip(*map(agreement, by_lag))), share)


def explained_variance(model, layer, call, counts=None):
    """1 - F / mean D^2 of the noise that the layer's next training call would draw, with the F that the model has.

    `counts` [B] is 1 for examples that count, None for all.
    """
    solves = isinstance(getattr(model, "sensitivity_optimizer", None), LeastSquares)
    sequences, read = call.sequences, Marks(None, None)
    if call.steps is not None:
        valid, starts = call.steps.valid, call.steps.starts
        read = Marks(tf.transpose(valid), None if starts is None else tf.transpose(starts))
    if layer.go_backwards:
        sequences, read = tf.reverse(sequences, [1]), read.read_backwards()
    with running(Step(present=counts, solves=solves)) as step:
        layer(sequences, initial_state=list(call.initial_state), mask=read.mask, reset=read.reset, training=True)
    _, report = step.reports[-1]
    return float(report.explained_variance)
