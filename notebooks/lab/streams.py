"""Learns from streams by rules that keep a window alone, or a memory of what was before it; errors by the steps heard.

    python -m notebooks.lab.streams words cue --output notebooks/results/streams.json
    python -m notebooks.lab.streams strings --output notebooks/results/strings.json
    python -m notebooks.lab.streams digits --windows 16 60 240 --rates 0.0003 0.0006 0.0012 0.0025 0.005 --seeds 0 1 \
        --output notebooks/results/rates-digits.json

`words` are spoken digits with pauses between. Of a `cue`, one of two inputs that is on for 20 steps, the network is
asked many steps later, under noise: no window reaches back to it. In `strings` A^n B^n, LSTM units tell the next symbol
at every step, and have to count. Weights change after each piece of C steps, which is the window. Truncated
backpropagation also has windows as long as the numbers that KeRNL's memory would take, and one that holds a word and
its pause. The learning rate of each row is the one with the fewest errors on a validation stream: the first seed tries
three, the others the two best of them. Along the way the network is tested on that stream.

With `--rates` the question is another one: which learning rate is right for an update every C steps? It stays the same
then, as it does on a stream without an end, and the rules are those with a memory. `digits` are those of MNIST, 14 x 14
pixels one by one, with pauses, and `digits-784` of 28 x 28; `digits-lif` and `digits-adlif` are the same for other
units. `heartbeats` ask at every step.
"""

import dataclasses
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import kernl_keras as kk
from kernl_keras.experiments.build import CELLS, load_data
from kernl_keras.experiments.configs import SPOKEN_DIGITS
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.keras_version import keras
from kernl_keras.training.optimizers import build_optimizers
from kernl_keras.training.state import Kept, fresh_states, moved

from .gradients import numbers_inside
from .options import Command, made_before
from .sweeps.networks import SMALL_ADLIF, SMALL_ALIF
from .training import compiled

ROWS, UNITS = 16, 100
RATES = (1e-3, 2e-3, 5e-3)
LOWER_RATES = (1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)  # where a sequence has more updates
WINDOWS = (16, 64)
SHORT = 16  # pieces of fewer steps are for learning alone
POINTS = 6  # of the curve over the steps heard
RULES = ("kernl", "eprop", "bptt")
RATE_CELL = partial(kk.LeakyRNNCell, UNITS, tau=kk.LogSpaced(1.0, 60.0))
CUE, DELAY, ANSWER = 20, 400, 10  # steps
DISTRACTORS, NOISE = 7, 0.1
LONGEST, STEPS = 16, 50_000  # n of A^n B^n; how long a row of strings is


class Task(NamedTuple):
    """What a stream is made of, and how it comes."""

    parts: dict  # {"train", "validation", "test": (x, y)}
    settings: dict  # of `kk.data.stream`
    cell: Callable  # -> a new cell
    tau_out: float | None  # of the readout
    classes: int  # units of the readout
    steps: int  # that a row hears in training, of which there are `ROWS`
    tested: int  # steps that a row hears in a test
    missed: Callable  # (answers [B, T, n], y [B, T], weight [B, T]) -> what the table shows, a share
    traces: Any = "linear"  # of the layer, where it has any
    rates: tuple = RATES  # learning rates that are tried
    windows: tuple = WINDOWS
    whole: int | None = None  # a window that holds all that an answer needs
    encoder: dict | None = None  # settings of a `SpikeEncoder` before the units


def words(data_dir):
    """Spoken digits, 1 s each, in stretches of 1.5 s."""
    experiment = dataclasses.replace(SPOKEN_DIGITS, data_dir=data_dir, task_settings={"seconds": 1.0})
    data = load_data(experiment)
    train = [np.concatenate(each) for each in zip(*data.train.take(data.steps_per_epoch.train).as_numpy_iterator())]
    parts = {"train": train, "validation": kk.data.arrays(data.validation), "test": kk.data.arrays(data.test)}
    cell = partial(kk.ResonatorCell, UNITS, tau_m=30.0, period=kk.LogSpaced(4.0, 60.0))
    return Task(parts, {"every": 150, "answer": 10}, cell, 20.0, 10, 30_000, 32 * 150, words_missed, whole=150)


def cue(data_dir):
    """Which of two inputs was on, `DELAY` steps ago; a third one asks. All are noisy, and some say nothing."""
    draw, parts = np.random.default_rng(0), {}
    length = CUE + DELAY + ANSWER
    for name, count in (("train", 512), ("validation", 128), ("test", 128)):
        y = draw.integers(0, 2, count)
        x = np.zeros((count, length, 3 + DISTRACTORS), "float32")
        x[np.arange(count), :CUE, y] = 1.0
        x[:, -ANSWER:, 2] = 1.0
        parts[name] = x, y.astype("int32")
    every = length + 20
    settings = {"every": every, "answer": ANSWER, "noise": NOISE}
    cell = partial(kk.ResonatorCell, UNITS, tau_m=1000.0, period=kk.LogSpaced(20.0, 2000.0))
    return Task(parts, settings, cell, 10.0, 2, 20_000, 32 * every, words_missed, whole=every)


def strings(data_dir):
    """The next symbol of strings A^n B^n, one long recording a row: gated units that have to count."""
    parts = {}
    for name, seed in (("train", 0), ("validation", 1), ("test", 2)):
        sizes = {"examples": ROWS, "validation": 0, "test": 1, "batch_size": ROWS}
        parts[name] = kk.data.arrays(kk.data.anbn(STEPS, longest=LONGEST, seed=seed, **sizes).train)
    settings, lstm = {"every": STEPS, "answer": None}, partial(kk.LSTMCell, 32)
    return Task(parts, settings, lstm, None, 2, STEPS, 2_000, strings_missed, True, (3e-3, 1e-2), (1, 16))


def answers(make, cell, rates, data_dir):
    """A task with a target at every step, for 24,000 steps; `make(draw, T) -> (x [T, I], y [T])` draws a recording."""
    parts, steps = {}, 24_000
    for seed, name in enumerate(("train", "validation", "test")):
        rows = [make(np.random.default_rng((seed, row)), steps) for row in range(ROWS)]
        parts[name] = tuple(np.stack(each) for each in zip(*rows))
    settings, classes = {"every": steps, "answer": None}, int(parts["train"][1].max()) + 1
    return Task(parts, settings, cell, None, classes, steps, 2_000, steps_missed, "linear", rates, (16,), 64)


def events(draw, time):
    """How many of one input's events have come since the last of the other's, up to seven."""
    x, y, count = (draw.random((time, 2)) < (0.05, 0.2)).astype("float32"), np.zeros(time, "int32"), 0
    for t, (marker, event) in enumerate(x):
        count = 0 if marker else min(count + int(event), 7)
        y[t] = count
    return x, y


def signs(draw, time):
    """The signs of the last pulses of three inputs, one of eight classes."""
    pulses = draw.choice((-2.0, 0.0, 2.0), (time, 3), p=(0.03, 0.94, 0.03)).astype("float32")
    last, y = np.ones(3), np.zeros(time, "int32")
    for t, pulse in enumerate(pulses):
        last = np.where(pulse == 0.0, last, pulse)
        y[t] = (last > 0.0) @ (1, 2, 4)
    return pulses, y


def chains(draw, time):
    """Which of three Markov chains of six symbols a symbol is of; the chain changes every 60 steps in the mean."""
    odds = np.random.default_rng(0).dirichlet(0.3 * np.ones(6), (3, 6)).cumsum(-1)
    x, y, chain, symbol = np.zeros((time, 6), "float32"), np.zeros(time, "int32"), 0, 0
    for t in range(time):
        chain = draw.integers(3) if draw.random() < 1.0 / 60.0 else chain
        symbol = min(int(np.searchsorted(odds[chain, symbol], draw.random())), 5)
        x[t, symbol], y[t] = 3.0, chain
    return x, y


def digits(data_dir, size=14):
    """Handwritten digits of 14 x 14 or 28 x 28 pixels, a pixel a step, with pauses; 4,000 in all rows together."""
    longest, every, steps, rates = {14: (200.0, 240, 60_000, RATES), 28: (800.0, 840, 210_000, LOWER_RATES)}[size]
    cell = partial(kk.ResonatorCell, UNITS, tau_m=0.75 * longest, period=kk.LogSpaced(6.0, longest))
    parts, settings = parts_of(kk.data.sequential_mnist(size=size, context_steps=0)), {"every": every, "answer": 10}
    return Task(parts, settings, cell, 20.0, 10, steps, 128 * every, words_missed, rates=rates, whole=every)


def digits_of(experiment, data_dir):
    """The same digits, as spikes, for the 200 units of an experiment of 14 x 14 pixels."""
    cell = partial(CELLS[experiment.cell], **experiment.cell_settings)
    encoder = {**experiment.encoder_settings, "context_switch": None}
    return digits(data_dir)._replace(cell=cell, encoder=encoder, rates=(5e-4, 1e-3, 2e-3, 5e-3, 1e-2))


def heartbeats(data_dir):
    """Which part of a heartbeat is on, at every step of recordings that follow each other without pauses."""
    cell = partial(kk.ResonatorCell, UNITS, tau_m=100.0, period=kk.LogSpaced(20.0, 800.0))
    parts, settings = parts_of(kk.data.ecg()), {"every": 1301, "answer": None}
    return Task(parts, settings, cell, 20.0, 6, 20_000, 24 * 1301, steps_missed, whole=400)  # a beat, and more


def parts_of(data):
    """The arrays of a packaged data set."""
    return {name: kk.data.arrays(getattr(data, name)) for name in ("train", "validation", "test")}


TASKS = {
    "words": words,
    "cue": cue,
    "strings": strings,
    "events": partial(answers, events, RATE_CELL, (1e-2, 2e-2, 4e-2, 8e-2)),
    "signs": partial(answers, signs, RATE_CELL, (1e-3, 3e-3, 1e-2, 3e-2)),
    "chains": partial(answers, chains, partial(kk.LIFCell, UNITS), (5e-4, 1e-3, 2e-3, 5e-3)),
    "digits": digits,
    "digits-784": partial(digits, size=28),
    "digits-lif": partial(digits_of, SMALL_ALIF),
    "digits-adlif": partial(digits_of, SMALL_ADLIF),
    "heartbeats": heartbeats,
}


def build(task, rule, window, rate, seed, falls=True):
    """The network, for pieces of `window` steps; the learning rate falls to zero, or stays."""
    keras.utils.set_random_seed(seed)
    features = task.parts["train"][0].shape[2]
    inputs = keras.Input(batch_shape=(ROWS, window, features))
    settings = {} if rule == "bptt" else {"traces": task.traces}
    x = inputs if task.encoder is None else kk.SpikeEncoder(**task.encoder, seed=seed + 1, stateful=True)(inputs)
    hidden = kk.RNN(task.cell(), rule=rule, window=window, stateful=True, seed=seed, name="hidden", **settings)(x)
    model = kk.Model(inputs, kk.Readout(task.classes, tau_out=task.tau_out, stateful=True)(hidden))
    at_once, updates = updates_of(task, window)
    settings = {"sensitivity_every": 4, "steps_per_execution": at_once, "jit_compile": True}
    return compiled(model, rate, POINTS * updates if falls else None, **settings)


def updates_of(task, window):
    """How many updates are one call, and how many lie between two points of the curve."""
    between = max(1, task.steps // window // POINTS)
    calls = math.ceil(between / 32)
    return between // calls, between // calls * calls


def stream(task, part, window, seed, **more):
    """`kk.data.stream` of a part of the task."""
    return kk.data.stream(*task.parts[part], **task.settings, piece=window, batch_size=ROWS, seed=seed, **more)


def errors(model, task, part, window):
    """What a network misses of a stream that is new to it, and the share of steps that it answers wrongly."""
    count = math.ceil(task.tested / window)
    pieces = list(stream(task, part, window, seed=1_000).take(count).as_numpy_iterator())
    with fresh_states(model):
        answers = np.concatenate([model.predict_on_batch(x) for x, _, _ in pieces], 1)
    y, weight = (np.concatenate([piece[k] for piece in pieces], 1) for k in (1, 2))
    return task.missed(answers, y, weight), steps_missed(answers, y, weight)


def with_weights(model, other):
    """The model, with the weights of another one."""
    if model is not other:
        for own, theirs in zip(model.weights, other.weights, strict=True):
            own.assign(theirs)
    return model


def words_missed(answers, y, weight):
    """The share of runs of steps that ask, in [B, T], whose mean answer [B, T, n] is another word's."""
    missed = []
    for answer, target, asked in zip(answers, y, weight):
        edges = np.flatnonzero(np.diff(asked, prepend=0.0, append=0.0))
        for begin, end in zip(edges[::2], edges[1::2]):
            missed.append(answer[begin:end].mean(0).argmax() != target[begin])
    return float(np.mean(missed))


def strings_missed(answers, y, weight):
    """The share of strings A^n B^n whose end is not foreseen: B is over after n, and then comes A.

    What follows is known from the first B on. So all answers must be right from the step that shows it, to the one that
    shows the last B.
    """
    missed = []
    for right, symbols in zip(answers.argmax(-1) == y, y):
        begins = 1 + np.flatnonzero((symbols[:-1] == 0) & (symbols[1:] == 1))  # the first B is what comes next
        for begin in begins:
            ends = np.flatnonzero(symbols[begin:] == 0)
            if len(ends):  # the string is whole
                missed.append(not right[begin + 1 : begin + ends[0] + 1].all())
    return float(np.mean(missed))


def steps_missed(answers, y, weight):
    """The share of steps that are answered wrongly."""
    return float(np.mean((answers.argmax(-1) != y)[weight > 0.0]))


def learn(model, task, window, rate, seed):
    """One run of a network from `build`; a dict of what was measured."""
    layer, (_, updates) = model.get_layer("hidden"), updates_of(task, window)
    heard, judge = window, model
    if window < SHORT and task.whole:  # a call for each step would take longer than the learning
        heard = task.whole
        judge = build(task, layer.rule, heard, rate, seed)
    curve, seconds = [], []
    for point in range(1, POINTS + 1):
        before = time.perf_counter()
        pieces = stream(task, "train", window, seed, skip_pieces=(point - 1) * updates)
        model.fit(pieces, steps_per_epoch=updates, epochs=1, verbose=0)
        seconds.append(time.perf_counter() - before)
        missed, wrong_steps = errors(with_weights(judge, model), task, "validation", heard)
        curve.append({"steps": point * updates * window, "validation": missed, "wrong_steps": wrong_steps})
    missed, wrong_steps = errors(with_weights(judge, model), task, "test", heard)
    return {
        "seed": seed,
        "learning_rate": rate,
        "numbers": numbers_inside(layer, window) + getattr(layer, "trace_size", 0),
        "seconds": sum(seconds),
        "steps_a_second": updates * window / min(seconds),  # of all rows together; the first part compiles
        "validation": curve[-1]["validation"],
        "test": missed,
        "wrong_steps": wrong_steps,
        "curve": curve,
    }


def longer(task, window):
    """The window with which truncated backpropagation keeps as many numbers as KeRNL with a window of C steps."""
    layer = build(task, "kernl", window, task.rates[0], 0).get_layer("hidden")
    return window + round(layer.trace_size / numbers_inside(layer, 1))


def rates_of(task, window):
    """The learning rates that are tried; lower ones where each step has an update of its own."""
    return [rate / 8.0 for rate in task.rates] if window == 1 else task.rates


def measure(options, found, keep):
    """Makes the runs that are missing in `found`, `{task: [run, ...]}`, and has each kept by `keep(task name, run)`."""
    for name in options.tasks:
        task, runs = TASKS[name](options.data_dir), found.setdefault(name, [])
        chosen = options.windows or task.windows
        rows = [(rule, window, window) for window in chosen for rule in options.rules]
        if "bptt" in options.rules:
            rows += [("bptt", longer(task, window), window) for window in chosen]
            rows += [("bptt", task.whole, None)] if task.whole else []
        for rule, window, compared in rows:
            what = {"rule": rule, "window": window, "compared": compared}  # with KeRNL of this window; None: with none
            made = [run for run in runs if all(run[key] == value for key, value in what.items())]
            if {run["seed"] for run in made} >= set(options.seeds):
                continue
            for run in runs_at_the_best_rate(task, rule, window, rates_of(task, compared), options.seeds):
                keep(name, {**what, **run})
                print(f"{name:6} {rule:6} window {window:<4} seed {run['seed']}  {100 * run['test']:.1f} % missed")


def runs_at_the_best_rate(task, rule, window, rates, seeds):
    """The first seed tries all learning rates, the others the two best of them. A run for each seed at the best one."""

    def of(rate):
        return statistics.mean(run["validation"] for run in tried[rate])

    def runs(rate, seeds):
        return [learn(build(task, rule, window, rate, seed), task, window, rate, seed) for seed in seeds]

    tried = {rate: runs(rate, seeds[:1]) for rate in rates}
    for rate in sorted(rates, key=of)[:2]:
        tried[rate] += runs(rate, seeds[1:])
    best = min([rate for rate in rates if len(tried[rate]) == len(seeds)], key=of)
    return [{**run, "tried": [[rate, of(rate), len(tried[rate])] for rate in rates]} for run in tried[best]]


def measure_rates(options, found, keep):
    """The same for every learning rate and window. The first seed tries all rates, the others the best's neighbours."""
    rates, tasks = sorted(options.rates), {name: TASKS[name](options.data_dir) for name in options.tasks}
    seeds, rules = options.seeds, [rule for rule in options.rules if rule != "bptt"]
    for seed, (name, task), rule in itertools.product(seeds, tasks.items(), rules):
        runs = found.setdefault(name, [])
        for window in options.windows or task.windows:
            made = [run for run in runs if (run["rule"], run["window"]) == (rule, window)]
            tried = [run for run in made if run["seed"] == seeds[0] and run["learning_rate"] in rates]
            wanted = rates if seed == seeds[0] else near_the_best(rates, tried)
            missing = set(wanted) - {run["learning_rate"] for run in made if run["seed"] == seed}
            for run in runs_of(task, rule, window, sorted(missing), seed):
                keep(name, {"rule": rule, "window": window, **run})
                what = f"{name:10} {rule:5} window {window:<4} seed {seed} rate {run['learning_rate']:<7g}"
                print(f"{what} {100 * run['validation']:.1f} % missed")


def runs_of(task, rule, window, rates, seed):
    """A run for each learning rate, which stays; the network is compiled once and begins anew each time."""
    if rates:
        model = build(task, rule, window, rates[0], seed, falls=False)
        build_optimizers(model)
        beginning = Kept(moved(model))
    for rate in rates:
        beginning.put_back()
        model.optimizer.learning_rate = rate
        yield learn(model, task, window, rate, seed)


def near_the_best(rates, tried):
    """The learning rate of the run with the fewest errors, and those beside it."""
    best = rates.index(min(tried, key=lambda run: run["validation"])["learning_rate"])
    return rates[max(0, best - 1) : best + 2]


def run(options, about):
    """Measures what is missing, and writes the results file after each run."""
    for rate in options.rates or ():
        if not 0.0 < rate < 1.0:
            raise UserError(f"--rates must be between 0 and 1; received {rate}.")
    kind = "stream_rates" if options.rates else "streams"
    found = (made_before(options.output, kind, "tasks") or {"tasks": {}})["tasks"]
    settings = {"rows": ROWS, "units": UNITS, "delay": DELAY, "rates": options.rates or RATES}

    def keep(task, made):
        found[task].append({**made, "git_revision": about["git_revision"]})
        write_json(options.output, {kind: {"tasks": found, **settings, **about}})
        return made

    (measure_rates if options.rates else measure)(options, found, keep)


main = Command("streams", __doc__, run)
main.option("tasks", nargs="+", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
main.count("--windows", nargs="+", metavar="C", help="those of the task if not given")
main.option("--rules", nargs="+", choices=RULES, default=RULES, metavar="RULE", help=", ".join(RULES))
main.option("--rates", type=float, nargs="+", metavar="R", help="learning rates that stay, to compare them")
main.seeds(0, 1, 2)
main.data_dir()
main.results(new=False)
main.machine()

if __name__ == "__main__":
    sys.exit(main())
