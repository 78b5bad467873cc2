"""How near gradients with windows come to backpropagation's, above all in linear memory, and which part is lost there.

Networks early in training, after 150 updates of backpropagation; `late`, the packaged network of `smnist`, after 48,000
updates of KeRNL without weight decay; and `decayed`, that of a finished run with weight decay, `--run-dir DIR`. Of the
last two the errors of all digits are brought to the same length, because a few of them carry most of the loss. M is set
to the direct effect of the weights, drive W_rec^T, so that it loses nothing. The values are of all weights of the
hidden layer: the cosine to backpropagation's gradient, and the length, backpropagation's being 1.

Backpropagation's own gradient changes with the weights: the same digits have another one after all weights have moved
by a small share of themselves, at random. How near it stays says what a cosine is worth. The mean over many such moves,
and over batches, is what a rule follows in the long run.

The parts of what is lost are found in NumPy, on a few digits: the errors behind the borders go back as in
backpropagation, with one part as in linear memory, the rest exact. Where means stand for steps, hops are counted and
damped as in linear memory, because all of them together may explode.
"""

import dataclasses
import itertools
import math
import pathlib
import sys

import numpy as np
import tensorflow as tf

from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.experiments.pretrained import experiment_of, load_pretrained, variables
from kernl_keras.experiments.provenance import devices
from kernl_keras.experiments.run import load_saved, read_config
from kernl_keras.naive.means import recent_steps
from kernl_keras.rules import BPTT, EProp, KeRNL, LinearTraces
from kernl_keras.rules.backward import Past
from kernl_keras.sequences.clean_pass import clean_pass
from kernl_keras.training.alignment import backpropagated_errors, trained

from .gradients import Gradients, agreement, linear_memory, numbers_behind, numbers_inside
from .options import Command, made_before

EARLY, LATE = ("smnist", "smnist-alif", "smnist-adlif"), ("late", "decayed")
EXAMPLES, FEW = 32, 8  # digits, and those for the parts
SHARES, DRAWS = (1e-5, 1e-4, 1e-3), 40  # moves of the weights; those of which gradients are averaged, by the last share
NEGLIGIBLE = 1e-3  # of the largest error: borders with smaller ones are left out
OWN, HOP = EProp(reset_gradient=True), KeRNL("whole_unit")
ROWS = {
    "nothing crosses": (BPTT(), False),
    "e-prop, exact traces": (OWN, False),
    "e-prop, linear memory": (OWN, True),
    "KeRNL, exact traces": (HOP, False),
    "KeRNL, linear memory": (HOP, True),
    "KeRNL, linear memory, no segments": (HOP, LinearTraces(segments=0)),
    "KeRNL, linear memory, no segments, 1 hop": (HOP, LinearTraces(segments=0, hops=1, damping=1.0)),
}
PARTS = {  # what is as in linear memory
    "filters": {"filters": True},
    "number and damping of hops": {"hops": True},
    "hops, and means of segments": {"hops": True, "means": "segments"},
    "hops, and one leaky mean": {"hops": True, "means": "leaky"},
}


def network_and_digits(name, seed, updates, run=None):
    """A compiled model, whose M is the direct effect, and a batch of digits that it has not learned from."""
    if name == "late":
        experiment, model = experiment_of("smnist"), load_pretrained("smnist")
        data = load_data(dataclasses.replace(experiment, source="sample", data_dir=None))
    elif name == "decayed":
        experiment = read_config(run)
        data = load_data(experiment)
        shape = data.time_steps, data.features
        model = build_model(experiment.with_rule("kernl"), *shape, 1)
        weights = variables(load_saved(run, experiment, shape))
    else:
        experiment = dataclasses.replace(EXPERIMENTS[name], rule="bptt", rule_settings={}, weight_decay=0.0, seed=seed)
        data = load_data(experiment)
        trained_model = build_model(experiment, data.time_steps, data.features, experiment.steps)
        trained_model.fit(data.train, steps_per_epoch=updates, verbose=0)
        experiment = EXPERIMENTS[name]
        model = build_model(experiment, data.time_steps, data.features, experiment.steps)
        weights = variables(trained_model)
    if name != "late":
        for key, variable in variables(model).items():
            variable.assign(weights.get(key, variable))  # all but M
    model.get_layer("hidden").reset_sensitivity()
    batches = list(data.validation.unbatch().batch(EXAMPLES))
    return model, batches[seed % len(batches) if name in LATE else 0], batches


class Behind:
    """The errors that leave windows of C steps, and their way back through the steps before, in NumPy.

    `call` is that of the layer, and `error` that of its outputs L [T, B, H], of the first examples.
    """

    def __init__(self, layer, call, error, window):
        cell, x = layer.cell, tf.transpose(call.sequences[: error.shape[1]], (1, 0, 2))
        state = [part[: error.shape[1]] for part in call.initial_state[: len(cell.State._fields)]]
        before, p = cell.State(*state), cell.parameters()
        residuals, _ = clean_pass(cell, p, cell.recurrent_weights(), cell.input_current(x), before)
        past = Past(layer, x, before, residuals, p)
        self.window, self.time, (x, s) = window, past.length, past.presynaptic(0, past.length)
        self.inputs = np.concatenate([x, s, np.ones_like(s[..., :1])], -1)
        jacobian = past.derivatives(0, self.time).following_reset().combined()
        self.jacobian = {name: tf.nest.map_structure(np.asarray, value) for name, value in jacobian._asdict().items()}
        self.weights, self.trained = cell.recurrent_weights().numpy(), trained(layer)
        self.memory = linear_memory(layer, HOP, True)
        self.inside, borders = np.zeros(error.shape), []
        for first in range(0, self.time, window):
            later, e = [np.zeros(error.shape[1:])] * len(cell.own_states), np.zeros(error.shape[1:])
            for t in reversed(range(first, min(first + window, self.time))):
                later, self.inside[t] = back(self.at(t), later, e + error[t])
                e = self.inside[t] @ self.weights.T
            if first and np.abs(e).max() > NEGLIGIBLE * np.abs(error).max():
                borders.append((first, later, e))
        firsts, later, e = zip(*borders)
        self.firsts, self.e = np.array(firsts), np.stack(e)
        self.later = [np.stack(x) for x in zip(*later)]  # each [W, B, H]

    def at(self, t):
        """The entries of one step, or of one for each border [W, B, H]."""
        return {name: tf.nest.map_structure(lambda x: pick(x, t), value) for name, value in self.jacobian.items()}

    def means(self, kind):
        """Function of n -> the mean entries that stand for the steps n + 1 before each border [W, B, H].

        Means are leaky ones, or those of segments, and leaky ones before these.
        """
        keep, leaky = math.exp(-1.0 / self.memory.settings.average), []
        for first in self.firsts:
            count = keep ** np.arange(first)[::-1]
            leaky.append([(count / count.sum(), first, 1)])
        if kind == "segments":
            count, segment = self.memory.settings.segments, self.memory.settings.segment_steps
            for first, lags in zip(self.firsts, leaky):
                size = min(segment or self.window, self.window)
                lags[:0] = recent_steps(first, self.window, size, count, self.memory.grow)
        ends = [np.cumsum([steps for _, steps, _ in lags[:-1]]) for lags in leaky]

        def mean(x):
            if x.ndim < 3:
                return x
            every = np.zeros((len(leaky), max(map(len, leaky)), *x.shape[1:]))
            for border, lags in enumerate(leaky):
                for lag, (weights, *_) in enumerate(lags):
                    every[border, lag] = np.tensordot(weights, x[: len(weights)], 1)
            return every

        found = {name: tf.nest.map_structure(mean, value) for name, value in self.jacobian.items()}
        borders = np.arange(len(leaky))

        def at(n):
            lags = [np.searchsorted(end, n, side="right") for end in ends]
            one = lambda x: x[borders, lags] if x.ndim >= 4 else x  # noqa: E731
            return {name: tf.nest.map_structure(one, value) for name, value in found.items()}

        return at

    def gradient(self, means=None, hops=False, filters=False):
        """dC/dW [J, H]; `means` is "segments" or "leaky"; what is True is as in linear memory, all else exact."""
        settings, mean = self.memory.settings, self.means(means) if means else None
        count, damping = (settings.hops, settings.damping) if hops else (None, 1.0)
        sorts = 1 if count is None else count + 1  # errors by the number of hops, or all of them together
        first = [1.0] + [0.0] * (sorts - 1)
        later = [np.multiply.outer(first, x) for x in self.later]
        e = np.multiply.outer(first if sorts == 1 else np.roll(first, 1), damping * self.e)
        current = self.inside.copy()
        responses = np.zeros((self.firsts.max(), *self.e.shape))  # R(n) of each border
        for n in range(len(responses)):
            t = self.firsts - 1 - n
            step = mean(n) if mean else self.at(np.maximum(t, 0))
            later, found = back(step, later, e)
            e = damping * np.roll(found, 1, 0) @ self.weights.T
            if sorts > 1:
                e[0] = 0.0
            there = t >= 0
            responses[n, there] = found.sum(0)[there]
        if filters:
            basis = self.memory.filters.powers(tf.range(len(responses), dtype=tf.float64)).numpy()  # [N, count]
            weights = np.tensordot(self.memory.filters.inverse, np.tensordot(basis.T, responses, 1), 1)
            responses = np.tensordot(basis, weights, 1)
        for border, first in enumerate(self.firsts):
            current[:first] += responses[:first, border][::-1]
        return np.einsum("tbj,tbh->jh", self.inputs, current, optimize=True) * self.trained


def pick(x, t):
    """The steps t of an entry [T, B, H]; a constant as it is."""
    return x[t] if x.ndim >= 3 else x


def back(step, later, e):
    """Eq. (38): l(t-1) and dC/dI(t)."""
    current = sum(x * b for x, b in zip(later, step["B"])) + step["g"] * e
    d = range(len(later))
    return [sum(later[i] * step["A"][i][k] for i in d) + step["D"][k] * e for k in d], current


def moved(model, share, draw):
    """Moves every trained weight by a random share of itself, normal with this standard deviation."""
    for v in model.trainable_variables:
        v.assign(v * (1.0 + share * draw.standard_normal(v.shape).astype(v.dtype)))


def after_moves(model, batch, batches, call_and_error, gradients, window, seed):
    """Rows: backpropagation's gradient of a batch after moves of the weights beside that before; means over moves."""
    draw, weights, rows = np.random.default_rng(seed), model.get_weights(), []
    still = gradients(*call_and_error(batch), BPTT())

    def after_move(batch, share, *ways):
        moved(model, share, draw)
        call = call_and_error(batch)
        found = [gradients(*call, *way) for way in ways]
        model.set_weights(weights)
        return found

    for share in SHARES:
        (found,) = after_move(batch, share, (BPTT(),))
        rows.append({"weights moved": f"{share:.3%}", **agreement(found, still)})
    calls = itertools.islice(itertools.cycle(batches), DRAWS)
    exact, linear = zip(*(after_move(batch, share, (BPTT(),), (HOP, window, True)) for batch in calls))
    halves = agreement(np.mean(exact[::2], 0), np.mean(exact[1::2], 0))
    label, mean = f"{share:.3%}, mean of {DRAWS}", agreement(np.mean(linear, 0), np.mean(exact, 0))
    rows.append({"weights moved": f"{label}, KeRNL, linear memory", "window": window, **mean})
    rows.append({"weights moved": f"{label}, half of them beside the other half", **halves})
    return rows


def measure(name, seed, updates, windows, kept, run=None):
    """The rows of one network, a list of dicts; `kept` has what is compiled, by the network's name."""
    model, batch, batches = network_and_digits(name, seed, updates, run)
    if name in kept:
        kept[name][0].set_weights(model.get_weights())
    model, gradients = kept.setdefault(name, (model, Gradients(model.get_layer("hidden"))))
    layer = gradients.layer

    def call_and_error(batch):
        (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
        return call, error / tf.norm(error, axis=(1, 2), keepdims=True) if name in LATE else error

    call, error = call_and_error(batch)
    exact, rows, about = gradients(call, error, BPTT()), [], {"network": name, "seed": seed}
    for window in windows:
        for label, (rule, linear) in ROWS.items():
            kept_numbers = 0 if isinstance(rule, BPTT) else numbers_behind(layer, rule, linear)
            steps = kept_numbers / numbers_inside(layer, 1)
            found = agreement(gradients(call, error, rule, window, linear), exact)
            rows.append({**about, "window": window, "crosses": label, "steps_of_memory": round(steps, 1), **found})
    behind = Behind(layer, call, tf.transpose(error[:FEW], (1, 0, 2)).numpy().astype(float), windows[-1])
    exact = behind.gradient()
    for part, settings in PARTS.items():
        found = agreement(behind.gradient(**settings), exact)
        rows.append({**about, "window": windows[-1], "as in linear memory": part, **found})
    found = after_moves(model, batch, batches, call_and_error, gradients, windows[-1], seed)
    return [*rows, *({**about, **row} for row in found)]


def run(options, about):
    """A results file, written anew after each network; it keeps the rows of other networks that it has."""
    if "decayed" in options.networks and not options.run_dir:
        raise UserError("the network decayed needs --run-dir, the directory of a finished run with weight decay.")
    before = made_before(options.output, "memory", "rows") or {"updates": options.updates, "rows": []}
    if before["updates"] != options.updates:
        raise UserError(f"{options.output} has rows of --updates {before['updates']}: name another --output.")
    rows, kept = [row for row in before["rows"] if row["network"] not in options.networks], {}
    for name, seed in itertools.product(options.networks, options.seeds):
        found = measure(name, seed, options.updates, options.windows, kept, options.run_dir)
        rows += [{**row, "git_revision": about["git_revision"]} for row in found]
        for row in found:
            what = ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("network", "seed", "length"))
            print(f"{name} {seed} {what}", flush=True)
        rows.sort(key=lambda row: (*EARLY, *LATE).index(row["network"]))
        measured = {"examples": EXAMPLES, "updates": options.updates, "device": devices(), "rows": rows}
        write_json(options.output, {"memory": {**measured, **about}})


main = Command("memory", __doc__, run)
main.option("--networks", nargs="+", choices=(*EARLY, *LATE), default=(*EARLY, "late"))
main.option("--run-dir", type=pathlib.Path, metavar="DIR", help="of the network `decayed`")
main.count("--windows", [1, 16, 64], "parts have the last", nargs="+", metavar="C")
main.count("--updates", 150, "of backpropagation")
main.seeds(0, 1, 2)
main.results(new=False)
main.machine()

if __name__ == "__main__":
    sys.exit(main())
